//! What a simulation sets and sees, and the mistakes that it must find: without the feature
//! `simulation` a build cannot make any of them.

#[cfg(feature = "simulation")]
use std::time::Duration;

#[cfg(feature = "simulation")]
use super::{ClaimId, Machine, Mode};

/// A mistake.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Mutant {
    /// No mistake: the real machine.
    #[default]
    None,
    /// Every echo decides.
    NoTrustRule,
    /// Refreshes have no condition.
    UnconditionalRefresh,
    /// An acknowledgement that comes after the end of the lease revives the hold.
    LateAckRevives,
    /// The end of the initial entries of a new watch is taken for a proof, though the copy of the
    /// stream behind the watch may lag.
    CreationProves,
    /// An entry that the watch reports as vanished is taken for gone.
    VanishedIsGone,
    /// Every acknowledgement decides, whatever stands in the log before the entry.
    AckDecides,
    /// What the watch passed over after an entry was sent is taken for known.
    LatePassing,
    /// A hold that is changed in place counts as given up.
    ChangeLeaves,
    /// A snapshot that does not show the own entry decides.
    AnySnapshot,
    /// A snapshot begins at the own entry, though not all before it is known.
    ShortSnapshot,
    /// An entry that the server should have removed is not removed.
    LeavesOverdue,
    /// It is purged without a condition, whatever was written meanwhile.
    UnconditionalRemoval,
    /// It is purged before its time.
    RemovesTooSoon,
    /// Its age is counted from its first write.
    AgeOfFirstWrite,
    /// If such a purge is refused, the entry is taken for gone.
    RefusalIsGone,
}

impl Mutant {
    pub(super) fn is(self, mutant: Self) -> bool {
        cfg!(feature = "simulation") && self == mutant
    }
}

#[cfg(feature = "simulation")]
impl Machine {
    /// A machine that makes this mistake.
    #[must_use]
    pub fn mutant(self, mutant: Mutant) -> Self {
        Self { mutant, ..self }
    }

    /// A machine whose claims do without a watch for this long.
    #[must_use]
    pub fn unwatched_for(self, unwatched: Duration) -> Self {
        Self { unwatched, ..self }
    }

    /// A machine that has no more claims of one kind wait in the log than these.
    #[must_use]
    pub fn crowd_of(mut self, crowd: usize) -> Self {
        self.queue.crowd = crowd;
        self
    }

    /// What the claim asks for now.
    pub fn mode(&self, claim: ClaimId) -> Option<Mode> {
        Some(self.claims.get(&claim)?.request.mode)
    }
}
