//! Snapshots, which replace a watch.

use shizuku::kv::lock::{
    entry::{EntryId, LockEntry, Mode},
    machine::{Action, ClaimId, Event, LostWhy, Machine, Notice, Outcome},
};

use super::{
    ONE, TWO, acquire, actions, anew::put, at, echo_of_probe, gone, granted, notices, other, write,
};

fn machine() -> Machine {
    Machine::new("s").unwatched_for(at(100))
}

/// Acquires, and returns the entry whose write is not yet acknowledged.
fn sent(machine: &mut Machine, claim: ClaimId, mode: Mode) -> (EntryId, LockEntry) {
    acquire(machine, at(1), claim, mode);
    write(machine)
}

/// A machine that has requested a snapshot for an entry stored as 11.
fn asked(mode: Mode) -> (Machine, Event) {
    let mut machine = machine();
    let (id, entry) = sent(&mut machine, ONE, mode);
    machine.written(at(2), &id, 0, Outcome::Stored(11));
    assert_eq!(actions(&mut machine), [Action::Read { from: 0 }]);
    (machine, put(&id, 11, &entry))
}

#[test]
fn a_snapshot_decides_every_entry_that_it_shows() {
    let mut machine = machine();
    let (one, first) = sent(&mut machine, ONE, Mode::Read);
    let (two, second) = sent(&mut machine, TWO, Mode::Read);
    machine.written(at(2), &one, 0, Outcome::Stored(11));
    assert_eq!(actions(&mut machine), [Action::Read { from: 0 }]);
    // No second snapshot is requested meanwhile.
    machine.tick(at(3));
    assert_eq!(actions(&mut machine), []);
    // The acknowledgement of the second write is lost.
    let shown = [
        put(&one, 11, &first),
        put(&two, 12, &second),
        gone("other-1", 13),
    ];
    machine.read(at(4), Some(&shown));
    let tokens: Vec<_> = notices(&mut machine)
        .into_iter()
        .map(|notice| match notice {
            Notice::Granted { claim, token, .. } => (claim, token),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(tokens, [(ONE, 11), (TWO, 12)]);
    assert_eq!(actions(&mut machine), []);
    // The log is known up to the last message shown.
    machine.release(at(5), ONE);
    machine.purged(at(5), &one, Outcome::Stored(14));
    actions(&mut machine);
    notices(&mut machine);
    acquire(&mut machine, at(6), ONE, Mode::Read);
    let (id, _) = write(&mut machine);
    machine.written(at(7), &id, 0, Outcome::Stored(15));
    assert_eq!(granted(&mut machine), Some((ONE, 15)));
}

/// Otherwise the snapshot would be requested again and again.
#[test]
fn an_inconclusive_snapshot_leads_to_a_watch() {
    let other = other("other-1", Mode::Write, 7);
    for shown in [None, Some(&[][..]), Some(&[other][..])] {
        let (mut machine, own) = asked(Mode::Write);
        machine.read(at(3), shown);
        let watched = actions(&mut machine);
        assert_eq!(watched[0], Action::Watch);
        let others = |action: &Action| matches!(action, Action::Watch | Action::Probe { .. });
        assert!(watched.iter().all(others), "{watched:?}");
        assert_eq!(granted(&mut machine), None);
        machine.event(at(4), own);
        machine.event(at(4), Event::Current);
        assert_eq!(granted(&mut machine), None);
    }
}

#[test]
fn a_snapshot_older_than_an_entry_leaves_it_undecided() {
    let mut machine = machine();
    let (one, first) = sent(&mut machine, ONE, Mode::Read);
    machine.written(at(2), &one, 0, Outcome::Stored(11));
    actions(&mut machine);
    let (two, _) = sent(&mut machine, TWO, Mode::Read);
    machine.written(at(3), &two, 0, Outcome::Stored(13));
    machine.read(at(4), Some(&[put(&one, 11, &first)]));
    assert_eq!(granted(&mut machine), Some((ONE, 11)));
    // A new snapshot is requested, and the claim is kept: this one was too old for the second
    // entry.
    assert_eq!(actions(&mut machine), [Action::Read { from: 0 }]);
}

#[test]
fn a_released_entry_found_in_a_snapshot_is_purged() {
    let mut machine = machine();
    let (lost, entry) = sent(&mut machine, ONE, Mode::Read);
    machine.release(at(2), ONE);
    machine.purged(at(2), &lost, Outcome::Stored(5));
    actions(&mut machine);
    notices(&mut machine);
    assert!(machine.is_idle());
    let (two, second) = sent(&mut machine, TWO, Mode::Read);
    machine.written(at(3), &two, 0, Outcome::Stored(11));
    actions(&mut machine);
    machine.read(
        at(4),
        Some(&[put(&lost, 7, &entry), put(&two, 11, &second)]),
    );
    let purge = Action::Purge {
        id: lost,
        expect: None,
    };
    assert_eq!(actions(&mut machine), [purge]);
}

#[test]
fn a_hold_missing_from_a_full_snapshot_is_lost() {
    let (mut machine, own) = asked(Mode::Read);
    machine.read(at(3), Some(&[own]));
    assert_eq!(granted(&mut machine), Some((ONE, 11)));
    let (two, second) = sent(&mut machine, TWO, Mode::Write);
    machine.disconnected();
    machine.written(at(4), &two, 0, Outcome::Stored(13));
    assert_eq!(actions(&mut machine), [Action::Read { from: 0 }]);
    machine.read(at(5), Some(&[put(&two, 13, &second)]));
    let told = notices(&mut machine);
    let why = LostWhy::Gone;
    assert_eq!(told[0], Notice::Lost { claim: ONE, why });
    assert!(matches!(told[1], Notice::Granted { claim: TWO, .. }));
}

/// It does not show earlier messages.
#[test]
fn a_partial_snapshot_does_not_affect_earlier_entries() {
    let (mut machine, own) = asked(Mode::Read);
    machine.read(at(3), Some(std::slice::from_ref(&own)));
    assert_eq!(granted(&mut machine), Some((ONE, 11)));
    let (left, _) = sent(&mut machine, TWO, Mode::Read);
    machine.release(at(4), TWO);
    machine.purged(at(4), &left, Outcome::Stored(12));
    actions(&mut machine);
    notices(&mut machine);
    let (two, second) = sent(&mut machine, TWO, Mode::Write);
    machine.written(at(5), &two, 0, Outcome::Stored(20));
    assert_eq!(actions(&mut machine), [Action::Read { from: 12 }]);
    let mut removed = machine.clone();
    let shown = [gone(&left, 12), put(&two, 20, &second)];
    machine.read(at(6), Some(&shown));
    assert_eq!(notices(&mut machine), []);
    machine.release(at(7), ONE);
    assert_eq!(granted(&mut machine), Some((TWO, 20)));

    // Another participant has removed the entry meanwhile.
    let Event::Put { id, .. } = own else {
        panic!("{own:?}");
    };
    let [left, two] = shown;
    removed.read(at(6), Some(&[left, gone(&id, 15), two]));
    let why = LostWhy::Gone;
    let told = notices(&mut removed);
    assert_eq!(told[0], Notice::Lost { claim: ONE, why });
}

/// It is older than the watch's state.
#[test]
fn a_snapshot_that_arrives_after_the_watch_is_ignored() {
    let (mut machine, own) = asked(Mode::Write);
    machine.tick(at(101));
    assert_eq!(actions(&mut machine), [Action::Watch]);
    let other = other("other-1", Mode::Write, 7);
    machine.read(at(102), Some(&[other, own.clone()]));
    machine.event(at(103), own);
    machine.event(at(103), Event::Current);
    let sent = actions(&mut machine);
    let [Action::Probe { id }] = &sent[..] else {
        panic!("{sent:?}");
    };
    machine.event(at(104), echo_of_probe(id, 12));
    assert_eq!(granted(&mut machine), Some((ONE, 11)));
}
