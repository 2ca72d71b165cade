//! Lost holds, and services that refuse or are unreachable.

use std::time::Duration;

use shizuku::kv::lock::{
    entry::{EntryId, Mode},
    machine::{Action, Event, GivenUp, LostWhy, Machine, Notice, Outcome},
};

use super::{
    ONE, TWO, acquire, actions, at, gone, granted, holding, notices, other, purges, watching, write,
};

fn lost(why: LostWhy) -> Notice {
    Notice::Lost { claim: ONE, why }
}

fn gave_up(why: GivenUp) -> Notice {
    Notice::GaveUp { claim: ONE, why }
}

/// A machine that waits behind `other-1` with ticket 12.
fn waiting() -> (Machine, EntryId) {
    let mut machine = watching();
    machine.event(at(2), other("other-1", Mode::Write, 11));
    acquire(&mut machine, at(3), ONE, Mode::Write);
    let (id, _) = write(&mut machine);
    machine.written(at(4), &id, 0, Outcome::Stored(12));
    assert_eq!(granted(&mut machine), None);
    (machine, id)
}

#[test]
fn a_hold_whose_entry_others_removed_is_lost_immediately() {
    let (mut machine, id, _) = holding(Mode::Write);
    machine.event(at(3), gone(&id, 12));
    assert_eq!(notices(&mut machine), [lost(LostWhy::Gone)]);
    assert_eq!(machine.trusted_until(ONE), None);
    assert!(machine.is_idle());
    assert_eq!(actions(&mut machine), []);
}

#[test]
fn a_waiter_whose_entry_was_removed_queues_again() {
    let (mut machine, id) = waiting();
    machine.event(at(5), gone(&id, 13));
    assert_eq!(notices(&mut machine), []);
    let (new, _) = write(&mut machine);
    assert_ne!(new, id);
    machine.event(at(6), gone("other-1", 14));
    machine.written(at(7), &new, 0, Outcome::Stored(15));
    assert_eq!(granted(&mut machine), Some((ONE, 15)));
    // A repeated removal, as a new watch delivers it, does not concern the new entry.
    machine.event(at(8), gone(&id, 13));
    assert_eq!(notices(&mut machine), []);
    assert!(machine.trusted_until(ONE).is_some());
}

#[test]
fn a_refused_renewal_and_a_late_acknowledgement_lose_the_hold() {
    let (mut machine, id, _) = holding(Mode::Write);
    assert_eq!(machine.trusted_until(ONE), Some(at(2 + 13_500)));
    machine.tick(at(6000));
    write(&mut machine);
    let mut late = machine.clone();
    machine.written(at(6001), &id, 1, Outcome::Conflict);
    assert_eq!(notices(&mut machine), [lost(LostWhy::Refused)]);
    assert_eq!(machine.trusted_until(ONE), None);
    // The entry may exist all the same.
    assert!(purges(&mut machine, &id, None));
    machine.purged(at(6002), &id, Outcome::Stored(13));
    assert!(machine.is_idle());

    late.written(at(13_502), &id, 1, Outcome::Stored(12));
    assert_eq!(notices(&mut late), [lost(LostWhy::Lapsed)]);
    assert!(purges(&mut late, &id, None));
}

#[test]
fn a_failed_renewal_does_not_end_the_hold() {
    for fatal in [true, false] {
        let (mut machine, id, _) = holding(Mode::Write);
        machine.tick(at(6000));
        write(&mut machine);
        machine.written(at(6001), &id, 1, Outcome::Failed { fatal });
        assert_eq!(notices(&mut machine), []);
        assert_eq!(machine.trusted_until(ONE), Some(at(2 + 13_500)));
        assert_eq!(machine.wake_at(), Some(at(11_000)));
    }
}

#[test]
fn an_entry_that_was_not_stored_is_retried_under_another_name() {
    let mut machine = watching();
    acquire(&mut machine, at(2), ONE, Mode::Write);
    let (id, _) = write(&mut machine);
    let mut taken = machine.clone();
    let mut refused = machine.clone();
    machine.written(at(3), &id, 0, Outcome::Failed { fatal: false });
    assert_eq!(actions(&mut machine), []);
    assert_eq!(machine.wake_at(), Some(at(253)));
    machine.tick(at(253));
    assert_ne!(write(&mut machine).0, id);

    // Another participant cannot have this name, but if it did, no harm is done.
    taken.written(at(3), &id, 0, Outcome::Conflict);
    let sent = actions(&mut taken);
    assert!(
        matches!(&sent[..], [Action::Write { id: new, .. }, Action::Purge { .. }] if *new != id),
        "{sent:?}"
    );

    refused.written(at(3), &id, 0, Outcome::Failed { fatal: true });
    assert_eq!(notices(&mut refused), [gave_up(GivenUp::Fatal)]);
    assert!(refused.is_idle());
}

/// After 15 s of failures the claim gives up.
#[test]
fn an_acquire_gives_up_after_persistent_failures() {
    let mut machine = watching();
    let mut now = at(2);
    acquire(&mut machine, now, ONE, Mode::Write);
    let mut told = Vec::new();
    while told.is_empty() {
        for action in actions(&mut machine) {
            if let Action::Write { id, entry, .. } = action {
                machine.written(now, &id, entry.write, Outcome::Failed { fatal: false });
            }
        }
        now = machine.wake_at().unwrap();
        machine.tick(now);
        told = notices(&mut machine);
    }
    assert_eq!(told, [gave_up(GivenUp::Unreachable)]);
    assert_eq!(now, at(2 + 15_000));
}

/// A reader that waits outside the log does not need the service: it waits for a writer.
#[test]
fn a_reader_that_waits_outside_does_not_give_up() {
    let mut machine = watching();
    acquire(&mut machine, at(2), ONE, Mode::Read);
    let (id, _) = write(&mut machine);
    machine.event(at(3), other("other-1", Mode::Write, 11));
    machine.written(at(4), &id, 0, Outcome::Failed { fatal: false });
    // Whatever the input, nothing that was done is due again.
    let unknown = &EntryId::new("s-9");
    let inputs: [&dyn Fn(&mut Machine); 7] = [
        &|machine| machine.observe(at(254), true),
        &|machine| machine.release(at(254), TWO),
        &|machine| machine.change(at(254), TWO, None, None),
        &|machine| machine.written(at(254), unknown, 0, Outcome::Unknown),
        &|machine| machine.probed(at(254), unknown, Outcome::Unknown),
        &|machine| machine.purged(at(254), unknown, Outcome::Unknown),
        &|machine| machine.tick(at(254)),
    ];
    for input in inputs {
        let mut machine = machine.clone();
        input(&mut machine);
        assert!(machine.wake_at().unwrap() > at(254));
    }
    machine.tick(at(254));
    for seconds in (5..60).step_by(5) {
        let now = Duration::from_secs(seconds);
        machine.event(now, other("other-1", Mode::Write, 11 + seconds));
        assert_eq!(notices(&mut machine), [], "{now:?}");
    }
    assert_eq!(actions(&mut machine), []);
}

#[test]
fn a_waiter_in_the_queue_does_not_give_up() {
    let mut machine = watching();
    machine.event(at(2), other("other-1", Mode::Write, 11));
    acquire(&mut machine, at(2), ONE, Mode::Write);
    let (id, _) = write(&mut machine);
    machine.written(at(3), &id, 0, Outcome::Failed { fatal: false });
    machine.tick(at(253));
    let (id, _) = write(&mut machine);
    machine.written(at(254), &id, 0, Outcome::Stored(12));
    for (number, seconds) in (1..).zip((6..60).step_by(6)) {
        let now = Duration::from_secs(seconds);
        machine.event(now, other("other-1", Mode::Write, 11 + 2 * seconds));
        write(&mut machine);
        machine.written(now, &id, number, Outcome::Stored(12 + 2 * seconds));
        assert_eq!(notices(&mut machine), [], "{now:?}");
    }
}

/// Each attempt to watch succeeds at first.
#[test]
fn a_waiter_whose_watches_keep_ending_gives_up() {
    let (mut machine, _) = waiting();
    let began = at(1000);
    let (mut now, mut told) = (began, Vec::new());
    machine.event(now, Event::Ended { fatal: false });
    while told.is_empty() {
        if actions(&mut machine).contains(&Action::Watch) {
            now += at(100);
            machine.event(now, Event::Ended { fatal: false });
        }
        now = machine.wake_at().unwrap();
        machine.tick(now);
        told = notices(&mut machine);
    }
    assert_eq!(told, [gave_up(GivenUp::Unreachable)]);
    assert_eq!(now, began + at(15_000));
}

#[test]
fn a_refused_watch_ends_waiting_but_not_holds_and_is_retried_on_demand() {
    let (mut machine, _, _) = holding(Mode::Read);
    acquire(&mut machine, at(3), TWO, Mode::Write);
    let (id, _) = write(&mut machine);
    machine.event(at(4), Event::Ended { fatal: true });
    let why = GivenUp::Fatal;
    let told = notices(&mut machine);
    assert_eq!(told, [Notice::GaveUp { claim: TWO, why }]);
    assert!(purges(&mut machine, &id, None));
    assert!(machine.is_refused());
    assert!(machine.trusted_until(ONE).is_some());
    machine.observe(at(5), false);
    assert!(machine.is_refused());
    let mut observed = machine.clone();
    acquire(&mut machine, at(5), TWO, Mode::Write);
    observed.observe(at(5), true);
    for mut machine in [machine, observed] {
        assert!(!machine.is_refused());
        machine.tick(at(200));
        assert!(actions(&mut machine).contains(&Action::Watch));
    }
}

#[test]
fn an_ended_watch_is_restarted_with_growing_pauses() {
    let (mut machine, _) = waiting();
    let mut now = at(10);
    for pause in [50, 100, 200, 400, 800, 1600, 3200, 3200] {
        machine.event(now, Event::Ended { fatal: false });
        assert!(!machine.is_synced());
        assert_eq!(actions(&mut machine), []);
        let soon = now + at(pause - 1);
        now += at(pause);
        machine.tick(soon);
        let tried = |machine: &mut Machine| actions(machine).contains(&Action::Watch);
        assert!(!tried(&mut machine), "{pause}");
        machine.tick(now);
        assert!(tried(&mut machine), "{pause}");
    }
    // A watch that works resets the pause.
    machine.event(now, Event::Current);
    actions(&mut machine);
    machine.event(now, Event::Ended { fatal: false });
    assert_eq!(machine.wake_at(), Some(now + at(50)));
}
