//! What is sent when nothing goes wrong: no more than necessary, and in time.

use std::time::Duration;

use shizuku::kv::lock::{
    entry::Mode,
    machine::{Action, Event, GivenUp, Machine, Notice, Outcome},
};

use super::{
    ONE, TWO, acquire, actions,
    anew::{enter, is_granted, put},
    at, gone, holding, notices, other, watching, write,
};

/// Runs the machine until then, whenever an action is due; returns the number of writes.
fn run(machine: &mut Machine, until: Duration) -> usize {
    let (mut writes, mut revision) = (0, 100);
    while let Some(now) = machine.wake_at().filter(|now| *now < until) {
        machine.tick(now);
        for action in actions(machine) {
            let Action::Write { id, entry, expect } = action else {
                panic!("{action:?}");
            };
            // The first revision was 11.
            let last = if revision == 100 { 11 } else { revision };
            assert_eq!(expect, Some(last));
            assert_eq!(entry.since, Some(1));
            revision += 1;
            writes += 1;
            machine.written(now + at(20), &id, entry.write, Outcome::Stored(revision));
            machine.event(now + at(30), put(&id, revision, &entry));
        }
    }
    writes
}

#[test]
fn a_hold_is_renewed_three_times_in_a_lease_and_never_lost() {
    for (mode, event) in [
        (Mode::Read, None),
        (Mode::Write, Some(Event::Interrupted)),
        // Nobody waits for `other-1`, so it does not matter whether it still exists.
        (Mode::Permit(3), Some(other("other-1", Mode::Permit(3), 12))),
    ] {
        let (mut machine, id, entry) = holding(mode);
        machine.event(at(3), put(&id, 11, &entry));
        event
            .into_iter()
            .for_each(|event| machine.event(at(4), event));
        assert_eq!(run(&mut machine, Duration::from_secs(100)), 19);
        assert_eq!(notices(&mut machine), []);
        assert!(machine.trusted_until(ONE).unwrap() > Duration::from_secs(100));
    }
}

#[test]
fn only_a_long_hold_needs_a_watch() {
    let unwatched = at(100);
    let mut machine = Machine::new("s").unwatched_for(unwatched);
    let (id, entry, _) = enter(&mut machine, at(1), 1, 11);
    machine.read(at(50), Some(&[put(&id, 11, &entry)]));
    assert!(is_granted(&mut machine));
    // The time counts from the grant.
    assert_eq!(machine.wake_at(), Some(at(150)));
    machine.tick(at(149));
    assert_eq!(actions(&mut machine), []);
    machine.tick(at(150));
    // A hold has nothing to prove, so no probe is sent.
    assert_eq!(actions(&mut machine), [Action::Watch]);
    machine.event(at(151), put(&id, 11, &entry));
    machine.event(at(151), Event::Current);
    assert_eq!(actions(&mut machine), []);
}

#[test]
fn the_oldest_claim_determines_when_a_watch_is_due() {
    let mut machine = Machine::new("s").unwatched_for(at(100));
    acquire(&mut machine, at(1), ONE, Mode::Write);
    acquire(&mut machine, at(50), TWO, Mode::Write);
    actions(&mut machine);
    machine.tick(at(101));
    assert_eq!(actions(&mut machine), [Action::Watch]);
}

#[test]
fn a_renewal_reports_the_extended_deadline() {
    let (mut machine, id, _) = holding(Mode::Write);
    machine.tick(at(5002));
    write(&mut machine);
    machine.written(at(6000), &id, 1, Outcome::Stored(12));
    let until = at(5002 + 13_500);
    let extended = Notice::Extended { claim: ONE, until };
    assert_eq!(machine.next_notice(), Some(extended));
    assert_eq!(machine.trusted_until(ONE), Some(until));
}

/// A watch request is accompanied by a probe only if a claim waits for another entry.
#[test]
fn without_competitors_no_probe_is_sent() {
    let (mut alone, _, _) = holding(Mode::Read);
    alone.event(at(3), Event::Ended { fatal: false });
    let mut waiting = alone.clone();
    acquire(&mut waiting, at(4), TWO, Mode::Write);
    for mut machine in [alone, waiting] {
        machine.tick(at(53));
        let watches = |action: &&Action| **action == Action::Watch;
        let sent = actions(&mut machine);
        assert_eq!(sent.iter().filter(watches).count(), 1);
        assert!(
            !sent
                .iter()
                .any(|action| matches!(action, Action::Probe { .. }))
        );
    }
    let (mut contended, _, _) = holding(Mode::Read);
    contended.event(at(3), other("other-1", Mode::Read, 12));
    contended.event(at(3), Event::Ended { fatal: false });
    contended.tick(at(53));
    assert_eq!(actions(&mut contended), [Action::Watch]);
}

/// The other entries must be known first, unless there are hardly any.
#[test]
fn an_entry_is_written_after_current_if_others_were_seen() {
    for contended in [true, false] {
        let mut machine = watching();
        if contended {
            machine.event(at(2), other("other-1", Mode::Read, 11));
        }
        machine.event(at(3), Event::Interrupted);
        acquire(&mut machine, at(4), ONE, Mode::Write);
        assert_eq!(actions(&mut machine).is_empty(), contended);
        machine.event(at(5), Event::Current);
        if contended {
            let sent = actions(&mut machine);
            assert!(
                sent.iter().any(|sent| matches!(sent, Action::Write { .. })),
                "{sent:?}"
            );
        }
    }
}

#[test]
fn a_watch_is_restarted_for_observers_and_waiters() {
    let mut machine = watching();
    machine.event(at(2), Event::Ended { fatal: false });
    assert_eq!(machine.wake_at(), Some(at(52)));
    machine.tick(at(52));
    assert_eq!(actions(&mut machine), [Action::Watch]);
    machine.event(at(53), Event::Ended { fatal: false });
    let mut wanted = machine.clone();
    machine.observe(at(54), false);
    assert_eq!(machine.wake_at(), None);
    // A waiting claim needs the watch, too.
    acquire(&mut wanted, at(54), ONE, Mode::Write);
    wanted.observe(at(54), false);
    assert_eq!(wanted.wake_at(), Some(at(153)));
    machine.tick(at(1000));
    assert_eq!(machine.wake_at(), None);
    assert_eq!(actions(&mut machine), []);
}

/// A claim's patience begins with the interruption, however long it has waited before.
#[test]
fn a_waiter_survives_a_short_interruption() {
    let mut machine = watching();
    machine.event(at(2), other("other-1", Mode::Write, 11));
    acquire(&mut machine, at(3), ONE, Mode::Read);
    let now = Duration::from_secs(16);
    machine.event(now, Event::Interrupted);
    assert_eq!(machine.wake_at(), Some(now + at(15_000)));
    let mut back = machine.clone();
    machine.tick(now + at(15_000));
    let why = GivenUp::Unreachable;
    assert_eq!(notices(&mut machine), [Notice::GaveUp { claim: ONE, why }]);

    back.event(now + at(14_000), gone("other-1", 12));
    write(&mut back);
    back.event(now + at(14_000), Event::Current);
    assert_eq!(notices(&mut back), []);
}

/// Everything due is done already: the next wake-up is in the future.
#[test]
fn the_next_wake_up_is_in_the_future() {
    let mut machine = watching();
    machine.event(at(2), other("other-1", Mode::Write, 11));
    acquire(&mut machine, at(3), ONE, Mode::Read);
    assert!(machine.wake_at().unwrap() > at(3));

    let (mut machine, _, _) = holding(Mode::Write);
    assert_eq!(machine.wake_at(), Some(at(5002)));
    machine.tick(at(5002));
    write(&mut machine);
    assert!(machine.wake_at().unwrap() > at(5002));
    acquire(&mut machine, at(6000), TWO, Mode::Write);
    assert!(machine.wake_at().unwrap() > at(6000));
    machine.release(at(11_000), ONE);
    assert!(machine.wake_at().unwrap() > at(11_000));
}
