//! The driver of a watch: yields entries, reports when it is current, and recreates the consumer when
//! necessary. What it reads, and when, is in [`poll`].

mod poll;

use std::{sync::Arc, time::SystemTime};

use bytestring::ByteString;
use futures::future::{BoxFuture, Either, select};

use super::{
    connection::Connection,
    consumer::{Delivery, Why},
    entry::{Stamp, from_nanos},
    loading::{Counted, Loading},
    proof::Proof,
    start::{HEARTBEAT, Plan, Progress, Restarted, Started},
    sweep::sweep,
    tracker::{Shown, Tracker},
};
use crate::{
    backend::WatchEvent,
    error::{ServiceError, WithCauses},
    headers::Headers,
    key::Key,
    kv::{Deliver, Entry, Operation},
    message::{Message, TransportError},
    platform,
};

/// A running watch.
///
/// It is polled by hand instead of being an async block: this runs once per message, and must not allocate
/// a future or wake a task for each.
pub(super) struct Watch {
    plan: Arc<Plan>,
    state: State,
    progress: Progress,
    connection: Connection,
    /// Skips everything before this revision.
    first: u64,
    loading: Loading,
    /// Whether the server must still be asked whether the initial data is complete.
    unsure: bool,
    proof: Proof,
    /// Whether the server has sent all initial data.
    caught_up: bool,
    /// Whether the reader has been told so.
    current: bool,
    /// Whether the reader was told of an interruption that is not over.
    interrupted: bool,
    /// Whether an earlier consumer has received any message.
    heard: bool,
    keys: Keys,
    /// Keys that are gone without a trace and not reported yet, and the stamp to report them with.
    vanished: std::vec::IntoIter<Box<str>>,
    vanished_at: Stamp,
}

/// What a watch remembers about keys.
pub(super) enum Keys {
    /// Keys that have a value.
    Live(Tracker),
    /// Keys that a listing has shown.
    Shown(Shown),
    /// Nothing: keys may be repeated, or do not matter.
    Nothing,
}

enum State {
    Running(Box<Running>),
    Restarting(BoxFuture<'static, Result<Restarted, ServiceError>>),
    /// Asks the stream's leader for missing revisions, while the consumer waits.
    Proving(Box<Running>, BoxFuture<'static, Option<u64>>),
    /// After an interruption: looks for keys that are gone, while the consumer waits.
    Sweeping(
        Box<Running>,
        BoxFuture<'static, (Tracker, Result<(), ServiceError>)>,
    ),
    Ended,
}

/// A consumer, and its pending operations.
struct Running {
    started: Started,
    /// Replies to a flow control message.
    answer: Option<BoxFuture<'static, ()>>,
    /// Replies again if the first reply did not arrive, and finds out whether it is refused.
    again: Option<BoxFuture<'static, Result<Message, TransportError>>>,
    /// Fires when the consumer may have been silent for too long.
    alarm: BoxFuture<'static, ()>,
    /// Whether anything arrived at all, which shows that this user may subscribe to the inbox.
    heard: bool,
}

type Event = Result<WatchEvent, ServiceError>;

impl Watch {
    /// Creates the consumer, and a watch on it.
    pub(super) async fn begin(plan: Plan) -> Result<Self, ServiceError> {
        let keys = match plan.request.once {
            false => Keys::Live(Tracker::default()),
            true if plan.is_listing() => Keys::Shown(Shown::default()),
            true => Keys::Nothing,
        };
        Self::begin_with(plan, keys).await
    }

    pub(super) async fn begin_with(plan: Plan, mut keys: Keys) -> Result<Self, ServiceError> {
        let connection = Connection::new(plan.bucket.api.transport.status());
        let mut progress = Progress::new(&plan.bucket);
        let started = plan.begin(&mut progress).await?;
        if let Keys::Shown(shown) = &mut keys {
            shown.expect(started.pending);
        }
        let unsure =
            plan.request.complete && plan.request.deliver != Deliver::Updates && !started.is_quiet;
        let mut watch = Self {
            first: match plan.request.deliver {
                Deliver::From(first) => first,
                _ => 0,
            },
            plan: Arc::new(plan),
            state: State::Ended,
            progress,
            connection,
            loading: Loading::default(),
            unsure,
            proof: Proof::default(),
            caught_up: false,
            current: false,
            interrupted: false,
            heard: false,
            keys,
            vanished: Vec::new().into_iter(),
            vanished_at: Stamp {
                revision: 0,
                created: SystemTime::UNIX_EPOCH,
                delta: 0,
            },
        };
        let known = started.before;
        watch.run(started, known);
        Ok(watch)
    }

    /// Starts to read from a consumer of a stream whose last revision is known.
    fn run(&mut self, started: Started, known: u64) {
        self.caught_up = false;
        self.proof = Proof::new(&self.plan, known);
        self.loading = Loading::new(started.pending, started.before, self.unsure);
        self.check(false);
        self.state = State::Running(Box::new(Running {
            started,
            answer: None,
            again: None,
            alarm: platform::sleep(HEARTBEAT * 2),
            heard: false,
        }));
    }

    /// Ends the watch with an error.
    fn end(&mut self, error: ServiceError) -> Event {
        self.state = State::Ended;
        Err(error)
    }

    /// Drops the consumer and creates another. The reader is told once.
    fn reset(&mut self, why: Why) -> Option<Event> {
        let old = match std::mem::replace(&mut self.state, State::Ended) {
            State::Running(running) => {
                self.heard |= running.heard;
                Some(running.started.on_server)
            }
            _ => None,
        };
        let restart = Arc::clone(&self.plan).restart(self.progress, why, old);
        self.state = State::Restarting(match self.plan.request.once {
            false => Box::pin(restart),
            // A listing must not wait forever.
            true => {
                let patience = self.plan.bucket.api.timeout * 2;
                Box::pin(async move {
                    match select(Box::pin(restart), platform::sleep(patience)).await {
                        Either::Left((restarted, _)) => restarted,
                        Either::Right(_) => Err(ServiceError::Timeout {
                            operation: "the rest of a listing".to_owned(),
                            after: patience,
                        }),
                    }
                })
            }
        });
        self.current = false;
        if std::mem::replace(&mut self.interrupted, true) {
            return None;
        }
        Some(Ok(WatchEvent::Interrupted))
    }

    fn resume(&mut self, restarted: Restarted) {
        self.progress = restarted.progress;
        if self.progress.anew {
            self.first = 0; // revisions of the old bucket mean nothing in the new one
        }
        self.vanished_at = restarted.last;
        self.run(restarted.started, restarted.last.revision);
    }

    /// Called when the server has sent all initial data: tells the reader, but after an interruption only
    /// once it is known which keys are gone.
    fn on_caught_up(&mut self) -> Option<Event> {
        let last = self
            .progress
            .last
            .unwrap_or(0)
            .max(self.first.saturating_sub(1));
        if self.proof.is_due(last)
            && let State::Running(running) = std::mem::replace(&mut self.state, State::Ended)
        {
            self.state = State::Proving(running, self.proof.ask(&self.plan, last));
            return None;
        }
        if self.interrupted
            && let Keys::Live(tracker) = &mut self.keys
            && tracker.begin_sweep()
            && let State::Running(running) = std::mem::replace(&mut self.state, State::Ended)
        {
            let sweep = sweep(Arc::clone(&self.plan), std::mem::take(tracker));
            self.state = State::Sweeping(running, Box::pin(sweep));
            return None;
        }
        self.current = true;
        self.unsure = false;
        self.interrupted = false;
        self.loading = Loading::default();
        if self.plan.request.once {
            self.state = State::Ended;
        }
        Some(Ok(WatchEvent::Current))
    }

    fn on_answered(&mut self, missing: Option<u64>) -> Option<Event> {
        if let State::Proving(running, _) = std::mem::replace(&mut self.state, State::Ended) {
            self.state = State::Running(running);
        }
        if self.proof.answered(missing) {
            return self.reset(Why::OldCopy);
        }
        // The missing revisions may have arrived by now.
        self.caught_up = missing.is_none();
        self.loading = Loading::until_drained();
        None
    }

    fn on_swept(&mut self, tracker: Tracker, swept: Result<(), ServiceError>) -> Option<Event> {
        let mut tracker = tracker;
        if swept.is_ok() {
            self.vanished = tracker.end_sweep().into_iter();
            let last = self.progress.last.unwrap_or(0);
            self.vanished_at.revision = self.vanished_at.revision.max(last);
        }
        self.keys = Keys::Live(tracker);
        if let State::Sweeping(running, _) = std::mem::replace(&mut self.state, State::Ended) {
            self.state = State::Running(running);
        }
        match swept {
            // The consumer may have sent more in the meantime, but the interruption is over.
            Ok(()) => {
                self.interrupted = false;
                None
            }
            Err(error) if is_final(&error) => Some(self.end(error)),
            Err(error) => {
                tracing::warn!(bucket = %self.plan.bucket.name, error = %WithCauses(&error), "a watch cannot check for removed keys");
                self.reset(Why::Connection)
            }
        }
    }

    /// Creates an entry for a key that is gone without a trace.
    fn vanish(&self, key: &str) -> Entry {
        let Stamp {
            revision, created, ..
        } = self.vanished_at;
        Entry {
            bucket: self.plan.bucket.name.clone(),
            key: Key::from_subject(ByteString::from(key)),
            value: None,
            revision,
            created,
            operation: Operation::Vanish,
            delta: 0,
            headers: Headers::new(),
        }
    }

    /// Handles a delivered message. Returns `None` if it is not for the reader.
    fn deliver(&mut self, message: Message, delivery: Delivery) -> Option<Event> {
        self.progress.last = Some(delivery.revision);
        self.loading.came(delivery);
        let event = self.take(message, delivery);
        self.check(false);
        event
    }

    /// Checks whether the server has sent all initial data.
    fn check(&mut self, drained: bool) {
        if self.caught_up || !self.loading.is_at_zero() {
            return;
        }
        let latest = self.plan.request.deliver == Deliver::Latest;
        let counted = match &self.keys {
            Keys::Shown(shown) => Counted::Shown(shown),
            Keys::Live(tracker) if latest && !self.interrupted => Counted::Noted(tracker),
            Keys::Live(_) | Keys::Nothing => Counted::Not,
        };
        let bucket = &self.plan.bucket;
        self.caught_up = self.loading.is_complete(counted, drained, || {
            let bucket = Arc::clone(bucket);
            Box::pin(async move {
                // If no server replies, the earlier number has to do.
                bucket.state().await.map_or(0, |now| now.last)
            })
        });
    }

    fn take(&mut self, message: Message, delivery: Delivery) -> Option<Event> {
        let Delivery {
            revision,
            stored,
            pending,
        } = delivery;
        let key = self.plan.bucket.key_of(message.subject)?;
        if revision < self.first || !self.plan.filters.wants(&key) {
            self.loading.ignored();
            return None;
        }
        self.loading.noted(&key);
        let stamp = Stamp {
            revision,
            created: from_nanos(stored),
            delta: pending,
        };
        let entry = self.plan.bucket.entry(
            key,
            stamp,
            message.headers,
            message.payload,
            self.plan.request.metadata_only,
        );
        match &mut self.keys {
            Keys::Live(tracker) => {
                let latest = self.plan.request.deliver == Deliver::Latest;
                let first_load = latest && !self.current && !self.interrupted;
                tracker.note(&entry.key, !entry.is_removal(), first_load);
            }
            Keys::Shown(shown) => {
                if !shown.is_new(&entry.key) {
                    return None;
                }
            }
            Keys::Nothing => {}
        }
        Some(Ok(WatchEvent::Entry(entry)))
    }
}

/// Whether waiting is pointless.
fn is_final(error: &ServiceError) -> bool {
    matches!(
        error,
        ServiceError::PermissionDenied { .. }
            | ServiceError::Closed
            | ServiceError::BucketNotFound { .. }
    )
}
