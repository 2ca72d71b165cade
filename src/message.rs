//! What travels over core NATS: a message in, a message out. Both the protocol and the transports
//! speak in these, so neither needs to know the other.

use bytes::Bytes;
use bytestring::ByteString;

use crate::headers::Headers;

/// A message that arrived.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Message {
    /// Where it was sent to.
    pub(crate) subject: ByteString,
    /// Where an answer is expected.
    pub(crate) reply: Option<ByteString>,
    /// Its headers; empty where it had none.
    pub(crate) headers: Headers,
    /// The status line's code (`NATS/1.0 503`), which marks messages that servers make themselves.
    pub(crate) status: Option<u16>,
    /// The status line's text.
    pub(crate) description: Option<String>,
    /// Its body.
    pub(crate) payload: Bytes,
}

/// A message to send.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Outbound {
    /// Where to.
    pub(crate) subject: ByteString,
    /// Where the answer goes; a transport's `request` sets it itself.
    pub(crate) reply: Option<ByteString>,
    /// Its headers.
    pub(crate) headers: Headers,
    /// Its body.
    pub(crate) payload: Bytes,
}

impl Outbound {
    /// A message with a body and nothing else.
    pub(crate) fn new(subject: impl Into<ByteString>, payload: impl Into<Bytes>) -> Self {
        Self {
            subject: subject.into(),
            payload: payload.into(),
            ..Self::default()
        }
    }

    /// The same message with a header more.
    #[cfg(test)]
    #[cfg(all(test, feature = "web"))]
    #[must_use]
    pub(crate) fn header(mut self, name: &str, value: impl AsRef<str>) -> Self {
        self.headers.append(name, value);
        self
    }
}
