//! Core NATS messages, incoming and outgoing, and request errors. The protocol and the transports both
//! use these types, so neither depends on the other.

use std::time::Duration;

use bytes::Bytes;
use bytestring::ByteString;

use crate::{headers::Headers, words::Lasting};

/// An incoming message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Message {
    /// Its subject.
    pub(crate) subject: ByteString,
    /// The reply subject.
    pub(crate) reply: Option<ByteString>,
    /// Its headers; empty if it had none.
    pub(crate) headers: Headers,
    /// The status line's code (`NATS/1.0 503`), which marks messages created by servers.
    pub(crate) status: Option<u16>,
    /// The status line's text.
    pub(crate) description: Option<String>,
    /// Its body.
    pub(crate) payload: Bytes,
}

/// An outgoing message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Outbound {
    /// The subject.
    pub(crate) subject: ByteString,
    /// The reply subject; a transport's `request` sets it.
    pub(crate) reply: Option<ByteString>,
    /// Its headers.
    pub(crate) headers: Headers,
    /// Its body.
    pub(crate) payload: Bytes,
}

impl Outbound {
    /// Creates a message with only a body.
    pub(crate) fn new(subject: impl Into<ByteString>, payload: impl Into<Bytes>) -> Self {
        Self {
            subject: subject.into(),
            payload: payload.into(),
            ..Self::default()
        }
    }

    /// Adds a header.
    #[cfg(all(test, feature = "web"))]
    #[must_use]
    pub(crate) fn header(mut self, name: &str, value: impl AsRef<str>) -> Self {
        self.headers.append(name, value);
        self
    }
}

/// The error of a publish or request.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TransportError {
    /// Sent, but there was no reply in time.
    #[error("no answer within {}", Lasting(*.0))]
    Timeout(Duration),
    /// The subject has no subscribers.
    #[error("no responders")]
    NoResponders,
    /// Sent, but the connection was lost before the reply.
    #[error("the connection was lost before the response")]
    Lost,
    /// Not sent: there is no connection.
    #[error("not connected: {0}")]
    NotConnected(String),
    /// Sent, but the reply cannot be received: the user no longer has permission for this subject.
    #[error("no permission to receive the response: {0}")]
    Unheard(String),
    /// Not done: the user has no permission for this subject.
    #[error("no permission: {0}")]
    PermissionDenied(String),
    /// Not sent: larger than the server accepts.
    #[error("{size} bytes exceed the server's limit of {limit}")]
    TooLarge { size: usize, limit: usize },
    /// Not sent: it cannot be encoded as it is.
    #[error("cannot be sent: {0}")]
    Invalid(String),
    /// Closed deliberately.
    #[error("closed")]
    Closed,
    /// Not sent: there is no async runtime to await the reply.
    #[error("called outside of a tokio runtime")]
    NoRuntime,
}
