//! Core NATS, as the JetStream backend needs it: request, publish, subscribe, and the connection state.
//!
//! Native programs use async-nats, browsers the protocol in [`crate::protocol`]. The KV semantics are
//! implemented once, on top of this.

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
    /// Sends a request and waits for the reply, for at most `timeout`. The message is never resent. A
    /// reply with status 503 and no body is [`TransportError::NoResponders`].
    fn request(
        &self,
        message: Outbound,
        timeout: Duration,
    ) -> BoxFuture<'_, Result<Message, TransportError>>;

    /// Publishes a message. `Ok` means that it was accepted for sending, not that it arrived.
    fn publish(&self, message: Outbound) -> BoxFuture<'_, Result<(), TransportError>>;

    /// Subscribes to a subject. The subscription survives reconnects, but misses messages sent in between.
    fn subscribe(&self, subject: ByteString)
    -> BoxFuture<'_, Result<Subscription, TransportError>>;

    /// A unique reply subject.
    fn new_inbox(&self) -> ByteString;

    /// The state of the connection, now and as it changes.
    fn status(&self) -> watch::Receiver<ConnectionStatus>;

    /// The server's current maximum message size in bytes, headers included.
    fn max_payload(&self) -> usize;

    /// Flushes and closes. `Ok` if it is already closed.
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
