//! Tracks what the backend needs to know about async-nats' connection: the state with an epoch, and the
//! subjects that the server rejected.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak, atomic::Ordering},
    time::Duration,
};

use async_nats::{Event, ServerError, connection::State};
use tokio::sync::watch;

use crate::{
    error::ServiceError,
    message::TransportError,
    platform::{self, Instant},
    status::{ConnectionState, ConnectionStatus},
};

/// How often to poll an adopted connection, whose events go elsewhere.
#[cfg(feature = "async-nats-interop")]
pub(super) const ADOPTED: Duration = Duration::from_millis(250);

/// How often to poll our own connection: async-nats drops events when many come at once.
pub(super) const OWN: Duration = Duration::from_secs(1);

/// How long an error from the server counts as the reason for a disconnect.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// How many permission errors to remember for the requests that they concern.
const REFUSALS: usize = 32;

/// Monitors one connection.
#[derive(Clone, Debug)]
pub(super) struct Monitor(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    status: watch::Sender<ConnectionStatus>,
    trouble: watch::Sender<Trouble>,
    inbox_prefix: String,
    /// The polled state; locked during state transitions, whether from polling or from events.
    source: Mutex<Source>,
}

#[derive(Debug, Default)]
struct Source {
    /// Set once there is a client.
    client: Option<async_nats::Client>,
    /// Whether the last poll saw it disconnected.
    doubtful: bool,
    /// The latest error from the server, and when it came.
    last_words: Option<(Instant, Arc<str>)>,
}

/// Everything that can end a request early, behind one receiver: requests are frequent, trouble is rare.
#[derive(Debug, Default)]
struct Trouble {
    /// The epoch of the current connection; `None` if there is none.
    connection: Option<u64>,
    /// The subjects that the server recently denied publishing to, and how many came before those.
    refused: VecDeque<Arc<str>>,
    forgotten: usize,
    /// The subject of replies to requests, if the server denies subscribing to it.
    inbox: Option<Arc<str>>,
}

impl Monitor {
    pub(super) fn new(inbox_prefix: &str) -> Self {
        let status = ConnectionStatus::new(ConnectionState::Disconnected, 0);
        Self(Arc::new(Shared {
            status: watch::Sender::new(status),
            trouble: watch::Sender::default(),
            inbox_prefix: format!("{inbox_prefix}."),
            source: Mutex::default(),
        }))
    }

    pub(super) fn status(&self) -> watch::Receiver<ConnectionStatus> {
        self.0.status.subscribe()
    }

    /// Trouble from now on with a request over the current connection; `None` if there is none.
    pub(super) fn ahead(&self) -> Option<Ahead> {
        let trouble = self.0.trouble.subscribe();
        let (epoch, seen) = {
            let now = trouble.borrow();
            (now.connection?, now.forgotten + now.refused.len())
        };
        Some(Ahead {
            trouble,
            epoch,
            seen,
        })
    }

    /// Marks the connection as closed for good.
    pub(super) fn close(&self) {
        self.0.turn(&mut self.0.source(), ConnectionState::Closed);
    }

    /// The event callback. It holds a weak reference: async-nats keeps it as long as there is a client, and the
    /// monitor keeps a client.
    pub(super) fn on_events(&self) -> impl Fn(&Event) + Send + Sync + 'static {
        let shared = Arc::downgrade(&self.0);
        move |event| {
            if let Some(shared) = shared.upgrade() {
                Self(shared).on_event(event);
            }
        }
    }

    fn on_event(&self, event: &Event) {
        match event {
            Event::Connected => {
                // A new connection may have new permissions.
                self.0
                    .trouble
                    .send_if_modified(|now| now.inbox.take().is_some());
                // The first event comes before there is a client, which is polled once there is.
                let mut source = self.0.source();
                if source.client.is_some() {
                    self.0.turn(&mut source, ConnectionState::Connected);
                }
            }
            Event::Disconnected => self
                .0
                .turn(&mut self.0.source(), ConnectionState::Disconnected),
            Event::Closed => self.0.turn(&mut self.0.source(), ConnectionState::Closed),
            Event::Draining => tracing::debug!("draining"),
            Event::LameDuckMode => tracing::info!("the server is about to shut down"),
            Event::SlowConsumer(sid) => {
                tracing::warn!(
                    sid,
                    "messages were dropped: the subscription is read too slowly"
                );
            }
            Event::ServerError(error) => {
                tracing::warn!(%error, "error from the server");
                self.0.source().last_words = Some((Instant::now(), error.to_string().into()));
                self.0.went_wrong(error);
                if let ServerError::Other(text) = error {
                    self.0.refused(text);
                }
            }
            // A failed connect: there are many while a server is down.
            Event::ClientError(error) => {
                tracing::debug!(%error, "connection event");
                self.0.went_wrong(error);
            }
        }
    }

    /// Polls the connection now and periodically, until the monitor is dropped or closed.
    pub(super) fn follow(
        &self,
        client: &async_nats::Client,
        every: Duration,
    ) -> Result<(), ServiceError> {
        self.0.source().client = Some(client.clone());
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
    fn source(&self) -> MutexGuard<'_, Source> {
        // No panic leaves it in an inconsistent state.
        self.source.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Polls async-nats' state of the connection.
    fn look(&self) {
        let mut source = self.source();
        let Some(client) = &source.client else {
            return; // the first connect is still under way
        };
        match client.connection_state() {
            State::Connected => self.turn(&mut source, ConnectionState::Connected),
            // The event for a new connection comes a moment before this state changes.
            State::Pending | State::Disconnected if !source.doubtful => source.doubtful = true,
            State::Pending | State::Disconnected => {
                self.turn(&mut source, ConnectionState::Disconnected);
            }
        }
    }

    /// Changes the state; the caller holds the lock, so that transitions do not interleave.
    fn turn(&self, source: &mut Source, state: ConnectionState) {
        source.doubtful = false;
        // async-nats counts a connect before it reports it.
        let connects = source.client.as_ref().map(|client| {
            let statistics = client.statistics();
            statistics.connects.load(Ordering::Relaxed)
        });
        let last_words = source.last_words.take();
        let reason = last_words
            .filter(|(said, _)| state != ConnectionState::Connected && said.elapsed() < LAST_WORDS)
            .map(|(_, text)| text);
        self.set(
            state,
            connects.filter(|_| state == ConnectionState::Connected),
            reason,
        );
    }

    /// Records why there is still no connection.
    fn went_wrong(&self, error: &impl ToString) {
        let error: Arc<str> = error.to_string().into();
        self.status.send_if_modified(|now| {
            let is_news = now.state == ConnectionState::Disconnected
                && now.reason.as_deref() != Some(&*error);
            if is_news {
                now.reason = Some(error);
            }
            is_news
        });
    }

    fn set(&self, state: ConnectionState, epoch: Option<u64>, reason: Option<Arc<str>>) {
        let before = self.status.borrow().clone();
        let mut now = ConnectionStatus::new(state, epoch.unwrap_or(before.epoch));
        now.reason = reason;
        let is_same = before.state == now.state && before.epoch == now.epoch;
        if before.state == ConnectionState::Closed || is_same {
            return;
        }
        tracing::info!(state = ?now.state, epoch = now.epoch, "connection");
        let connected = state == ConnectionState::Connected;
        // First, so that nobody sees a new connection in the status but its loss here.
        self.trouble.send_modify(|trouble| {
            trouble.connection = connected.then_some(now.epoch);
        });
        self.status.send_replace(now);
    }

    /// Parses the server's text about a missing permission.
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

/// Watches for trouble with one request.
#[derive(Debug)]
pub(super) struct Ahead {
    trouble: watch::Receiver<Trouble>,
    epoch: u64,
    /// How many permission errors there were before.
    seen: usize,
}

impl Ahead {
    /// Whether replies can be received. Without that, a request would be carried out, and nobody would know.
    pub(super) fn can_hear(&self) -> Result<(), TransportError> {
        match &self.trouble.borrow().inbox {
            Some(inbox) => Err(TransportError::PermissionDenied(inbox.to_string())),
            None => Ok(()),
        }
    }

    /// Waits until a request to this subject can no longer be answered.
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
            return Some(TransportError::Unheard(inbox.to_string()));
        }
        let new = self
            .refused
            .iter()
            .skip(seen.saturating_sub(self.forgotten));
        if new.into_iter().any(|refused| **refused == *subject) {
            return Some(TransportError::PermissionDenied(subject.to_owned()));
        }
        // Only the loss of the connection that the request was sent over ends it.
        (self.connection != Some(epoch)).then_some(TransportError::Lost)
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    fn refused(text: &str) -> Option<String> {
        let monitor = Monitor::new("_INBOX");
        monitor.0.set(ConnectionState::Connected, Some(1), None);
        let mut ahead = monitor.ahead().unwrap();
        let error = ServerError::Other(text.to_owned());
        monitor.on_event(&Event::ServerError(error));
        let refused = ahead.of("$KV.b.k").now_or_never();
        // Later requests are affected by a rejected inbox, but not by an earlier permission error on publish.
        let mut later = monitor.ahead().unwrap();
        let (can_hear, later) = (later.can_hear(), later.of("$KV.b.k").now_or_never());
        assert_eq!(later.is_some(), text.contains(".*"));
        assert_eq!(can_hear.is_err(), text.contains(".*"));
        match refused? {
            TransportError::Unheard(subject) => {
                assert!(later.is_some());
                Some(subject)
            }
            TransportError::PermissionDenied(subject) => {
                assert!(later.is_none());
                Some(subject)
            }
            other => panic!("not a refusal: {other}"),
        }
    }

    #[test]
    fn a_permission_error_names_its_subject() {
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
    fn permission_errors_of_other_subjects_do_not_hide_ours() {
        let monitor = Monitor::new("_INBOX");
        monitor.0.set(ConnectionState::Connected, Some(1), None);
        let refuse = |subject: &str| {
            let text = format!("Permissions Violation for Publish to \"{subject}\"");
            monitor.on_event(&Event::ServerError(ServerError::Other(text)));
        };
        for i in 0..2 * REFUSALS {
            refuse(&format!("other.{i}"));
        }
        let mut ahead = monitor.ahead().unwrap();
        assert!(ahead.of("mine").now_or_never().is_none());
        refuse("mine");
        let found = ahead.of("mine").now_or_never();
        assert!(matches!(found, Some(TransportError::PermissionDenied(_))));
    }

    /// Checks, from within the notification, that a new connection is usable.
    struct Notified(Monitor, Mutex<Option<bool>>);

    impl std::task::Wake for Notified {
        fn wake(self: Arc<Self>) {
            let connected = self.0.status().borrow().state == ConnectionState::Connected;
            *self.1.lock().unwrap() = Some(connected && self.0.ahead().is_some());
        }
    }

    #[test]
    fn a_new_connection_is_usable_when_it_is_reported() {
        let monitor = Monitor::new("_INBOX");
        let first = Arc::new(Notified(monitor.clone(), Mutex::default()));
        let waker = first.clone().into();
        let mut status = monitor.status();
        let mut changed = std::pin::pin!(status.changed());
        let mut context = std::task::Context::from_waker(&waker);
        assert!(changed.poll_unpin(&mut context).is_pending());
        monitor.0.set(ConnectionState::Connected, Some(1), None);
        assert_eq!(*first.1.lock().unwrap(), Some(true));
    }

    #[test]
    fn the_loss_of_another_connection_ends_nothing() {
        let monitor = Monitor::new("_INBOX");
        monitor.0.set(ConnectionState::Connected, Some(2), None);
        let mut ahead = monitor.ahead().unwrap();
        assert!(ahead.of("a").now_or_never().is_none());
        monitor.0.set(ConnectionState::Disconnected, None, None);
        let lost = ahead.of("a").now_or_never();
        assert!(matches!(lost, Some(TransportError::Lost)));
        assert!(monitor.ahead().is_none());
        monitor.0.set(ConnectionState::Connected, Some(3), None);
        let before = ahead.of("a").now_or_never();
        assert!(matches!(before, Some(TransportError::Lost)));
    }
}
