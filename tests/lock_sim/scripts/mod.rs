//! Certain events in a certain order, which the worlds seldom or never bring: what the machine makes of them.
//! Here is what the scripts share.

mod anew;
mod change;
mod crowd;
mod ends;
mod known;
mod leaving;
mod lost;
mod overdue;
mod pace;
mod queue;
mod snapshots;
mod trusted;

use std::time::Duration;

use shizuku::kv::lock::{
    entry::{EntryId, LockEntry, Mode, Record},
    machine::{Action, ClaimId, Event, Machine, Notice, Outcome, Request},
};

use self::anew::put;
use crate::request;

pub const ONE: ClaimId = ClaimId(1);
pub const TWO: ClaimId = ClaimId(2);
pub const LEASE: u32 = 15;

pub const fn at(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// What is to be sent, in order.
pub fn actions(machine: &mut Machine) -> Vec<Action> {
    std::iter::from_fn(|| machine.next_action()).collect()
}

/// What callers are told, besides longer leases.
pub fn notices(machine: &mut Machine) -> Vec<Notice> {
    std::iter::from_fn(|| machine.next_notice())
        .filter(|notice| !matches!(notice, Notice::Extended { .. }))
        .collect()
}

/// Asks for the lock.
pub fn acquire(machine: &mut Machine, now: Duration, claim: ClaimId, mode: Mode) {
    machine.acquire(now, claim, request(mode, LEASE));
}

/// Asks for the lock if nobody has it.
pub fn attempt(machine: &mut Machine, now: Duration, claim: ClaimId, mode: Mode) {
    let try_only = true;
    let request = Request {
        try_only,
        ..request(mode, LEASE)
    };
    machine.acquire(now, claim, request);
}

/// The one thing that is to be sent is a write: of which entry, and what.
pub fn write(machine: &mut Machine) -> (EntryId, LockEntry) {
    match &actions(machine)[..] {
        [Action::Write { id, entry, .. }] => (id.clone(), entry.clone()),
        other => panic!("{other:?}"),
    }
}

/// The one thing that is to be sent is a probe.
pub fn probe(machine: &mut Machine) -> EntryId {
    match &actions(machine)[..] {
        [Action::Probe { id }] => id.clone(),
        other => panic!("{other:?}"),
    }
}

/// The one thing that is to be sent is a purge of this, on this condition.
pub fn purges(machine: &mut Machine, id: &EntryId, expect: Option<u64>) -> bool {
    let id = id.clone();
    actions(machine) == [Action::Purge { id, expect }]
}

/// Which claim was granted, and with which token, if that is all that is told.
pub fn granted(machine: &mut Machine) -> Option<(ClaimId, u64)> {
    match notices(machine)[..] {
        [Notice::Granted { claim, token, .. }] => Some((claim, token)),
        [] => None,
        ref other => panic!("{other:?}"),
    }
}

/// Somebody else's first write.
pub fn other(name: &str, mode: Mode, revision: u64) -> Event {
    put(&EntryId::new(name), revision, &LockEntry::new(mode, LEASE))
}

pub fn gone(name: &str, revision: u64) -> Event {
    let id = EntryId::new(name);
    Event::Gone { id, revision }
}

pub fn echo_of_probe(id: &EntryId, revision: u64) -> Event {
    Event::Put {
        id: id.clone(),
        revision,
        stored: 1,
        record: Record::Probe,
    }
}

/// Looks on at time 0, and sees at 1 ms that nobody is there and that the log ends at 10.
pub fn watching() -> Machine {
    let mut machine = Machine::new("s");
    machine.observe(at(0), true);
    assert_eq!(actions(&mut machine), [Action::Watch]);
    machine.event(at(1), gone("other-0", 10));
    machine.event(at(1), Event::Current);
    assert!(machine.is_synced());
    machine
}

/// Holds by an entry with ticket 11 since 2 ms, with the watch open.
pub fn holding(mode: Mode) -> (Machine, EntryId, LockEntry) {
    let mut machine = watching();
    acquire(&mut machine, at(2), ONE, mode);
    let (id, entry) = write(&mut machine);
    machine.written(at(2), &id, 0, Outcome::Stored(11));
    assert_eq!(granted(&mut machine), Some((ONE, 11)));
    (machine, id, entry)
}
