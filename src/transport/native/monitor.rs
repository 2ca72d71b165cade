//! What async-nats tells of its connection, as the backend needs it: the state with an epoch, and
//! which subjects the server refused.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError, Weak, atomic::Ordering},
    time::Duration,
};

use async_nats::{Event, ServerError, connection::State};
use tokio::sync::watch;

use crate::{
    client::{ConnectionState, ConnectionStatus},
    kv::ServiceError,
    platform,
    transport::TransportError,
};

/// How often an adopted connection is looked at, whose events somebody else gets.
pub(super) const ADOPTED: Duration = Duration::from_millis(250);

/// How often a connection of our own is looked at: async-nats drops events when many come at once.
pub(super) const OWN: Duration = Duration::from_secs(1);

/// How many refusals are remembered for the requests that they concern.
const REFUSALS: usize = 32;

/// Follows one connection.
#[derive(Clone, Debug)]
pub(super) struct Monitor(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    status: watch::Sender<ConnectionStatus>,
    trouble: watch::Sender<Trouble>,
    inbox_prefix: String,
    /// To count connects; set once there is a client.
    client: Mutex<Option<async_nats::Client>>,
}

/// All that can end a request early, behind one receiver: requests are many, trouble is rare.
#[derive(Debug, Default)]
struct Trouble {
    /// The epoch of the connection that is there now; `None` where there is none.
    connection: Option<u64>,
    /// The subjects that the server refused to publish to lately, and how many there were before.
    refused: VecDeque<Arc<str>>,
    forgotten: usize,
    /// What the answers to all requests come by, where the server refuses to let us listen there.
    inbox: Option<Arc<str>>,
}

impl Monitor {
    pub(super) fn new(inbox_prefix: &str) -> Self {
        let status = ConnectionStatus::new(ConnectionState::Disconnected, 0);
        Self(Arc::new(Shared {
            status: watch::Sender::new(status),
            trouble: watch::Sender::default(),
            inbox_prefix: format!("{inbox_prefix}."),
            client: Mutex::new(None),
        }))
    }

    pub(super) fn status(&self) -> watch::Receiver<ConnectionStatus> {
        self.0.status.subscribe()
    }

    /// What may go wrong from now on with a request over the connection of an epoch.
    pub(super) fn watch_for_trouble(&self, epoch: u64) -> Ahead {
        let trouble = self.0.trouble.subscribe();
        let seen = {
            let now = trouble.borrow();
            now.forgotten + now.refused.len()
        };
        Ahead {
            trouble,
            epoch,
            seen,
        }
    }

    /// Marks the connection as closed for good.
    pub(super) fn close(&self) {
        self.0.turn(ConnectionState::Closed, None);
    }

    /// Takes in an event.
    pub(super) fn on_event(&self, event: &Event) {
        match event {
            Event::Connected => {
                // A new connection may have new permissions.
                self.0
                    .trouble
                    .send_if_modified(|now| now.inbox.take().is_some());
                // The event comes before the change of state that `look` would see. The very first
                // comes before there is a client, which is looked at when there is one.
                if let Some(connects) = self.0.connects() {
                    self.0.turn(ConnectionState::Connected, Some(connects));
                }
            }
            Event::Disconnected => self.0.turn(ConnectionState::Disconnected, None),
            Event::Closed => self.0.turn(ConnectionState::Closed, None),
            Event::Draining => tracing::debug!("draining"),
            Event::LameDuckMode => tracing::info!("the server is about to shut down"),
            Event::SlowConsumer(sid) => {
                tracing::warn!(sid, "messages were dropped: a subscription is read too slowly");
            }
            Event::ServerError(ServerError::Other(text)) => {
                tracing::warn!(error = %text, "the server reports an error");
                self.0.refused(text);
            }
            other => tracing::warn!(event = %other, "connection event"),
        }
    }

    /// Looks at the connection now, and from time to time until nobody needs it any more.
    pub(super) fn follow(
        &self,
        client: &async_nats::Client,
        every: Duration,
    ) -> Result<(), ServiceError> {
        *lock(&self.0.client) = Some(client.clone());
        self.0.look();
        platform::spawn(look_on(Arc::downgrade(&self.0), every))
    }
}

async fn look_on(shared: Weak<Shared>, every: Duration) {
    loop {
        platform::sleep(every).await;
        let Some(shared) = shared.upgrade() else {
            return;
        };
        if shared.status.borrow().state == ConnectionState::Closed {
            return;
        }
        shared.look();
    }
}

impl Shared {
    /// What async-nats says of the connection itself.
    fn look(&self) {
        let Some(client) = lock(&self.client).clone() else {
            return; // the first connect is still under way
        };
        // The state first: an old count with a new state would end requests that are fine.
        let state = match client.connection_state() {
            State::Connected => ConnectionState::Connected,
            State::Pending | State::Disconnected => ConnectionState::Disconnected,
        };
        self.turn(state, self.connects());
    }

    /// How often the connection was made; `None` while the first connect is under way.
    fn connects(&self) -> Option<u64> {
        let client = lock(&self.client).clone()?;
        Some(client.statistics().connects.load(Ordering::Relaxed))
    }

    fn turn(&self, state: ConnectionState, epoch: Option<u64>) {
        self.status.send_if_modified(|status| {
            let now = ConnectionStatus::new(state, epoch.unwrap_or(status.epoch));
            if status.state == ConnectionState::Closed || *status == now {
                return false;
            }
            tracing::info!(state = ?now.state, epoch = now.epoch, "connection");
            *status = now;
            true
        });
        let status = self.status.borrow().clone();
        let connected = status.state == ConnectionState::Connected;
        let connection = connected.then_some(status.epoch);
        self.trouble.send_if_modified(|now| {
            std::mem::replace(&mut now.connection, connection) != connection
        });
    }

    /// A permission that is missing, told in words.
    fn refused(&self, text: &str) {
        let quoted = |intro: &str| {
            let (_, quoted) = text.split_once(intro)?;
            quoted.split_once('"').map(|(subject, _)| subject)
        };
        if let Some(subject) = quoted("for Publish to \"") {
            self.trouble.send_modify(|now| {
                if now.refused.len() == REFUSALS {
                    now.refused.pop_front();
                    now.forgotten += 1;
                }
                now.refused.push_back(subject.into());
            });
        } else if let Some(subject) = quoted("for Subscription to \"")
            && subject.starts_with(&self.inbox_prefix)
            && subject.ends_with(".*")
        {
            self.trouble
                .send_modify(|now| now.inbox = Some(subject.into()));
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // Nothing that is done under these locks can panic half-way.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What may still go wrong with a request.
#[derive(Debug)]
pub(super) struct Ahead {
    trouble: watch::Receiver<Trouble>,
    epoch: u64,
    /// How many refusals there were before.
    seen: usize,
}

impl Ahead {
    /// Waits until a request to this subject cannot be answered any more.
    pub(super) async fn of(&mut self, subject: &str) -> TransportError {
        let (epoch, seen) = (self.epoch, self.seen);
        let mut found = None;
        let trouble = self.trouble.wait_for(|now| {
            found = now.concerns(subject, epoch, seen);
            found.is_some()
        });
        // Without a sender the connection is gone too.
        let gone = trouble.await.is_err();
        match found {
            Some(error) if !gone => error,
            _ => TransportError::Lost,
        }
    }
}

impl Trouble {
    fn concerns(&self, subject: &str, epoch: u64, seen: usize) -> Option<TransportError> {
        if let Some(inbox) = &self.inbox {
            return Some(TransportError::PermissionDenied(inbox.to_string()));
        }
        let new = self.refused.iter().skip(seen.saturating_sub(self.forgotten));
        if new.into_iter().any(|refused| **refused == *subject) {
            return Some(TransportError::PermissionDenied(subject.to_owned()));
        }
        // Only the loss of the very connection that took the request ends it.
        (self.connection != Some(epoch)).then_some(TransportError::Lost)
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    fn refused(text: &str) -> Option<String> {
        let monitor = Monitor::new("_INBOX");
        monitor.0.turn(ConnectionState::Connected, Some(1));
        let mut ahead = monitor.watch_for_trouble(1);
        let error = ServerError::Other(text.to_owned());
        monitor.on_event(&Event::ServerError(error));
        let refused = ahead.of("$KV.b.k").now_or_never();
        // Who asks later finds a refused inbox too, but not an earlier refusal to publish.
        let later = monitor.watch_for_trouble(1).of("$KV.b.k").now_or_never();
        assert_eq!(later.is_some(), text.contains(".*"));
        match refused? {
            TransportError::PermissionDenied(subject) => Some(subject),
            other => panic!("not a refusal: {other}"),
        }
    }

    #[test]
    fn a_refusal_names_its_subject() {
        let publish = "Permissions Violation for Publish to \"$KV.b.k\"";
        assert_eq!(refused(publish).as_deref(), Some("$KV.b.k"));
        let inbox = "Permissions Violation for Subscription to \"_INBOX.a.b.*\"";
        assert_eq!(refused(inbox).as_deref(), Some("_INBOX.a.b.*"));
        for other in [
            "Permissions Violation for Publish to \"$KV.b.other\"",
            "Permissions Violation for Subscription to \"_INBOX.a.b\"",
            "something else",
        ] {
            assert_eq!(refused(other), None, "{other}");
        }
    }

    #[test]
    fn many_refusals_of_others_do_not_hide_ones_own() {
        let monitor = Monitor::new("_INBOX");
        monitor.0.turn(ConnectionState::Connected, Some(1));
        let refuse = |subject: &str| {
            let text = format!("Permissions Violation for Publish to \"{subject}\"");
            monitor.on_event(&Event::ServerError(ServerError::Other(text)));
        };
        for i in 0..2 * REFUSALS {
            refuse(&format!("other.{i}"));
        }
        let mut ahead = monitor.watch_for_trouble(1);
        assert!(ahead.of("mine").now_or_never().is_none());
        refuse("mine");
        let found = ahead.of("mine").now_or_never();
        assert!(matches!(found, Some(TransportError::PermissionDenied(_))));
    }

    #[test]
    fn the_loss_of_another_connection_ends_nothing() {
        let monitor = Monitor::new("_INBOX");
        monitor.0.turn(ConnectionState::Connected, Some(2));
        let mut ahead = monitor.watch_for_trouble(2);
        assert!(ahead.of("a").now_or_never().is_none());
        monitor.0.turn(ConnectionState::Disconnected, None);
        let lost = ahead.of("a").now_or_never();
        assert!(matches!(lost, Some(TransportError::Lost)));
        monitor.0.turn(ConnectionState::Connected, Some(3));
        let before = monitor.watch_for_trouble(2).of("a").now_or_never();
        assert!(matches!(before, Some(TransportError::Lost)));
    }
}
