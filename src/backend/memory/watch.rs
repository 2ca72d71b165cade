//! A watch: a cursor into the log.
//!
//! Nothing is queued for a watch. It reads on from its cursor when it is polled, so a slow one skips what
//! has been superseded in the meantime, as it would with a server. It costs at most one removal per key
//! that it was shown and that is gone since, kept in [`Ghosts`](super::ghosts).

use std::{collections::HashSet, pin::pin, sync::Arc, time::SystemTime};

use futures::{
    StreamExt,
    future::{self, Either},
    stream,
};
use tokio::sync::watch;

use super::{
    bucket::{Bucket, Life},
    log::{Log, Stored},
};
use crate::{
    backend::{RawWatch, WatchEvent, WatchRequest},
    error::{InvalidOption, ServiceError},
    key::{Key, KeyFilter},
    kv::{Deliver, KvReadError},
};

/// How many revisions one look may scan. Other users get their turn in between.
const STRIDE: usize = 4096;

/// The pending count is corrected after removals if at most this many revisions are ahead.
const RECOUNT: usize = 64;

/// Starts a watch: every change from here on is seen.
pub(super) fn start(
    bucket: Arc<Bucket>,
    filters: &[KeyFilter],
    request: WatchRequest,
) -> Result<RawWatch, KvReadError> {
    if filters.is_empty() {
        return Err(InvalidOption::new("filters", "there is none").into());
    }
    // First, so that a change right after the look below wakes the watch.
    let changes = bucket.changes();
    let filters = Filters::new(filters);
    if request.once {
        let events = bucket.look(|log, _| {
            let mut cursor = Cursor::new(log, filters, request);
            list(&bucket, &mut cursor, log)
        })?;
        return Ok(stream::iter(events).map(Ok).boxed());
    }
    let (cursor, reader) = bucket.look(|log, _| {
        let reader = log.ghosts.enter(log.last());
        (Cursor::new(log, filters, request), reader)
    })?;
    let follower = Follower {
        bucket,
        changes,
        cursor,
        reader,
    };
    let events = stream::unfold(Some(follower), |follower| async {
        let mut follower = follower?;
        let event = follower.next().await;
        let goes_on = event.is_ok();
        Some((event, goes_on.then_some(follower)))
    });
    Ok(events.boxed())
}

/// Lists in a single look: otherwise a key that is overwritten while the listing is read would move out of
/// the range that the listing covers. The values are shared with the log.
fn list(bucket: &Bucket, cursor: &mut Cursor, log: &Log) -> Vec<WatchEvent> {
    let mut events = Vec::new();
    loop {
        match cursor.step(log) {
            Step::Entry(revision) => events.extend(bucket.event(cursor, log, revision)),
            Step::Further => {}
            Step::Current | Step::Wait => {
                events.push(WatchEvent::Current);
                return events;
            }
        }
    }
}

impl Bucket {
    fn event(&self, cursor: &mut Cursor, log: &Log, revision: u64) -> Option<WatchEvent> {
        let delta = cursor.pending(log);
        let stored = log.get(revision).or_else(|| log.ghosts.get(revision))?;
        let mut entry = self.entry(revision, stored, delta);
        if cursor.metadata_only {
            entry.value = None;
        }
        Some(WatchEvent::Entry(entry))
    }
}

struct Follower {
    bucket: Arc<Bucket>,
    changes: watch::Receiver<()>,
    cursor: Cursor,
    /// The number of this watch in the log.
    reader: u64,
}

impl Drop for Follower {
    fn drop(&mut self) {
        // If the bucket is gone, there is nothing to undo.
        let _ = self.bucket.look(|log, _| log.ghosts.leave(self.reader));
    }
}

impl Follower {
    async fn next(&mut self) -> Result<WatchEvent, ServiceError> {
        loop {
            // Marked as seen now, so that any change after the look ends the wait below.
            self.changes.mark_unchanged();
            let bucket = &self.bucket;
            let look = bucket.look(|log, life| {
                let step = self.cursor.step(log);
                let event = match step {
                    Step::Entry(revision) => {
                        Found::Event(bucket.event(&mut self.cursor, log, revision)?)
                    }
                    Step::Current => Found::Event(WatchEvent::Current),
                    Step::Further => Found::Further,
                    Step::Wait => Found::Nothing(life, log.next_deadline()),
                };
                log.ghosts.read(self.reader, self.cursor.at);
                Some(event)
            });
            let (life, deadline) = match look {
                Ok(Some(Found::Event(event))) => return Ok(event),
                Ok(Some(Found::Further) | None) => continue,
                Ok(Some(Found::Nothing(life, deadline))) => (life, deadline),
                Err(error) => return Err(error),
            };
            let changed = self.changes.changed();
            match deadline {
                Some(deadline) => {
                    let expiry = self.bucket.clock.sleep_until(deadline);
                    // In both cases the next look decides.
                    let (Either::Left(_) | Either::Right(_)) =
                        future::select(pin!(changed), expiry).await;
                }
                // With no handle left to write and nothing to expire, there will be no more events.
                None if life == Life::Abandoned => return Err(ServiceError::Closed),
                // The sender is part of the bucket that is held here, so this is a change.
                None => drop(changed.await),
            }
        }
    }
}

/// The result of a look at the log.
enum Found {
    Event(WatchEvent),
    /// Nothing yet; there is more to scan.
    Further,
    /// Nothing, until there is a change or this deadline passes.
    Nothing(Life, Option<SystemTime>),
}

/// The position of a watch in the log, and its interests.
#[derive(Debug)]
struct Cursor {
    filters: Filters,
    metadata_only: bool,
    /// The last revision that was delivered or skipped.
    at: u64,
    /// The bucket's last revision when the watch began.
    start: u64,
    /// The last revision of the initial entries; `None` once they have been delivered.
    initial: Option<u64>,
    /// The keys of the initial entries so far, if the watch begins with the last revision of each.
    shown: Option<HashSet<Key>>,
    /// Of the initial entries, deliver only the last of each key.
    latest: bool,
    count: Count,
}

/// How many wanted revisions are ahead.
#[derive(Debug, Default)]
struct Count {
    pending: u64,
    /// Up to which revision they were counted.
    to: u64,
    /// How many revisions had been removed from the log by then.
    removals: u64,
}

enum Step {
    Entry(u64),
    Current,
    Further,
    Wait,
}

impl Cursor {
    fn new(log: &Log, filters: Filters, request: WatchRequest) -> Self {
        let at = match request.deliver {
            Deliver::Latest | Deliver::History => 0,
            Deliver::Updates => log.last(),
            Deliver::From(revision) => revision.saturating_sub(1),
        };
        Self {
            filters,
            metadata_only: request.metadata_only,
            at,
            start: log.last(),
            initial: Some(log.last()),
            shown: (request.deliver == Deliver::Latest && !request.once).then(HashSet::new),
            latest: request.deliver == Deliver::Latest,
            count: Count {
                to: at,
                removals: log.removals(),
                pending: 0,
            },
        }
    }

    /// Moves on to the next event.
    fn step(&mut self, log: &Log) -> Step {
        let (found, reached) = match &self.filters {
            Filters::Keys(keys) => {
                let next = |key: &KeyFilter| self.next_of(log, key);
                (keys.iter().filter_map(next).min(), log.last())
            }
            Filters::Many(_) => self.scan(log),
        };
        let gone = self.gone(log, found.unwrap_or(reached));
        let found = gone.or(found);
        match (found, self.initial) {
            (Some(revision), Some(end)) if revision > end => self.current(log, end),
            (Some(revision), _) => {
                self.at = revision;
                if let Some(shown) = &mut self.shown
                    && let Some(stored) = log.get(revision)
                {
                    shown.insert(stored.key.clone());
                }
                Step::Entry(revision)
            }
            (None, Some(end)) if reached >= end => self.current(log, end),
            (None, _) => {
                self.at = self.at.max(reached);
                if reached < log.last() {
                    Step::Further
                } else {
                    // Everything counted has been delivered or superseded.
                    self.count.pending = 0;
                    Step::Wait
                }
            }
        }
    }

    /// Called when the initial entries have been delivered, except those that were superseded before: their
    /// replacements are yet to be delivered.
    fn current(&mut self, log: &Log, end: u64) -> Step {
        self.at = self.at.max(end);
        let owed = log.after(end).filter(|(_, stored)| self.owes(log, stored));
        self.initial = owed.last().map(|(revision, _)| revision);
        if self.initial.is_some() {
            return Step::Further;
        }
        self.shown = None;
        Step::Current
    }

    /// Whether this belongs to a key that existed when the watch began, and has not been shown yet.
    fn owes(&self, log: &Log, stored: &Stored) -> bool {
        let was_there = || log.born(&stored.key).is_some_and(|born| born <= self.start);
        self.shown
            .as_ref()
            .is_some_and(|shown| !shown.contains(&stored.key))
            && stored.next == 0
            && was_there()
            && self.filters.matches(&stored.key)
    }

    /// Returns the next revision of one key.
    fn next_of(&self, log: &Log, key: &str) -> Option<u64> {
        let mut revision = log.next_of(key, self.at)?;
        loop {
            let stored = log.get(revision)?;
            if self.wants_revision(revision, stored) {
                return Some(revision);
            }
            revision = stored.next;
        }
    }

    /// Returns the next revision that passes a filter, or how far the scan went without finding one.
    fn scan(&self, log: &Log) -> (Option<u64>, u64) {
        for (passed, (revision, stored)) in log.after(self.at).enumerate() {
            if self.wants(revision, stored) {
                return (Some(revision), revision);
            }
            if passed >= STRIDE {
                return (None, revision);
            }
        }
        (None, log.last())
    }

    /// Returns the next removal that is no longer in the log and happened during this watch.
    fn gone(&self, log: &Log, end: u64) -> Option<u64> {
        let mut removals = log.ghosts.between(self.at.max(self.start), end);
        let found = removals.find(|(_, removal)| self.filters.matches(&removal.key));
        found.map(|(revision, _)| revision)
    }

    fn wants(&self, revision: u64, stored: &Stored) -> bool {
        self.wants_revision(revision, stored) && self.filters.matches(&stored.key)
    }

    fn wants_revision(&self, revision: u64, stored: &Stored) -> bool {
        match self.initial {
            Some(end) if self.latest && revision <= end => stored.next == 0 || stored.next > end,
            _ => true,
        }
    }

    /// Returns how many more revisions are yet to be delivered after the one at the cursor. Exact, except
    /// in one case: if revisions are removed from the log while this watch is more than [`RECOUNT`] behind,
    /// it may be too large until the watch has come closer.
    fn pending(&mut self, log: &Log) -> u64 {
        let wanted = |from: u64| {
            log.after(from)
                .filter(|(revision, stored)| self.wants(*revision, stored))
        };
        let stale = self.count.removals != log.removals();
        let near = || wanted(self.at).take(RECOUNT + 1).count();
        let pending = match stale.then(near) {
            Some(exact) if exact <= RECOUNT => {
                self.count.removals = log.removals();
                exact as u64
            }
            _ => {
                // The delivered revision was counted before, or is beyond the counted range.
                let counted = self.count.to >= self.at;
                let before = self.count.pending.saturating_sub(u64::from(counted));
                before + wanted(self.count.to.max(self.at)).count() as u64
            }
        };
        self.count.pending = pending;
        self.count.to = log.last();
        pending
    }
}

/// The keys of a watch.
#[derive(Debug)]
enum Filters {
    /// A few named keys, found by index instead of scanning the log.
    Keys(Vec<KeyFilter>),
    Many(Vec<KeyFilter>),
}

impl Filters {
    fn new(filters: &[KeyFilter]) -> Self {
        /// With more, a step through the index costs more than a look at the next revision.
        const FEW: usize = 16;
        let certain = |filter: &KeyFilter| !filter.is_wild();
        let filters = filters.to_vec();
        if filters.len() <= FEW && filters.iter().all(certain) {
            Self::Keys(filters)
        } else {
            Self::Many(filters)
        }
    }

    fn matches(&self, key: &str) -> bool {
        let (Self::Keys(filters) | Self::Many(filters)) = self;
        filters.iter().any(|filter| filter.matches(key))
    }
}
