//! What a participant knows about one of its holds, or wishes for one.

use super::*;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Phase {
    /// Has no entry.
    Outside,
    /// Has an entry, and waits for its echo and for those before it.
    Inside {
        blockers: Option<SortedSet<EntryId>>,
    },
    Held,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Claim {
    pub(super) request: Request,
    pub(super) phase: Phase,
    pub(super) own: Option<Own>,
    pub(super) began: Duration,
    /// When it may want a watch, if it is not over by then.
    pub(super) watch_from: Duration,
    /// Since when nothing has worked.
    pub(super) stuck_since: Option<Duration>,
    /// Not to be tried again before.
    pub(super) retry_at: Duration,
}

impl Claim {
    /// Its ticket, if what is before it in the log is not known yet.
    pub(super) fn undecided(&self) -> Option<u64> {
        match self.phase {
            Phase::Inside { blockers: None } => self.own.as_ref()?.ticket,
            _ => None,
        }
    }

    /// Whether there may be something to do for it: a hold waits for nothing but time.
    pub(super) fn is_due(&self, now: Duration) -> bool {
        let lease = self.request.lease();
        let is_due = |own: &Own| {
            now >= own.trusted_until(lease) || own.due(lease).is_some_and(|due| now >= due)
        };
        self.phase != Phase::Held || self.own.as_ref().is_some_and(is_due)
    }

    pub(super) fn has_echoed(&self) -> bool {
        self.own.as_ref().is_some_and(|own| own.echoed)
    }
}
