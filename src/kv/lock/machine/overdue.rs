//! Entries that the server should have removed long ago, and shows all the same.
//!
//! A file store that is read anew after a crash may bring back what had expired or been purged, and never
//! removes it again (nats-server issue 8505). Nobody would get past such an entry. So whoever waits takes it
//! out, and decides by two moments of the server's clock: an own message stands behind the entry in the log,
//! and was stored when the lease of the entry had been over for a while. Its holder had stopped believing by
//! then, unless it has written the entry again. So the purge is conditional on the revision: it is refused if
//! the entry was written again before, and a write that comes later is refused in its turn.
//!
//! This trusts the server's clock no further than the server does, which removes an entry by it. Nothing is
//! concluded from a refusal: a leader that has been deposed may refuse as well.

use super::*;
use crate::kv::lock::fold::Standing;

/// How much longer than its lease an entry must have stood. The server may take a second of it.
const GRACE: Duration = Duration::from_secs(2);

/// How many are purged at once: all that was ever there may have come back.
const AT_ONCE: usize = 32;

/// A message of one's own that has come through the watch, or that a snapshot showed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Shown {
    revision: u64,
    /// When, by the server's clock, in ms since 1970.
    stored: u64,
}

impl Shown {
    /// Whether an entry that has stood since then should have been removed when this was stored.
    fn outlives(&self, live: &Standing, since: Option<u64>) -> bool {
        let stood = since.and_then(|at| self.stored.checked_sub(at));
        // What cannot be read does not say for how long it lives.
        live.mode.is_some()
            && live.revision < self.revision
            && stood.is_some_and(|stood| Duration::from_millis(stood) > live.lease + GRACE)
    }
}

/// An attempt to take out such an entry.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Removal {
    /// What the purge is conditional on: the entry's revision, or 0 if it was refused for that.
    expect: u64,
    /// The own message that showed the entry to be overdue. Only a later one leads to another attempt.
    shown: u64,
    under_way: bool,
}

impl Machine {
    /// An own message has come back.
    pub(super) fn shown(&mut self, revision: u64, stored: u64) {
        self.shown = Some(Shown { revision, stored });
    }

    /// Takes out what keeps those who wait from what nobody holds.
    pub(super) fn settle_overdue(&mut self) {
        let fold = &self.fold;
        self.removals
            .retain(|id, removal| removal.under_way || fold.get(id).is_some());
        let Some(shown) = &self.shown else { return };
        if self.waiting().next().is_none() || self.mutant.is(Mutant::LeavesOverdue) {
            return;
        }
        let mut under_way = self.removals.values().filter(|r| r.under_way).count();
        let mut overdue = Vec::new();
        for (id, live) in self.fold.iter() {
            let first = self.mutant.is(Mutant::AgeOfFirstWrite);
            let since = if first { live.since } else { live.stored };
            let soon = self.mutant.is(Mutant::RemovesTooSoon);
            let tried = |removal: &Removal| removal.under_way || removal.shown >= shown.revision;
            if under_way < AT_ONCE
                && (soon || shown.outlives(live, since))
                && !self.is_of_this_session(id)
                && !self.removals.get(id).is_some_and(tried)
            {
                under_way += 1;
                overdue.push((id.clone(), live.revision));
            }
        }
        let shown = shown.revision;
        for (id, revision) in overdue {
            let removal = Removal {
                expect: revision,
                shown,
                under_way: true,
            };
            self.removals.insert(id.clone(), removal);
            self.purge_overdue(id, revision);
        }
    }

    fn purge_overdue(&mut self, id: EntryId, expect: u64) {
        let unconditional = self.mutant.is(Mutant::UnconditionalRemoval);
        let expect = Some(expect).filter(|_| !unconditional);
        self.actions.push_back(Action::Purge { id, expect });
    }

    /// Whether somebody stands there of whom it is not known if they should have gone long ago: nothing
    /// has been heard of them since the watch has shown them, and no own message to measure them by.
    pub(super) fn is_age_unknown(&self) -> bool {
        let Watch::Open {
            synced: true,
            since,
        } = self.watch
        else {
            return false;
        };
        let silent =
            |(id, live): (&EntryId, &Standing)| live.heard <= since && !self.is_of_this_session(id);
        self.shown.is_none() && self.fold.iter().any(silent)
    }

    /// Whether an entry of this mode would hold if what is being taken out were gone.
    pub(super) fn soon_admits(&self, mode: Mode, mut blockers: SortedSet<EntryId>) -> bool {
        blockers.retain(|id, ()| !self.removals.get(id).is_some_and(|r| r.under_way));
        self.fold.admits(mode, &blockers)
    }

    /// The outcome of a purge, if it was of an overdue entry. Answers whether it was.
    pub(super) fn removal_ended(&mut self, id: &EntryId, outcome: Outcome) -> bool {
        let Some(removal) = self.removals.get_mut(id) else {
            return false;
        };
        match outcome {
            Outcome::Conflict if self.mutant.is(Mutant::RefusalIsGone) => {
                self.removed(id, u64::MAX);
            }
            // It was written again, which the watch will show. Or it is gone, and only the copy behind the
            // watch still has it: then nothing of it is there, and a marker puts that copy right.
            Outcome::Conflict if removal.expect > 0 => {
                removal.expect = 0;
                self.purge_overdue(id.clone(), 0);
                return true;
            }
            Outcome::Stored(revision) => {
                self.log.acknowledged(revision);
                self.removed(id, revision);
            }
            Outcome::Failed { fatal: true } => removal.shown = u64::MAX,
            Outcome::Conflict | Outcome::Unknown | Outcome::Failed { .. } => {}
        }
        if let Some(removal) = self.removals.get_mut(id) {
            removal.under_way = false;
        }
        true
    }
}
