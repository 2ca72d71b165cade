//! More claims of one participant than may wait in the log at a time.

use shizuku::kv::lock::{
    entry::Mode,
    machine::{Action, ClaimId, Event, GivenUp, Machine, Notice, Outcome},
};

use super::{ONE, TWO, acquire, actions, at, attempt, gone, granted, notices, taken};

const THREE: ClaimId = ClaimId(3);

/// Another participant holds, and two claims may wait in the log.
fn crowded() -> Machine {
    taken(Mode::Write).crowd_of(2)
}

/// The number of entries written.
fn writes(machine: &mut Machine) -> usize {
    let actions = actions(machine);
    assert!(
        actions
            .iter()
            .all(|action| matches!(action, Action::Write { .. })),
        "{actions:?}"
    );
    actions.len()
}

#[test]
fn a_queued_claim_is_written_when_an_earlier_one_is_granted() {
    let mut machine = crowded();
    let claims = [ONE, TWO, THREE];
    for claim in claims {
        acquire(&mut machine, at(3), claim, Mode::Write);
    }
    let sent = actions(&mut machine);
    let [
        Action::Write { id: first, .. },
        Action::Write { id: second, .. },
    ] = &sent[..]
    else {
        panic!("{sent:?}");
    };
    machine.written(at(4), first, 0, Outcome::Stored(12));
    machine.written(at(4), second, 0, Outcome::Stored(13));
    assert_eq!(writes(&mut machine), 0);
    machine.event(at(5), gone("other-1", 14));
    assert_eq!(granted(&mut machine), Some((ONE, 12)));
    assert_eq!(writes(&mut machine), 1);
}

#[test]
fn readers_that_wait_outside_do_not_hold_writers_back() {
    let mut machine = crowded();
    for claim in [ONE, TWO, THREE] {
        acquire(&mut machine, at(3), claim, Mode::Read);
    }
    assert_eq!(writes(&mut machine), 0);
    acquire(&mut machine, at(3), ClaimId(4), Mode::Write);
    assert_eq!(writes(&mut machine), 1);
}

#[test]
fn a_try_fails_if_the_participants_queue_is_full() {
    let mut machine = crowded();
    for claim in [ONE, TWO] {
        acquire(&mut machine, at(3), claim, Mode::Write);
    }
    writes(&mut machine);
    attempt(&mut machine, at(3), THREE, Mode::Write);
    let why = GivenUp::WouldBlock;
    let blocked = Notice::GaveUp { claim: THREE, why };
    assert_eq!(notices(&mut machine), [blocked]);
}

#[test]
fn a_claim_that_leaves_the_queue_makes_room_for_the_next() {
    let mut machine = crowded();
    for claim in 1..=4 {
        acquire(&mut machine, at(3), ClaimId(claim), Mode::Write);
    }
    assert_eq!(writes(&mut machine), 2);
    machine.release(at(4), THREE);
    assert_eq!(notices(&mut machine), [Notice::Released { claim: THREE }]);
    assert_eq!(writes(&mut machine), 0);
    machine.release(at(5), ONE);
    let sent = actions(&mut machine);
    assert!(
        matches!(&sent[..], [Action::Write { .. }, Action::Purge { .. }]),
        "{sent:?}"
    );
}

#[test]
fn queued_claims_fail_together_with_waiting_ones() {
    let claims = [ONE, TWO, THREE];
    let mut machine = crowded();
    for claim in claims {
        acquire(&mut machine, at(3), claim, Mode::Write);
    }
    machine.event(at(4), Event::Ended { fatal: true });
    let why = GivenUp::Fatal;
    assert_eq!(
        notices(&mut machine),
        claims.map(|claim| Notice::GaveUp { claim, why })
    );

    // During an interruption, all claims whose patience has ended are told together.
    let mut machine = crowded();
    machine.event(at(3), Event::Interrupted);
    for (claim, began) in claims.into_iter().zip([4, 5, 6]) {
        acquire(&mut machine, at(began), claim, Mode::Write);
    }
    acquire(&mut machine, at(20), ClaimId(4), Mode::Write);
    machine.tick(at(15_006));
    let why = GivenUp::Unreachable;
    let gave_up = |claim| Notice::GaveUp { claim, why };
    let told = notices(&mut machine);
    assert_eq!(told.len(), 3, "{told:?}");
    assert!(
        claims.iter().all(|claim| told.contains(&gave_up(*claim))),
        "{told:?}"
    );
    machine.tick(at(15_020));
    assert_eq!(notices(&mut machine), [gave_up(ClaimId(4))]);
    assert!(machine.is_idle());
}
