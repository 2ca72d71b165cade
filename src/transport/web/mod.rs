//! Core NATS over this crate's own protocol implementation: for browsers, and natively for debugging.
//!
//! One task owns the socket and the [`Connection`](crate::protocol::Connection), since a browser's
//! socket must not leave its thread. Callers hold only ends of bounded channels, which are `Send`
//! everywhere.
//!
//! # Nothing grows without bound
//!
//! Requests wait while too much of what was sent is unconfirmed by the server: see
//! [`Config::window`](crate::protocol::Config). Published messages are sent immediately, so that no
//! caller is blocked beyond its time-out when the network goes silent; they are small, and reply to
//! incoming messages. Incoming data cannot be held back, as the WebSocket API has no backpressure.
//! `JetStream`'s flow control bounds what a watch has in flight, since flow control replies are sent
//! only after earlier messages were handled. A subscription that falls further behind ends after its
//! buffered messages: its reader sees the end while still connected, and so knows that there is a gap.

mod actor;
mod connect;
mod queue;
mod socket;

crate::platform::browser_only! {
    pub(crate) mod browser;
}
crate::platform::native_only! {
    pub(crate) mod plain;
    #[cfg(test)]
    mod tests;
}

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytestring::ByteString;
use futures::{
    future::{BoxFuture, select},
    pin_mut,
};
use tokio::sync::{mpsc, oneshot, watch};

pub(crate) use self::connect::connect;
use self::queue::Consumer;
use super::{Subscription, Transport};
use crate::{
    message::{Message, Outbound, TransportError},
    platform::{self, Instant},
    protocol::encoder,
    status::{ConnectionState, ConnectionStatus},
};

/// A connection over this crate's own protocol.
pub(crate) struct Web {
    commands: mpsc::Sender<Command>,
    status: watch::Receiver<ConnectionStatus>,
    max_payload: Arc<AtomicUsize>,
    /// The prefix of this client's reply subjects.
    inbox: String,
    inboxes: AtomicU64,
    /// How long a message waits for a connection.
    timeout: Duration,
}

/// Commands to the task.
#[derive(Debug)]
enum Command {
    Request {
        message: Outbound,
        timeout: Duration,
        since: Instant,
        answer: oneshot::Sender<Result<Message, TransportError>>,
    },
    Publish(Outbound),
    Subscribe {
        subject: ByteString,
        messages: oneshot::Sender<Result<Consumer, TransportError>>,
    },
    Close(oneshot::Sender<bool>),
}

impl fmt::Debug for Web {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Web")
            .field("status", &*self.status.borrow())
            .finish_non_exhaustive()
    }
}

impl Web {
    async fn ask(&self, message: Outbound, timeout: Duration) -> Result<Message, TransportError> {
        let (answer, result) = oneshot::channel();
        let command = Command::Request {
            message,
            timeout,
            since: Instant::now(),
            answer,
        };
        self.command(command).await?;
        // The task completes all accepted commands before it ends, so this one was never accepted, unless the
        // task was dropped with its runtime.
        result.await.unwrap_or_else(|_| {
            Err(match self.status.borrow().state {
                ConnectionState::Closed => TransportError::Closed,
                _ => TransportError::Lost,
            })
        })
    }

    async fn send(&self, message: Outbound) -> Result<(), TransportError> {
        encoder::check(&message).map_err(|error| TransportError::Invalid(error.to_string()))?;
        self.connected().await?;
        let (size, limit) = (encoder::size(&message), self.max_payload());
        if size > limit {
            return Err(TransportError::TooLarge { size, limit });
        }
        self.command(Command::Publish(message)).await
    }

    /// Waits for a connection, up to the time-out.
    async fn connected(&self) -> Result<(), TransportError> {
        if !platform::is_running() {
            return Err(TransportError::NoRuntime); // tokio's timers would panic
        }
        let state = self.status.borrow().state;
        if state == ConnectionState::Disconnected {
            let mut status = self.status.clone();
            let settled = async {
                // The state is checked below in any case.
                _ = status
                    .wait_for(|now| now.state != ConnectionState::Disconnected)
                    .await;
            };
            pin_mut!(settled);
            select(settled, platform::sleep(self.timeout)).await;
        }
        let state = self.status.borrow().state;
        match state {
            ConnectionState::Connected => Ok(()),
            ConnectionState::Closed => Err(TransportError::Closed),
            ConnectionState::Disconnected => Err(TransportError::NotConnected(
                "no server can be reached".into(),
            )),
        }
    }

    async fn command(&self, command: Command) -> Result<(), TransportError> {
        if !platform::is_running() {
            return Err(TransportError::NoRuntime);
        }
        // The task ends only when the connection is closed for good.
        let sent = self.commands.send(command).await;
        sent.map_err(|_| TransportError::Closed)
    }
}

impl Transport for Web {
    fn request(
        &self,
        message: Outbound,
        timeout: Duration,
    ) -> BoxFuture<'_, Result<Message, TransportError>> {
        Box::pin(self.ask(message, timeout))
    }

    fn publish(&self, message: Outbound) -> BoxFuture<'_, Result<(), TransportError>> {
        Box::pin(self.send(message))
    }

    fn subscribe(
        &self,
        subject: ByteString,
    ) -> BoxFuture<'_, Result<Subscription, TransportError>> {
        Box::pin(async move {
            let (messages, subscribed) = oneshot::channel();
            self.command(Command::Subscribe { subject, messages })
                .await?;
            let consumer = subscribed.await.unwrap_or(Err(TransportError::Closed))?;
            Ok(Subscription::new(consumer))
        })
    }

    fn new_inbox(&self) -> ByteString {
        // The client's name is random, so a counter is enough to make its inboxes unique. They do not match
        // `<inbox>.*`, the subject of the replies to its requests.
        let number = self.inboxes.fetch_add(1, Ordering::Relaxed);
        format!("{}-{number}", self.inbox).into()
    }

    fn status(&self) -> watch::Receiver<ConnectionStatus> {
        self.status.clone()
    }

    fn max_payload(&self) -> usize {
        self.max_payload.load(Ordering::Relaxed)
    }

    fn close(&self) -> BoxFuture<'_, Result<(), TransportError>> {
        Box::pin(async {
            if !platform::is_running() {
                return Err(TransportError::NoRuntime);
            }
            let (done, closed) = oneshot::channel();
            // Reserves the whole capacity to be queued after every earlier call: a caller that was waiting for
            // capacity may otherwise send after one that asks now.
            let all = self.commands.max_capacity();
            if let Ok(mut room) = self.commands.reserve_many(all).await
                && let Some(permit) = room.next()
            {
                permit.send(Command::Close(done));
                if closed.await == Ok(false) {
                    return Err(TransportError::Lost);
                }
            }
            // Without a task the connection is closed, unless the task was dropped with its runtime.
            match self.status.borrow().state {
                ConnectionState::Closed => Ok(()),
                _ => Err(TransportError::Closed),
            }
        })
    }
}
