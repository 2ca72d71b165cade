//! Who enters the log, who waits outside it, and who gives up.

use shizuku::kv::lock::{
    entry::Mode,
    machine::{Action, Event, GivenUp, Notice, Outcome},
};

use super::{
    LEASE, ONE, TWO, acquire, actions, at, attempt, echo_of_probe, gone, granted, holding, notices,
    other, purges, taken, watching, write,
};

const WOULD_BLOCK: Notice = Notice::GaveUp {
    claim: ONE,
    why: GivenUp::WouldBlock,
};

#[test]
fn a_queued_writer_is_granted_when_earlier_entries_are_gone() {
    for mode in [Mode::Read, Mode::Write] {
        let mut machine = taken(mode);
        machine.event(at(2), other("other-2", mode, 12));
        acquire(&mut machine, at(3), ONE, Mode::Write);
        let (id, _) = write(&mut machine);
        machine.written(at(4), &id, 0, Outcome::Stored(13));
        machine.event(at(5), gone("other-1", 14));
        machine.event(at(5), other("other-3", Mode::Read, 15));
        assert_eq!(granted(&mut machine), None);
        machine.event(at(6), gone("other-2", 16));
        assert_eq!(granted(&mut machine), Some((ONE, 13)));
        assert_eq!(actions(&mut machine), []);
    }
}

#[test]
fn a_reader_waits_outside_the_log_only_for_writers() {
    let mut machine = taken(Mode::Read);
    acquire(&mut machine, at(3), ONE, Mode::Read);
    let (id, _) = write(&mut machine);
    machine.written(at(4), &id, 0, Outcome::Stored(12));
    assert_eq!(granted(&mut machine), Some((ONE, 12)));

    let mut machine = taken(Mode::Write);
    acquire(&mut machine, at(3), ONE, Mode::Read);
    assert_eq!(actions(&mut machine), []);
    machine.event(at(4), gone("other-1", 12));
    write(&mut machine);
}

#[test]
fn a_try_that_must_fail_writes_nothing() {
    for (theirs, own) in [
        (Mode::Read, Mode::Write),
        (Mode::Write, Mode::Write),
        (Mode::Write, Mode::Read),
    ] {
        let mut machine = taken(theirs);
        attempt(&mut machine, at(3), ONE, own);
        assert_eq!(notices(&mut machine), [WOULD_BLOCK]);
        assert_eq!(actions(&mut machine), []);
        assert!(machine.is_idle());
    }
    let mut machine = taken(Mode::Read);
    attempt(&mut machine, at(3), ONE, Mode::Read);
    write(&mut machine);
}

/// The new watch has not shown the earlier entry, which may or may not be gone.
#[test]
fn a_try_does_not_fail_because_of_an_entry_that_may_be_gone() {
    for own in [Mode::Read, Mode::Write] {
        let mut machine = taken(Mode::Write);
        machine.event(at(3), Event::Ended { fatal: false });
        machine.tick(at(53));
        assert_eq!(actions(&mut machine), [Action::Watch]);
        machine.event(at(54), Event::Current);
        attempt(&mut machine, at(55), ONE, own);
        assert_eq!(notices(&mut machine), []);
        let sent = actions(&mut machine);
        assert!(matches!(sent[..], [Action::Probe { .. }]), "{sent:?}");
        // The echo tells the ages of entries, but not yet which ones exist.
        let [Action::Probe { id }] = &sent[..] else {
            panic!("{sent:?}");
        };
        machine.event(at(55), echo_of_probe(id, 12));
        assert_eq!(notices(&mut machine), []);
        // The earlier entry still exists.
        machine.event(at(56), other("other-1", Mode::Write, 11));
        assert_eq!(notices(&mut machine), [WOULD_BLOCK]);
    }
}

#[test]
fn a_try_that_lost_the_race_is_purged() {
    let mut machine = watching();
    attempt(&mut machine, at(3), ONE, Mode::Write);
    let (id, _) = write(&mut machine);
    machine.event(at(4), other("other-1", Mode::Read, 11));
    machine.written(at(5), &id, 0, Outcome::Stored(12));
    assert_eq!(notices(&mut machine), [WOULD_BLOCK]);
    assert!(purges(&mut machine, &id, None));
    assert!(!machine.is_idle());
}

/// A message in the gap may be the other's release.
#[test]
fn a_try_is_not_decided_before_all_earlier_messages_are_known() {
    let mut machine = taken(Mode::Write);
    machine.event(at(2), gone("other-1", 12));
    attempt(&mut machine, at(3), ONE, Mode::Write);
    let (id, _) = write(&mut machine);
    machine.event(at(4), other("other-2", Mode::Write, 13));
    machine.written(at(5), &id, 0, Outcome::Stored(15));
    assert_eq!(notices(&mut machine), []);
    machine.event(at(6), gone("other-2", 14));
    assert_eq!(granted(&mut machine), Some((ONE, 15)));
}

/// An entry that was given up blocks nobody, even before it is removed from the log.
#[test]
fn a_try_succeeds_immediately_after_ones_own_release() {
    let (mut machine, id, _) = holding(Mode::Write);
    machine.release(at(3), ONE);
    assert!(purges(&mut machine, &id, None));
    attempt(&mut machine, at(3), TWO, Mode::Write);
    let (id, _) = write(&mut machine);
    machine.written(at(4), &id, 0, Outcome::Stored(12));
    assert_eq!(granted(&mut machine), Some((TWO, 12)));
}

/// Claims of one participant queue like those of others.
#[test]
fn two_claims_of_one_participant_exclude_each_other() {
    let (mut machine, id, _) = holding(Mode::Write);
    acquire(&mut machine, at(3), TWO, Mode::Write);
    let (second, _) = write(&mut machine);
    machine.written(at(4), &second, 0, Outcome::Stored(12));
    assert_eq!(granted(&mut machine), None);
    machine.change(at(5), ONE, None, Some("data".into()));
    machine.change(at(6), ONE, Some(Mode::Read), None);
    machine.tick(at(2000));
    let (_, entry) = write(&mut machine);
    assert_eq!(entry.data.as_deref(), Some("data"));
    assert_eq!(
        (entry.mode, entry.ticket, entry.lease),
        (Mode::Read, Some(11), LEASE)
    );
    machine.written(at(2001), &id, 1, Outcome::Stored(13));
    assert_eq!(notices(&mut machine), [Notice::Changed { claim: ONE }]);
    machine.release(at(3000), ONE);
    assert_eq!(granted(&mut machine), Some((TWO, 12)));
}
