//! When an echo may decide.
//!
//! In a stream with one message per subject, a second write replaces the first. A lagging watch can
//! therefore skip an entry: its old message is gone, and its new one comes later. The rule that no entry is
//! written twice within `X` prevents this: if the watch is known to have read everything up to a moment
//! `P1` less than `X` ago, it cannot have skipped an entry.

use std::time::Duration;

use super::TRUST_WINDOW;

/// When something was sent: the local time, and the number of the step that sent it.
///
/// Anything that arrives in a step arrives before anything that the step sends. Steps order events with the
/// same reading of a coarse clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Sent {
    pub(super) at: Duration,
    pub(super) step: u64,
}

/// Something was sent, and has since arrived through the current watch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Proof {
    /// `P1`.
    sent: Duration,
    /// The step in which it arrived.
    arrived: u64,
}

impl Proof {
    fn is_fresh(&self, now: Duration) -> bool {
        now < self.sent + TRUST_WINDOW
    }
}

/// What is proved about the current watch.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Trust {
    latest: Option<Proof>,
    /// An earlier proof that is still valid. It can decide all entries that were sent at the same time; the
    /// echo of the first would be too late a proof for the others.
    earlier: Option<Proof>,
}

impl Trust {
    /// Forgets all proofs: the watch was interrupted or replaced.
    pub(super) fn forget(&mut self) {
        *self = Self::default();
    }

    /// Whether a message sent now can decide if it is fast.
    pub(super) fn is_fresh(&self, now: Duration) -> bool {
        self.latest.is_some_and(|proof| proof.is_fresh(now))
    }

    /// Records that an own message arrived through the watch. Returns whether it may decide; in any case it
    /// is the next proof.
    pub(super) fn echo(&mut self, sent: Sent, now: Duration, step: u64) -> bool {
        let decides = [self.earlier, self.latest]
            .into_iter()
            .flatten()
            .any(|proof| sent.step >= proof.arrived && proof.is_fresh(now));
        self.prove(sent.at, now, step);
        decides
    }

    fn prove(&mut self, sent: Duration, now: Duration, arrived: u64) {
        if self.latest.is_some_and(|latest| latest.sent > sent) {
            return;
        }
        if !self.earlier.is_some_and(|earlier| earlier.is_fresh(now)) {
            self.earlier = self.latest;
        }
        self.latest = Some(Proof { sent, arrived });
    }

    /// Takes the end of a new watch's initial entries as a proof. Used only by mutants.
    pub(super) fn creation(&mut self, sent: Duration, now: Duration, step: u64) {
        self.prove(sent, now, step);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    const fn sent(at: u64, step: u64) -> Sent {
        Sent { at: ms(at), step }
    }

    #[test]
    fn the_first_echo_only_proves() {
        let mut trust = Trust::default();
        assert!(!trust.echo(sent(0, 1), ms(10), 2));
        assert!(trust.echo(sent(10, 2), ms(20), 3));
    }

    #[test]
    fn an_echo_that_took_too_long_only_proves() {
        let mut trust = Trust::default();
        trust.echo(sent(0, 1), ms(10), 2);
        assert!(!trust.echo(sent(10, 2), ms(1000), 3));
        assert!(trust.echo(sent(1000, 3), ms(1001), 4));
    }

    #[test]
    fn an_entry_sent_before_the_proof_arrived_does_not_decide() {
        let mut trust = Trust::default();
        trust.echo(sent(0, 1), ms(10), 3);
        assert!(!trust.echo(sent(10, 2), ms(20), 4));
    }

    #[test]
    fn entries_sent_concurrently_are_all_decided() {
        let mut trust = Trust::default();
        trust.echo(sent(0, 1), ms(10), 2);
        for step in 5..10 {
            assert!(trust.echo(sent(20, 3), ms(30), step));
        }
    }

    /// An older message may arrive late, after a newer one.
    #[test]
    fn an_older_proof_does_not_replace_a_newer_one() {
        let mut trust = Trust::default();
        trust.echo(sent(500, 2), ms(510), 3);
        trust.echo(sent(0, 1), ms(520), 4);
        assert!(trust.is_fresh(ms(1400)));
        assert!(trust.echo(sent(530, 4), ms(1400), 5));
    }

    #[test]
    fn an_interruption_forgets() {
        let mut trust = Trust::default();
        trust.echo(sent(0, 1), ms(10), 2);
        assert!(trust.is_fresh(ms(20)));
        trust.forget();
        assert!(!trust.is_fresh(ms(20)));
        assert!(!trust.echo(sent(20, 3), ms(30), 4));
    }
}
