//! The log of one bucket: all its revisions in order, and the rules for removing them.
//!
//! Nothing here waits, locks or reads a clock: the time is an argument, and never goes backwards.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Bound,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;

use super::{ghosts::Ghosts, size};
use crate::{
    headers::Headers,
    key::{BucketName, Key, KeyFilter},
    kv::{BucketConfig, Operation},
};

/// One revision, and its neighbours among the revisions of its key.
#[derive(Debug)]
pub(super) struct Stored {
    pub(super) key: Key,
    pub(super) value: Bytes,
    pub(super) headers: Headers,
    pub(super) operation: Operation,
    pub(super) created: SystemTime,
    /// The next older revision of the key that still exists; 0 for none.
    pub(super) previous: u64,
    /// The next newer one; 0 for none.
    pub(super) next: u64,
    ttl: Option<Duration>,
    deadline: Option<SystemTime>,
    size: u64,
}

/// The revisions of a key: the ends of the chain, and its length.
#[derive(Clone, Copy, Debug)]
struct Chain {
    /// Since when the key has existed; for watches that are behind, since it was last shown to them.
    born: u64,
    first: u64,
    last: u64,
    len: u64,
}

/// A write to append.
#[derive(Debug)]
pub(super) struct Write {
    pub(super) key: Key,
    pub(super) value: Bytes,
    pub(super) headers: Headers,
    pub(super) operation: Operation,
    pub(super) ttl: Option<Duration>,
    /// The length of the header block, in bytes.
    pub(super) header_block: usize,
}

/// The bucket is full.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Full;

#[derive(Debug)]
pub(super) struct Log {
    bucket: BucketName,
    config: BucketConfig,
    entries: BTreeMap<u64, Stored>,
    keys: BTreeMap<Key, Chain>,
    /// The revisions that expire, by deadline.
    deadlines: BTreeSet<(SystemTime, u64)>,
    last: u64,
    bytes: u64,
    now: SystemTime,
    /// How many revisions have been removed so far, for any reason.
    removals: u64,
    /// Removals that are gone from the log, but that watches must still read.
    pub(super) ghosts: Ghosts,
}

impl Log {
    /// Creates an empty log. The configuration's limit markers must be settled: on or off.
    pub(super) fn new(bucket: BucketName, config: BucketConfig) -> Self {
        Self {
            bucket,
            config,
            entries: BTreeMap::new(),
            keys: BTreeMap::new(),
            deadlines: BTreeSet::new(),
            last: 0,
            bytes: 0,
            now: UNIX_EPOCH,
            removals: 0,
            ghosts: Ghosts::default(),
        }
    }

    pub(super) fn config(&self) -> &BucketConfig {
        &self.config
    }

    /// Returns the last revision ever written.
    pub(super) fn last(&self) -> u64 {
        self.last
    }

    /// Returns the first revision that still exists; 0 if there is none.
    pub(super) fn first(&self) -> u64 {
        self.entries
            .first_key_value()
            .map_or(0, |(first, _)| *first)
    }

    pub(super) fn len(&self) -> u64 {
        self.entries.len() as u64
    }

    pub(super) fn keys(&self) -> u64 {
        self.keys.len() as u64
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn removals(&self) -> u64 {
        self.removals
    }

    /// Returns when the next revision expires.
    pub(super) fn next_deadline(&self) -> Option<SystemTime> {
        self.deadlines.first().map(|(deadline, _)| *deadline)
    }

    pub(super) fn get(&self, revision: u64) -> Option<&Stored> {
        self.entries.get(&revision)
    }

    /// Returns the last revision of a key, including removals; 0 if it has none.
    pub(super) fn last_of(&self, key: &str) -> u64 {
        self.keys.get(key).map_or(0, |chain| chain.last)
    }

    /// Returns the revision since which a key has existed.
    pub(super) fn born(&self, key: &str) -> Option<u64> {
        Some(self.keys.get(key)?.born)
    }

    /// Returns the first revision of a key after `cursor`.
    pub(super) fn next_of(&self, key: &str, cursor: u64) -> Option<u64> {
        let mut found = None;
        let mut revision = self.last_of(key);
        // From the end, because a watch of a key is near the end; a chain has at most 64 links.
        while revision > cursor {
            found = Some(revision);
            revision = self.get(revision)?.previous;
        }
        found
    }

    /// Returns every revision after `cursor`, in order.
    pub(super) fn after(&self, cursor: u64) -> impl Iterator<Item = (u64, &Stored)> {
        let range = (Bound::Excluded(cursor), Bound::Unbounded);
        self.entries.range(range).map(|(seq, entry)| (*seq, entry))
    }

    /// Returns the last revision of every key that passes a filter.
    pub(super) fn last_matching(&self, filter: &KeyFilter) -> impl Iterator<Item = u64> {
        // Keys are sorted, so only those with the filter's literal prefix are checked.
        let wildcard = filter.find(['*', '>']).unwrap_or(filter.len());
        let prefix = &filter.as_str()[..wildcard];
        let range = (Bound::Included(prefix), Bound::Unbounded);
        self.keys
            .range::<str, _>(range)
            .take_while(move |(key, _)| key.starts_with(prefix))
            .filter(move |(key, _)| filter.matches(key))
            .map(|(_, chain)| chain.last)
    }

    /// Appends a revision and removes the one it replaces.
    ///
    /// A full bucket refuses, unless the revision that drops out of the key's history frees enough space:
    /// this is how `discard: new` works on a server, where removals need space too.
    pub(super) fn append(&mut self, write: Write) -> Result<u64, Full> {
        let size = self.size(&write);
        if let Some(max) = self.config.max_bytes
            && self.bytes.saturating_add(size) > max
            && self.makes_room(&write.key) < size
        {
            return Err(Full);
        }
        Ok(self.store(write, size, self.now, None))
    }

    /// Removes everything that has expired by `now`, leaving markers as a server would.
    pub(super) fn advance(&mut self, now: SystemTime) {
        self.now = self.now.max(now);
        while let Some(&(deadline, seq)) = self.deadlines.first()
            && deadline <= self.now
        {
            self.expire(seq, deadline);
        }
    }

    /// Removes the revisions of a key that are older than `before`.
    pub(super) fn compact(&mut self, key: &str, before: u64) {
        while let Some(chain) = self.keys.get(key)
            && chain.first < before
        {
            let seq = chain.first;
            if let Some((entry, born)) = self.remove(seq) {
                self.haunt(seq, entry, born);
            }
        }
    }

    /// Applies new settings. Size limits only affect later writes, as on a server.
    pub(super) fn configure(&mut self, config: BucketConfig) {
        let shorter = config.history < self.config.history;
        let aged = config.max_age != self.config.max_age;
        self.config = config;
        if shorter {
            let keys: Vec<Key> = self.keys.keys().cloned().collect();
            for key in keys {
                self.trim(&key);
            }
        }
        if aged {
            self.deadlines.clear();
            for (seq, entry) in &mut self.entries {
                entry.deadline = deadline(&self.config, entry.created, entry.ttl);
                self.deadlines.extend(entry.deadline.map(|at| (at, *seq)));
            }
        }
    }

    /// Handles the expiry of one revision. The last one of a key is replaced by a marker, unless it was a
    /// marker itself.
    fn expire(&mut self, seq: u64, at: SystemTime) {
        let markers = self.config.limit_markers.duration();
        let Some((entry, born)) = self.remove(seq) else {
            return;
        };
        let marker = matches!(entry.operation, Operation::Expire | Operation::Purge);
        if let Some(ttl) = markers
            && !marker
            && born.is_some()
        {
            let write = Write {
                key: entry.key,
                value: Bytes::new(),
                headers: Headers::new(),
                operation: Operation::Expire,
                ttl: Some(ttl),
                header_block: size::header_block(
                    &Headers::new(),
                    Operation::Expire,
                    None,
                    Some(ttl),
                ),
            };
            // A server that lacks space keeps the expired value until there is some; here a marker always
            // fits.
            let size = self.size(&write);
            self.store(write, size, at, born);
        } else {
            self.haunt(seq, entry, born);
        }
    }

    /// Keeps a removal for watches that are behind, if nothing else reports it to them.
    fn haunt(&mut self, seq: u64, entry: Stored, born: Option<u64>) {
        if let Some(born) = born
            && entry.operation.is_removal()
        {
            self.ghosts.keep(seq, entry, born);
        }
    }

    /// Stores a revision of a key that exists, is new, or existed from the revision `born` until now.
    fn store(&mut self, write: Write, size: u64, created: SystemTime, born: Option<u64>) -> u64 {
        self.last += 1;
        let seq = self.last;
        let born = self.ghosts.forget(&write.key).or(born).unwrap_or(seq);
        // As on a server: a value that expired before the marker of an earlier one of its key would leave
        // no marker of its own.
        let ttl = match (write.ttl, self.config.limit_markers.duration()) {
            (Some(ttl), Some(least)) if self.config.history != 1 => Some(ttl.max(least)),
            (ttl, _) => ttl,
        };
        let deadline = deadline(&self.config, created, ttl);
        self.deadlines.extend(deadline.map(|at| (at, seq)));
        let chain = self.keys.entry(write.key.clone()).or_insert(Chain {
            born,
            first: seq,
            last: 0,
            len: 0,
        });
        let previous = chain.last;
        chain.last = seq;
        chain.len += 1;
        if let Some(entry) = self.entries.get_mut(&previous) {
            entry.next = seq;
        }
        self.bytes += size;
        let rollup = matches!(write.operation, Operation::Purge | Operation::Expire);
        let key = write.key.clone();
        let entry = Stored {
            key: write.key,
            value: write.value,
            headers: write.headers,
            operation: write.operation,
            created,
            previous,
            next: 0,
            ttl,
            deadline,
            size,
        };
        self.entries.insert(seq, entry);
        if rollup {
            self.compact(&key, seq);
        } else {
            self.trim(&key);
        }
        seq
    }

    /// Removes revisions beyond the key's history.
    fn trim(&mut self, key: &str) {
        while let Some(chain) = self.keys.get(key)
            && chain.len > u64::from(self.config.history)
        {
            self.remove(chain.first);
        }
    }

    /// Removes a revision and links its neighbours. If it was the only one of its key, also returns since
    /// when the key existed.
    fn remove(&mut self, seq: u64) -> Option<(Stored, Option<u64>)> {
        let entry = self.entries.remove(&seq)?;
        self.removals += 1;
        self.bytes -= entry.size;
        if let Some(deadline) = entry.deadline {
            self.deadlines.remove(&(deadline, seq));
        }
        if let Some(previous) = self.entries.get_mut(&entry.previous) {
            previous.next = entry.next;
        }
        if let Some(next) = self.entries.get_mut(&entry.next) {
            next.previous = entry.previous;
        }
        let mut born = None;
        if let Some(chain) = self.keys.get_mut(&entry.key) {
            chain.len -= 1;
            if chain.first == seq {
                chain.first = entry.next;
            }
            if chain.last == seq {
                chain.last = entry.previous;
            }
            if chain.len == 0 {
                born = Some(chain.born);
                self.keys.remove(&entry.key);
            }
        }
        Some((entry, born))
    }

    fn size(&self, write: &Write) -> u64 {
        size::stored(
            self.config.storage,
            &self.bucket,
            &write.key,
            write.header_block,
            write.value.len(),
        )
    }

    /// Returns the size of the revision that drops out when another one of this key is written.
    fn makes_room(&self, key: &str) -> u64 {
        let full = |chain: &&Chain| chain.len >= u64::from(self.config.history);
        let first = self.keys.get(key).filter(full).map(|chain| chain.first);
        first
            .and_then(|first| self.get(first))
            .map_or(0, |entry| entry.size)
    }
}

/// Returns when a revision expires: by its own TTL or the bucket's, whichever is shorter. A time beyond the
/// end of the calendar is never reached.
fn deadline(
    config: &BucketConfig,
    created: SystemTime,
    ttl: Option<Duration>,
) -> Option<SystemTime> {
    let life = match (ttl, config.max_age) {
        (Some(ttl), Some(age)) => ttl.min(age),
        (ttl, age) => ttl.or(age)?,
    };
    created.checked_add(life)
}
