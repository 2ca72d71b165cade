//! A bucket that is deleted and made anew between two acquires, which the worlds leave out.

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

/// Has an entry stored, and answers it and where the snapshot begins that is asked for then.
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

/// A machine that has held and released at 100 and 150, and what it left at 150.
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
fn a_snapshot_of_what_is_new_decides_in_the_log_that_is_known() {
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
fn it_decides_nothing_in_another_log() {
    let (mut machine, _) = used();
    let (id, entry, from) = enter(&mut machine, NOW, 2, 200);
    assert_eq!(from, 101);
    // Its own entry is there, but not what it left: in this log, 1 to 100 are not known.
    machine.read(NOW, Some(&[put(&id, 200, &entry)]));
    assert_eq!(machine.next_action(), Some(Action::Read { from: 0 }));
    assert_eq!(machine.next_action(), None);
    let other = EntryId::new("other-1");
    machine.read(NOW, Some(&[put(&other, 7, &entry), put(&id, 200, &entry)]));
    assert!(!is_granted(&mut machine));
}

#[test]
fn what_was_left_is_not_looked_for_when_its_time_is_over() {
    let (mut machine, _) = used();
    let (_, _, from) = enter(&mut machine, Duration::from_secs(6), 2, 200);
    assert_eq!(from, 0);
}
