//! What async-nats tells of its connection, as the backend needs it: the state with an epoch, and
//! which subjects the server refused.

use std::{
    sync::{Arc, Mutex, PoisonError, Weak, atomic::Ordering},
    time::Duration,
};

use async_nats::{Event, ServerError, connection::State};
use tokio::sync::{broadcast, watch};

use crate::{
    client::{ConnectionState, ConnectionStatus},
    kv::ServiceError,
    platform,
};

/// How often an adopted connection is looked at, whose events somebody else gets.
pub(super) const ADOPTED: Duration = Duration::from_millis(250);

/// How often a connection of our own is looked at: async-nats drops events when many come at once.
pub(super) const OWN: Duration = Duration::from_secs(1);

/// Follows one connection.
#[derive(Clone, Debug)]
pub(super) struct Monitor(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    status: watch::Sender<ConnectionStatus>,
    refusals: broadcast::Sender<Refusal>,
    /// What the answers to all requests come by, where the server refuses to let us listen there.
    inbox: Mutex<Option<Arc<str>>>,
    inbox_prefix: String,
    /// To count connects; set once there is a client.
    client: Mutex<Option<async_nats::Client>>,
}

#[derive(Clone, Debug)]
enum Refusal {
    Publish(Arc<str>),
    /// The inbox of all requests.
    Inbox(Arc<str>),
}

impl Monitor {
    pub(super) fn new(inbox_prefix: &str) -> Self {
        let status = ConnectionStatus::new(ConnectionState::Disconnected, 0);
        Self(Arc::new(Shared {
            status: watch::Sender::new(status),
            refusals: broadcast::Sender::new(32),
            inbox: Mutex::new(None),
            inbox_prefix: format!("{inbox_prefix}."),
            client: Mutex::new(None),
        }))
    }

    pub(super) fn status(&self) -> watch::Receiver<ConnectionStatus> {
        self.0.status.subscribe()
    }

    pub(super) fn refusals(&self) -> Refusals {
        let to_come = self.0.refusals.subscribe();
        let inbox = lock(&self.0.inbox).clone();
        Refusals { inbox, to_come }
    }

    /// Marks the connection as closed for good.
    pub(super) fn close(&self) {
        self.0
            .status
            .send_modify(|status| status.state = ConnectionState::Closed);
    }

    /// Takes in an event.
    pub(super) fn on_event(&self, event: &Event) {
        match event {
            Event::Connected => {
                *lock(&self.0.inbox) = None; // a new connection may have new permissions
                self.0.look();
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
            return; // the first connect is still under way, and is looked at after it
        };
        let connects = client.statistics().connects.load(Ordering::Relaxed);
        let state = match client.connection_state() {
            State::Connected => ConnectionState::Connected,
            State::Pending | State::Disconnected => ConnectionState::Disconnected,
        };
        self.turn(state, Some(connects));
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
    }

    /// A permission that is missing, told in words.
    fn refused(&self, text: &str) {
        let quoted = |intro: &str| {
            let (_, quoted) = text.split_once(intro)?;
            quoted.split_once('"').map(|(subject, _)| subject)
        };
        let refusal = if let Some(subject) = quoted("for Publish to \"") {
            Refusal::Publish(subject.into())
        } else if let Some(subject) = quoted("for Subscription to \"")
            && subject.starts_with(&self.inbox_prefix)
            && subject.ends_with(".*")
        {
            let subject: Arc<str> = subject.into();
            *lock(&self.inbox) = Some(subject.clone());
            Refusal::Inbox(subject)
        } else {
            return;
        };
        _ = self.refusals.send(refusal); // nobody waiting is fine
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // Nothing that is done under these locks can panic half-way.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What the server refuses from now on.
#[derive(Debug)]
pub(super) struct Refusals {
    inbox: Option<Arc<str>>,
    to_come: broadcast::Receiver<Refusal>,
}

impl Refusals {
    /// Waits until a request to this subject is refused, or its answer.
    pub(super) async fn of(&mut self, subject: &str) -> String {
        if let Some(inbox) = &self.inbox {
            return inbox.to_string();
        }
        loop {
            match self.to_come.recv().await {
                Ok(Refusal::Publish(refused)) if *refused == *subject => return subject.to_owned(),
                Ok(Refusal::Inbox(inbox)) => return inbox.to_string(),
                Ok(_) | Err(broadcast::error::RecvError::Lagged(_)) => {}
                Err(broadcast::error::RecvError::Closed) => std::future::pending().await,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    fn refused(text: &str) -> Option<String> {
        let monitor = Monitor::new("_INBOX");
        let mut refusals = monitor.refusals();
        let error = ServerError::Other(text.to_owned());
        monitor.on_event(&Event::ServerError(error));
        let refused = refusals.of("$KV.b.k").now_or_never();
        // Who asks later finds a refused inbox too, but not a refused publish of another's.
        let later = monitor.refusals().of("$KV.b.k").now_or_never();
        assert_eq!(later.is_some(), text.contains(".*"));
        refused
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
}
