//! The requests and the watch of one participant: carries out the state machine's actions, and reports the
//! results to it.

use std::{
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use futures::{FutureExt, StreamExt, future::BoxFuture, stream::FuturesUnordered};

use super::{
    MARKER_TTL, PROBE_TTL,
    entry::{EntryId, Record},
    machine::{Action, Event, Machine, Outcome},
    participant::Participant,
};
use crate::{
    backend::{Backend, RawWatch, WatchEvent, WatchRequest},
    error::{ServiceError, WithCauses},
    key::{Key, KeyFilter, RESERVED_PREFIX},
    kv::{Deliver, Entry, Expect, KvReadError, KvWriteError, Operation, PutOptions, RemoveOptions},
    status::ConnectionWatch,
};

/// How many events to handle before yielding to other tasks.
const BUDGET: usize = 128;

/// The result of a request.
enum Done {
    Written(EntryId, u32, Result<u64, KvWriteError>),
    Probed(EntryId, Result<u64, KvWriteError>),
    Purged(EntryId, Result<u64, KvWriteError>),
    Read(Result<Option<Vec<Entry>>, KvReadError>),
}

pub(super) struct Io {
    backend: Arc<dyn Backend>,
    prefix: String,
    opening: Option<BoxFuture<'static, Result<RawWatch, KvReadError>>>,
    watch: Option<RawWatch>,
    connection: ConnectionWatch,
    requests: FuturesUnordered<BoxFuture<'static, Done>>,
}

/// The I/O of a participant, and the participant.
struct Turn<'a> {
    io: &'a mut Io,
    participant: &'a Arc<Participant>,
}

impl Io {
    pub(super) fn new(lock: &str, backend: Arc<dyn Backend>) -> Self {
        Self {
            prefix: format!("{RESERVED_PREFIX}{lock}."),
            connection: backend.connection(),
            backend,
            opening: None,
            watch: None,
            requests: FuturesUnordered::new(),
        }
    }

    /// Does everything that can be done now. The context is woken when there is more.
    pub(super) fn poll(&mut self, participant: &Arc<Participant>, context: &mut Context<'_>) {
        let mut turn = Turn {
            io: self,
            participant,
        };
        let mut budget = BUDGET;
        // First, everything that callers have asked of the machine, and everything that is due: in a hidden
        // browser tab timers are late, but messages and heartbeats, which wake this too, are not.
        if participant.is_late() {
            turn.drive(Machine::tick);
        } else if participant.is_touched() {
            turn.drive(|_, _| ());
        }
        while turn.step(context) {
            budget -= 1;
            if budget == 0 {
                participant.bell.ring();
                break;
            }
        }
    }
}

impl Turn<'_> {
    /// Passes an event to the machine, and carries out its actions.
    fn drive(&mut self, feed: impl FnOnce(&mut Machine, Duration)) {
        let actions = self.participant.drive(feed);
        self.perform(actions);
    }

    /// Handles one event. Returns whether there was one.
    fn step(&mut self, context: &mut Context<'_>) -> bool {
        if self.io.connection.take_change() {
            self.drive(|machine, _| machine.disconnected());
        }
        if let Some(opening) = &mut self.io.opening
            && let Poll::Ready(opened) = opening.poll_unpin(context)
        {
            self.io.opening = None;
            match opened {
                Ok(watch) => self.io.watch = Some(watch),
                Err(error) => self.watch_failed(read_error(error)),
            }
            return true;
        }
        if let Some(watch) = &mut self.io.watch
            && let Poll::Ready(event) = watch.as_mut().poll_next(context)
        {
            match event {
                Some(Ok(event)) => {
                    if matches!(event, WatchEvent::Current) {
                        self.participant.clear_error();
                    }
                    if let Some(event) = self.event(event) {
                        self.drive(|machine, now| machine.event(now, event));
                    }
                }
                Some(Err(error)) => self.watch_failed(error),
                None => self.watch_failed(ServiceError::Closed),
            }
            self.participant.tell_observers();
            return true;
        }
        if let Poll::Ready(Some(done)) = self.io.requests.poll_next_unpin(context) {
            self.done(done);
            return true;
        }
        false
    }

    fn watch_failed(&mut self, error: ServiceError) {
        tracing::warn!(lock = %self.participant.lock, error = %WithCauses(&error), "the watch of a lock ended");
        self.io.watch = None;
        let fatal = is_fatal(&error);
        self.participant.set_error(error);
        self.drive(|machine, now| machine.event(now, Event::Ended { fatal }));
        self.participant.tell_observers();
    }

    fn event(&self, event: WatchEvent<Entry>) -> Option<Event> {
        match event {
            WatchEvent::Current => Some(Event::Current),
            WatchEvent::Interrupted => Some(Event::Interrupted),
            WatchEvent::Entry(entry) => {
                let id = EntryId::new(entry.key.strip_prefix(self.io.prefix.as_str())?);
                let revision = entry.revision;
                Some(match entry.operation {
                    Operation::Put => Event::Put {
                        id,
                        revision,
                        stored: entry
                            .created
                            .duration_since(std::time::UNIX_EPOCH)
                            .map_or(0, |since| {
                                u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
                            }),
                        record: Record::decode(entry.value.as_deref().unwrap_or_default()),
                    },
                    Operation::Vanish => Event::Vanished { id },
                    Operation::Delete | Operation::Purge | Operation::Expire => {
                        Event::Gone { id, revision }
                    }
                })
            }
        }
    }

    fn done(&mut self, done: Done) {
        match done {
            Done::Written(id, number, result) => {
                let outcome = self.outcome(result);
                self.drive(|machine, now| machine.written(now, &id, number, outcome));
            }
            Done::Probed(id, result) => {
                let outcome = self.outcome(result);
                self.drive(|machine, now| machine.probed(now, &id, outcome));
            }
            Done::Purged(id, result) => {
                let outcome = self.outcome(result);
                self.drive(|machine, now| machine.purged(now, &id, outcome));
            }
            Done::Read(result) => {
                let messages = self.snapshot(result);
                self.drive(|machine, now| machine.read(now, messages.as_deref()));
            }
        }
    }

    fn outcome(&self, result: Result<u64, KvWriteError>) -> Outcome {
        let error = match result {
            Ok(revision) => return Outcome::Stored(revision),
            Err(error) => error,
        };
        tracing::debug!(lock = %self.participant.lock, error = %WithCauses(&error), "a write of a lock entry failed");
        match error {
            KvWriteError::Conflict(_) => Outcome::Conflict,
            KvWriteError::OutcomeUnknown { source, .. } => {
                self.participant.set_error(source);
                Outcome::Unknown
            }
            KvWriteError::Service(error) => {
                let fatal = is_fatal(&error);
                self.participant.set_error(error);
                Outcome::Failed { fatal }
            }
            // For example, the bucket does not allow values of this size.
            other => {
                self.participant.set_error(ServiceError::Refused {
                    status: 400,
                    code: None,
                    description: other.to_string(),
                });
                Outcome::Failed { fatal: true }
            }
        }
    }

    fn snapshot(&self, result: Result<Option<Vec<Entry>>, KvReadError>) -> Option<Vec<Event>> {
        match result {
            Ok(entries) => {
                let events = entries?.into_iter();
                Some(
                    events
                        .filter_map(|entry| self.event(WatchEvent::Entry(entry)))
                        .collect(),
                )
            }
            Err(error) => {
                tracing::debug!(lock = %self.participant.lock, error = %WithCauses(&error), "a snapshot of a lock failed");
                None
            }
        }
    }

    fn key(&self, id: &EntryId) -> Option<Key> {
        // Always valid: the lock's name and its length have been checked.
        Key::new(format!("{}{id}", self.io.prefix)).ok()
    }

    fn filter(&self) -> Option<KeyFilter> {
        KeyFilter::new(format!("{}*", self.io.prefix)).ok()
    }

    fn perform(&mut self, actions: Vec<Action>) {
        for action in actions {
            self.perform_one(action);
        }
    }

    fn perform_one(&mut self, action: Action) {
        match action {
            Action::Watch => {
                self.io.watch = None;
                let Some(filter) = self.filter() else { return };
                let backend = self.io.backend.clone();
                let request = WatchRequest {
                    deliver: Deliver::Latest,
                    metadata_only: false,
                    once: false,
                    // An entry that arrives later was rewritten, so it comes before the echo of whatever is
                    // published now.
                    complete: false,
                };
                let opening = async move { backend.watch(&[filter], request).await };
                self.io.opening = Some(opening.boxed());
            }
            Action::Read { from } => {
                let Some(filter) = self.filter() else { return };
                let backend = self.io.backend.clone();
                let read = async move { Done::Read(backend.snapshot(&filter, from).await) };
                self.io.requests.push(read.boxed());
            }
            Action::Write { id, entry, expect } => {
                let number = entry.write;
                let mut options = PutOptions::new().ttl(entry.lease());
                if let Some(revision) = expect {
                    options = options.expect(Expect::Revision(revision));
                }
                self.put(&Record::Entry(entry), options, id, move |id, result| {
                    Done::Written(id, number, result)
                });
            }
            Action::Probe { id } => {
                let options = PutOptions::new().ttl(PROBE_TTL);
                self.put(&Record::Probe, options, id, Done::Probed);
            }
            Action::Purge { id, expect } => {
                let Some(key) = self.key(&id) else { return };
                let backend = self.io.backend.clone();
                let mut options = RemoveOptions::purge().marker_ttl(MARKER_TTL);
                if let Some(revision) = expect {
                    options = options.expect(Expect::Revision(revision));
                }
                let purge = async move { Done::Purged(id, backend.remove(&key, options).await) };
                self.io.requests.push(purge.boxed());
            }
        }
    }

    fn put(
        &mut self,
        record: &Record,
        options: PutOptions,
        id: EntryId,
        done: impl FnOnce(EntryId, Result<u64, KvWriteError>) -> Done + Send + 'static,
    ) {
        let Some(key) = self.key(&id) else { return };
        let backend = self.io.backend.clone();
        let value = record.encode().into();
        let put = async move { done(id, backend.put(&key, value, options).await) };
        self.io.requests.push(put.boxed());
    }
}

/// Whether a retry is pointless.
fn is_fatal(error: &ServiceError) -> bool {
    // While a cluster elects a leader no server answers, which looks like a server without JetStream.
    // Waiting callers give up after a while.
    !error.is_retryable() && !matches!(error, ServiceError::JetStreamUnavailable { .. })
}

fn read_error(error: KvReadError) -> ServiceError {
    match error {
        KvReadError::Service(error) => error,
        other => ServiceError::Malformed {
            operation: "the watch of a lock".into(),
            detail: other.to_string(),
        },
    }
}
