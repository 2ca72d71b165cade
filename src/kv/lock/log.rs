//! How far the log is known message by message.
//!
//! An acknowledgement says where in the log an entry stands. It decides at once if everything before
//! that place is known, which takes no clock:
//!
//! - The watch delivers in the order of the log, so when it delivers a message it has passed over
//!   everything before. What it passed over without delivering was of another subject, or had been
//!   replaced *by then*, and so by something that stood in the log by then.
//! - An entry that is sent after that stands behind all this. If each message between is known one by
//!   one, because the watch delivered it or because it is an acknowledged write of one's own, none of
//!   them replaced something unseen: all that is alive before the entry is known.
//!
//! Where messages between are not known, a snapshot of what stands behind the known part shows what is alive
//! there. It must show as well a removal of one's own that stands in this very log: the bucket may have been
//! deleted and made anew, and what was known of the old log says nothing of the new one.
//!
//! Messages that the watch delivers after the entry was sent cannot stand in for those in between: what it
//! passed over may have been replaced by something *behind* the entry.

use std::time::Duration;

use super::{MARKER_TTL, entry::EntryId, trust::Sent};

/// How many acknowledgements are kept that came before what stands before them.
const AHEAD: usize = 64;

/// See the [module](self).
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Log {
    /// Everything up to this sequence is known; 0 where nothing is.
    through: u64,
    /// The step in which the watch last passed over something.
    passed: u64,
    /// Sequences behind that are known one by one, smallest first.
    ahead: Vec<u64>,
    /// What a snapshot must show that does not show all.
    anchor: Option<Anchor>,
}

/// A removal of one's own that stands in this log and in no other.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Anchor {
    pub(super) id: EntryId,
    pub(super) seq: u64,
    /// Until then the server has hardly removed it. Not certainly: this counts from the
    /// acknowledgement, which may be late. A snapshot that does not show it is of no use then, and
    /// all is read instead.
    until: Duration,
}

impl Log {
    /// Nothing is known any more: the server may have come back with a shorter log.
    pub(super) fn forget(&mut self) {
        *self = Self::default();
    }

    /// The watch delivered this, and has passed over everything before.
    pub(super) fn delivered(&mut self, seq: u64, step: u64) {
        if seq <= self.through {
            return;
        }
        let next = self.through != 0 && seq == self.through + 1;
        if !next && !self.is_known_from(seq) {
            self.passed = step;
        }
        self.advance(seq);
    }

    /// Whether everything from `through` to this is known one by one.
    fn is_known_from(&self, seq: u64) -> bool {
        let between = self.ahead.iter().filter(|ahead| **ahead < seq).count();
        self.through != 0 && seq - self.through - 1 == between as u64
    }

    /// Everything up to this sequence is known; 0 where nothing is.
    pub(super) fn through(&self) -> u64 {
        self.through
    }

    /// An own write was stored here.
    pub(super) fn acknowledged(&mut self, seq: u64) {
        if self.through == 0 || seq <= self.through {
            return;
        }
        if seq == self.through + 1 {
            self.advance(seq);
        } else if let Err(place) = self.ahead.binary_search(&seq)
            && self.ahead.len() < AHEAD
        {
            self.ahead.insert(place, seq);
        }
    }

    /// A snapshot showed all that is alive, this last.
    pub(super) fn snapshot(&mut self, seq: u64) {
        if seq > self.through {
            self.passed = 0;
            self.advance(seq);
        }
    }

    /// A removal of one's own is stored here. It stands in the log that is known if everything before is
    /// known, or if it was conditional on a revision that is.
    pub(super) fn removed(&mut self, id: &EntryId, seq: u64, expect: Option<u64>, now: Duration) {
        self.acknowledged(seq);
        if seq <= self.through || expect.is_some_and(|expect| expect <= self.through) {
            self.anchor = Some(Anchor {
                id: id.clone(),
                seq,
                until: now + MARKER_TTL / 2,
            });
        }
    }

    /// Where a snapshot may begin that is to show what came after what is known, and what it must show
    /// there: a bucket that was made anew begins its sequences anew.
    pub(super) fn unknown_from(&self, now: Duration) -> Option<(u64, Anchor)> {
        let anchor = self.anchor.clone()?;
        (now < anchor.until).then(|| (anchor.seq.min(self.through + 1), anchor))
    }

    /// The anchor was not where it should be, or could not be looked for.
    pub(super) fn lose_anchor(&mut self) {
        self.anchor = None;
    }

    fn advance(&mut self, seq: u64) {
        self.through = seq;
        self.ahead.retain(|ahead| *ahead > seq);
        let mut known = 0;
        for ahead in &self.ahead {
            if *ahead != self.through + 1 {
                break;
            }
            self.through = *ahead;
            known += 1;
        }
        self.ahead.drain(..known);
    }

    /// Whether all that stands before an entry with this ticket, which was first sent then, is known.
    pub(super) fn decides(&self, ticket: u64, sent: Sent) -> bool {
        ticket <= self.through && sent.step >= self.passed
    }

    /// As `decides`, for a mutant that takes what the watch passes over later for known.
    pub(super) fn decides_late(&self, ticket: u64) -> bool {
        ticket <= self.through
    }
}
