//! A participant's knowledge about one of its claims, held or waiting.

use super::*;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Phase {
    /// Has no entry.
    Outside,
    /// Has an entry, and waits for its echo and for the entries before it.
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
    /// When it needs a watch if it is not over by then.
    pub(super) watch_from: Duration,
    /// Since when nothing has succeeded.
    pub(super) stuck_since: Option<Duration>,
    /// The earliest time of the next attempt.
    pub(super) retry_at: Duration,
}

impl Claim {
    /// Its ticket, if the log before it is not known yet.
    pub(super) fn undecided(&self) -> Option<u64> {
        match self.phase {
            Phase::Inside { blockers: None } => self.own.as_ref()?.ticket,
            _ => None,
        }
    }

    /// Whether it may need action: a hold waits only for time to pass.
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
