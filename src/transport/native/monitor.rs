//! What async-nats tells of its connection, as the backend needs it: the state with an epoch, and
//! which subjects the server refused.

use std::{sync::Arc, time::Duration};

use async_nats::{Event, ServerError, connection::State};
use tokio::sync::{broadcast, watch};

use crate::client::{ConnectionState, ConnectionStatus};

/// How often an adopted connection is looked at, which has no events for us.
const LOOK: Duration = Duration::from_millis(250);

/// Follows one connection.
#[derive(Clone, Debug)]
pub(super) struct Monitor {
    status: Arc<watch::Sender<ConnectionStatus>>,
    refusals: broadcast::Sender<Arc<str>>,
}

impl Monitor {
    pub(super) fn new() -> Self {
        let status = ConnectionStatus::new(ConnectionState::Disconnected, 0);
        Self {
            status: Arc::new(watch::Sender::new(status)),
            refusals: broadcast::Sender::new(32),
        }
    }

    pub(super) fn status(&self) -> watch::Receiver<ConnectionStatus> {
        self.status.subscribe()
    }

    pub(super) fn refusals(&self) -> Refusals {
        Refusals(self.refusals.subscribe())
    }

    /// Marks the connection as closed for good.
    pub(super) fn close(&self) {
        self.status
            .send_modify(|status| status.state = ConnectionState::Closed);
    }

    /// Takes in an event.
    pub(super) fn on_event(&self, event: &Event) {
        match event {
            Event::Connected => self.connected_again(),
            Event::Disconnected => self.turn(ConnectionState::Disconnected),
            Event::Closed => self.turn(ConnectionState::Closed),
            Event::LameDuckMode => tracing::info!("the server is about to shut down"),
            Event::SlowConsumer(sid) => {
                tracing::warn!(sid, "messages were dropped: a subscription is read too slowly");
            }
            Event::ServerError(ServerError::Other(text)) => {
                tracing::warn!(error = %text, "the server reports an error");
                if let Some(subject) = refused_subject(text) {
                    // Nobody listening is fine.
                    _ = self.refusals.send(subject.into());
                }
            }
            other => tracing::warn!(event = %other, "connection event"),
        }
    }

    /// The epoch counts `Connected` events, of which the first is ours to expect.
    fn connected_again(&self) {
        self.status.send_if_modified(|status| {
            if status.state == ConnectionState::Closed {
                return false;
            }
            status.state = ConnectionState::Connected;
            status.epoch += 1;
            tracing::info!(epoch = status.epoch, "connected");
            true
        });
    }

    fn turn(&self, state: ConnectionState) {
        self.status.send_if_modified(|status| {
            if status.state == state || status.state == ConnectionState::Closed {
                return false;
            }
            tracing::info!(?state, epoch = status.epoch, "connection state");
            status.state = state;
            true
        });
    }

    /// Follows a connection that somebody else made, by looking at it until nobody needs it. There
    /// is no event to wait for.
    pub(super) async fn look_at(self, client: async_nats::Client) {
        let statistics = client.statistics();
        let weak = Arc::downgrade(&self.status);
        drop(self);
        loop {
            let Some(sender) = weak.upgrade() else { return };
            let connects = statistics
                .connects
                .load(std::sync::atomic::Ordering::Relaxed);
            let state = match client.connection_state() {
                State::Connected => ConnectionState::Connected,
                State::Pending | State::Disconnected => ConnectionState::Disconnected,
            };
            sender.send_if_modified(|status| {
                let now = ConnectionStatus::new(state, connects);
                let changed = status.state != ConnectionState::Closed && *status != now;
                if changed {
                    *status = now;
                }
                changed
            });
            drop(sender);
            tokio::time::sleep(LOOK).await;
        }
    }
}

/// The subjects that the server refused since this was made.
#[derive(Debug)]
pub(super) struct Refusals(broadcast::Receiver<Arc<str>>);

impl Refusals {
    /// Waits until this subject is refused.
    pub(super) async fn of(&mut self, subject: &str) -> String {
        loop {
            match self.0.recv().await {
                Ok(refused) if *refused == *subject => return subject.to_owned(),
                Ok(_) | Err(broadcast::error::RecvError::Lagged(_)) => {}
                Err(broadcast::error::RecvError::Closed) => std::future::pending().await,
            }
        }
    }
}

/// The subject in `Permissions Violation for Publish to "a.b"`.
fn refused_subject(text: &str) -> Option<&str> {
    let (_, quoted) = text.split_once("for Publish to \"")?;
    quoted.split_once('"').map(|(subject, _)| subject)
}

#[cfg(test)]
mod tests {
    use super::refused_subject;

    #[test]
    fn a_refused_publish_names_its_subject() {
        let text = "Permissions Violation for Publish to \"$KV.b.k\"";
        assert_eq!(refused_subject(text), Some("$KV.b.k"));
        assert_eq!(refused_subject("Permissions Violation for Subscription to \"a\""), None);
    }
}
