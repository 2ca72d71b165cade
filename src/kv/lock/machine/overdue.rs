//! Entries that the server should have removed long ago, but still shows.
//!
//! A server that rereads its file store after a crash may bring back entries that had expired or been
//! purged, and never remove them again (nats-server issue 8505). Such an entry would block the lock
//! forever. So a waiting participant removes it, and decides by comparing two times of the server's clock:
//! an own message comes after the entry in the log, and was stored when the entry's lease had been over for
//! a while. By then the holder no longer trusted its lease, unless it has written the entry again. So the
//! purge is conditional on the revision: it is refused if the entry was rewritten before it, and a later
//! rewrite is refused in turn.
//!
//! This trusts the server's clock no more than the server itself does when it expires entries. A refusal
//! proves nothing: it may also come from a deposed leader.

use super::*;
use crate::kv::lock::fold::{Removal, Standing};

/// How far past its lease an entry must be. The server itself may be a second late.
const GRACE: Duration = Duration::from_secs(2);

/// How many entries to purge concurrently: every entry that ever existed may have come back.
const AT_ONCE: usize = 32;

/// An own message shown by the watch or a snapshot.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Shown {
    revision: u64,
    /// When it was stored, by the server's clock, in ms since 1970.
    stored: u64,
}

impl Shown {
    /// Whether an entry stored at `since` should have been removed by the time this message was stored.
    fn outlives(&self, live: &Standing, since: Option<u64>) -> bool {
        let stood = since.and_then(|at| self.stored.checked_sub(at));
        // The lease of an unreadable entry is unknown.
        live.mode.is_some()
            && live.revision < self.revision
            && stood.is_some_and(|stood| Duration::from_millis(stood) > live.lease + GRACE)
    }
}

impl Machine {
    /// Records that an own message was shown.
    pub(super) fn shown(&mut self, revision: u64, stored: u64) {
        self.shown = Some(Shown { revision, stored });
    }

    /// Removes entries that block waiting claims although their holders are gone.
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

    /// Whether some entry may be overdue, but cannot be judged yet: nothing has been heard of it since the
    /// watch showed it, and there is no own message to compare its time with.
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

    /// Handles the outcome of a purge of an overdue entry.
    pub(super) fn removal_ended(&mut self, id: &EntryId, outcome: Outcome) {
        if let Outcome::Stored(revision) = outcome {
            self.log.acknowledged(revision);
            self.removed(id, revision);
        }
        // The attempt is also over if the entry was rewritten or removed in the meantime.
        let live = self.fold.get_mut(id);
        let Some(removal) = live.and_then(|live| live.removal.as_mut()) else {
            return;
        };
        removal.under_way = false;
        match outcome {
            Outcome::Conflict if self.mutant.is(Mutant::RefusalIsGone) => {
                self.removed(id, u64::MAX);
            }
            // Either it was rewritten, which the watch will show. Or it is gone, and only the replica
            // behind the watch still has it: then a marker corrects that replica.
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
