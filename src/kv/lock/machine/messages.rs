//! The inputs and outputs of the machine.

use std::{sync::Arc, time::Duration};

#[cfg(doc)]
use super::Machine;
use crate::kv::lock::entry::{EntryId, LockEntry, Mode, Record};

/// A hold or the wish for one, numbered by the caller; a number is used once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClaimId(pub u64);

/// What a claim asks for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Request {
    /// Shared, alone, or a permit.
    pub mode: Mode,
    /// The lease in whole seconds.
    pub lease: u32,
    /// For humans.
    pub label: Option<Arc<str>>,
    /// For programs.
    pub data: Option<Arc<str>>,
    /// Gives up if it would have to wait.
    pub try_only: bool,
}

impl Request {
    pub(super) fn lease(&self) -> Duration {
        Duration::from_secs(self.lease.into())
    }
}

/// What a watch says.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Event {
    /// A write.
    Put {
        /// Whose.
        id: EntryId,
        /// Its sequence in the stream.
        revision: u64,
        /// When the server stored it, by its clock, in ms since 1970.
        stored: u64,
        /// What it says.
        record: Record,
    },
    /// A delete, purge or expiry.
    Gone {
        /// Whose.
        id: EntryId,
        /// Its sequence in the stream.
        revision: u64,
    },
    /// Absent after an interruption, without a trace in the stream.
    Vanished {
        /// What.
        id: EntryId,
    },
    /// The initial entries, or what an interruption held back, are complete.
    Current,
    /// The watch was interrupted and goes on by itself.
    Interrupted,
    /// The watch ended; a new one is needed.
    Ended {
        /// A new one will not do better.
        fatal: bool,
    },
}

/// The outcome of something that was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// Stored at this sequence.
    Stored(u64),
    /// Not stored: the condition was not met.
    Conflict,
    /// Unknown.
    Unknown,
    /// Not stored. `fatal`: and never will be.
    Failed {
        /// Trying again makes no sense.
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

/// Why a claim was given up before it held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum GivenUp {
    /// It was only to be tried, and another participant holds or waits.
    WouldBlock,
    /// The service refuses the watch or the entry for good.
    Fatal,
    /// The service could not be reached for about a lease.
    Unreachable,
}

/// What is to be sent.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// Drop the watch if there is one, and open a new one.
    Watch,
    /// Write an entry, with its lease as time to live, and report to [`Machine::written`].
    Write {
        /// Its id.
        id: EntryId,
        /// What it says. `write` numbers the outcome.
        entry: LockEntry,
        /// The revision it is conditional on; the first write of an entry has none.
        expect: Option<u64>,
    },
    /// Write a probe and report to [`Machine::probed`].
    Probe {
        /// Its id.
        id: EntryId,
    },
    /// Read the last message of every entry, all as of one moment, and report to [`Machine::read`].
    Read {
        /// Only messages from this revision on; 0: all.
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

/// What is to be told to the caller that made a claim.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Notice {
    /// The claim holds.
    Granted {
        /// Which.
        claim: ClaimId,
        /// The fencing token.
        token: u64,
        /// The end of the trusted lease.
        until: Duration,
    },
    /// The trusted lease of a held claim reaches further.
    Extended {
        /// Which.
        claim: ClaimId,
        /// The end of the trusted lease.
        until: Duration,
    },
    /// The change of a held claim is stored.
    Changed {
        /// Which.
        claim: ClaimId,
    },
    /// The hold is lost. The claim is over.
    Lost {
        /// Which.
        claim: ClaimId,
        /// Why.
        why: LostWhy,
    },
    /// The claim is over; it never held.
    GaveUp {
        /// Which.
        claim: ClaimId,
        /// Why.
        why: GivenUp,
    },
    /// The claim that was released is out of the log.
    Released {
        /// Which.
        claim: ClaimId,
    },
    /// The claim that was released had been lost before.
    NotHeld {
        /// Which.
        claim: ClaimId,
    },
    /// The claim that was released could not be removed from the log yet. It is tried again until
    /// the lease has run out.
    ReleaseFailed {
        /// Which.
        claim: ClaimId,
    },
}
