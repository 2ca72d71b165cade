//! What a gapless view of the log decides without a clock or an echo, and what it must not decide.

use shizuku::kv::lock::{
    entry::{EntryId, Mode},
    machine::{Action, Event, Machine, Outcome},
};

use super::{
    ONE, TWO, acquire, actions, at, gone, granted, holding, notices, other, watching, write,
};

/// Acquires at 5 ms and acknowledges the entry as `revision`; returns whether that grants the
/// claim.
fn is_granted_at(machine: &mut Machine, revision: u64) -> bool {
    acquire(machine, at(5), TWO, Mode::Write);
    let (id, _) = write(machine);
    machine.written(at(6), &id, 0, Outcome::Stored(revision));
    granted(machine).is_some()
}

#[test]
fn an_acknowledgement_decides_if_everything_before_it_is_known() {
    assert!(is_granted_at(&mut watching(), 11));
    assert!(!is_granted_at(&mut watching(), 12));
    for next in [other("other-1", Mode::Read, 11), gone("other-1", 11)] {
        let mut machine = watching();
        machine.event(at(3), next);
        machine.event(at(4), gone("other-1", 12));
        assert!(is_granted_at(&mut machine, 13));
    }
}

/// A participant's own writes, purges and probes are known by their acknowledgements.
#[test]
fn a_participants_own_writes_are_known() {
    let (mut machine, id, _) = holding(Mode::Write);
    machine.release(at(3), ONE);
    actions(&mut machine);
    machine.purged(at(4), &id, Outcome::Stored(12));
    notices(&mut machine);
    assert!(is_granted_at(&mut machine, 13));
    assert_eq!(actions(&mut machine), []);

    // A probe, sent because it is uncertain whether `other-1` still exists.
    let mut machine = watching();
    machine.event(at(2), other("other-1", Mode::Read, 11));
    machine.event(at(2), Event::Interrupted);
    let id = EntryId::new("other-1");
    machine.event(at(3), Event::Vanished { id });
    machine.event(at(3), gone("other-2", 14));
    machine.event(at(3), Event::Current);
    acquire(&mut machine, at(4), ONE, Mode::Write);
    let sent = actions(&mut machine);
    let [Action::Write { id, .. }, Action::Probe { id: probe }] = &sent[..] else {
        panic!("{sent:?}");
    };
    machine.probed(at(5), probe, Outcome::Stored(15));
    machine.written(at(5), id, 0, Outcome::Stored(16));
    machine.event(at(6), gone("other-1", 17));
    assert_eq!(granted(&mut machine), Some((ONE, 16)));
}

/// Messages may have been missed, or the server may have come back with another log.
#[test]
fn an_interruption_discards_what_is_known() {
    let mut interrupted = watching();
    interrupted.event(at(2), Event::Interrupted);
    assert!(!interrupted.is_synced());
    let mut again = interrupted.clone();
    again.event(at(3), Event::Current);
    let mut twice = interrupted.clone();
    twice.event(at(3), gone("other-1", 10));
    twice.event(at(3), Event::Interrupted);
    twice.event(at(3), Event::Current);
    let mut disconnected = watching();
    disconnected.disconnected();
    for mut machine in [interrupted, again, twice, disconnected] {
        assert!(!is_granted_at(&mut machine, 11));
    }
}

#[test]
fn a_new_watch_knows_only_what_it_shows() {
    for before_current in [true, false] {
        let mut machine = watching();
        if before_current {
            machine.event(at(1), Event::Interrupted);
            machine.event(at(1), gone("other-1", 10));
        }
        machine.event(at(2), Event::Ended { fatal: false });
        machine.tick(at(100));
        assert_eq!(actions(&mut machine), [Action::Watch]);
        machine.event(at(101), Event::Current);
        assert!(!is_granted_at(&mut machine, 11));
    }
}

/// They may come from a lagging replica.
#[test]
fn initial_entries_do_not_decide_an_entry_sent_before_they_were_complete() {
    let mut machine = Machine::new("s");
    machine.observe(at(0), true);
    machine.event(at(1), gone("other-0", 10));
    actions(&mut machine);
    assert!(!is_granted_at(&mut machine, 11));
    machine.event(at(7), Event::Current);
    assert_eq!(granted(&mut machine), None);
}

/// A recreated bucket restarts its sequences, which a watch does not always notice.
#[test]
fn an_acknowledgement_with_an_old_sequence_discards_what_is_known() {
    for revision in [3, 10] {
        let mut machine = watching();
        assert!(!is_granted_at(&mut machine, revision));
        machine.release(at(7), TWO);
        actions(&mut machine);
        acquire(&mut machine, at(8), ONE, Mode::Read);
        let (id, _) = write(&mut machine);
        machine.written(at(9), &id, 0, Outcome::Stored(11));
        assert_eq!(granted(&mut machine), None);
    }
}
