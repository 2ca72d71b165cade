//! How much of the log is known, message by message.
//!
//! An acknowledgement gives an entry's position in the log. If everything before that position is known,
//! the entry is decided at once, and no clock is needed:
//!
//! - The watch delivers in log order, so when it delivers a message, it has passed everything before it.
//!   Messages that it skipped had another subject, or had *by then* been replaced, and so by messages that
//!   were in the log by then.
//! - An entry that is sent after that comes after all these. If each message in between is known
//!   individually, because the watch delivered it or because it is an own acknowledged write, none of them
//!   replaced something unseen: everything that is alive before the entry is known.
//!
//! If some messages in between are not known, a snapshot of the part after the known one shows what is
//! alive there. It must also contain an own removal that is in this very log: the bucket may have been
//! deleted and recreated, and knowledge of the old log says nothing about the new one.
//!
//! Messages that the watch delivers after the entry was sent cannot replace those in between: what the
//! watch skipped may have been replaced by a message *after* the entry.

use std::time::Duration;

use super::{MARKER_TTL, entry::EntryId, trust::Sent};

/// How many acknowledgements to keep whose predecessors in the log are not known yet.
const AHEAD: usize = 64;

/// See the [module documentation](self).
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Log {
    /// Everything up to this sequence is known; 0 if nothing is.
    through: u64,
    /// The step in which the watch last skipped something.
    passed: u64,
    /// Later sequences that are known individually, smallest first.
    ahead: Vec<u64>,
    /// What a partial snapshot must contain.
    anchor: Option<Anchor>,
}

/// An own removal that is in this log and in no other.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Anchor {
    pub(super) id: EntryId,
    pub(super) seq: u64,
    /// Until then the server has most likely not removed it. This is not certain, because it counts from
    /// the acknowledgement, which may be late. If a snapshot does not show it, the snapshot is useless, and
    /// everything is read instead.
    until: Duration,
}

impl Log {
    /// Forgets everything: the server may have come back with a shorter log.
    pub(super) fn forget(&mut self) {
        *self = Self::default();
    }

    /// Records that the watch delivered this sequence, and has passed everything before it.
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

    /// Whether every sequence between `through` and this one is known individually.
    fn is_known_from(&self, seq: u64) -> bool {
        let between = self.ahead.iter().filter(|ahead| **ahead < seq).count();
        self.through != 0 && seq - self.through - 1 == between as u64
    }

    /// Everything up to this sequence is known; 0 if nothing is.
    pub(super) fn through(&self) -> u64 {
        self.through
    }

    /// Records that an own write was stored at this sequence.
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

    /// Records a snapshot of everything alive, whose last message has this sequence.
    pub(super) fn snapshot(&mut self, seq: u64) {
        if seq > self.through {
            self.passed = 0;
            self.advance(seq);
        }
    }

    /// Records that an own removal is stored at this sequence. It is in the known log if everything before
    /// it is known, or if it was conditional on a known revision.
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

    /// Returns where a snapshot of everything after the known part may start, and what it must contain: a
    /// recreated bucket restarts its sequences.
    pub(super) fn unknown_from(&self, now: Duration) -> Option<(u64, Anchor)> {
        let anchor = self.anchor.clone()?;
        (now < anchor.until).then(|| (anchor.seq.min(self.through + 1), anchor))
    }

    /// Drops the anchor: it was not where it should be, or could not be looked for.
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

    /// Whether everything before an entry with this ticket, first sent at `sent`, is known.
    pub(super) fn decides(&self, ticket: u64, sent: Sent) -> bool {
        ticket <= self.through && sent.step >= self.passed
    }

    /// Like `decides`, for a mutant that takes as known what the watch skips later.
    pub(super) fn decides_late(&self, ticket: u64) -> bool {
        ticket <= self.through
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn sent(step: u64) -> Sent {
        let at = Duration::ZERO;
        Sent { at, step }
    }

    /// A log that is known up to 5 since step 3.
    fn known() -> Log {
        let mut log = Log::default();
        log.delivered(5, 3);
        log
    }

    #[test]
    fn an_entry_sent_before_a_gap_is_not_decided() {
        let mut log = known();
        assert!(log.decides(5, sent(3)));
        assert!(!log.decides(5, sent(2)));
        assert!(!log.decides(6, sent(3)));
        // There is no gap.
        log.delivered(6, 4);
        assert!(log.decides(6, sent(3)));
        log.delivered(8, 5);
        assert!(log.decides(8, sent(5)));
        assert!(!log.decides(8, sent(4)));
        // Already known.
        log.delivered(7, 9);
        assert_eq!(log.through(), 8);
        assert!(log.decides(8, sent(5)));
        log.forget();
        assert_eq!(log, Log::default());
        log.delivered(1, 9);
        assert!(!log.decides(1, sent(8)));
    }

    #[test]
    fn own_writes_close_gaps_in_any_order() {
        let mut log = known();
        for seq in [9, 7, 8, 7, 5] {
            log.acknowledged(seq);
            assert_eq!(log.through(), 5);
        }
        log.acknowledged(6);
        assert_eq!(log.through(), 9);
        assert!(log.decides(9, sent(3)));
        // What is known by now closes no gap after it.
        log.delivered(11, 5);
        assert!(!log.decides(11, sent(4)));
    }

    #[test]
    fn a_revision_known_twice_closes_no_other_gap() {
        for (acknowledged, delivered) in [(&[5][..], &[][..]), (&[7], &[7]), (&[7, 6], &[])] {
            let mut log = known();
            acknowledged.iter().for_each(|seq| log.acknowledged(*seq));
            delivered.iter().for_each(|seq| log.delivered(*seq, 4));
            let next = log.through() + 2;
            log.delivered(next, 9);
            assert!(!log.decides(next, sent(8)), "{acknowledged:?}");
        }
    }

    #[test]
    fn a_late_acknowledgement_does_not_block_later_ones() {
        let mut log = known();
        log.acknowledged(7);
        log.delivered(8, 4);
        log.acknowledged(10);
        log.acknowledged(9);
        assert_eq!(log.through(), 10);
    }

    #[test]
    fn acknowledgements_without_a_known_start_prove_nothing_and_are_bounded() {
        let mut log = Log::default();
        log.acknowledged(1);
        assert_eq!(log, Log::default());
        let mut log = known();
        let first_kept = 7;
        let last_kept = first_kept + AHEAD as u64 - 1;
        (first_kept..=last_kept + 1).for_each(|seq| log.acknowledged(seq));
        log.acknowledged(6);
        assert_eq!(log.through(), last_kept);
    }

    #[test]
    fn a_snapshot_covers_the_log_up_to_its_last_message() {
        let mut log = known();
        log.snapshot(4);
        assert_eq!(log.through(), 5);
        assert!(!log.decides(5, sent(2)));
        log.snapshot(9);
        assert!(log.decides(9, sent(0)));
        assert_eq!(log.through(), 9);
    }

    #[test]
    fn a_removal_within_the_known_log_is_an_anchor() {
        let id = EntryId::new("s-1");
        let now = Duration::from_secs(100);
        let from = |log: &Log, now| log.unknown_from(now).map(|(from, _)| from);
        let mut log = known();
        log.removed(&id, 9, None, now);
        log.removed(&id, 9, Some(6), now);
        assert_eq!(from(&log, now), None);
        log.removed(&id, 9, Some(5), now);
        assert_eq!(from(&log, now), Some(6));
        // The removal itself must be included.
        log.removed(&id, 6, None, now);
        assert_eq!((log.through(), from(&log, now)), (6, Some(6)));
        let end = now + MARKER_TTL / 2;
        assert_eq!(from(&log, end - Duration::from_nanos(1)), Some(6));
        assert_eq!(from(&log, end), None);
        log.lose_anchor();
        assert_eq!(from(&log, now), None);
    }
}
