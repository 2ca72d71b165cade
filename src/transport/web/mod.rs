//! Core NATS over this crate's own protocol: for browsers, and natively to debug what browsers run.
//!
//! One task owns the socket and the [`Connection`](crate::protocol::Connection); it is the only one
//! that a browser lets touch either. Everything that callers hold are ends of bounded channels, so
//! it is `Send` everywhere.
//!
//! # Nothing grows without bound
//!
//! Requests wait while the server has not confirmed enough of what was sent: see
//! [`Config::window`](crate::protocol::Config). What is published goes out at once, so that nobody waits
//! longer than for an answer where the network falls silent: it is small and answers what arrived. What arrives cannot be held back, as the WebSocket
//! API has no way to; `JetStream`'s flow control bounds what a watch has in flight, since the
//! answers that it waits for are only sent once earlier messages were handled. A subscription that
//! falls further behind than that ends, after the messages that it has: its reader sees the end
//! while there still is a connection, and so knows that there is a gap.

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
    /// What all subjects of this client start with that nobody else listens on.
    inbox: String,
    inboxes: AtomicU64,
    /// How long a message waits for a connection.
    timeout: Duration,
}

/// What callers ask of the task.
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
    Close(oneshot::Sender<()>),
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
        // The task answers all that it has taken before it ends, so this was never taken; unless it was
        // thrown away with its runtime.
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

    /// Waits for a connection, for as long as a message may wait.
    async fn connected(&self) -> Result<(), TransportError> {
        let state = self.status.borrow().state;
        if state == ConnectionState::Disconnected {
            let mut status = self.status.clone();
            let settled = async {
                // The state is looked at below, whatever ended this.
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
        // The task only goes away when the connection is closed for good.
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
        // The name of the client is random, so a number tells its inboxes apart. They are no part
        // of the subject `<inbox>.*`, on which it hears answers.
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
            // All the room there is, so that this comes behind every call before it. Where there is
            // room again, who waited for it may use it later than who asks now.
            let all = self.commands.max_capacity();
            if let Ok(mut room) = self.commands.reserve_many(all).await
                && let Some(permit) = room.next()
            {
                permit.send(Command::Close(done));
                _ = closed.await;
            }
            // Without a task it is closed, by whomever; unless that was thrown away with its runtime.
            match self.status.borrow().state {
                ConnectionState::Closed => Ok(()),
                _ => Err(TransportError::Closed),
            }
        })
    }
}
