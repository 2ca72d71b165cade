//! The JSON of INFO and CONNECT.

use bytes::Bytes;

use super::auth::Login;
use crate::json::{self, Error, Fields, FromJson, Writer};

/// The fields of INFO that are used here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ServerInfo {
    /// Whether the server supports headers.
    pub(crate) headers: bool,
    /// The maximum message size in bytes, headers included.
    pub(crate) max_payload: usize,
    /// The nonce to sign, to prove possession of a key.
    pub(crate) nonce: Option<String>,
    /// Other servers of the cluster: `host:port`.
    pub(crate) connect_urls: Vec<String>,
    /// Lame duck mode: the server will close all connections soon.
    pub(crate) ldm: bool,
}

impl ServerInfo {
    /// Parses the argument of INFO.
    pub(crate) fn parse(json: &[u8]) -> Result<Self, Error> {
        json::read(json)
    }
}

impl FromJson<'_> for ServerInfo {
    fn from_json(fields: &mut Fields<'_>) -> Self {
        Self {
            headers: fields.flag("headers"),
            max_payload: fields.small("max_payload"),
            nonce: fields.maybe_string("nonce"),
            connect_urls: fields.strings("connect_urls"),
            ldm: fields.flag("ldm"),
        }
    }
}

/// The fields of CONNECT.
#[derive(Debug)]
pub(super) struct Connect<'a> {
    pub(super) verbose: bool,
    pub(super) pedantic: bool,
    pub(super) tls_required: bool,
    pub(super) lang: &'static str,
    pub(super) version: &'static str,
    pub(super) protocol: u8,
    pub(super) echo: bool,
    pub(super) headers: bool,
    pub(super) no_responders: bool,
    pub(super) name: Option<&'a str>,
    pub(super) login: &'a Login,
}

impl Connect<'_> {
    pub(super) fn to_json(&self) -> Bytes {
        let mut json = Writer::new();
        json.flag("verbose", self.verbose);
        json.flag("pedantic", self.pedantic);
        json.flag("tls_required", self.tls_required);
        json.text("lang", self.lang);
        json.text("version", self.version);
        json.number("protocol", self.protocol.into());
        json.flag("echo", self.echo);
        json.flag("headers", self.headers);
        json.flag("no_responders", self.no_responders);
        json.maybe_text("name", self.name);
        self.login.write(&mut json);
        json.finish()
    }
}
