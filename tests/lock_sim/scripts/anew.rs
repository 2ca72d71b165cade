//! A bucket that is deleted and recreated between two acquires, which the simulated worlds leave
//! out.

use std::time::Duration;

use shizuku::kv::lock::{
    entry::{EntryId, LockEntry, Mode, Record},
    machine::{Action, ClaimId, Event, Machine, Notice, Outcome},
};

use crate::request;

const NOW: Duration = Duration::from_millis(1);

pub fn put(id: &EntryId, revision: u64, entry: &LockEntry) -> Event {
    Event::Put {
        id: id.clone(),
        revision,
        stored: 1,
        record: Record::Entry(entry.clone()),
    }
}

/// Stores an entry; returns it and the sequence from which a snapshot is then requested.
pub fn enter(
    machine: &mut Machine,
    now: Duration,
    claim: u64,
    revision: u64,
) -> (EntryId, LockEntry, u64) {
    machine.acquire(now, ClaimId(claim), request(Mode::Write, 15));
    let Some(Action::Write { id, entry, .. }) = machine.next_action() else {
        panic!("nothing is written");
    };
    machine.written(now, &id, 0, Outcome::Stored(revision));
    let Some(Action::Read { from }) = machine.next_action() else {
        panic!("nothing is read");
    };
    (id, entry, from)
}

pub fn is_granted(machine: &mut Machine) -> bool {
    matches!(machine.next_notice(), Some(Notice::Granted { .. }))
}

/// A machine that has acquired at sequence 100 and released at 150, and the entry purged at 150.
fn used() -> (Machine, EntryId) {
    let long = Duration::from_millis(100);
    let mut machine = Machine::new("s").unwatched_for(long);
    let (id, entry, from) = enter(&mut machine, NOW, 1, 100);
    assert_eq!(from, 0);
    machine.read(NOW, Some(&[put(&id, 100, &entry)]));
    assert!(is_granted(&mut machine));
    machine.release(NOW, ClaimId(1));
    let purge = machine.next_action();
    assert!(matches!(
        purge,
        Some(Action::Purge {
            expect: Some(100),
            ..
        })
    ));
    machine.purged(NOW, &id, Outcome::Stored(150));
    assert_eq!(
        machine.next_notice(),
        Some(Notice::Released { claim: ClaimId(1) })
    );
    (machine, id)
}

#[test]
fn a_partial_snapshot_decides_if_the_rest_of_the_log_is_known() {
    let (mut machine, left) = used();
    let (id, entry, from) = enter(&mut machine, NOW, 2, 200);
    assert_eq!(from, 101);
    let gone = Event::Gone {
        id: left,
        revision: 150,
    };
    machine.read(NOW, Some(&[gone, put(&id, 200, &entry)]));
    assert!(is_granted(&mut machine));
}

#[test]
fn a_partial_snapshot_of_a_recreated_log_decides_nothing() {
    let (mut machine, _) = used();
    let (id, entry, from) = enter(&mut machine, NOW, 2, 200);
    assert_eq!(from, 101);
    // Its own entry is there, but the marker of its purge is not: this is another log, of which 1
    // to 100 are unknown.
    machine.read(NOW, Some(&[put(&id, 200, &entry)]));
    assert_eq!(machine.next_action(), Some(Action::Read { from: 0 }));
    assert_eq!(machine.next_action(), None);
    let other = EntryId::new("other-1");
    machine.read(NOW, Some(&[put(&other, 7, &entry), put(&id, 200, &entry)]));
    assert!(!is_granted(&mut machine));
}

#[test]
fn an_expired_purge_marker_is_no_longer_relied_on() {
    let (mut machine, _) = used();
    let (_, _, from) = enter(&mut machine, Duration::from_secs(6), 2, 200);
    assert_eq!(from, 0);
}
