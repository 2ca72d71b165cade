//! The faults of a world.

use crate::{
    rng::Rng,
    stream::{MS, SECOND, Time},
};

/// The faults of a world. Probabilities are per mille.
#[derive(Clone, Debug)]
pub struct Faults {
    /// No faults.
    pub calm: bool,
    pub until: Time,
    pub slow: u64,
    pub slowest: Time,
    pub lose_request: u64,
    pub lose_reply: u64,
    pub refuse: u64,
    pub stall: u64,
    pub longest_stall: Time,
    pub pump_stall: u64,
    pub lag: u64,
    pub interrupt: u64,
    pub end: u64,
    pub crash: u64,
    pub cancel: u64,
    /// Another server, with its own clock, becomes the leader.
    pub elect: u64,
    /// A removed entry comes back for good.
    pub revive: u64,
    /// A watch shows a removed entry.
    pub phantom: u64,
    pub timeout: Time,
    /// The maximum interval between writes to a key that is no lock's; 0 for none.
    pub other: Time,
    pub reorder: bool,
    pub drift: bool,
}

impl Faults {
    pub fn random(rng: &mut Rng) -> Self {
        match rng.below(10) {
            0 => return Self::calm(),
            1 => return Self::slow(),
            _ => {}
        }
        let mut maybe = |max: u64| {
            if rng.chance(500) {
                rng.below(max + 1)
            } else {
                0
            }
        };
        Self {
            calm: false,
            slow: maybe(120),
            lose_request: maybe(60),
            lose_reply: maybe(100),
            refuse: maybe(60),
            stall: maybe(500),
            pump_stall: maybe(200),
            lag: maybe(400),
            interrupt: maybe(500),
            end: maybe(300),
            crash: maybe(60),
            cancel: maybe(150),
            elect: maybe(300),
            revive: maybe(300),
            phantom: maybe(500),
            until: rng.range(10, 40) * SECOND,
            slowest: *[50 * MS, SECOND, 10 * SECOND]
                .get(rng.below(3) as usize)
                .unwrap_or(&SECOND),
            longest_stall: *[500 * MS, 3 * SECOND, 12 * SECOND]
                .get(rng.below(3) as usize)
                .unwrap_or(&SECOND),
            timeout: *[2 * SECOND, 5 * SECOND, 30 * SECOND]
                .get(rng.below(3) as usize)
                .unwrap_or(&SECOND),
            other: *[0, 0, 50 * MS, 2 * SECOND]
                .get(rng.below(4) as usize)
                .unwrap_or(&SECOND),
            reorder: rng.chance(200),
            drift: rng.chance(500),
        }
    }
}

impl Faults {
    /// No faults.
    pub fn calm() -> Self {
        Self {
            calm: true,
            lag: 0,
            end: 0,
            pump_stall: 0,
            ..Self::lagging()
        }
    }

    /// Slow watches, lagging replicas and lost replies, all together.
    pub fn slow() -> Self {
        Self {
            slow: 100,
            lose_reply: 150,
            pump_stall: 500,
            lag: 700,
            end: 100,
            cancel: 100,
            timeout: 2 * SECOND,
            other: 50 * MS,
            ..Self::lagging()
        }
    }

    /// A fast network, watches that restart all the time, and lagging replicas: this reveals wrong
    /// assumptions about what a new watch proves.
    pub fn lagging() -> Self {
        Self {
            calm: false,
            slow: 0,
            lose_request: 0,
            lose_reply: 0,
            refuse: 0,
            stall: 0,
            pump_stall: 100,
            lag: 800,
            interrupt: 0,
            end: 900,
            crash: 0,
            cancel: 0,
            elect: 0,
            revive: 0,
            phantom: 0,
            until: 40 * SECOND,
            slowest: SECOND,
            longest_stall: SECOND,
            timeout: 5 * SECOND,
            other: 0,
            reorder: false,
            drift: false,
        }
    }
}
