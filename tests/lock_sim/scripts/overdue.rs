//! Entries that the server should have expired but has not.

use std::time::Duration;

use shizuku::kv::lock::{
    TRUST_WINDOW,
    entry::{EntryId, LockEntry, Mode, Record},
    machine::{Action, Event, GivenUp, Machine, Notice, Outcome},
};

use super::{
    LEASE, ONE, TWO, acquire, actions, anew, at, attempt, gone, granted, holding, notices, other,
    probe, watching, write,
};

/// By the server's clock, in ms: an entry stored at 0 is overdue after this.
const OVERDUE: u64 = 1000 * LEASE as u64 + 2000;

/// The same event with another timestamp.
fn stamped(event: Event, at: u64) -> Event {
    match event {
        Event::Put {
            id,
            revision,
            record,
            ..
        } => Event::Put {
            id,
            revision,
            stored: at,
            record,
        },
        other => other,
    }
}

fn put(id: &EntryId, revision: u64, entry: &LockEntry, stored: u64) -> Event {
    stamped(anew::put(id, revision, entry), stored)
}

/// A renewal of the machine's own entry, which has this ticket.
fn put_again(id: &EntryId, ticket: u64, revision: u64, entry: LockEntry, stored: u64) -> Event {
    let mut entry = entry;
    (entry.ticket, entry.write) = (Some(ticket), 1);
    put(id, revision, &entry, stored)
}

/// A machine whose watch has shown this writer, with its entry stored as 11 at time 0.
fn shown(name: &str) -> Machine {
    all_shown([(name, 11)])
}

/// A machine whose watch has shown these writers, with their entries stored at time 0.
fn all_shown<N: AsRef<str>>(writers: impl IntoIterator<Item = (N, u64)>) -> Machine {
    let mut machine = Machine::new("s");
    machine.observe(at(0), true);
    assert_eq!(actions(&mut machine), [Action::Watch]);
    for (name, revision) in writers {
        let writer = other(name.as_ref(), Mode::Write, revision);
        machine.event(at(1), stamped(writer, 0));
    }
    machine.event(at(1), Event::Current);
    machine
}

fn purge(name: &str, expect: u64) -> Action {
    Action::Purge {
        id: EntryId::new(name),
        expect: Some(expect),
    }
}

/// Queues a writer whose entry is stored as 20 at time `stored`. Returns its entry and what is sent
/// then.
fn stored_behind(machine: &mut Machine, stored: u64) -> (EntryId, LockEntry, Vec<Action>) {
    acquire(machine, at(2), ONE, Mode::Write);
    let (id, entry) = write(machine);
    machine.written(at(3), &id, 0, Outcome::Stored(20));
    machine.event(at(3), put(&id, 20, &entry, stored));
    let sent = actions(machine);
    let sent = sent.into_iter();
    let sent = sent.filter(|action| !matches!(action, Action::Probe { .. }));
    (id, entry, sent.collect())
}

/// A machine that waits behind an overdue entry and has sent its purge.
fn removing() -> (Machine, EntryId, LockEntry) {
    let mut machine = shown("other-1");
    let (id, entry, sent) = stored_behind(&mut machine, OVERDUE + 1);
    assert_eq!(sent, [purge("other-1", 11)]);
    (machine, id, entry)
}

#[test]
fn an_entry_is_overdue_two_seconds_after_its_lease() {
    let (_, _, sent) = stored_behind(&mut shown("other-1"), OVERDUE);
    assert_eq!(sent, []);
    let (_, _, sent) = stored_behind(&mut shown("other-1"), OVERDUE + 1);
    assert_eq!(sent, [purge("other-1", 11)]);
    // The clock of the storing server is behind.
    let mut machine = shown("other-1");
    machine.event(at(2), stamped(other("other-2", Mode::Write, 12), OVERDUE));
    let (_, _, sent) = stored_behind(&mut machine, 1);
    assert_eq!(sent, []);
}

#[test]
fn the_age_of_an_entry_counts_from_its_last_write() {
    let mut machine = shown("other-1");
    machine.event(at(2), stamped(other("other-1", Mode::Write, 12), 5000));
    let (_, _, sent) = stored_behind(&mut machine, OVERDUE + 1);
    assert_eq!(sent, []);
}

#[test]
fn later_and_unreadable_entries_are_never_overdue() {
    let mut machine = all_shown([("other-1", 21)]);
    let (_, _, sent) = stored_behind(&mut machine, OVERDUE + 1);
    assert_eq!(sent, []);

    let mut machine = shown("other-1");
    let id = EntryId::new("other-1");
    let unreadable = Event::Put {
        id,
        revision: 12,
        stored: 0,
        record: Record::Unknown,
    };
    machine.event(at(2), unreadable);
    let (_, _, sent) = stored_behind(&mut machine, 100 * OVERDUE);
    assert_eq!(sent, []);
}

#[test]
fn a_holder_does_not_purge_overdue_entries_behind_it() {
    let (mut machine, id, entry) = holding(Mode::Write);
    machine.event(at(3), stamped(other("other-1", Mode::Write, 12), 0));
    machine.event(at(4), put_again(&id, 11, 13, entry, OVERDUE + 1));
    assert_eq!(actions(&mut machine), []);
}

#[test]
fn the_next_claim_is_granted_after_an_overdue_entry_is_purged() {
    let (mut machine, _, _) = removing();
    machine.purged(at(5), &EntryId::new("other-1"), Outcome::Stored(21));
    // An echo is needed for trust, as always.
    let echo = probe_echoes(&mut machine, 22);
    assert_eq!(echo, Some((ONE, 20)));

    // The watch may deliver the removal first.
    let (mut machine, _, _) = removing();
    machine.event(at(4), gone("other-1", 21));
    machine.purged(at(5), &EntryId::new("other-1"), Outcome::Stored(21));
    assert_eq!(probe_echoes(&mut machine, 22), Some((ONE, 20)));
}

/// Sends and echoes probes until a claim is granted.
fn probe_echoes(machine: &mut Machine, revision: u64) -> Option<(super::ClaimId, u64)> {
    for round in 0..3 {
        if let Some(granted) = granted(machine) {
            return Some(granted);
        }
        let later = at(5 + round) + 3 * TRUST_WINDOW;
        machine.tick(later);
        for action in actions(machine) {
            if let Action::Probe { id } = action {
                machine.event(later, super::echo_of_probe(&id, revision + round));
            }
        }
    }
    granted(machine)
}

/// The leader has another revision. If it has none, a marker is written for all to see.
#[test]
fn an_overdue_entry_missing_on_the_leader_gets_a_marker() {
    let id = EntryId::new("other-1");
    let (mut machine, own, entry) = removing();
    machine.purged(at(5), &id, Outcome::Conflict);
    assert_eq!(actions(&mut machine), [purge("other-1", 0)]);
    let mut written_again = machine.clone();
    machine.purged(at(6), &id, Outcome::Stored(21));
    assert_eq!(probe_echoes(&mut machine, 22), Some((ONE, 20)));

    // The entry was written again. Nothing is concluded until the watch shows it.
    written_again.purged(at(6), &id, Outcome::Conflict);
    assert_eq!(actions(&mut written_again), []);
    assert_eq!(granted(&mut written_again), None);
    // If it never does, the next renewal leads to another attempt.
    written_again.event(at(7), put_again(&own, 20, 30, entry, OVERDUE + 5000));
    assert_eq!(actions(&mut written_again), [purge("other-1", 11)]);
}

#[test]
fn an_unacknowledged_purge_is_repeated_with_the_next_own_message() {
    for (outcome, again) in [
        (Outcome::Unknown, true),
        (Outcome::Failed { fatal: false }, true),
        (Outcome::Failed { fatal: true }, false),
    ] {
        let (mut machine, own, entry) = removing();
        machine.purged(at(5), &EntryId::new("other-1"), outcome);
        machine.tick(at(900));
        assert_eq!(actions(&mut machine), []);
        machine.event(at(901), put_again(&own, 20, 30, entry, OVERDUE + 900));
        let expected = if again {
            &[purge("other-1", 11)][..]
        } else {
            &[]
        };
        assert_eq!(actions(&mut machine), expected, "{outcome:?}");
    }
}

#[test]
fn only_so_many_overdue_entries_are_purged_at_a_time() {
    let mut machine = all_shown((0..40).map(|number| (format!("other-{number}"), 11 + number)));
    acquire(&mut machine, at(2), ONE, Mode::Write);
    let (own, entry) = write(&mut machine);
    machine.written(at(3), &own, 0, Outcome::Stored(100));
    machine.event(at(3), put(&own, 100, &entry, OVERDUE + 1));
    let purged = |sent: Vec<Action>| {
        let sent = sent.into_iter();
        let ids = sent.filter_map(|action| match action {
            Action::Purge { id, .. } => Some(id),
            _ => None,
        });
        ids.collect::<Vec<_>>()
    };
    let first = purged(actions(&mut machine));
    assert_eq!(first.len(), 32);
    machine.purged(at(4), &first[0], Outcome::Stored(101));
    assert_eq!(purged(actions(&mut machine)).len(), 1);
    // Failed purges make room for others, too.
    machine.purged(at(4), &first[1], Outcome::Unknown);
    assert_eq!(purged(actions(&mut machine)).len(), 1);
}

#[test]
fn a_try_waits_for_the_purge_of_an_overdue_entry() {
    let would_block = [Notice::GaveUp {
        claim: ONE,
        why: GivenUp::WouldBlock,
    }];
    let id = EntryId::new("other-1");
    for mode in [Mode::Read, Mode::Write] {
        // It has no entry in the log to compare ages with, so it sends a probe first.
        let mut machine = shown("other-1");
        attempt(&mut machine, at(2), ONE, mode);
        let probe = probe(&mut machine);
        assert_eq!(notices(&mut machine), []);
        let mut unheard = machine.clone();
        let echo = stamped(super::echo_of_probe(&probe, 20), OVERDUE + 1);
        machine.event(at(3), echo);
        assert_eq!(actions(&mut machine), [purge("other-1", 11)]);
        assert_eq!(notices(&mut machine), []);
        let mut refused = machine.clone();
        machine.purged(at(4), &id, Outcome::Stored(21));
        assert_eq!(notices(&mut machine), []);
        let (own, _) = write(&mut machine);
        // No unknown message precedes it.
        machine.written(at(5), &own, 0, Outcome::Stored(22));
        assert_eq!(granted(&mut machine), Some((ONE, 22)));

        refused.purged(at(4), &id, Outcome::Conflict);
        assert_eq!(notices(&mut refused), []);
        refused.purged(at(5), &id, Outcome::Conflict);
        assert_eq!(notices(&mut refused), would_block);

        // A try does not wait long for the echo.
        unheard.tick(at(2) + Duration::from_secs(2));
        assert_eq!(notices(&mut unheard), would_block);
    }
    // Even if another claim's probe asked for the ages before.
    let mut machine = shown("other-1");
    acquire(&mut machine, at(2), ONE, Mode::Read);
    attempt(&mut machine, at(500), TWO, Mode::Write);
    machine.tick(at(2002));
    assert_eq!(notices(&mut machine), []);
    assert_eq!(machine.wake_at(), Some(at(2500)));
}

/// Known ages are discarded with the watch that provided them.
#[test]
fn known_ages_end_with_the_watch_that_gave_them() {
    let known = || {
        let mut machine = shown("other-1");
        acquire(&mut machine, at(2), ONE, Mode::Read);
        let probe = probe(&mut machine);
        machine.event(at(3), stamped(super::echo_of_probe(&probe, 20), 1000));
        assert_eq!(actions(&mut machine), []);
        machine
    };
    let mut interrupted = known();
    interrupted.event(at(4), Event::Interrupted);
    interrupted.event(at(5), Event::Current);
    probe(&mut interrupted);

    let mut ended = known();
    ended.event(at(4), Event::Ended { fatal: false });
    ended.tick(at(100));
    let sent = actions(&mut ended);
    let [Action::Watch, Action::Probe { id }] = &sent[..] else {
        panic!("{sent:?}");
    };
    ended.probed(at(101), id, Outcome::Failed { fatal: false });
    ended.event(at(102), stamped(other("other-1", Mode::Write, 11), 0));
    ended.event(at(102), Event::Current);
    ended.tick(at(1000));
    probe(&mut ended);
}

#[test]
fn an_overdue_entry_has_one_purge_in_flight() {
    let (mut machine, own, entry) = removing();
    machine.event(at(4), put_again(&own, 20, 30, entry, OVERDUE + 5000));
    assert_eq!(actions(&mut machine), []);
}

/// An entry that this participant has given up can come back, too.
#[test]
fn an_own_leftover_entry_is_purged_unconditionally_and_blocks_nobody() {
    let mut machine = watching();
    machine.event(at(2), stamped(other("s-99", Mode::Write, 11), 0));
    assert_eq!(
        actions(&mut machine),
        [Action::Purge {
            id: EntryId::new("s-99"),
            expect: None
        }]
    );
    acquire(&mut machine, at(3), ONE, Mode::Write);
    let (id, entry) = write(&mut machine);
    let mut echoed = machine.clone();
    machine.written(at(4), &id, 0, Outcome::Stored(12));
    assert_eq!(granted(&mut machine), Some((ONE, 12)));
    echoed.event(at(4), put(&id, 12, &entry, OVERDUE + 1));
    assert_eq!(actions(&mut echoed), []);
}

/// Without a watch, the snapshot that shows its own entry also shows the age of the others.
#[test]
fn a_first_try_learns_ages_from_its_snapshot() {
    for mode in [Mode::Read, Mode::Write] {
        let mut machine = Machine::new("s").unwatched_for(at(100));
        attempt(&mut machine, at(1), ONE, mode);
        let (id, entry) = write(&mut machine);
        machine.written(at(2), &id, 0, Outcome::Stored(20));
        assert_eq!(actions(&mut machine), [Action::Read { from: 0 }]);
        let seen = [
            stamped(other("other-1", Mode::Write, 11), 0),
            put(&id, 20, &entry, OVERDUE + 1),
        ];
        machine.read(at(3), Some(&seen));
        let sent = actions(&mut machine);
        assert_eq!(sent.first(), Some(&purge("other-1", 11)));
        assert_eq!(notices(&mut machine), []);
        machine.purged(at(4), &EntryId::new("other-1"), Outcome::Stored(21));
        assert_eq!(granted(&mut machine), Some((ONE, 20)));
    }
}

/// A reader that waits outside the log has no entry to compare with either.
#[test]
fn a_reader_outside_learns_the_writers_age_from_a_probe() {
    let mut machine = shown("other-1");
    acquire(&mut machine, at(2), ONE, Mode::Read);
    let probe = probe(&mut machine);
    let echo = stamped(super::echo_of_probe(&probe, 20), OVERDUE + 1);
    machine.event(at(3), echo);
    assert_eq!(actions(&mut machine), [purge("other-1", 11)]);
    machine.purged(at(4), &EntryId::new("other-1"), Outcome::Stored(21));
    write(&mut machine);
    // An entry stored since the watch began cannot be older than that.
    let mut machine = shown("other-1");
    machine.event(at(2), gone("other-1", 12));
    machine.event(at(3), other("other-2", Mode::Write, 13));
    acquire(&mut machine, at(4), ONE, Mode::Read);
    assert_eq!(actions(&mut machine), []);
}
