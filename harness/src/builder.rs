use std::fmt::{Display, Write};
use std::path::Path;

use serde_json::Value;

use crate::port::Port;
use crate::server::Wait;
use crate::{LATEST, NatsServer, Result, background};

/// The settings of a server. Defaults: the newest version with JetStream, no WebSocket, no
/// authentication.
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until `start`"]
pub struct Builder {
    pub(crate) version: String,
    pub(crate) jetstream: bool,
    pub(crate) websocket: bool,
    name: Option<String>,
    domain: Option<String>,
    websocket_lines: String,
    authorization: String,
    max_payload: Option<usize>,
    extra: String,
}

/// The ports of one server, the same after each restart.
#[derive(Debug)]
pub(crate) struct Ports {
    pub(crate) client: Port,
    pub(crate) monitor: Port,
    pub(crate) websocket: Option<Port>,
}

impl Default for Builder {
    fn default() -> Self {
        Self {
            version: LATEST.to_owned(),
            jetstream: true,
            websocket: false,
            name: None,
            domain: None,
            websocket_lines: String::new(),
            authorization: String::new(),
            max_payload: None,
            extra: String::new(),
        }
    }
}

impl Builder {
    /// Sets the server's version, usually one of [`VERSIONS`](crate::VERSIONS).
    pub fn version(mut self, version: impl Into<String>) -> Self {
        self.version = version.into();
        self
    }

    /// Sets the server's name; generated otherwise.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Enables JetStream (the default) or disables it.
    pub fn jetstream(mut self, on: bool) -> Self {
        self.jetstream = on;
        self
    }

    /// Sets the JetStream domain.
    pub fn domain(mut self, domain: impl Into<String>) -> Self {
        self.domain = Some(domain.into());
        self
    }

    /// Enables WebSocket, too.
    pub fn websocket(mut self, on: bool) -> Self {
        self.websocket = on;
        self
    }

    /// Enables WebSocket, with or without permessage-deflate.
    pub fn websocket_compression(self, on: bool) -> Self {
        self.websocket_config(format!("compression: {on}"))
    }

    /// Enables WebSocket for pages of these origins only (`http://host:port`).
    pub fn websocket_origins<O: AsRef<str>>(self, origins: impl IntoIterator<Item = O>) -> Self {
        let origins: Vec<String> = origins
            .into_iter()
            .map(|origin| quoted(origin.as_ref()))
            .collect();
        self.websocket_config(format!("allowed_origins: [{}]", origins.join(", ")))
    }

    /// Enables WebSocket, with these additional lines in its block of the configuration.
    pub fn websocket_config(mut self, lines: impl Display) -> Self {
        self.websocket = true;
        self.websocket_lines += &format!("  {lines}\n");
        self
    }

    /// Requires this user and password.
    pub fn auth(mut self, user: &str, password: &str) -> Self {
        self.authorization = format!(
            "authorization {{ user: {}, password: {} }}\n",
            quoted(user),
            quoted(password)
        );
        self
    }

    /// Requires this token.
    pub fn token(mut self, token: &str) -> Self {
        self.authorization = format!("authorization {{ token: {} }}\n", quoted(token));
        self
    }

    /// Sets the maximum size of a message in bytes (the server's default is 1 MiB).
    pub fn max_payload(mut self, bytes: usize) -> Self {
        self.max_payload = Some(bytes);
        self
    }

    /// Adds text to the top level of the configuration.
    pub fn config(mut self, text: impl Display) -> Self {
        self.extra += &format!("{text}\n");
        self
    }

    /// Starts the server and waits until it replies.
    ///
    /// # Errors
    /// If it cannot be installed or started, or is not ready in time; the error ends with its log.
    pub async fn start(self) -> Result<NatsServer> {
        background::run(|| self.start_blocking()).await
    }

    /// [`start`](Self::start), for code without an executor.
    ///
    /// # Errors
    /// As `start`.
    pub fn start_blocking(self) -> Result<NatsServer> {
        let ports = self.reserve()?;
        let wait = if self.jetstream {
            Wait::Healthy
        } else {
            Wait::Listening
        };
        NatsServer::start(self, ports, wait)
    }

    pub(crate) fn reserve(&self) -> Result<Ports> {
        Ok(Ports {
            client: Port::reserve()?,
            monitor: Port::reserve()?,
            websocket: self.websocket.then(Port::reserve).transpose()?,
        })
    }

    pub(crate) fn server_name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// The text of the configuration file.
    pub(crate) fn render(&self, name: &str, ports: &Ports, store: &Path) -> String {
        let mut text = format!(
            "server_name: {}\nhost: 127.0.0.1\nport: {}\nhttp: \"127.0.0.1:{}\"\n",
            quoted(name),
            ports.client.number,
            ports.monitor.number
        );
        // The shortest that the server allows: a test of lame duck mode waits that long.
        text += "lame_duck_duration: \"30s\"\nlame_duck_grace_period: \"1s\"\n";
        if self.jetstream {
            let domain = self
                .domain
                .as_deref()
                .map(|d| format!("domain: {}, ", quoted(d)))
                .unwrap_or_default();
            let store = quoted(&store.to_string_lossy());
            // Writing into a String cannot fail.
            let _ = writeln!(
                text,
                "jetstream {{ {domain}store_dir: {store}, max_memory_store: 256MB, max_file_store: 1GB }}"
            );
        }
        if let Some(port) = &ports.websocket {
            let _ = writeln!(
                text,
                "websocket {{\n  host: 127.0.0.1\n  port: {}\n  no_tls: true\n{}}}",
                port.number, self.websocket_lines
            );
        }
        if let Some(bytes) = self.max_payload {
            let _ = writeln!(text, "max_payload: {bytes}");
        }
        text + &self.authorization + &self.extra
    }
}

/// A string in the configuration language; for what tests need, it quotes like JSON.
pub(crate) fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}
