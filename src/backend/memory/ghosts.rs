//! Removals that are gone from the log, and that some watch has yet to be told of.
//!
//! A marker stands for a second or more and then goes silently. A server has pushed it to all
//! watches by then; here a watch reads when it is polled, and one that was not polled for so long
//! would believe for ever in a value that expired. So a removal that goes unread stays here, for
//! the watches that were there when it happened, until they have read it.
//!
//! There is one at most for each key, and none where no watch is behind.

use std::{
    collections::{BTreeMap, HashMap},
    ops::Bound,
};

use super::log::Stored;
use crate::kv::Key;

#[derive(Debug, Default)]
pub(super) struct Ghosts {
    /// The last revision that each watch has read.
    readers: BTreeMap<u64, u64>,
    last_reader: u64,
    removals: BTreeMap<u64, Stored>,
    by_key: HashMap<Key, u64>,
}

impl Ghosts {
    /// A watch begins, and will be told of all removals after this revision.
    pub(super) fn enter(&mut self, at: u64) -> u64 {
        self.last_reader += 1;
        self.readers.insert(self.last_reader, at);
        self.last_reader
    }

    /// A watch has read up to this revision.
    pub(super) fn read(&mut self, reader: u64, at: u64) {
        if let Some(was) = self.readers.get_mut(&reader)
            && *was < at
        {
            *was = at;
            self.tidy();
        }
    }

    /// A watch ends.
    pub(super) fn leave(&mut self, reader: u64) {
        self.readers.remove(&reader);
        self.tidy();
    }

    /// A removal has gone from the log, and with it the last that was known of its key.
    pub(super) fn keep(&mut self, revision: u64, removal: Stored) {
        if self.readers.values().any(|read| *read < revision) {
            self.by_key.insert(removal.key.clone(), revision);
            self.removals.insert(revision, removal);
        }
    }

    /// A key is written again: whoever is behind learns from that.
    pub(super) fn forget(&mut self, key: &Key) {
        if let Some(revision) = self.by_key.remove(key) {
            self.removals.remove(&revision);
        }
    }

    pub(super) fn get(&self, revision: u64) -> Option<&Stored> {
        self.removals.get(&revision)
    }

    /// Those after `cursor` and up to `end`, in order.
    pub(super) fn between(&self, cursor: u64, end: u64) -> impl Iterator<Item = (u64, &Stored)> {
        let range = (Bound::Excluded(cursor), Bound::Unbounded);
        self.removals
            .range(range)
            .map(|(revision, removal)| (*revision, removal))
            .take_while(move |(revision, _)| *revision <= end)
    }

    /// Lets go of what every watch has read.
    fn tidy(&mut self) {
        if self.removals.is_empty() {
            return;
        }
        let read = self.readers.values().min().copied().unwrap_or(u64::MAX);
        while let Some(first) = self.removals.first_entry()
            && *first.key() <= read
        {
            self.by_key.remove(&first.remove().key);
        }
    }
}
