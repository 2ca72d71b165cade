//! The background task of one participant: does what the state machine asks for, and tells it what
//! came of it. It sleeps while nothing is asked of it, and ends some time after the last use.

use std::{
    future::poll_fn,
    sync::{Arc, Weak},
    task::{Context, Poll},
    time::Duration,
};

use futures::{FutureExt, StreamExt, future::BoxFuture, stream::FuturesUnordered};

use super::{
    MARKER_TTL, PROBE_TTL,
    entry::{EntryId, Record},
    machine::{Action, Event, Machine, Outcome},
    participant::Participant,
    registry::Registry,
};
use crate::{
    backend::{Backend, RawWatch, WatchEvent, WatchRequest},
    kv::{
        Deliver, Entry, Expect, Key, KeyFilter, KvReadError, KvWriteError, Operation, PutOptions,
        RemoveOptions, ServiceError,
    },
    platform,
};

/// For how long a lock stays warm when nobody uses it: its watch stays open, so that the next
/// acquire costs one message.
const LINGER: Duration = Duration::from_secs(10);

/// How much is handled before other tasks get their turn.
const BUDGET: usize = 128;

/// What came of a request.
enum Done {
    Written(EntryId, u32, Result<u64, KvWriteError>),
    Probed(EntryId, Result<u64, KvWriteError>),
    Purged(EntryId, Result<u64, KvWriteError>),
}

pub(super) struct Task {
    participant: Arc<Participant>,
    /// Gone when no store handle is left: then nobody can come back for a warm lock.
    registry: Weak<Registry>,
    backend: Arc<dyn Backend>,
    prefix: String,
    opening: Option<BoxFuture<'static, Result<RawWatch, KvReadError>>>,
    watch: Option<RawWatch>,
    requests: FuturesUnordered<BoxFuture<'static, Done>>,
    timer: Option<(Duration, BoxFuture<'static, ()>)>,
    /// Since when nobody has used the lock.
    idle_since: Option<Duration>,
}

impl Task {
    pub(super) fn new(
        participant: Arc<Participant>,
        registry: Weak<Registry>,
        backend: Arc<dyn Backend>,
    ) -> Self {
        Self {
            prefix: format!("_lock.{}.", participant.lock),
            participant,
            registry,
            backend,
            opening: None,
            watch: None,
            requests: FuturesUnordered::new(),
            timer: None,
            idle_since: None,
        }
    }

    pub(super) async fn run(mut self) {
        poll_fn(|context| self.poll(context)).await;
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        self.participant.waker.register(context.waker());
        let mut budget = BUDGET;
        // Whatever callers have asked of the machine.
        let mut wake = self.drive(|_, _| ());
        while let Some(next) = self.step(context) {
            wake = next;
            budget -= 1;
            if budget == 0 {
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
        }
        if self.rest(wake, context) {
            return Poll::Ready(());
        }
        Poll::Pending
    }

    /// Lets the machine have something, and does what it asks for.
    fn drive(&mut self, feed: impl FnOnce(&mut Machine, Duration)) -> Option<Duration> {
        let (actions, wake) = self.participant.drive(feed);
        for action in actions {
            self.perform(action);
        }
        wake
    }

    /// Handles one thing that has happened, if there is any.
    fn step(&mut self, context: &mut Context<'_>) -> Option<Option<Duration>> {
        if let Some(opening) = &mut self.opening
            && let Poll::Ready(opened) = opening.poll_unpin(context)
        {
            self.opening = None;
            return Some(match opened {
                Ok(watch) => {
                    self.watch = Some(watch);
                    self.drive(|_, _| ())
                }
                Err(error) => self.watch_failed(read_error(error)),
            });
        }
        if let Some(watch) = &mut self.watch
            && let Poll::Ready(event) = watch.as_mut().poll_next(context)
        {
            let wake = match event {
                Some(Ok(event)) => match self.event(event) {
                    Some(event) => self.drive(|machine, now| machine.event(now, event)),
                    None => self.drive(|_, _| ()),
                },
                Some(Err(error)) => self.watch_failed(error),
                None => self.watch_failed(ServiceError::Closed),
            };
            self.participant.tell_observers();
            return Some(wake);
        }
        if let Poll::Ready(Some(done)) = self.requests.poll_next_unpin(context) {
            return Some(self.done(done));
        }
        None
    }

    fn watch_failed(&mut self, error: ServiceError) -> Option<Duration> {
        tracing::warn!(lock = %self.participant.lock, %error, "the watch of a lock ended");
        self.watch = None;
        let fatal = is_fatal(&error);
        self.participant.set_error(Some(error));
        let wake = self.drive(|machine, now| machine.event(now, Event::Ended { fatal }));
        self.participant.tell_observers();
        wake
    }

    fn event(&self, event: WatchEvent<Entry>) -> Option<Event> {
        match event {
            WatchEvent::Current => Some(Event::Current),
            WatchEvent::Interrupted => Some(Event::Interrupted),
            WatchEvent::Entry(entry) => {
                let id = EntryId::new(entry.key.strip_prefix(self.prefix.as_str())?);
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

    fn done(&mut self, done: Done) -> Option<Duration> {
        match done {
            Done::Written(id, number, result) => {
                let outcome = self.outcome(result);
                self.drive(|machine, now| machine.written(now, &id, number, outcome))
            }
            Done::Probed(id, result) => {
                let outcome = self.outcome(result);
                self.drive(|machine, now| machine.probed(now, &id, outcome))
            }
            Done::Purged(id, result) => {
                let outcome = self.outcome(result);
                self.drive(|machine, now| machine.purged(now, &id, outcome))
            }
        }
    }

    fn outcome(&self, result: Result<u64, KvWriteError>) -> Outcome {
        let error = match result {
            Ok(revision) => return Outcome::Stored(revision),
            Err(error) => error,
        };
        tracing::debug!(lock = %self.participant.lock, %error, "a write of a lock failed");
        match error {
            KvWriteError::Conflict(_) => Outcome::Conflict,
            KvWriteError::OutcomeUnknown { source, .. } => {
                self.participant.set_error(Some(source));
                Outcome::Unknown
            }
            KvWriteError::Service(error) => {
                let fatal = is_fatal(&error);
                self.participant.set_error(Some(error));
                Outcome::Failed { fatal }
            }
            other => {
                self.participant.set_error(Some(ServiceError::Malformed {
                    operation: "a write of a lock".into(),
                    source: Box::new(other),
                }));
                Outcome::Failed { fatal: true }
            }
        }
    }

    fn key(&self, id: &EntryId) -> Option<Key> {
        // Valid, because the lock's name was checked, and its length with it.
        Key::new(format!("{}{id}", self.prefix)).ok()
    }

    fn perform(&mut self, action: Action) {
        match action {
            Action::Watch => {
                self.watch = None;
                let Ok(filter) = KeyFilter::new(format!("{}*", self.prefix)) else {
                    return;
                };
                let backend = self.backend.clone();
                let request = WatchRequest {
                    deliver: Deliver::Latest,
                    metadata_only: false,
                    once: false,
                };
                let opening = async move { backend.watch(&[filter], request).await };
                self.opening = Some(opening.boxed());
            }
            Action::Unwatch => {
                self.opening = None;
                self.watch = None;
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
            Action::Purge { id } => {
                let Some(key) = self.key(&id) else { return };
                let backend = self.backend.clone();
                let options = RemoveOptions::purge().marker_ttl(MARKER_TTL);
                let purge = async move { Done::Purged(id, backend.remove(&key, options).await) };
                self.requests.push(purge.boxed());
            }
            // The others are for callers, and do not come here.
            _ => {}
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
        let backend = self.backend.clone();
        let value = record.encode().into();
        let put = async move { done(id, backend.put(&key, value, options).await) };
        self.requests.push(put.boxed());
    }

    /// Nothing is left to do now: arranges to be woken. Answers whether the task is over.
    fn rest(&mut self, wake: Option<Duration>, context: &mut Context<'_>) -> bool {
        let mut wake = wake;
        loop {
            let now = self.participant.now();
            if self.participant.is_idle() {
                let until = *self.idle_since.get_or_insert(now) + LINGER;
                match self.registry.upgrade() {
                    Some(registry) if now < until => drop(registry),
                    Some(registry) => {
                        if registry.forget(&self.participant) {
                            return true;
                        }
                        // Somebody came back just now, and has woken the task.
                        self.idle_since = None;
                        return false;
                    }
                    None => return true,
                }
                wake = Some(wake.map_or(until, |wake| wake.min(until)));
            } else {
                self.idle_since = None;
            }
            let Some(at) = wake else {
                // A timer that is still set wakes the task once more, for nothing.
                return false;
            };
            if self.timer.as_ref().is_none_or(|(set, _)| *set > at) {
                let sleep = platform::sleep(at.saturating_sub(now));
                self.timer = Some((at, sleep));
            }
            let Some((_, sleep)) = &mut self.timer else {
                return false;
            };
            if sleep.poll_unpin(context).is_pending() {
                return false;
            }
            self.timer = None;
            wake = self.drive(Machine::tick);
            // What the tick asked for has yet to be polled for the first time.
            context.waker().wake_by_ref();
        }
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        if let Some(registry) = self.registry.upgrade() {
            registry.remove(&self.participant);
        }
        self.participant.stop();
    }
}

/// Whether trying again makes no sense.
fn is_fatal(error: &ServiceError) -> bool {
    // While a cluster elects a leader nobody answers, which looks like a server without JetStream.
    // Those who wait give up after a while.
    !error.is_retryable() && !matches!(error, ServiceError::JetStreamUnavailable { .. })
}

fn read_error(error: KvReadError) -> ServiceError {
    match error {
        KvReadError::Service(error) => error,
        other => ServiceError::Malformed {
            operation: "the watch of a lock".into(),
            source: Box::new(other),
        },
    }
}
