//! Scripts: specific events in a specific order that the simulated worlds rarely or never produce.
//! This module has their shared helpers.

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

/// The requested actions, in order.
pub fn actions(machine: &mut Machine) -> Vec<Action> {
    std::iter::from_fn(|| machine.next_action()).collect()
}

/// The notices for callers, other than extensions.
pub fn notices(machine: &mut Machine) -> Vec<Notice> {
    std::iter::from_fn(|| machine.next_notice())
        .filter(|notice| !matches!(notice, Notice::Extended { .. }))
        .collect()
}

/// Acquires the lock.
pub fn acquire(machine: &mut Machine, now: Duration, claim: ClaimId, mode: Mode) {
    machine.acquire(now, claim, request(mode, LEASE));
}

/// Tries to acquire the lock.
pub fn attempt(machine: &mut Machine, now: Duration, claim: ClaimId, mode: Mode) {
    let try_only = true;
    let request = Request {
        try_only,
        ..request(mode, LEASE)
    };
    machine.acquire(now, claim, request);
}

/// Expects a single action, a write; returns its entry.
pub fn write(machine: &mut Machine) -> (EntryId, LockEntry) {
    match &actions(machine)[..] {
        [Action::Write { id, entry, .. }] => (id.clone(), entry.clone()),
        other => panic!("{other:?}"),
    }
}

/// Expects a single action, a probe.
pub fn probe(machine: &mut Machine) -> EntryId {
    match &actions(machine)[..] {
        [Action::Probe { id }] => id.clone(),
        other => panic!("{other:?}"),
    }
}

/// Whether the only action is a purge of this entry on this condition.
pub fn purges(machine: &mut Machine, id: &EntryId, expect: Option<u64>) -> bool {
    let id = id.clone();
    actions(machine) == [Action::Purge { id, expect }]
}

/// The granted claim and its token, if that is the only notice.
pub fn granted(machine: &mut Machine) -> Option<(ClaimId, u64)> {
    match notices(machine)[..] {
        [Notice::Granted { claim, token, .. }] => Some((claim, token)),
        [] => None,
        ref other => panic!("{other:?}"),
    }
}

/// The first write of another participant.
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

/// A machine whose watch began at time 0, and has shown at 1 ms that there are no entries and that
/// the log ends at 10.
pub fn watching() -> Machine {
    let mut machine = Machine::new("s");
    machine.observe(at(0), true);
    assert_eq!(actions(&mut machine), [Action::Watch]);
    machine.event(at(1), gone("other-0", 10));
    machine.event(at(1), Event::Current);
    assert!(machine.is_synced());
    machine
}

/// Another participant holds.
pub fn taken(mode: Mode) -> Machine {
    let mut machine = watching();
    machine.event(at(2), other("other-1", mode, 11));
    machine
}

/// A machine with a watch that has held with ticket 11 since 2 ms.
pub fn holding(mode: Mode) -> (Machine, EntryId, LockEntry) {
    let mut machine = watching();
    acquire(&mut machine, at(2), ONE, mode);
    let (id, entry) = write(&mut machine);
    machine.written(at(2), &id, 0, Outcome::Stored(11));
    assert_eq!(granted(&mut machine), Some((ONE, 11)));
    (machine, id, entry)
}
