//! What server and client say of themselves: the JSON of INFO and CONNECT.

use serde::{Deserialize, Serialize};

use super::auth::Login;

/// What a server says of itself, as far as it matters here.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(crate) struct ServerInfo {
    /// Its name.
    pub(crate) server_name: String,
    /// Its version.
    pub(crate) version: String,
    /// Whether messages may have headers.
    pub(crate) headers: bool,
    /// The largest message it takes, headers and body together, in bytes.
    pub(crate) max_payload: usize,
    /// What to sign, to show that one has a key.
    pub(crate) nonce: Option<String>,
    /// Whether it wants credentials.
    pub(crate) auth_required: bool,
    /// Other servers of the cluster: `host:port`.
    pub(crate) connect_urls: Vec<String>,
    /// Lame duck mode: it will throw everybody out soon.
    pub(crate) ldm: bool,
}

impl ServerInfo {
    /// Reads the argument of INFO.
    pub(crate) fn parse(json: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(json)
    }
}

/// What a client says of itself.
#[derive(Debug, Serialize)]
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
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) name: Option<&'a str>,
    #[serde(flatten)]
    pub(super) login: &'a Login,
}
