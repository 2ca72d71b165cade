//! How entries are removed from the log, and what their callers are told.

use shizuku::kv::lock::{
    entry::{EntryId, Mode},
    machine::{Event, Machine, Notice, Outcome},
};

use super::{
    ONE, acquire, actions,
    anew::{enter, is_granted, put},
    at, gone, holding, notices, purges, watching, write,
};

const RELEASED: Notice = Notice::Released { claim: ONE };

/// A hold without a watch.
fn unwatched() -> (Machine, EntryId) {
    let mut machine = Machine::new("s").unwatched_for(at(60_000));
    let (id, entry, _) = enter(&mut machine, at(1), 1, 100);
    machine.read(at(1), Some(&[put(&id, 100, &entry)]));
    assert!(is_granted(&mut machine));
    (machine, id)
}

/// A watch would report a lost hold. Without one, the purge must detect it.
#[test]
fn a_purge_is_conditional_if_no_watch_reports_a_loss() {
    let (mut machine, id, _) = holding(Mode::Write);
    machine.release(at(3), ONE);
    assert!(purges(&mut machine, &id, None));

    let (mut machine, id) = unwatched();
    machine.release(at(3), ONE);
    assert!(purges(&mut machine, &id, Some(100)));

    // While a write is in flight, the right revision for the condition is unknown.
    let (mut machine, id) = unwatched();
    machine.tick(at(5001));
    assert_eq!(write(&mut machine).0, id);
    machine.release(at(5002), ONE);
    assert!(purges(&mut machine, &id, None));
}

#[test]
fn releasing_a_lost_hold_reports_the_loss_and_cleans_up() {
    let (mut machine, id) = unwatched();
    machine.release(at(3), ONE);
    actions(&mut machine);
    machine.purged(at(4), &id, Outcome::Conflict);
    assert_eq!(notices(&mut machine), [Notice::NotHeld { claim: ONE }]);
    // The replying server may have been lagging.
    assert!(purges(&mut machine, &id, None));
    machine.purged(at(5), &id, Outcome::Stored(102));
    assert_eq!(notices(&mut machine), []);
    assert!(machine.is_idle());
}

#[test]
fn a_failed_purge_is_repeated_after_a_pause_without_condition() {
    for outcome in [Outcome::Unknown, Outcome::Failed { fatal: false }] {
        let (mut machine, id) = unwatched();
        machine.release(at(3), ONE);
        actions(&mut machine);
        // Only one purge is in flight at a time.
        machine.tick(at(1500));
        assert_eq!(actions(&mut machine), []);
        machine.purged(at(2000), &id, outcome);
        assert_eq!(
            notices(&mut machine),
            [Notice::ReleaseFailed { claim: ONE }]
        );
        assert_eq!(actions(&mut machine), []);
        assert_eq!(machine.wake_at(), Some(at(3000)));
        machine.tick(at(3000));
        assert!(purges(&mut machine, &id, None));
        // By then the server has expired the entry.
        let end = at(1 + 15_000 + 7500 + 15_000);
        assert_eq!(machine.wake_at(), Some(end));
        machine.tick(end);
        assert!(machine.is_idle());
        assert_eq!(notices(&mut machine), []);
    }
}

#[test]
fn a_forbidden_purge_is_reported_and_not_repeated() {
    let (mut machine, id) = unwatched();
    machine.release(at(3), ONE);
    actions(&mut machine);
    machine.purged(at(4), &id, Outcome::Failed { fatal: true });
    assert_eq!(
        notices(&mut machine),
        [Notice::ReleaseFailed { claim: ONE }]
    );
    assert!(machine.is_idle());
    assert_eq!(actions(&mut machine), []);
}

/// An unanswered release ends when the server has certainly expired the entry.
#[test]
fn a_release_always_ends() {
    let (mut machine, _) = unwatched();
    machine.release(at(3), ONE);
    actions(&mut machine);
    machine.tick(machine.wake_at().unwrap());
    assert_eq!(notices(&mut machine), [RELEASED]);
    assert!(machine.is_idle());

    let mut machine = watching();
    machine.event(at(2), Event::Ended { fatal: false });
    acquire(&mut machine, at(3), ONE, Mode::Write);
    machine.release(at(4), ONE);
    assert_eq!(notices(&mut machine), [RELEASED]);
    assert_eq!(actions(&mut machine), []);
}

#[test]
fn the_watch_may_report_a_purge_before_its_acknowledgement() {
    let (mut machine, id, _) = holding(Mode::Write);
    machine.release(at(3), ONE);
    actions(&mut machine);
    machine.event(at(4), gone(&id, 12));
    assert_eq!(notices(&mut machine), [RELEASED]);
    machine.purged(at(5), &id, Outcome::Stored(12));
    assert_eq!(notices(&mut machine), []);
    assert!(machine.is_idle());
}

/// A write that was in flight for long, of an entry that has been given up.
#[test]
fn an_entry_stored_late_is_purged_immediately() {
    // Its purge has failed, and is due to be repeated in a second.
    let mut machine = watching();
    acquire(&mut machine, at(2), ONE, Mode::Write);
    let (id, entry) = write(&mut machine);
    machine.release(at(3), ONE);
    actions(&mut machine);
    machine.purged(at(4), &id, Outcome::Failed { fatal: false });
    machine.event(at(5), put(&id, 11, &entry));
    assert!(purges(&mut machine, &id, None));

    // The claim was given up for good.
    let mut machine = watching();
    acquire(&mut machine, at(2), ONE, Mode::Write);
    let (id, entry) = write(&mut machine);
    machine.release(at(3), ONE);
    actions(&mut machine);
    machine.purged(at(4), &id, Outcome::Stored(11));
    assert!(machine.is_idle());
    machine.event(at(5), put(&id, 12, &entry));
    assert!(purges(&mut machine, &id, None));
    // For as long as the entry may exist.
    machine.tick(at(5 + 15_000 + 10_000 - 1));
    assert!(!machine.is_idle());
    machine.tick(at(5 + 15_000 + 10_000));
    assert!(machine.is_idle());
}
