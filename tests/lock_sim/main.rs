//! The lock's state machine in simulated worlds, with virtual time and one seed per world, and in
//! scripts (`scripts`).
//!
//! `SHIZUKU_SIM_SEEDS=100000` runs more worlds, `SHIZUKU_SIM_SEED=17` replays one and prints
//! everything that happens in it.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    unreachable_pub
)]

mod acting;
mod check;
mod faults;
mod rng;
mod scripts;
mod server;
mod stream;
mod world;

use std::{
    env,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
};

use shizuku::kv::lock::{
    entry::Mode,
    machine::{Mutant, Request},
};
use world::World;

const SEEDS: u64 = 10_000;

struct Summary {
    steps: u64,
    grants: u64,
    failure: Option<(u64, String)>,
}

/// The request of a waiting claim.
fn request(mode: Mode, lease: u32) -> Request {
    Request {
        mode,
        lease,
        label: None,
        data: None,
        try_only: false,
    }
}

fn number(name: &str) -> Option<u64> {
    env::var(name).ok()?.parse().ok()
}

/// Runs worlds until one fails.
fn run(seeds: u64, mutant: Mutant) -> Summary {
    let next = AtomicU64::new(0);
    let stop = AtomicBool::new(false);
    let steps = AtomicU64::new(0);
    let grants = AtomicU64::new(0);
    let failure = Mutex::new(None);
    let threads = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds {
                        break;
                    }
                    let mut world = World::new(seed, mutant, false);
                    let verdict = world.run();
                    steps.fetch_add(world.steps, Ordering::Relaxed);
                    grants.fetch_add(world.grants, Ordering::Relaxed);
                    if let Err(what) = verdict {
                        stop.store(true, Ordering::Relaxed);
                        failure.lock().unwrap().get_or_insert((seed, what));
                    }
                }
            });
        }
    });
    Summary {
        steps: steps.into_inner(),
        grants: grants.into_inner(),
        failure: failure.into_inner().unwrap(),
    }
}

#[test]
fn no_simulated_world_breaks_the_lock() {
    if let Some(seed) = number("SHIZUKU_SIM_SEED") {
        let verdict = World::new(seed, Mutant::None, true).run();
        assert_eq!(verdict, Ok(()), "seed {seed}");
        return;
    }
    let seeds = number("SHIZUKU_SIM_SEEDS").unwrap_or(SEEDS);
    let summary = run(seeds, Mutant::None);
    if let Some((seed, what)) = summary.failure {
        panic!(
            "seed {seed}: {what}\nreplay: SHIZUKU_SIM_SEED={seed} cargo test --test lock_sim -- --nocapture no_world"
        );
    }
    println!(
        "{seeds} worlds, {} steps, {} grants",
        summary.steps, summary.grants
    );
    assert!(summary.grants > seeds, "hardly anybody got in");
}

#[test]
fn a_seed_replays_step_by_step() {
    let run = |seed| {
        let mut world = World::new(seed, Mutant::None, false);
        (world.run(), world.steps, world.grants, world.rng.next())
    };
    for seed in 0..50 {
        assert_eq!(run(seed), run(seed));
    }
}

/// A simulation that finds no planted mistake proves nothing.
#[test]
fn mutants_are_caught() {
    let mixed = &["order", "exclusion", "tokens"][..];
    let robbed = &["robbed"][..];
    for (mutant, kinds, within) in [
        (Mutant::NoTrustRule, mixed, 2000),
        (Mutant::UnconditionalRefresh, &["resurrection"], 2000),
        (Mutant::LateAckRevives, &["revival", "exclusion"], 2000),
        (Mutant::CreationProves, mixed, 200_000),
        (Mutant::VanishedIsGone, mixed, 20_000),
        (Mutant::AckDecides, mixed, 2000),
        (Mutant::LatePassing, mixed, 200_000),
        (Mutant::AnySnapshot, mixed, 20_000),
        (Mutant::ChangeLeaves, mixed, 2000),
        (Mutant::ShortSnapshot, mixed, 20_000),
        (Mutant::LeavesOverdue, &["deadlock"], 2000),
        (Mutant::UnconditionalRemoval, robbed, 20_000),
        (Mutant::RemovesTooSoon, robbed, 2000),
        (Mutant::AgeOfFirstWrite, robbed, 2000),
        (Mutant::RefusalIsGone, mixed, 20_000),
    ] {
        let summary = run(within, mutant);
        let Some((seed, what)) = summary.failure else {
            panic!("{mutant:?} survives {within} worlds");
        };
        let kind = what.split(':').next().unwrap_or_default();
        assert!(kinds.contains(&kind), "{mutant:?}, seed {seed}: {what}");
        println!("{mutant:?}: caught at seed {seed}: {kind}");
    }
}
