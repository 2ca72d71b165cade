//! A server that accepts writes but acknowledges none, while its watch works; and one that stores
//! them too late.

use std::time::Duration;

use shizuku::kv::lock::{
    entry::Mode,
    machine::{Action, ClaimId, Event, GivenUp, Machine, Notice, Outcome, Request},
};

use crate::request;

/// Lets time pass, with nothing acknowledged, until a caller is told something: what, and when.
fn until_notice(machine: &mut Machine, mut now: Duration) -> (Notice, Duration) {
    loop {
        if let Some(notice) = machine.next_notice() {
            return (notice, now);
        }
        while machine.next_action().is_some() {}
        let Some(due) = machine.wake_at() else {
            panic!("nothing is due");
        };
        now = due;
        machine.tick(now);
    }
}

#[test]
fn an_acquire_gives_up_if_no_write_is_acknowledged() {
    for lease in [5, 15, 60] {
        let mut machine = Machine::new("s");
        let mut now = Duration::from_millis(1);
        machine.acquire(now, ClaimId(1), request(Mode::Write, lease));
        let (mut writes, mut why) = (0, None);
        while why.is_none() {
            while let Some(action) = machine.next_action() {
                match action {
                    Action::Watch => machine.event(now, Event::Current),
                    Action::Write { id, entry, .. } => {
                        writes += 1;
                        machine.written(now, &id, entry.write, Outcome::Unknown);
                    }
                    Action::Probe { id } => machine.probed(now, &id, Outcome::Unknown),
                    Action::Purge { id, .. } => machine.purged(now, &id, Outcome::Unknown),
                    Action::Read { .. } => machine.read(now, Some(&[])),
                }
            }
            if let Some(Notice::GaveUp { why: given, .. }) = machine.next_notice() {
                why = Some(given);
            } else {
                now = machine.wake_at().expect("something is due");
                machine.tick(now);
            }
        }
        assert_eq!(why, Some(GivenUp::Unreachable));
        // It retried meanwhile.
        assert!(writes > 1, "{writes}");
        let patience = Duration::from_secs(u64::from(lease).max(20) + 5);
        assert!(now < patience, "{lease}: {now:?}");
    }
}

#[test]
fn a_try_waits_two_seconds_after_an_unacknowledged_write() {
    for lease in [3, 15, 60] {
        let mut machine = Machine::new("s");
        let asked = Duration::from_millis(1);
        let try_only = Request {
            try_only: true,
            ..request(Mode::Write, lease)
        };
        machine.acquire(asked, ClaimId(1), try_only);
        let unanswered = asked + Duration::from_millis(400);
        while let Some(action) = machine.next_action() {
            match action {
                Action::Watch => machine.event(unanswered, Event::Current),
                Action::Write { id, entry, .. } => {
                    machine.written(unanswered, &id, entry.write, Outcome::Unknown);
                }
                _ => {}
            }
        }
        let (told, now) = until_notice(&mut machine, unanswered);
        let gave_up = Notice::GaveUp {
            claim: ClaimId(1),
            why: GivenUp::Unreachable,
        };
        assert_eq!((told, now - unanswered), (gave_up, Duration::from_secs(2)));
    }
}

/// Without a watch, the acknowledgement is the only sign.
#[test]
fn an_entry_stored_after_it_was_given_up_is_purged() {
    for purge_first in [true, false] {
        let long = Duration::from_secs(60);
        let mut machine = Machine::new("s").unwatched_for(long);
        let now = Duration::from_millis(1);
        machine.acquire(now, ClaimId(1), request(Mode::Read, 15));
        let Some(Action::Write { id, .. }) = machine.next_action() else {
            panic!("nothing is written");
        };
        machine.release(now, ClaimId(1));
        let purge = Action::Purge {
            id: id.clone(),
            expect: None,
        };
        assert_eq!(machine.next_action(), Some(purge.clone()));
        // The server handled the purge first.
        if purge_first {
            machine.purged(now, &id, Outcome::Stored(1));
            machine.written(now, &id, 0, Outcome::Stored(2));
        } else {
            machine.written(now, &id, 0, Outcome::Stored(2));
            machine.purged(now, &id, Outcome::Stored(1));
        }
        let mut actions = std::iter::from_fn(|| machine.next_action());
        assert!(actions.any(|action| action == purge), "{purge_first}");
        machine.purged(now, &id, Outcome::Stored(3));
        assert!(machine.is_idle());
    }
}

/// However long the service was away before: it may come back.
#[test]
fn the_patience_of_an_acquire_begins_with_the_acquire() {
    for (try_only, patience) in [(false, 15), (true, 0)] {
        let mut machine = Machine::new("s");
        let mut now = Duration::from_millis(1);
        machine.observe(now, true);
        machine.event(now, Event::Current);
        machine.event(now, Event::Interrupted);
        now += Duration::from_secs(100);
        machine.acquire(
            now,
            ClaimId(1),
            Request {
                try_only,
                ..request(Mode::Read, 15)
            },
        );
        let (told, gave_up_at) = until_notice(&mut machine, now);
        let gave_up = Notice::GaveUp {
            claim: ClaimId(1),
            why: GivenUp::Unreachable,
        };
        assert_eq!(told, gave_up);
        let waited = gave_up_at - now;
        assert_eq!(waited, Duration::from_secs(patience), "{try_only}");
    }
}
