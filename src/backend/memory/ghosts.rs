//! Removals that are gone from the log, but must still be reported to some watch.
//!
//! A marker stays for a second or more and then expires silently. By then a server has pushed it to all
//! watches; here a watch reads when it is polled, and one that was not polled for that long would keep an
//! expired value forever. So an unread removal is kept here, for the watches that existed when it happened,
//! until they have read it.
//!
//! A watch only needs removals of keys that existed when it last read: it was never shown keys that have
//! been created and removed since. So there is at most one removal per such key, and none if no watch is
//! behind.

use std::{
    collections::{BTreeMap, HashMap},
    ops::Bound,
};

use super::log::Stored;
use crate::key::Key;

#[derive(Debug, Default)]
pub(super) struct Ghosts {
    /// The last revision that each watch has read.
    readers: BTreeMap<u64, u64>,
    last_reader: u64,
    removals: BTreeMap<u64, Ghost>,
    by_key: HashMap<Key, u64>,
}

#[derive(Debug)]
struct Ghost {
    removal: Stored,
    born: u64,
}

impl Ghosts {
    /// Adds a watch, which will be told of all removals after this revision.
    pub(super) fn enter(&mut self, at: u64) -> u64 {
        self.last_reader += 1;
        self.readers.insert(self.last_reader, at);
        self.last_reader
    }

    /// Records that a watch has read up to this revision.
    pub(super) fn read(&mut self, reader: u64, at: u64) {
        if let Some(read) = self.readers.get_mut(&reader)
            && *read < at
        {
            let was = std::mem::replace(read, at);
            self.tidy(was, at);
        }
    }

    /// Removes a watch.
    pub(super) fn leave(&mut self, reader: u64) {
        if let Some(was) = self.readers.remove(&reader) {
            self.tidy(was, u64::MAX);
        }
    }

    /// Keeps a removal that has gone from the log, if some watch needs it; it was the last revision of its
    /// key, which had existed since the revision `born`.
    pub(super) fn keep(&mut self, revision: u64, removal: Stored, born: u64) {
        if self.is_missed(born, revision) {
            self.by_key.insert(removal.key.clone(), revision);
            self.removals.insert(revision, Ghost { removal, born });
        }
    }

    /// Drops the removal of a key that is written again, which tells the watches that are behind. Returns
    /// since when the key has existed for these watches.
    pub(super) fn forget(&mut self, key: &Key) -> Option<u64> {
        let revision = self.by_key.remove(key)?;
        self.removals.remove(&revision).map(|ghost| ghost.born)
    }

    pub(super) fn get(&self, revision: u64) -> Option<&Stored> {
        self.removals.get(&revision).map(|ghost| &ghost.removal)
    }

    /// Returns the removals after `cursor` and up to `end`, in order.
    pub(super) fn between(&self, cursor: u64, end: u64) -> impl Iterator<Item = (u64, &Stored)> {
        self.range(cursor, end)
            .map(|(revision, ghost)| (revision, &ghost.removal))
    }

    fn range(&self, cursor: u64, end: u64) -> impl Iterator<Item = (u64, &Ghost)> {
        let range = (Bound::Excluded(cursor), Bound::Unbounded);
        self.removals
            .range(range)
            .map(|(revision, ghost)| (*revision, ghost))
            .take_while(move |(revision, _)| *revision <= end)
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.removals.len()
    }

    /// Whether a watch may have been shown a key, but not its removal.
    fn is_missed(&self, born: u64, gone: u64) -> bool {
        self.readers
            .values()
            .any(|read| (born..gone).contains(read))
    }

    /// Handles the advance of a watch from `was` to `at`: drops the removals that only this watch still had
    /// to read.
    fn tidy(&mut self, was: u64, at: u64) {
        let read: Vec<u64> = self
            .range(was, at)
            .filter(|(revision, ghost)| !self.is_missed(ghost.born, *revision))
            .map(|(revision, _)| revision)
            .collect();
        for revision in read {
            if let Some(ghost) = self.removals.remove(&revision) {
                self.by_key.remove(&ghost.removal.key);
            }
        }
    }
}
