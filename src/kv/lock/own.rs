//! A participant's knowledge about an own entry: which writes are in flight, which are known to be stored,
//! and until when the lease can be trusted.

use std::time::Duration;

use super::{
    TRUST_WINDOW, WRITE_GAP,
    entry::{EntryId, LockEntry},
    machine::Request,
    trust::Sent,
};

/// A write that is not yet known to be stored.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Pending {
    number: u32,
    sent: Sent,
    entry: LockEntry,
}

/// The watch may be down while a held entry is renewed repeatedly: a write that has not been echoed after
/// this many more is too old to prove anything.
const UNECHOED: usize = 4;

/// How long a first write with an unknown outcome may still turn up: a watch shows it soon.
const LOST: Duration = TRUST_WINDOW.saturating_mul(2);

/// The effect of learning that a write was stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Stored {
    /// The lease was extended. The log contains this entry.
    Extended(LockEntry),
    /// Already known.
    Old,
    /// The lease had already run out: the entry is lost.
    Late,
}

/// An own entry.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Own {
    pub(super) id: EntryId,
    /// Set once the first write is known to be stored.
    pub(super) ticket: Option<u64>,
    /// The last known revision.
    revision: u64,
    /// The number of the write with that revision.
    stored: Option<u32>,
    /// When that became known: `X` counts from this time.
    known_at: Duration,
    /// The end of the trusted lease, set once a write is known to be stored.
    trusted_until: Option<Duration>,
    /// When the first write is assumed lost unless it has turned up.
    lost_at: Option<Duration>,
    pending: Vec<Pending>,
    /// The latest writes that the watch has not shown.
    unechoed: Vec<(u32, Sent)>,
    next: u32,
    /// When its first write was sent.
    pub(super) first_sent: Sent,
    /// The last known sequence when it was sent; the entry must be stored after it.
    pub(super) behind: u64,
    last_sent: Duration,
    since: Option<u64>,
    /// Whether the watch has shown the entry.
    pub(super) echoed: bool,
    /// Whether the entry must be rewritten with a change as soon as the rules allow it.
    pub(super) changed: bool,
    /// The number of the first write with the change.
    pub(super) change: Option<u32>,
}

impl Own {
    /// Creates an entry whose first write is sent now.
    pub(super) fn new(id: EntryId, first_sent: Sent, behind: u64) -> Self {
        Self {
            id,
            first_sent,
            behind,
            ticket: None,
            revision: 0,
            stored: None,
            known_at: Duration::ZERO,
            trusted_until: None,
            lost_at: None,
            pending: Vec::new(),
            unechoed: Vec::new(),
            next: 0,
            last_sent: Duration::ZERO,
            since: None,
            echoed: false,
            changed: false,
            change: None,
        }
    }

    /// Returns the next write: the entry, and the revision that it is conditional on. The first is
    /// unconditional: no other entry has this id, and a condition costs the server time.
    pub(super) fn write(&mut self, request: &Request, sent: Sent) -> (LockEntry, Option<u64>) {
        let number = self.next;
        self.next += 1;
        self.last_sent = sent.at;
        self.unechoed.push((number, sent));
        if self.unechoed.len() > UNECHOED {
            self.unechoed.remove(0);
        }
        if self.changed {
            self.changed = false;
            self.change = Some(number);
        }
        let entry = LockEntry {
            mode: request.mode,
            ticket: self.ticket,
            lease: request.lease,
            write: number,
            since: self.since,
            label: request.label.clone(),
            data: request.data.clone(),
        };
        self.pending.push(Pending {
            number,
            sent,
            entry: entry.clone(),
        });
        (entry, self.stored.map(|_| self.revision))
    }

    /// Records that the watch has shown a write. Returns when it was sent.
    pub(super) fn echo(&mut self, number: u32) -> Option<Sent> {
        self.echoed = true;
        let write = self.unechoed.iter().find(|(write, _)| *write == number);
        let sent = write.map(|(_, sent)| *sent);
        // Earlier writes were replaced or arrived before.
        self.unechoed.retain(|(write, _)| *write > number);
        sent
    }

    /// Returns when the write of this number was sent, while its outcome is unsettled.
    fn sent(&self, number: u32) -> Option<Sent> {
        let pending = self.pending.iter().find(|write| write.number == number)?;
        Some(pending.sent)
    }

    /// Records that a write is known to be stored, from its acknowledgement or its echo. With `revives`,
    /// set only by a mutant, a lease that has run out is revived.
    pub(super) fn stored(
        &mut self,
        number: u32,
        revision: u64,
        now: Duration,
        lease: Duration,
        revives: bool,
    ) -> Stored {
        if self.stored.is_some_and(|known| known >= number) {
            return Stored::Old;
        }
        let Some(write) = self.pending.iter().find(|write| write.number == number) else {
            return Stored::Old;
        };
        let (sent, entry) = (write.sent, write.entry.clone());
        // The previous lease: once it has run out, it does not come back.
        if self.has_lapsed(now) && !revives {
            return Stored::Late;
        }
        self.ticket.get_or_insert(revision);
        self.revision = revision;
        self.stored = Some(number);
        self.known_at = now;
        self.trusted_until = Some(sent.at + lease * 9 / 10);
        // Earlier writes were replaced by this one, or can never be stored any more.
        self.pending.retain(|write| write.number > number);
        // The new lease: it began when this write was sent, which may be long ago.
        if self.has_lapsed(now) && !revives {
            return Stored::Late;
        }
        Stored::Extended(entry)
    }

    /// Takes the time of the first write from its echo.
    pub(super) fn set_since(&mut self, number: u32, stored: u64) {
        if number == 0 {
            self.since = Some(stored);
        }
    }

    /// Records that a conditional write was refused. Returns whether the entry is therefore lost: it is,
    /// unless an earlier write with the same condition may have been stored.
    pub(super) fn refused(&mut self, number: u32) -> bool {
        self.failed(number) && self.pending.is_empty()
    }

    /// Records that a write was certainly not stored. Returns whether that is new.
    pub(super) fn failed(&mut self, number: u32) -> bool {
        if self.sent(number).is_none() {
            return false;
        }
        self.pending.retain(|write| write.number != number);
        if self.change.is_some_and(|change| change == number) {
            self.change = None;
            self.changed = true;
        }
        true
    }

    /// Records that the service will not tell whether a write was stored.
    pub(super) fn unanswered(&mut self, now: Duration) {
        self.lost_at.get_or_insert(now + LOST);
    }

    /// Whether the change is known to be stored. A later change that is yet to be written is not.
    pub(super) fn take_change(&mut self) -> bool {
        let stored = |change| self.stored.is_some_and(|stored| stored >= change);
        let done = !self.changed && self.change.is_some_and(stored);
        if done {
            self.change = None;
        }
        done
    }

    /// Returns its last revision, if no write is in flight that may have created another.
    pub(super) fn settled_revision(&self) -> Option<u64> {
        self.stored.filter(|_| self.pending.is_empty())?;
        Some(self.revision)
    }

    pub(super) fn is_pending(&self) -> bool {
        !self.pending.is_empty()
    }

    pub(super) fn is_stored(&self) -> bool {
        self.stored.is_some()
    }

    /// Returns the end of the trusted lease. Before a write is known to be stored, this is the latest
    /// possible end, so that an entry without any reply is given up.
    pub(super) fn trusted_until(&self, lease: Duration) -> Duration {
        self.trusted_until.unwrap_or_else(|| {
            let end = self.last_sent + lease * 9 / 10;
            self.lost_at.map_or(end, |lost| lost.min(end))
        })
    }

    fn has_lapsed(&self, now: Duration) -> bool {
        self.trusted_until.is_some_and(|until| now >= until)
    }

    /// Returns when to write the entry next.
    pub(super) fn due(&self, lease: Duration) -> Option<Duration> {
        if !self.is_stored() {
            return None;
        }
        let soonest = self.known_at + WRITE_GAP;
        if self.changed && self.pending.is_empty() {
            return Some(soonest);
        }
        // While a write is unanswered, the next one waits as long as after a success: both have the same
        // condition, so at most one of them is stored.
        Some(soonest.max(self.last_sent + lease / 3))
    }

    /// Returns the time after which the server has certainly removed the entry.
    pub(super) fn certainly_expired(&self, lease: Duration) -> Duration {
        self.last_sent + lease + lease / 2 + Duration::from_secs(15)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kv::lock::entry::Mode;

    const LEASE: Duration = Duration::from_secs(10);

    const fn at(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    const fn sent(ms: u64) -> Sent {
        Sent {
            at: at(ms),
            step: ms,
        }
    }

    fn write(own: &mut Own, ms: u64) -> (LockEntry, Option<u64>) {
        let request = Request {
            mode: Mode::Write,
            lease: LEASE.as_secs() as u32,
            label: None,
            data: None,
            try_only: false,
        };
        own.write(&request, sent(ms))
    }

    fn stored(own: &mut Own, number: u32, revision: u64, ms: u64) -> Stored {
        own.stored(number, revision, at(ms), LEASE, false)
    }

    /// An entry that was written immediately.
    fn new() -> Own {
        let mut own = Own::new(EntryId::new("s-1"), sent(0), 0);
        assert_eq!(write(&mut own, 0).1, None);
        own
    }

    /// Stored as revision 7 after 100 ms.
    fn first_stored() -> Own {
        let mut own = new();
        assert!(matches!(stored(&mut own, 0, 7, 100), Stored::Extended(_)));
        own
    }

    #[test]
    fn a_lease_starts_when_a_write_is_sent_and_never_revives() {
        let mut own = first_stored();
        assert_eq!(own.trusted_until(LEASE), at(9000));
        write(&mut own, 5000);
        let mut late = own.clone();
        assert!(matches!(stored(&mut own, 1, 8, 8999), Stored::Extended(_)));
        assert_eq!(own.trusted_until(LEASE), at(14_000));
        assert_eq!(stored(&mut own, 1, 8, 9001), Stored::Old);
        assert_eq!(stored(&mut late, 1, 8, 9000), Stored::Late);
        assert_eq!(stored(&mut new(), 0, 7, 9000), Stored::Late);
    }

    #[test]
    fn a_write_without_an_outcome_is_given_up_after_its_lease_or_soon_after_its_timeout() {
        let mut own = new();
        assert_eq!(own.trusted_until(LEASE), at(9000));
        own.unanswered(at(3000));
        own.unanswered(at(4000));
        assert_eq!(own.trusted_until(LEASE), at(3000) + LOST);
        let mut own = new();
        own.unanswered(at(8500));
        assert_eq!(own.trusted_until(LEASE), at(9000));
    }

    #[test]
    fn the_ticket_is_the_first_revision_and_the_condition_the_last() {
        let mut own = first_stored();
        assert_eq!(own.settled_revision(), Some(7));
        assert!(!own.is_pending());
        let (entry, expect) = write(&mut own, 3000);
        assert_eq!((entry.write, entry.ticket, expect), (1, Some(7), Some(7)));
        // The revision is unknown while a write is in flight.
        assert_eq!(own.settled_revision(), None);
        assert!(own.is_pending());
        stored(&mut own, 1, 9, 3100);
        assert_eq!((own.ticket, own.settled_revision()), (Some(7), Some(9)));
        assert_eq!(new().settled_revision(), None);
        // As long as it may be in the log.
        assert_eq!(own.certainly_expired(LEASE), at(3000 + 30_000));
    }

    #[test]
    fn it_is_renewed_every_third_of_the_lease_or_earlier_with_a_change() {
        let mut own = first_stored();
        let third = LEASE / 3;
        assert_eq!(own.due(LEASE), Some(third));
        own.changed = true;
        assert_eq!(own.due(LEASE), Some(at(100) + WRITE_GAP));
        write(&mut own, 2000);
        assert_eq!(own.due(LEASE), Some(at(2000) + third));
        // A second change waits for the reply to the first.
        own.changed = true;
        assert_eq!(own.due(LEASE), Some(at(2000) + third));
        stored(&mut own, 1, 8, 5000);
        assert_eq!(own.due(LEASE), Some(at(5000) + WRITE_GAP));
        assert_eq!(new().due(LEASE), None);
    }

    #[test]
    fn a_change_is_stored_once_its_write_is_acknowledged() {
        let mut own = first_stored();
        assert!(!own.take_change());
        own.changed = true;
        assert!(!own.take_change());
        write(&mut own, 2000);
        assert!(!own.take_change());
        write(&mut own, 6000);
        // The failed write may not have been the one with the change.
        assert!(own.failed(2));
        assert_eq!((own.changed, own.change), (false, Some(1)));
        stored(&mut own, 1, 8, 6100);
        assert!(own.take_change());
        assert!(!own.take_change());
    }

    #[test]
    fn an_entry_is_lost_if_no_write_can_have_been_stored() {
        let mut own = first_stored();
        write(&mut own, 3000);
        let mut twice = own.clone();
        assert!(own.refused(1));
        // It is stored, as the watch has shown before the reply arrived.
        let mut own = twice.clone();
        stored(&mut own, 1, 8, 3100);
        assert!(!own.refused(1));
        // One of two writes with the same condition was stored.
        write(&mut twice, 7000);
        assert!(!twice.refused(2));
        assert!(twice.refused(1));
        assert!(!twice.changed);
    }

    #[test]
    fn echoes_of_the_latest_writes_are_recognized() {
        let mut own = first_stored();
        for number in 1..=4 {
            write(&mut own, number * 3000);
        }
        assert_eq!(own.clone().echo(0), None);
        assert_eq!(own.clone().echo(1), Some(sent(3000)));
        assert!(!own.echoed);
        assert_eq!(own.echo(3), Some(sent(9000)));
        assert!(own.echoed);
        assert_eq!((own.echo(2), own.echo(3)), (None, None));
        assert_eq!(own.echo(4), Some(sent(12_000)));
    }

    #[test]
    fn later_writes_contain_the_time_of_the_first() {
        let mut own = first_stored();
        own.set_since(0, 1234);
        own.set_since(1, 5678);
        assert_eq!(write(&mut own, 3000).0.since, Some(1234));
    }
}
