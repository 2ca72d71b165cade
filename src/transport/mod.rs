//! Core NATS, as the JetStream backend needs it: ask, send, listen, and know how the connection is.
//!
//! Native programs get it from async-nats, browsers from the protocol in [`crate::protocol`]. The
//! rules of the KV store stand above this, once.

#[cfg(feature = "native")]
crate::platform::native_only! {
    pub(crate) mod native;
}

#[cfg(feature = "web")]
pub(crate) mod web;

use std::{
    fmt::Debug,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytestring::ByteString;
use futures::{Stream, future::BoxFuture, stream::BoxStream};
use tokio::sync::watch;

use crate::{
    message::{Message, Outbound, TransportError},
    status::ConnectionStatus,
};

/// A connection to NATS.
pub(crate) trait Transport: Debug + Send + Sync + 'static {
    /// Sends a message and waits for its answer, for at most `timeout`. The message is sent once,
    /// whatever happens. An answer with status 503 and no body is [`TransportError::NoResponders`].
    fn request(
        &self,
        message: Outbound,
        timeout: Duration,
    ) -> BoxFuture<'_, Result<Message, TransportError>>;

    /// Sends a message. `Ok` means that it was taken over, not that it arrived.
    fn publish(&self, message: Outbound) -> BoxFuture<'_, Result<(), TransportError>>;

    /// Listens on a subject. The subscription survives reconnects; what was sent meanwhile is
    /// missed.
    fn subscribe(&self, subject: ByteString)
    -> BoxFuture<'_, Result<Subscription, TransportError>>;

    /// A subject that nobody else listens on.
    fn new_inbox(&self) -> ByteString;

    /// The state of the connection, now and as it changes.
    fn status(&self) -> watch::Receiver<ConnectionStatus>;

    /// The largest message that the server takes now, headers and body together, in bytes.
    fn max_payload(&self) -> usize;

    /// Sends what is still to be sent, and closes. `Ok` where it is closed already.
    fn close(&self) -> BoxFuture<'_, Result<(), TransportError>>;
}

/// The messages of a subscription; `None` when the connection is closed for good. Dropping it
/// unsubscribes.
pub(crate) struct Subscription(BoxStream<'static, Message>);

impl Subscription {
    pub(crate) fn new(messages: impl Stream<Item = Message> + Send + 'static) -> Self {
        Self(Box::pin(messages))
    }
}

impl Stream for Subscription {
    type Item = Message;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Message>> {
        self.0.as_mut().poll_next(context)
    }
}

impl Debug for Subscription {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Subscription").finish_non_exhaustive()
    }
}
