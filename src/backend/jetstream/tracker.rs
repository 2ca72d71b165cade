//! Which keys a watch has shown with a value, so that it can report after an interruption which of them are
//! gone without a trace.

use std::{
    collections::{HashMap, HashSet},
    hash::{BuildHasher, BuildHasherDefault, Hasher, RandomState},
};

use bytestring::ByteString;

use crate::key::Key;

/// How many logged keys to move to the table with each new one.
const STEP: usize = 8;

/// The keys that a watch has shown with a value.
///
/// Recording a key only appends it to a log, because a growing hash table would slow down the initial load
/// of many keys. The log is moved to the table gradually, as later changes arrive.
#[derive(Debug, Default)]
pub(super) struct Tracker {
    /// Records of two bytes (length and the bit `LIVE`, big endian) and the key.
    log: Vec<u8>,
    /// How much of the log has been moved to the table.
    at: usize,
    /// The key, and the last sweep that found it.
    keys: HashMap<Box<str>, u32>,
    sweep: u32,
}

/// Keys are at most 2048 bytes long, so this bit of the length is free.
const LIVE: u16 = 0x8000;

impl Tracker {
    /// Records whether a key now has a value. Also moves a little of the log to the table, except during an
    /// initial load of the last revision of each key, which records each key only once.
    pub(super) fn note(&mut self, key: &str, live: bool, first_load: bool) {
        // No server would store such a long subject.
        let Ok(len @ 0..LIVE) = u16::try_from(key.len()) else {
            return;
        };
        let mark = if live { len | LIVE } else { len };
        self.log.extend_from_slice(&mark.to_be_bytes());
        self.log.extend_from_slice(key.as_bytes());
        if !first_load {
            self.settle_some(STEP);
        }
    }

    fn settle_some(&mut self, records: usize) {
        for _ in 0..records {
            if !self.settle_one() {
                // The whole log is in the table; free the memory of the initial load.
                self.at = 0;
                self.log.clear();
                self.log.shrink_to(4096);
                return;
            }
        }
    }

    fn settle_one(&mut self) -> bool {
        let Some((mark, rest)) = self.log[self.at..].split_first_chunk::<2>() else {
            return false;
        };
        let mark = u16::from_be_bytes(*mark);
        let len = usize::from(mark & !LIVE);
        let Some(Ok(key)) = rest.get(..len).map(std::str::from_utf8) else {
            return false;
        };
        if mark & LIVE == 0 {
            self.keys.remove(key);
        } else if !self.keys.contains_key(key) {
            self.keys.insert(key.into(), self.sweep);
        }
        self.at += 2 + len;
        true
    }

    /// Returns all keys recorded in an initial load, including those without a value.
    pub(super) fn all(&self) -> Shown {
        let mut all = Shown::default();
        let mut log = &*self.log;
        while let Some((mark, rest)) = log.split_first_chunk::<2>() {
            let len = usize::from(u16::from_be_bytes(*mark) & !LIVE);
            let Some((key, rest)) = rest.split_at_checked(len) else {
                break;
            };
            if let Ok(key) = std::str::from_utf8(key) {
                all.is_new(key);
            }
            log = rest;
        }
        all
    }

    /// Starts a sweep. Returns whether any key has a value.
    pub(super) fn begin_sweep(&mut self) -> bool {
        self.settle_some(usize::MAX);
        self.sweep = self.sweep.wrapping_add(1);
        !self.keys.is_empty()
    }

    /// Records that the sweep has found a key.
    pub(super) fn found(&mut self, key: &str) {
        if let Some(sweep) = self.keys.get_mut(key) {
            *sweep = self.sweep;
        }
    }

    /// Returns the keys that the sweep has not found so far.
    pub(super) fn missing(&self) -> Vec<Key> {
        let missing = self.keys.iter().filter(|(_, found)| **found != self.sweep);
        let key = |key: &str| Key::from_subject(ByteString::from(key));
        missing.map(|(missing, _)| key(missing)).collect()
    }

    /// Removes and returns the keys that the sweep has not found.
    pub(super) fn end_sweep(&mut self) -> Vec<Box<str>> {
        let sweep = self.sweep;
        self.keys
            .extract_if(|_, found| *found != sweep)
            .map(|(key, _)| key)
            .collect()
    }
}

/// The keys that a listing has shown, so that it shows each only once: a key that is written during the
/// listing would be repeated.
///
/// Only a hash per key is kept. Among a million keys, the chance that two share a hash is one in forty
/// million, and an attacker cannot construct such keys, because the hash is seeded.
#[derive(Debug, Default)]
pub(super) struct Shown {
    hasher: RandomState,
    hashes: HashSet<u64, BuildHasherDefault<AsItIs>>,
}

impl Shown {
    pub(super) fn expect(&mut self, keys: u64) {
        // The number comes from the server, so it is capped.
        self.hashes.reserve(keys.min(1 << 20) as usize);
    }

    pub(super) fn len(&self) -> u64 {
        self.hashes.len() as u64
    }

    /// Records a key. Returns whether it is shown for the first time.
    pub(super) fn is_new(&mut self, key: &str) -> bool {
        self.hashes.insert(self.hasher.hash_one(key))
    }
}

/// Passes through a value that is already a hash.
#[derive(Debug, Default)]
struct AsItIs(u64);

impl Hasher for AsItIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(byte);
        }
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gone(tracker: &mut Tracker, found: &[&str]) -> Vec<String> {
        tracker.begin_sweep();
        for key in found {
            tracker.found(key);
        }
        let mut gone: Vec<_> = tracker
            .end_sweep()
            .iter()
            .map(ToString::to_string)
            .collect();
        gone.sort();
        gone
    }

    #[test]
    fn keys_missing_from_a_sweep_vanish_once() {
        let mut tracker = Tracker::default();
        assert!(!tracker.begin_sweep());
        for key in ["a", "b", "c", "d"] {
            tracker.note(key, true, true);
        }
        tracker.note("b", false, true);
        assert!(tracker.begin_sweep());
        assert_eq!(gone(&mut tracker, &["a", "x"]), ["c", "d"]);
        assert_eq!(gone(&mut tracker, &["a"]), [""; 0]);
        tracker.note("c", true, false);
        assert_eq!(gone(&mut tracker, &[]), ["a", "c"]);
    }

    #[test]
    fn the_log_is_sorted_incrementally() {
        let mut tracker = Tracker::default();
        for n in 0..1000 {
            tracker.note(&format!("key.{n}"), true, true);
        }
        assert!(tracker.log.len() > 4096 && tracker.keys.is_empty());
        // Many revisions of few keys take no more space than these keys.
        for n in 0..1000 {
            tracker.note(&format!("key.{}", n % 10), true, false);
        }
        assert!(tracker.log.is_empty() && tracker.log.capacity() <= 4096);
        assert_eq!(tracker.keys.len(), 1000);
    }

    #[test]
    fn a_listing_shows_each_key_once() {
        let mut shown = Shown::default();
        shown.expect(3);
        assert!(shown.is_new("a") && shown.is_new("b") && shown.is_new("c"));
        assert!(!shown.is_new("a") && !shown.is_new("c"));
    }
}
