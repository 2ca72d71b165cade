//! Settings and accessors for simulation, and the deliberate bugs that it must find; only builds with the
//! feature `simulation` can enable any of them.

#[cfg(feature = "simulation")]
use std::time::Duration;

#[cfg(feature = "simulation")]
use super::{ClaimId, Machine, Mode};

/// A deliberate bug.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Mutant {
    /// No bug: the real machine.
    #[default]
    None,
    /// Every echo decides.
    NoTrustRule,
    /// Refreshes have no condition.
    UnconditionalRefresh,
    /// An acknowledgement received after the end of the lease revives the hold.
    LateAckRevives,
    /// The end of a new watch's initial entries is taken as a proof, although the replica behind the watch
    /// may lag.
    CreationProves,
    /// An entry that the watch reports as vanished is taken as gone.
    VanishedIsGone,
    /// Every acknowledgement decides, whatever precedes the entry in the log.
    AckDecides,
    /// What the watch skipped after an entry was sent is taken as known.
    LatePassing,
    /// A hold that is changed in place counts as given up.
    ChangeLeaves,
    /// A snapshot that does not show the own entry decides.
    AnySnapshot,
    /// A snapshot starts at the own entry, although not everything before it is known.
    ShortSnapshot,
    /// An entry that the server should have removed is not removed.
    LeavesOverdue,
    /// It is purged unconditionally, whatever was written in the meantime.
    UnconditionalRemoval,
    /// It is purged too early.
    RemovesTooSoon,
    /// Its age is counted from its first write.
    AgeOfFirstWrite,
    /// If such a purge is refused, the entry is taken as gone.
    RefusalIsGone,
}

impl Mutant {
    pub(super) fn is(self, mutant: Self) -> bool {
        cfg!(feature = "simulation") && self == mutant
    }
}

#[cfg(feature = "simulation")]
impl Machine {
    /// Creates a machine with this bug.
    #[must_use]
    pub fn mutant(self, mutant: Mutant) -> Self {
        Self { mutant, ..self }
    }

    /// Creates a machine whose claims go without a watch for this long.
    #[must_use]
    pub fn unwatched_for(self, unwatched: Duration) -> Self {
        Self { unwatched, ..self }
    }

    /// Creates a machine that lets at most this many claims of one kind wait in the log.
    #[must_use]
    pub fn crowd_of(mut self, crowd: usize) -> Self {
        self.queue.crowd = crowd;
        self
    }

    /// The mode that the claim requests now.
    pub fn mode(&self, claim: ClaimId) -> Option<Mode> {
        Some(self.claims.get(&claim)?.request.mode)
    }
}
