//! A hold that is changed again before the first change is acknowledged.

use std::time::Duration;

use shizuku::kv::lock::{
    entry::EntryId,
    machine::{Action, Machine, Notice, Outcome},
};

use super::{
    ONE,
    anew::{enter, is_granted, put},
    at, notices,
};

/// The next write requested: its number and its data.
fn written(machine: &mut Machine) -> Option<(u32, String)> {
    match machine.next_action()? {
        Action::Write { entry, .. } => Some((entry.write, entry.data?.to_string())),
        other => panic!("{other:?}"),
    }
}

/// The notices when a write is stored, other than extensions.
fn stored(
    machine: &mut Machine,
    id: &EntryId,
    now: Duration,
    number: u32,
    revision: u64,
) -> Vec<Notice> {
    machine.written(now, id, number, Outcome::Stored(revision));
    notices(machine)
}

/// A held entry whose first change is in flight and whose second is not sent.
fn changed_twice() -> (Machine, EntryId) {
    let mut machine = Machine::new("s").unwatched_for(at(60_000));
    let (id, entry, _) = enter(&mut machine, at(1), 1, 1);
    machine.read(at(2), Some(&[put(&id, 1, &entry)]));
    assert!(is_granted(&mut machine));
    machine.change(at(2000), ONE, None, Some("a".into()));
    assert_eq!(written(&mut machine), Some((1, "a".into())));
    machine.change(at(2000), ONE, None, Some("b".into()));
    assert_eq!(written(&mut machine), None);
    (machine, id)
}

#[test]
fn the_acknowledgement_of_one_change_does_not_complete_the_next() {
    let (mut machine, id) = changed_twice();
    assert_eq!(stored(&mut machine, &id, at(2001), 1, 2), []);
    machine.tick(at(3200));
    assert_eq!(written(&mut machine), Some((2, "b".into())));
    let done = [Notice::Changed { claim: ONE }];
    assert_eq!(stored(&mut machine, &id, at(3201), 2, 3), done);
}

#[test]
fn the_second_change_is_sent_after_the_first_failed() {
    let (mut machine, id) = changed_twice();
    machine.written(at(2001), &id, 1, Outcome::Failed { fatal: false });
    assert_eq!(written(&mut machine), Some((2, "b".into())));
    let done = [Notice::Changed { claim: ONE }];
    assert_eq!(stored(&mut machine, &id, at(2002), 2, 2), done);
}

/// Both have the same condition, so one of them is refused.
#[test]
fn the_second_change_is_resent_if_the_first_was_stored_unacknowledged() {
    let (mut machine, id) = changed_twice();
    machine.written(at(2500), &id, 1, Outcome::Unknown);
    machine.tick(at(7000));
    assert_eq!(written(&mut machine), Some((2, "b".into())));
    machine.written(at(7001), &id, 2, Outcome::Conflict);
    // The watch finally shows the first.
    assert_eq!(stored(&mut machine, &id, at(7002), 1, 2), []);
    machine.tick(at(8200));
    assert_eq!(written(&mut machine), Some((3, "b".into())));
    let done = [Notice::Changed { claim: ONE }];
    assert_eq!(stored(&mut machine, &id, at(8201), 3, 3), done);
}
