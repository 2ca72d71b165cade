//! The inputs and outputs of the machine.

use std::{sync::Arc, time::Duration};

#[cfg(doc)]
use super::Machine;
use crate::kv::lock::entry::{EntryId, LockEntry, Mode, Record};

/// A claim: a hold, or a waiting acquire. Numbered by the caller; each number is used once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClaimId(pub u64);

/// What a claim requests.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Request {
    /// Shared, exclusive, or a permit.
    pub mode: Mode,
    /// The lease in whole seconds.
    pub lease: u32,
    /// The label, for humans.
    pub label: Option<Arc<str>>,
    /// The data, for programs.
    pub data: Option<Arc<str>>,
    /// Gives up instead of waiting.
    pub try_only: bool,
}

impl Request {
    pub(super) fn lease(&self) -> Duration {
        Duration::from_secs(self.lease.into())
    }
}

/// An event of a watch.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Event {
    /// A write.
    Put {
        /// Whose entry.
        id: EntryId,
        /// Its sequence in the stream.
        revision: u64,
        /// When the server stored it, by its clock, in ms since 1970.
        stored: u64,
        /// The decoded value.
        record: Record,
    },
    /// A delete, purge or expiry.
    Gone {
        /// Whose entry.
        id: EntryId,
        /// Its sequence in the stream.
        revision: u64,
    },
    /// The entry was absent after an interruption, without a trace in the stream.
    Vanished {
        /// Whose entry.
        id: EntryId,
    },
    /// The initial entries, or those held back by an interruption, are complete.
    Current,
    /// The watch was interrupted and will resume by itself.
    Interrupted,
    /// The watch ended; a new one is needed.
    Ended {
        /// Whether a new watch would fare no better.
        fatal: bool,
    },
}

/// The outcome of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// Stored at this sequence.
    Stored(u64),
    /// Not stored: the condition was not met.
    Conflict,
    /// It is unknown whether it was stored.
    Unknown,
    /// Not stored.
    Failed {
        /// Whether a retry is pointless.
        fatal: bool,
    },
}

/// Why a hold ended before it was released.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LostWhy {
    /// The entry expired, or was removed.
    Gone,
    /// A refresh was refused.
    Refused,
    /// No refresh was acknowledged in time.
    Lapsed,
}

/// Why a claim was given up before it held the lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum GivenUp {
    /// It was a try, and another participant holds or waits.
    WouldBlock,
    /// The service permanently refuses the watch or the entry.
    Fatal,
    /// The service was unreachable for about the length of a lease.
    Unreachable,
}

/// A request to send.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// Drop the watch if there is one, and open a new one.
    Watch,
    /// Write an entry with its lease as TTL, and report to [`Machine::written`].
    Write {
        /// Its id.
        id: EntryId,
        /// The entry to write. `write` identifies the outcome.
        entry: LockEntry,
        /// The revision it is conditional on; `None` for the first write of an entry.
        expect: Option<u64>,
    },
    /// Write a probe and report to [`Machine::probed`].
    Probe {
        /// Its id.
        id: EntryId,
    },
    /// Read the last message of every entry, all as of one moment, and report to [`Machine::read`].
    Read {
        /// Only messages from this revision on; 0 for all.
        from: u64,
    },
    /// Purge an entry and report to [`Machine::purged`].
    Purge {
        /// Its id.
        id: EntryId,
        /// The revision it is conditional on.
        expect: Option<u64>,
    },
}

/// A notice for the caller that made a claim.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Notice {
    /// The claim now holds the lock.
    Granted {
        /// The claim.
        claim: ClaimId,
        /// The fencing token.
        token: u64,
        /// The end of the trusted lease.
        until: Duration,
    },
    /// The trusted lease of a held claim was extended.
    Extended {
        /// The claim.
        claim: ClaimId,
        /// The end of the trusted lease.
        until: Duration,
    },
    /// The change of a held claim is stored.
    Changed {
        /// The claim.
        claim: ClaimId,
    },
    /// The hold was lost, which ends the claim.
    Lost {
        /// The claim.
        claim: ClaimId,
        /// The reason.
        why: LostWhy,
    },
    /// The claim was given up without having held.
    GaveUp {
        /// The claim.
        claim: ClaimId,
        /// The reason.
        why: GivenUp,
    },
    /// The released claim is out of the log.
    Released {
        /// The claim.
        claim: ClaimId,
    },
    /// The released claim had already been lost.
    NotHeld {
        /// The claim.
        claim: ClaimId,
    },
    /// The released claim could not be removed from the log yet. Removal is retried until the lease has run
    /// out.
    ReleaseFailed {
        /// The claim.
        claim: ClaimId,
    },
}
