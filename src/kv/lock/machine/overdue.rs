//! Entries that the server should have removed long ago, but still shows.
//!
//! A server that rereads its file store after a crash may bring back what had expired or been purged, and never
//! removes it again (nats-server issue 8505). Such an entry would block the lock for ever. So a waiting
//! participant removes it, and decides by two times of the server's clock: an own message is behind the entry in
//! the log, and was stored when the lease of the entry had been over for a while. By then the holder no longer
//! trusted its lease, unless it has written the entry again. So the purge is conditional on the revision: it is
//! refused if the entry was written again before, and a write that comes later is refused in its turn.
//!
//! This trusts the server's clock no more than the server itself does when it removes entries. A refusal proves
//! nothing: a deposed leader may refuse as well.

use super::*;
use crate::kv::lock::fold::{Removal, Standing};

/// How much older than its lease an entry must be. The server itself may be a second late.
const GRACE: Duration = Duration::from_secs(2);

/// How many are purged at once: every entry that ever existed may have come back.
const AT_ONCE: usize = 32;

/// An own message that has come through the watch, or that a snapshot showed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Shown {
    revision: u64,
    /// When, by the server's clock, in ms since 1970.
    stored: u64,
}

impl Shown {
    /// Whether an entry of that age should have been removed when this was stored.
    fn outlives(&self, live: &Standing, since: Option<u64>) -> bool {
        let stood = since.and_then(|at| self.stored.checked_sub(at));
        // An unreadable entry does not say how long it lives.
        live.mode.is_some()
            && live.revision < self.revision
            && stood.is_some_and(|stood| Duration::from_millis(stood) > live.lease + GRACE)
    }
}

impl Machine {
    /// An own message has come back.
    pub(super) fn shown(&mut self, revision: u64, stored: u64) {
        self.shown = Some(Shown { revision, stored });
    }

    /// Removes entries that block waiting claims though their holders are gone.
    pub(super) fn settle_overdue(&mut self) {
        let Some(shown) = &self.shown else { return };
        if self.waiting().next().is_none() || self.mutant.is(Mutant::LeavesOverdue) {
            return;
        }
        let in_removal = |(_, live): &(&EntryId, &Standing)| live.is_in_removal();
        let mut under_way = self.fold.iter().filter(in_removal).count();
        let mut overdue = Vec::new();
        for (id, live) in self.fold.iter() {
            let first = self.mutant.is(Mutant::AgeOfFirstWrite);
            let since = if first { live.since } else { live.stored };
            let soon = self.mutant.is(Mutant::RemovesTooSoon);
            let tried = |last: &Removal| last.under_way || last.shown >= shown.revision;
            if under_way < AT_ONCE
                && (soon || shown.outlives(live, since))
                && !self.is_of_this_session(id)
                && !live.removal.as_ref().is_some_and(tried)
            {
                under_way += 1;
                overdue.push((id.clone(), live.revision));
            }
        }
        let shown = shown.revision;
        for (id, revision) in overdue {
            if let Some(live) = self.fold.get_mut(&id) {
                live.removal = Some(Removal {
                    expect: revision,
                    shown,
                    under_way: true,
                });
            }
            self.purge_overdue(id, revision);
        }
    }

    fn purge_overdue(&mut self, id: EntryId, expect: u64) {
        let unconditional = self.mutant.is(Mutant::UnconditionalRemoval);
        let expect = Some(expect).filter(|_| !unconditional);
        self.actions.push_back(Action::Purge { id, expect });
    }

    /// Whether there is an entry that may be overdue, but cannot be judged yet: nothing has been heard of
    /// it since the watch showed it, and there is no own message to compare its time with.
    pub(super) fn is_age_unknown(&self) -> bool {
        let Watch::Open {
            synced: true,
            since,
        } = self.watch
        else {
            return false;
        };
        let mut all = self.fold.iter();
        self.shown.is_none() && all.any(|(_, live)| live.heard <= since)
    }

    /// The outcome of such a purge.
    pub(super) fn removal_ended(&mut self, id: &EntryId, outcome: Outcome) {
        if let Outcome::Stored(revision) = outcome {
            self.log.acknowledged(revision);
            self.removed(id, revision);
        }
        // It is also over if the entry was written again meanwhile, or has gone.
        let live = self.fold.get_mut(id);
        let Some(removal) = live.and_then(|live| live.removal.as_mut()) else {
            return;
        };
        removal.under_way = false;
        match outcome {
            Outcome::Conflict if self.mutant.is(Mutant::RefusalIsGone) => {
                self.removed(id, u64::MAX);
            }
            // It was written again, which the watch will show. Or it is gone, and only the copy behind the
            // watch still has it: then a marker corrects that copy.
            Outcome::Conflict if removal.expect > 0 => {
                removal.expect = 0;
                removal.under_way = true;
                self.purge_overdue(id.clone(), 0);
            }
            Outcome::Failed { fatal: true } => removal.shown = u64::MAX,
            _ => {}
        }
    }
}
