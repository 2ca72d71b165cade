//! What travels over core NATS: a message in, a message out, and why one did not. Both the protocol
//! and the transports speak in these, so neither needs to know the other.

use std::time::Duration;

use bytes::Bytes;
use bytestring::ByteString;

use crate::{headers::Headers, words::Lasting};

/// A message that arrived.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Message {
    /// The subject that it was sent to.
    pub(crate) subject: ByteString,
    /// The subject for an answer.
    pub(crate) reply: Option<ByteString>,
    /// Its headers; empty if it had none.
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
    /// The subject.
    pub(crate) subject: ByteString,
    /// The subject for the answer; a transport's `request` sets it itself.
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

    /// The same message with one more header.
    #[cfg(all(test, feature = "web"))]
    #[must_use]
    pub(crate) fn header(mut self, name: &str, value: impl AsRef<str>) -> Self {
        self.headers.append(name, value);
        self
    }
}

/// Why a message was not sent, or not answered.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TransportError {
    /// Sent, and not answered in time.
    #[error("no answer within {}", Lasting(*.0))]
    Timeout(Duration),
    /// There is no subscriber on the subject.
    #[error("nobody listens")]
    NoResponders,
    /// Sent, and the connection was lost before the answer.
    #[error("the connection was lost before the answer")]
    Lost,
    /// Not sent: there is no connection.
    #[error("not connected: {0}")]
    NotConnected(String),
    /// Sent, and the answer cannot be heard: the user has no permission for this subject any more.
    #[error("no permission for the answer: {0}")]
    Unheard(String),
    /// Not done: the user has no permission for this subject.
    #[error("no permission: {0}")]
    PermissionDenied(String),
    /// Not sent: larger than the server takes.
    #[error("{size} bytes are more than the {limit} that the server takes")]
    TooLarge { size: usize, limit: usize },
    /// Not sent: it cannot be put on the wire as it is.
    #[error("cannot be sent: {0}")]
    Invalid(String),
    /// Closed on purpose.
    #[error("closed")]
    Closed,
    /// Not sent: there is no async runtime to wait for the answer.
    #[error("called outside of a tokio runtime")]
    NoRuntime,
}
