//! The meaning of the log: which entries are alive, and which of them hold the lock by their order.

use std::{sync::Arc, time::Duration};

use super::entry::{EntryId, Mode, Record};
use crate::sorted::{SortedMap, SortedSet};

/// An entry that is alive, as far as the watch has shown.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Standing {
    /// The requested mode; `None` if the entry is unreadable, which counts as a writer.
    pub(super) mode: Option<Mode>,
    /// Its place in the queue; 0 if it is unreadable.
    pub(super) ticket: u64,
    /// The revision at which it was last seen.
    pub(super) revision: u64,
    /// How long it lives without being rewritten.
    pub(super) lease: Duration,
    /// When its first write was stored (server's clock, ms since 1970), if known.
    pub(super) since: Option<u64>,
    /// When this revision was stored, likewise. Unknown if it is known only from an acknowledgement.
    pub(super) stored: Option<u64>,
    /// The label, for humans.
    pub(super) label: Option<Arc<str>>,
    /// The data, for programs.
    pub(super) data: Option<Arc<str>>,
    /// When the watch last showed a change to it (local clock).
    pub(super) heard: Duration,
    /// Whether the current watch has shown it. If not, it is still considered alive, until a trusted echo
    /// proves that the watch would have shown it.
    pub(super) confirmed: bool,
    /// Whether this participant has given it up. It is being removed, and blocks no other entry.
    pub(super) left: bool,
    /// The last attempt to remove it in the server's place.
    pub(super) removal: Option<Removal>,
}

/// An attempt to remove another participant's entry.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Removal {
    /// The revision that the purge is conditional on, or 0 after a refusal.
    pub(super) expect: u64,
    /// The own message that showed the entry to be overdue. Only a later one triggers another attempt.
    pub(super) shown: u64,
    pub(super) under_way: bool,
}

impl Standing {
    fn is_reader(&self) -> bool {
        self.mode == Some(Mode::Read)
    }

    /// Whether it is being removed.
    pub(super) fn is_in_removal(&self) -> bool {
        self.removal.as_ref().is_some_and(|r| r.under_way)
    }
}

/// The lease of an unreadable entry is unknown.
const UNKNOWN_LEASE: Duration = Duration::from_secs(60);

/// The live entries of one lock.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Fold {
    live: SortedMap<EntryId, Standing>,
}

impl Fold {
    /// Records a write. `stored` is its time by the server's clock, in ms since 1970, which an
    /// acknowledgement does not contain. Probes change nothing.
    pub(super) fn put(
        &mut self,
        id: &EntryId,
        revision: u64,
        stored: Option<u64>,
        record: &Record,
        now: Duration,
    ) {
        let known = self.live.get_mut(id);
        if let Some(known) = known.filter(|known| revision <= known.revision) {
            // Seen before: a new watch starts with the current entries.
            known.confirmed |= revision == known.revision;
            known.heard = now;
            known.since = known.since.or(stored);
            return;
        }
        let known = self.live.get(id);
        let since = known.and_then(|known| known.since);
        let left = known.is_some_and(|known| known.left);
        let live = match record {
            Record::Probe => return,
            Record::Entry(entry) => Standing {
                mode: Some(entry.mode),
                ticket: entry.ticket.unwrap_or(revision),
                revision,
                lease: entry.lease(),
                since: entry.since.or(since).or(stored),
                stored,
                label: entry.label.clone(),
                data: entry.data.clone(),
                heard: now,
                confirmed: true,
                left,
                removal: None,
            },
            Record::Unknown => Standing {
                mode: None,
                ticket: 0,
                revision,
                lease: UNKNOWN_LEASE,
                since: since.or(stored),
                stored,
                label: None,
                data: None,
                heard: now,
                confirmed: true,
                left,
                removal: None,
            },
        };
        self.live.insert(id.clone(), live);
    }

    /// Records a delete, purge or expiry. Returns whether the entry was alive.
    pub(super) fn gone(&mut self, id: &EntryId, revision: u64) -> bool {
        match self.live.get(id) {
            Some(live) if live.revision < revision => self.live.remove(id).is_some(),
            _ => false,
        }
    }

    /// Marks an own entry as given up.
    pub(super) fn leave(&mut self, id: &EntryId) {
        if let Some(live) = self.live.get_mut(id) {
            live.left = true;
        }
    }

    /// Marks an entry (`None`: all entries) as not shown by the current watch, which proves nothing yet.
    pub(super) fn doubt(&mut self, id: Option<&EntryId>) {
        match id {
            Some(id) => {
                if let Some(live) = self.live.get_mut(id) {
                    live.confirmed = false;
                }
            }
            None => self
                .live
                .values_mut()
                .for_each(|live| live.confirmed = false),
        }
    }

    /// Called after a trusted echo: removes and returns the entries that the watch has not shown by now.
    pub(super) fn drop_doubted(&mut self) -> Vec<EntryId> {
        self.drop_where(|_, live| !live.confirmed)
    }

    /// Called after a snapshot of the log up to `through`: removes and returns older entries that it does
    /// not show.
    pub(super) fn drop_unseen(&mut self, through: u64, seen: &SortedSet<EntryId>) -> Vec<EntryId> {
        self.drop_where(|id, live| live.revision <= through && !seen.contains(id))
    }

    fn drop_where(&mut self, is_gone: impl Fn(&EntryId, &Standing) -> bool) -> Vec<EntryId> {
        let mut gone = Vec::new();
        self.live.retain(|id, live| {
            let is_gone = is_gone(id, live);
            if is_gone {
                gone.push(id.clone());
            }
            !is_gone
        });
        gone
    }

    /// Returns the live entry with this id.
    pub(super) fn get(&self, id: &EntryId) -> Option<&Standing> {
        self.live.get(id)
    }

    /// The same, to record an attempt to remove it.
    pub(super) fn get_mut(&mut self, id: &EntryId) -> Option<&mut Standing> {
        self.live.get_mut(id)
    }

    /// Whether the current watch has shown all live entries.
    pub(super) fn is_confirmed(&self) -> bool {
        self.live.values().all(|live| live.confirmed)
    }

    /// All live entries, in no particular order, including those that are given up.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&EntryId, &Standing)> {
        self.live.iter()
    }

    /// All live entries that count, in no particular order.
    pub(super) fn standing(&self) -> impl Iterator<Item = (&EntryId, &Standing)> {
        self.live.iter().filter(|(_, live)| !live.left)
    }

    /// The entries that must be gone before an entry of this mode and ticket may hold the lock: all of
    /// them, or only some for a permit.
    pub(super) fn blockers(&self, mode: Mode, ticket: u64) -> SortedSet<EntryId> {
        self.ahead(mode, ticket, true)
    }

    /// Whether an entry of this mode and ticket would hold if the entries being removed were gone.
    pub(super) fn will_admit(&self, mode: Mode, ticket: u64) -> bool {
        self.admits(mode, &self.ahead(mode, ticket, false))
    }

    fn ahead(&self, mode: Mode, ticket: u64, in_removal: bool) -> SortedSet<EntryId> {
        let ahead = self.standing().filter(|(_, live)| live.ticket < ticket);
        ahead
            .filter(|(_, live)| mode != Mode::Read || !live.is_reader())
            .filter(|(_, live)| in_removal || !live.is_in_removal())
            .map(|(id, _)| (id.clone(), ()))
            .collect()
    }

    /// Whether an entry of this mode holds the lock while these precede it. Evaluated for every waiter
    /// after every event, so it looks at no more of a long queue than necessary.
    pub(super) fn admits(&self, mode: Mode, blockers: &SortedSet<EntryId>) -> bool {
        let mut ahead = Ahead::default();
        for id in blockers.keys() {
            ahead.add(self.live.get(id).and_then(|live| live.mode));
            if !ahead.admit(mode) {
                return false; // further entries cannot change this
            }
        }
        ahead.admit(mode)
    }

    /// All live entries in ticket order, and whether each holds the lock by that order.
    pub(super) fn queue(&self) -> Vec<(&EntryId, &Standing, bool)> {
        let queue: SortedMap<_, _> = self
            .standing()
            .map(|(id, live)| ((live.ticket, id), live))
            .collect();
        let mut ahead = Ahead::default();
        queue
            .iter()
            .map(|(&(_, id), &live)| {
                let holds = live.mode.is_none_or(|mode| ahead.admit(mode));
                ahead.add(live.mode);
                (id, live, holds)
            })
            .collect()
    }
}

/// Counts of the entries before an entry.
struct Ahead {
    all: usize,
    readers: usize,
    with_permits: usize,
    /// If participants disagree on the number of permits, the smallest number applies.
    permits: u32,
}

impl Default for Ahead {
    fn default() -> Self {
        Self {
            all: 0,
            readers: 0,
            with_permits: 0,
            permits: u32::MAX,
        }
    }
}

impl Ahead {
    fn add(&mut self, mode: Option<Mode>) {
        self.all += 1;
        match mode {
            Some(Mode::Read) => self.readers += 1,
            Some(Mode::Permit(permits)) => {
                self.with_permits += 1;
                self.permits = self.permits.min(permits);
            }
            Some(Mode::Write) | None => {}
        }
    }

    /// Whether they let an entry of this mode hold the lock.
    fn admit(&self, mode: Mode) -> bool {
        match mode {
            Mode::Write => self.all == 0,
            Mode::Read => self.all == self.readers,
            Mode::Permit(permits) => {
                self.all == self.with_permits && self.all < permits.min(self.permits) as usize
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kv::lock::entry::LockEntry;

    const fn at(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn id(number: u64) -> EntryId {
        EntryId::new(&format!("s-{number}"))
    }

    /// Entries of these modes, with tickets from 1 on.
    fn fold(modes: &[Mode]) -> Fold {
        let mut fold = Fold::default();
        for (revision, mode) in (1..).zip(modes) {
            let record = Record::Entry(LockEntry::first(*mode));
            fold.put(&id(revision), revision, None, &record, at(revision));
        }
        fold
    }

    fn admits(fold: &Fold, mode: Mode) -> bool {
        fold.admits(mode, &fold.blockers(mode, u64::MAX))
    }

    #[test]
    fn permits_are_counted_and_the_smallest_limit_applies() {
        use Mode::{Permit, Read, Write};
        let two = fold(&[Permit(4), Permit(3)]);
        assert!(admits(&two, Permit(3)));
        assert!(!admits(&two, Permit(2)));
        assert!(!admits(&fold(&[Permit(4), Permit(2)]), Permit(4)));
        for mode in [Read, Write] {
            assert!(!admits(&fold(&[mode]), Permit(4)));
            assert_eq!(admits(&fold(&[Read]), mode), mode == Read);
            assert!(!admits(&fold(&[Write]), mode));
            assert!(!admits(&fold(&[Permit(4)]), mode));
        }
        let mut unreadable = two;
        unreadable.put(&id(3), 3, None, &Record::Unknown, at(3));
        assert!(!admits(&unreadable, Permit(4)));
    }

    #[test]
    fn a_later_write_keeps_the_ticket_and_an_older_one_is_ignored() {
        let mut fold = fold(&[Mode::Write]);
        let later = LockEntry {
            ticket: Some(1),
            write: 1,
            ..LockEntry::first(Mode::Read)
        };
        fold.put(&id(1), 5, None, &Record::Entry(later), at(500));
        let old = Record::Entry(LockEntry::first(Mode::Write));
        fold.put(&id(1), 1, Some(77), &old, at(600));
        let live = fold.get(&id(1)).unwrap();
        assert_eq!(
            (live.mode, live.ticket, live.revision),
            (Some(Mode::Read), 1, 5)
        );
        assert_eq!((live.heard, live.since), (at(600), Some(77)));
        assert!(!fold.gone(&id(1), 4));
        assert!(fold.gone(&id(1), 6));
        assert!(fold.get(&id(1)).is_none());
    }

    #[test]
    fn the_age_of_an_entry_is_its_own_or_the_first_known() {
        let mut fold = Fold::default();
        let since = |fold: &Fold| fold.get(&id(1)).and_then(|live| live.since);
        let mut entry = LockEntry::first(Mode::Write);
        let put = |fold: &mut Fold, revision, stored, entry: &LockEntry| {
            fold.put(
                &id(1),
                revision,
                stored,
                &Record::Entry(entry.clone()),
                at(1),
            );
        };
        put(&mut fold, 1, None, &entry);
        assert_eq!(since(&fold), None);
        put(&mut fold, 1, Some(11), &entry);
        assert_eq!(since(&fold), Some(11));
        put(&mut fold, 1, Some(12), &entry);
        put(&mut fold, 2, Some(22), &entry);
        assert_eq!(since(&fold), Some(11));
        entry.since = Some(10);
        put(&mut fold, 3, Some(33), &entry);
        assert_eq!(since(&fold), Some(10));
        for record in [Record::Entry(LockEntry::first(Mode::Read)), Record::Unknown] {
            let mut fold = Fold::default();
            fold.put(&id(1), 1, Some(11), &record, at(1));
            assert_eq!(since(&fold), Some(11));
            assert!(fold.is_confirmed());
        }
    }

    #[test]
    fn an_unreadable_entry_precedes_all_others() {
        let mut fold = fold(&[Mode::Read]);
        fold.put(&id(2), 2, None, &Record::Unknown, at(2));
        fold.put(
            &id(3),
            3,
            None,
            &Record::Entry(LockEntry::first(Mode::Write)),
            at(3),
        );
        assert!(fold.blockers(Mode::Read, 1).contains(&id(2)));
        let queue = fold.queue();
        let queue: Vec<_> = queue.iter().map(|(id, _, holds)| (*id, *holds)).collect();
        assert_eq!(queue, [(&id(2), true), (&id(1), false), (&id(3), false)]);
    }

    #[test]
    fn an_entry_waits_for_what_precedes_it() {
        let modes = [
            Mode::Read,
            Mode::Write,
            Mode::Permit(1),
            Mode::Permit(2),
            Mode::Permit(3),
        ];
        let count = modes.len();
        for n in 0..count.pow(4) {
            let picked = [0, 1, 2, 3].map(|place| modes[n / count.pow(place) % count]);
            let fold = fold(&picked);
            for (_, live, holds) in fold.queue() {
                let mode = live.mode.unwrap();
                let blockers = fold.blockers(mode, live.ticket);
                assert_eq!(holds, fold.admits(mode, &blockers), "{picked:?}");
            }
        }
    }

    #[test]
    fn a_doubted_entry_stays_until_a_snapshot_lacks_it() {
        let mut fold = fold(&[Mode::Read, Mode::Read]);
        assert!(fold.is_confirmed());
        assert!(fold.drop_doubted().is_empty());
        fold.doubt(Some(&id(1)));
        assert!(!fold.is_confirmed());
        fold.doubt(None);
        let record = Record::Entry(LockEntry::first(Mode::Read));
        fold.put(&id(2), 2, None, &record, at(9));
        assert_eq!(fold.drop_doubted(), [id(1)]);
        assert!(fold.is_confirmed());
    }

    #[test]
    fn a_snapshot_does_not_affect_later_entries() {
        let mut fold = fold(&[Mode::Read, Mode::Read, Mode::Read]);
        let seen = [(id(2), ())].into_iter().collect();
        assert_eq!(fold.drop_unseen(2, &seen), [id(1)]);
        assert_eq!(fold.iter().count(), 2);
    }

    #[test]
    fn an_entry_that_was_given_up_blocks_nobody() {
        let mut fold = fold(&[Mode::Write]);
        assert!(!admits(&fold, Mode::Read));
        fold.leave(&id(1));
        assert!(admits(&fold, Mode::Read));
        // Not even when it is rewritten.
        let record = Record::Entry(LockEntry::first(Mode::Write));
        fold.put(&id(1), 2, None, &record, at(9));
        assert!(fold.blockers(Mode::Write, 9).is_empty());
        assert!(fold.queue().is_empty());
    }

    #[test]
    fn an_entry_being_removed_is_listed_until_it_is_gone() {
        let mut fold = fold(&[Mode::Write]);
        let removal = |under_way| Removal {
            expect: 1,
            shown: 9,
            under_way,
        };
        for under_way in [true, false] {
            fold.get_mut(&id(1)).unwrap().removal = Some(removal(under_way));
            assert!(!admits(&fold, Mode::Write));
            assert_eq!(fold.will_admit(Mode::Write, 9), under_way);
        }
        // But a later write counts.
        fold.get_mut(&id(1)).unwrap().removal = Some(removal(true));
        let record = Record::Entry(LockEntry::first(Mode::Write));
        fold.put(&id(1), 2, None, &record, at(9));
        assert!(!fold.will_admit(Mode::Write, 9));
    }
}
