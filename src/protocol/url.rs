//! Server URLs.
//!
//! Parses only what NATS needs: a complete URL parser would be the largest part of the client's
//! download, and the browser parses the URL again anyway.

use std::fmt;

use crate::words::{Quoted, percent_decoded, without_secrets};

/// The URL of a server; its credentials are kept separately.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ServerUrl {
    scheme: String,
    host: String,
    port: u16,
    path: String,
    user: Option<String>,
    password: Option<String>,
}

/// An invalid server URL.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} is not a server address: {reason}", Quoted(url))]
pub(crate) struct InvalidUrl {
    url: String,
    reason: &'static str,
}

impl InvalidUrl {
    /// What is wrong with it.
    pub(crate) fn reason(&self) -> &'static str {
        self.reason
    }
}

impl ServerUrl {
    /// Parses a URL. The default scheme is `wss`; the default port is the scheme's.
    pub(crate) fn parse(text: &str) -> Result<Self, InvalidUrl> {
        let invalid = |reason| InvalidUrl {
            url: without_secrets(text),
            reason,
        };
        let trimmed = text.trim();
        let (scheme, rest) = match split_scheme(trimmed) {
            Some((scheme, rest)) => (scheme.to_ascii_lowercase(), rest),
            None => ("wss".to_owned(), trimmed),
        };
        let default_port = match scheme.as_str() {
            "ws" => 80,
            "wss" => 443,
            "nats" | "tcp" | "tls" => 4222,
            _ => return Err(invalid("the scheme is not ws, wss, nats, tcp or tls")),
        };
        let path_at = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(path_at);
        if path.as_bytes().contains(&b'#') {
            return Err(invalid("it has a fragment"));
        }
        let (login, address) = match authority.rsplit_once('@') {
            Some((login, address)) => (Some(login), address),
            None => (None, authority),
        };
        let (user, password) = match login.map(|login| login.split_once(':').ok_or(login)) {
            Some(Ok((user, password))) => {
                (Some(percent_decoded(user)), Some(percent_decoded(password)))
            }
            Some(Err(user)) => (Some(percent_decoded(user)), None),
            None => (None, None),
        };
        let (host, port) = split_port(address)
            .ok_or_else(|| invalid("the port is not a number from 1 to 65535"))?;
        let word = |c: char| c.is_ascii_whitespace() || c.is_ascii_control();
        if host.is_empty() || rest.contains(word) {
            return Err(invalid("it has no host, or white space"));
        }
        Ok(Self {
            scheme,
            host: host.to_owned(),
            port: port.unwrap_or(default_port),
            path: path.to_owned(),
            user,
            password,
        })
    }

    /// The URL of a server announced by another server: it has no scheme, and inherits that of the
    /// announcing server.
    pub(crate) fn gossiped(&self, address: &str) -> Option<Self> {
        let (host, port) = split_port(address.trim())?;
        let sane = |c: char| {
            c.is_ascii_alphanumeric() || matches!(c, '[' | ']' | ':' | '.' | '-' | '_' | '%')
        };
        if host.is_empty() || !host.chars().all(sane) {
            return None;
        }
        Some(Self {
            host: host.to_owned(),
            port: port.unwrap_or(self.port),
            ..self.clone()
        })
    }

    /// Whether the host is an IP address, for which certificates are rarely issued.
    pub(crate) fn is_ip(&self) -> bool {
        // No top-level domain is numeric.
        let is_v4 = |host: &str| {
            host.bytes()
                .all(|byte| byte.is_ascii_digit() || byte == b'.')
        };
        self.host.as_bytes().contains(&b':') || is_v4(&self.host)
    }

    /// Whether the connection is encrypted.
    pub(crate) fn is_encrypted(&self) -> bool {
        matches!(self.scheme.as_str(), "wss" | "tls")
    }

    /// Whether this is a WebSocket, rather than plain TCP.
    pub(crate) fn is_websocket(&self) -> bool {
        matches!(self.scheme.as_str(), "ws" | "wss")
    }

    /// The host without the brackets of an IPv6 address.
    #[allow(dead_code)] // in a browser
    pub(crate) fn bare_host(&self) -> &str {
        self.host.trim_start_matches('[').trim_end_matches(']')
    }

    /// The port.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// The user and password, or the token, from the URL.
    pub(crate) fn login(&self) -> Option<(&str, Option<&str>)> {
        Some((self.user.as_deref()?, self.password.as_deref()))
    }

    /// Whether both have the same host and port.
    pub(crate) fn same_place(&self, other: &Self) -> bool {
        self.host.eq_ignore_ascii_case(&other.host) && self.port == other.port
    }
}

/// Without credentials, for dialling, logs and errors.
impl fmt::Display for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}://{}:{}{}",
            self.scheme,
            self.host,
            self.port(),
            self.path
        )
    }
}

fn split_scheme(text: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = text.split_once(':')?;
    Some((scheme, rest.strip_prefix("//")?))
}

fn split_port(address: &str) -> Option<(&str, Option<u16>)> {
    // Colons in brackets belong to an IPv6 address.
    let search_from = address.rfind(']').unwrap_or(0);
    match address[search_from..].rfind(':') {
        Some(colon) => {
            let (host, port) = address.split_at(search_from + colon);
            let port: u16 = port[1..].parse().ok()?;
            (port != 0).then_some((host, Some(port)))
        }
        None => Some((address, None)),
    }
}
