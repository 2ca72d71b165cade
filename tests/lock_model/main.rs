//! Explores every interleaving of small worlds with stateright: the lock's state machine, one
//! stream with one message per subject, lagging replicas, and messages in flight.
//!
//! Time stands still except for a few ticks that may come between any two events: short ones,
//! within the trust window of a second; long ones, after which an entry may be renewed; and one
//! after which every lease has expired. The number of ticks and the length of the log bound a
//! world; `SHIZUKU_MODEL_MESSAGES=9` makes all logs longer.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    unreachable_pub
)]

mod model;

use std::time::Duration;

use shizuku::kv::lock::{entry::Mode, machine::Mutant};
use stateright::{Checker, Model};

use model::{EXCLUSION, EXPIRED, LONG, OVER, SHORT, World};

fn world(modes: &[Mode], tick: Duration, ticks: u32, messages: usize) -> World {
    let wanted = std::env::var("SHIZUKU_MODEL_MESSAGES");
    World {
        modes: modes.to_vec(),
        mutant: Mutant::None,
        tick,
        ticks,
        lose: false,
        overdue: false,
        watched: false,
        others: 0,
        messages: wanted.map_or(messages, |number| number.parse().unwrap()),
    }
}

fn explore(world: World) -> impl Checker<World> {
    let World {
        modes,
        tick,
        ticks,
        lose,
        overdue,
        watched,
        others,
        messages,
        mutant,
    } = world.clone();
    let checker = world.checker().threads(2).spawn_bfs().join();
    println!(
        "{modes:?}, {ticks} ticks of {tick:?}, lossy: {lose}, overdue: {overdue}, watched: {watched}, {others} others, {messages} messages, {mutant:?}: {} states, depth {}",
        checker.unique_state_count(),
        checker.max_depth(),
    );
    checker
}

/// With a watch from the start, and without one; the latter has more interleavings, so its log is
/// shorter by `shorter`.
fn both(world: &World, shorter: usize) -> [World; 2] {
    let mut worlds = [world.clone(), world.clone()];
    worlds[0].watched = true;
    worlds[1].messages = worlds[1].messages.saturating_sub(shorter);
    worlds
}

fn exclusion_holds(world: &World, shorter: usize) {
    for world in both(world, shorter) {
        explore(world).assert_no_discovery(EXCLUSION);
    }
}

#[test]
fn two_writers() {
    use Mode::Write;
    for world in both(&world(&[Write, Write], SHORT, 1, 20), 0) {
        explore(world).assert_properties();
    }
    exclusion_holds(&world(&[Write, Write], LONG, 1, 7), 2);
}

#[test]
fn a_reader_and_a_writer() {
    use Mode::{Read, Write};
    for world in both(&world(&[Read, Write], SHORT, 1, 20), 0) {
        explore(world).assert_properties();
    }
    exclusion_holds(&world(&[Read, Write], LONG, 1, 7), 2);
}

/// Stored entries expire, and those in flight are stored when they are of no use any more.
#[test]
fn exclusion_holds_when_leases_expire() {
    use Mode::{Read, Write};
    for modes in [[Write, Write], [Read, Write]] {
        for world in both(&world(&modes, OVER, 1, 6), 1) {
            let checker = explore(world);
            checker.assert_no_discovery(EXCLUSION);
            checker.assert_any_discovery(EXPIRED);
        }
    }
}

/// The participants remove it, and then enter one after the other.
#[test]
fn an_overdue_entry_blocks_nobody() {
    use Mode::{Read, Write};
    for modes in [&[Write][..], &[Read], &[Write, Write], &[Read, Write]] {
        let mut world = world(modes, SHORT, 0, 10);
        world.overdue = true;
        for world in both(&world, 4) {
            explore(world).assert_properties();
        }
    }
}

#[test]
fn exclusion_holds_while_others_write_to_the_bucket() {
    use Mode::Write;
    let mut world = world(&[Write, Write], LONG, 1, 5);
    world.others = 2;
    exclusion_holds(&world, 1);
}

#[test]
fn exclusion_holds_when_acknowledgements_are_lost() {
    use Mode::Write;
    let mut world = world(&[Write, Write], LONG, 1, 6);
    world.lose = true;
    exclusion_holds(&world, 3);
}

#[test]
fn two_readers_and_a_writer() {
    use Mode::{Read, Write};
    exclusion_holds(&world(&[Read, Read, Write], SHORT, 0, 6), 2);
}

/// A check that finds nothing wrong with a faulty machine would prove nothing.
#[test]
fn faulty_machines_are_caught() {
    use Mode::{Read, Write};
    for (mutant, watched) in [
        (Mutant::NoTrustRule, true),
        (Mutant::AckDecides, false),
        (Mutant::LatePassing, true),
    ] {
        for modes in [[Write, Write], [Read, Write]] {
            let world = World {
                mutant,
                watched,
                ..world(&modes, LONG, 1, 7)
            };
            assert!(explore(world).discovery(EXCLUSION).is_some(), "{mutant:?}");
        }
    }
}
