//! What an echo proves, and about which watch.

use shizuku::kv::lock::{
    entry::Mode,
    machine::{Action, ClaimId, Event, GivenUp, Machine, Notice, Outcome},
};

use super::{
    ONE, TWO, acquire, actions, anew::put, at, attempt, echo_of_probe, gone, granted, notices,
    other, probe, purges, watching, write,
};

/// A claim waits for `other-1`, which has gone silent. At 16.5 s an echo proves that the watch is
/// live. Also returns the events that a new watch would deliver.
fn in_silence() -> (Machine, [Event; 2]) {
    let mut machine = watching();
    machine.event(at(3), other("other-1", Mode::Write, 11));
    acquire(&mut machine, at(4), ONE, Mode::Write);
    let mut last = None;
    for (number, ms) in [(0, 4), (1, 5005), (2, 10_010), (3, 15_015)] {
        machine.tick(at(ms));
        let (id, entry) = write(&mut machine);
        assert_eq!(entry.write, number);
        let revision = 12 + u64::from(number);
        machine.written(at(ms), &id, number, Outcome::Stored(revision));
        last = Some(put(&id, revision, &entry));
    }
    acquire(&mut machine, at(16_500), TWO, Mode::Write);
    let (id, entry) = write(&mut machine);
    machine.written(at(16_501), &id, 0, Outcome::Stored(16));
    let echo = put(&id, 16, &entry);
    machine.event(at(16_502), echo.clone());
    (machine, [last.unwrap(), echo])
}

#[test]
fn a_silent_watch_is_replaced_and_its_proofs_do_not_carry_over() {
    let (mut machine, there) = in_silence();
    machine.tick(at(17_002));
    assert_eq!(actions(&mut machine), []);
    assert_eq!(machine.wake_at(), Some(at(17_003)));
    machine.tick(at(17_003));
    let sent = actions(&mut machine);
    let [Action::Watch, Action::Probe { id: probe }] = &sent[..] else {
        panic!("{sent:?}");
    };
    for event in there {
        machine.event(at(17_004), event);
    }
    machine.event(at(17_005), Event::Current);
    assert_eq!(notices(&mut machine), []);
    acquire(&mut machine, at(17_010), ClaimId(3), Mode::Write);
    // Its echo would decide nothing: the probe's must come first.
    assert_eq!(actions(&mut machine), []);
    machine.event(at(17_030), echo_of_probe(probe, 17));
    let sent = actions(&mut machine);
    let [Action::Write { id, entry, .. }, Action::Probe { .. }] = &sent[..] else {
        panic!("{sent:?}");
    };
    assert_eq!(notices(&mut machine), []);
    // The watch is proved by now: no claim has to wait for another proof.
    acquire(&mut machine, at(17_035), ClaimId(4), Mode::Write);
    write(&mut machine);
    machine.event(at(17_040), put(id, 18, entry));
    // An entry that this watch has not delivered is gone.
    assert_eq!(granted(&mut machine), Some((ONE, 12)));
}

/// The watch could be lagging: the absence of an entry proves nothing yet.
#[test]
fn a_first_echo_proves_the_watch_and_a_second_decides() {
    for mode in [Mode::Read, Mode::Write] {
        for try_only in [false, true] {
            let mut machine = Machine::new("s");
            machine.observe(at(0), true);
            machine.event(at(1), Event::Current);
            assert_eq!(actions(&mut machine), [Action::Watch]);
            if try_only {
                attempt(&mut machine, at(2), ONE, mode);
            } else {
                acquire(&mut machine, at(2), ONE, mode);
            }
            let (id, entry) = write(&mut machine);
            machine.written(at(3), &id, 0, Outcome::Stored(11));
            // There is nothing to prove until the write is echoed.
            assert_eq!(actions(&mut machine), []);
            machine.event(at(4), put(&id, 11, &entry));
            let probe = probe(&mut machine);
            assert_eq!(notices(&mut machine), []);
            machine.event(at(5), echo_of_probe(&probe, 12));
            assert_eq!(granted(&mut machine), Some((ONE, 11)));
            assert_eq!(actions(&mut machine), []);
        }
    }
}

/// Nor does absence prove anything after an interruption, or before the initial entries are
/// complete.
#[test]
fn an_interruption_invalidates_proofs() {
    let mut machine = Machine::new("s");
    machine.observe(at(0), true);
    actions(&mut machine);
    acquire(&mut machine, at(2), ONE, Mode::Read);
    let (one, first) = write(&mut machine);
    machine.event(at(3), put(&one, 11, &first));
    acquire(&mut machine, at(4), TWO, Mode::Read);
    let (two, second) = write(&mut machine);
    let mut late = machine.clone();
    late.event(at(5), put(&two, 12, &second));
    assert_eq!(notices(&mut late), []);

    machine.event(at(5), Event::Current);
    let before = probe(&mut machine);
    machine.event(at(6), Event::Interrupted);
    machine.event(at(7), Event::Current);
    // A probe sent before the interruption is not waited for.
    let after = probe(&mut machine);
    assert_ne!(before, after);
    machine.event(at(8), put(&two, 12, &second));
    assert_eq!(notices(&mut machine), []);
}

/// Seeing an entry needs no proof, unlike its absence.
#[test]
fn a_claim_that_sees_an_earlier_entry_withdraws_immediately() {
    for try_only in [false, true] {
        let mut machine = Machine::new("s");
        machine.observe(at(0), true);
        machine.event(at(1), Event::Current);
        actions(&mut machine);
        if try_only {
            attempt(&mut machine, at(2), ONE, Mode::Write);
        } else {
            acquire(&mut machine, at(2), ONE, Mode::Read);
        }
        let (id, entry) = write(&mut machine);
        machine.event(at(3), other("other-1", Mode::Write, 11));
        assert_eq!(actions(&mut machine), []);
        machine.event(at(4), put(&id, 12, &entry));
        assert!(purges(&mut machine, &id, None));
        assert_eq!(notices(&mut machine).len(), usize::from(try_only));
        machine.event(at(5), gone("other-1", 13));
        // A try is not repeated.
        assert_eq!(actions(&mut machine).len(), usize::from(!try_only));
    }
}

/// A probe that may be lost is sent again once its echo would no longer prove much.
#[test]
fn a_probe_is_repeated_but_not_too_soon() {
    let mut machine = Machine::new("s");
    machine.observe(at(0), true);
    machine.event(at(1), Event::Current);
    actions(&mut machine);
    acquire(&mut machine, at(2), ONE, Mode::Write);
    let (id, entry) = write(&mut machine);
    machine.event(at(3), put(&id, 11, &entry));
    let first = probe(&mut machine);
    machine.probed(at(4), &first, Outcome::Unknown);
    assert_eq!(machine.wake_at(), Some(at(2003)));
    machine.tick(at(2003));
    let second = probe(&mut machine);
    assert_ne!(first, second);
    // The result of the first probe no longer matters.
    machine.probed(at(2004), &first, Outcome::Failed { fatal: false });
    assert_eq!(machine.wake_at(), Some(at(4003)));
    machine.probed(at(2005), &second, Outcome::Failed { fatal: false });
    assert_eq!(actions(&mut machine), []);
    assert_eq!(machine.wake_at(), Some(at(2505)));
    machine.tick(at(2505));
    let third = probe(&mut machine);
    let mut refused = machine.clone();
    refused.probed(at(2506), &third, Outcome::Failed { fatal: true });
    let why = GivenUp::Fatal;
    assert_eq!(notices(&mut refused), [Notice::GaveUp { claim: ONE, why }]);
    assert!(purges(&mut refused, &id, None));
    machine.event(at(2506), echo_of_probe(&third, 12));
    machine.event(at(2507), gone("other-1", 13));
    assert_eq!(granted(&mut machine), None);
}
