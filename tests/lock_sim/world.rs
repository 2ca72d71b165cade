//! A world of participants, one stream, and an unreliable network.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, BinaryHeap},
    time::Duration,
};

use shizuku::kv::lock::{
    entry::{EntryId, LockEntry, Mode},
    machine::{ClaimId, Event, Machine, Mutant, Outcome},
};

use crate::{
    check::{Belief, Check, Hold, Verdict},
    faults::Faults,
    rng::Rng,
    stream::{MS, SECOND, Stream, Time},
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    ReadWrite,
    Mutex,
    Semaphore(u32),
}

/// A message to the server.
pub enum Message {
    Write {
        entry: LockEntry,
        expect: Option<u64>,
    },
    Probe,
    Purge {
        expect: Option<u64>,
    },
    Read {
        from: u64,
    },
}

#[derive(Clone, Copy)]
pub enum Asked {
    Write(u32),
    Probe,
    Purge,
    Read,
}

pub enum What {
    Arrive(EntryId, Message, Ticket),
    Expire(u64),
    Pump,
    OpenWatch {
        link: u64,
        from: u64,
        fresh: bool,
    },
    // Everything below happens in the participant, and is delayed while that is stalled.
    Deliver {
        link: u64,
        seq: u64,
        event: Event,
    },
    Reply(EntryId, Asked, Outcome, u64, Option<Vec<Event>>),
    Wake(u64),
    Start,
    Release(ClaimId),
    Downgrade(ClaimId),
    Fault,
    /// A write to a key that is no lock's.
    Other,
}

/// Identifies the request that a reply belongs to.
#[derive(Clone, Copy)]
pub struct Ticket {
    pub number: u64,
    pub asked: Asked,
    pub deadline: Time,
}

struct Happening {
    at: Time,
    order: u64,
    who: usize,
    what: What,
}

impl PartialEq for Happening {
    fn eq(&self, other: &Self) -> bool {
        self.order == other.order
    }
}
impl Eq for Happening {}
impl PartialOrd for Happening {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Happening {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.order).cmp(&(other.at, other.order))
    }
}

/// The server's side of a watch.
pub struct Feed {
    pub cursor: u64,
    pub applied: u64,
    pub initial_end: Option<u64>,
    pub pumping: bool,
    pub last_arrival: Time,
    pub vanished: Vec<EntryId>,
    /// Messages that its replica shows but the leader has removed.
    pub phantoms: Vec<u64>,
}

pub struct Participant {
    pub machine: Machine,
    pub alive: bool,
    pub stalled_until: Time,
    /// Local microseconds per million true ones, and the start of the local clock.
    pub rate: u64,
    pub offset: u64,
    pub last_sent: Time,
    pub wake: u64,
    /// The number of the watch's connection: events from an older one are lost.
    pub link: u64,
    pub feed: Option<Feed>,
    /// What the layer below the machine has delivered: the last sequence, and the live entries.
    pub seen: u64,
    pub known: BTreeMap<EntryId, u64>,
    pub jobs: u32,
    pub live: BTreeSet<ClaimId>,
    pub claims: u64,
    pub open: BTreeMap<u64, ()>,
    pub requests: u64,
}

pub struct World {
    pub rng: Rng,
    pub now: Time,
    order: u64,
    queue: BinaryHeap<Reverse<Happening>>,
    pub stream: Stream,
    pub participants: Vec<Participant>,
    pub check: Check,
    pub faults: Faults,
    pub kind: Kind,
    pub lease: u32,
    pub mutant: Mutant,
    pub unwatched: Duration,
    /// How many claims of one kind a participant may have in the log.
    pub crowd: usize,
    /// How many participants have been replaced.
    pub sessions: u64,
    pub steps: u64,
    pub grants: u64,
    pub trace: bool,
}

const CALM: Time = 400 * SECOND;

fn machine(session: &str, mutant: Mutant, unwatched: Duration, crowd: usize) -> Machine {
    Machine::new(session)
        .mutant(mutant)
        .unwatched_for(unwatched)
        .crowd_of(crowd)
}

impl World {
    pub fn new(seed: u64, mutant: Mutant, trace: bool) -> Self {
        let mut rng = Rng::new(seed);
        let faults = match mutant {
            Mutant::CreationProves => Faults::lagging(),
            _ => Faults::random(&mut rng),
        };
        let kind = match rng.below(10) {
            0 => Kind::Mutex,
            1 => Kind::Semaphore(2),
            _ => Kind::ReadWrite,
        };
        let count = rng.range(2, 5) as usize;
        // A participant may have several claims at a time.
        let several = rng.chance(300);
        let unwatched = Duration::from_millis(if rng.chance(300) { 0 } else { 100 });
        let crowd = rng.range(1, 4) as usize;
        let participants = (0..count)
            .map(|number| Participant {
                machine: machine(&format!("p{number}"), mutant, unwatched, crowd),
                alive: true,
                stalled_until: 0,
                rate: if faults.drift {
                    rng.range(970_000, 1_030_000)
                } else {
                    1_000_000
                },
                offset: rng.below(1000 * SECOND),
                last_sent: 0,
                wake: 0,
                link: 0,
                feed: None,
                seen: 0,
                known: BTreeMap::new(),
                jobs: rng.range(1, 4) as u32,
                live: BTreeSet::new(),
                claims: 0,
                open: BTreeMap::new(),
                requests: 0,
            })
            .collect();
        let mut world = Self {
            now: 0,
            order: 0,
            queue: BinaryHeap::new(),
            stream: Stream::default(),
            participants,
            check: Check::default(),
            faults,
            kind,
            lease: if rng.chance(700) { 6 } else { 3 },
            mutant,
            unwatched,
            crowd,
            sessions: 0,
            steps: 0,
            grants: 0,
            trace,
            rng,
        };
        for who in 0..count {
            let start = world.rng.below(4 * SECOND);
            world.at(start, who, What::Start);
            if several {
                for _ in 0..world.rng.below(3) {
                    world.participants[who].jobs += 1;
                    let start = world.rng.below(4 * SECOND);
                    world.at(start, who, What::Start);
                }
            }
            let fault = world.rng.below(3 * SECOND);
            world.at(fault, who, What::Fault);
        }
        if world.faults.other > 0 {
            world.at(0, 0, What::Other);
        }
        world
    }

    /// A machine like those that the world began with.
    pub fn machine(&self, session: &str) -> Machine {
        machine(session, self.mutant, self.unwatched, self.crowd)
    }

    pub fn at(&mut self, at: Time, who: usize, what: What) {
        self.order += 1;
        self.queue.push(Reverse(Happening {
            at: at.max(self.now),
            order: self.order,
            who,
            what,
        }));
    }

    pub fn faulty(&self) -> bool {
        self.now < self.faults.until
    }

    /// Whether a fault with this probability happens now.
    pub fn strikes(&mut self, per_mille: u64) -> bool {
        self.faulty() && self.rng.chance(per_mille)
    }

    pub fn delay(&mut self) -> Time {
        if self.strikes(self.faults.slow) {
            self.rng.range(MS, self.faults.slowest)
        } else {
            self.rng.range(200, 20 * MS)
        }
    }

    pub fn local(&self, who: usize) -> Duration {
        let participant = &self.participants[who];
        let micros = self.now * participant.rate / 1_000_000 + participant.offset;
        Duration::from_micros(micros)
    }

    /// The true time at which the local clock shows this time.
    pub fn true_time(&self, who: usize, local: Duration) -> Time {
        let participant = &self.participants[who];
        let micros = (local.as_micros() as u64).saturating_sub(participant.offset);
        (micros * 1_000_000).div_ceil(participant.rate)
    }

    /// Runs until there is nothing left to do.
    pub fn run(&mut self) -> Verdict {
        while let Some(Reverse(next)) = self.queue.pop() {
            self.now = self.now.max(next.at);
            self.steps += 1;
            if self.now > self.faults.until + CALM {
                let waiting: Vec<_> = self
                    .participants
                    .iter()
                    .map(|p| (p.jobs, p.live.clone()))
                    .collect();
                return Err(format!("deadlock: still at work: {waiting:?}"));
            }
            self.step(next)?;
            self.believe()?;
        }
        self.end()
    }

    fn believe(&mut self) -> Verdict {
        let mut check = std::mem::take(&mut self.check);
        let verdict = check.beliefs(|hold| {
            let participant = &self.participants[hold.participant];
            if !participant.alive {
                return None;
            }
            participant.machine.trusted_until(hold.claim)?;
            Some(Belief {
                mode: participant.machine.mode(hold.claim)?,
                believes: self.believes(hold),
            })
        });
        self.check = check;
        verdict
    }

    /// Whether its holder trusts it now.
    pub fn believes(&self, hold: &Hold) -> bool {
        let participant = &self.participants[hold.participant];
        let until = participant.machine.trusted_until(hold.claim);
        participant.alive && until.is_some_and(|until| self.local(hold.participant) < until)
    }

    fn end(&self) -> Verdict {
        for (who, participant) in self.participants.iter().enumerate() {
            if participant.alive && participant.jobs > 0 {
                return Err(format!(
                    "deadlock: p{who} waits for ever: {:#?}",
                    participant.machine
                ));
            }
            if participant.alive && !participant.machine.is_idle() {
                return Err(format!(
                    "left behind: p{who} is not idle: {:#?}",
                    participant.machine
                ));
            }
        }
        if !self.stream.is_empty() {
            return Err("left behind: something stands in the stream".into());
        }
        Ok(())
    }

    fn step(&mut self, next: Happening) -> Verdict {
        let who = next.who;
        let inside = !matches!(
            next.what,
            What::Arrive(..)
                | What::Expire(_)
                | What::Pump
                | What::OpenWatch { .. }
                | What::Fault
                | What::Other
        );
        if inside {
            let participant = &self.participants[who];
            if !participant.alive {
                return Ok(());
            }
            if participant.stalled_until > self.now {
                // In the original order: a stall does not reorder a watch's events.
                let at = participant.stalled_until;
                self.queue.push(Reverse(Happening { at, ..next }));
                return Ok(());
            }
        }
        match next.what {
            What::Arrive(id, request, ticket) => self.arrive(who, &id, request, ticket)?,
            What::Expire(seq) => {
                if let Some(marker) = self.stream.expire(seq, self.now) {
                    self.appended(marker);
                }
            }
            What::Pump => self.pump(who),
            What::OpenWatch { link, from, fresh } => {
                // The participant may have moved on to a newer watch.
                if link == self.participants[who].link {
                    self.open_watch(who, from, fresh);
                }
            }
            What::Deliver { link, seq, event } => return self.deliver(who, link, seq, event),
            What::Reply(id, asked, outcome, number, seen) => {
                // The first result counts: the real reply or the timeout.
                if self.participants[who].open.remove(&number).is_some() {
                    let now = self.local(who);
                    let machine = &mut self.participants[who].machine;
                    match asked {
                        Asked::Write(write) => machine.written(now, &id, write, outcome),
                        Asked::Probe => machine.probed(now, &id, outcome),
                        Asked::Purge => machine.purged(now, &id, outcome),
                        Asked::Read => machine.read(now, seen.as_deref()),
                    }
                    return self.act(who);
                }
            }
            What::Wake(number) => {
                if number == self.participants[who].wake {
                    let now = self.local(who);
                    self.participants[who].machine.tick(now);
                    return self.act(who);
                }
            }
            What::Start => return self.start(who),
            What::Release(claim) => {
                let now = self.local(who);
                self.participants[who].machine.release(now, claim);
                return self.act(who);
            }
            What::Downgrade(claim) => {
                let now = self.local(who);
                let machine = &mut self.participants[who].machine;
                machine.change(now, claim, Some(Mode::Read), None);
                return self.act(who);
            }
            What::Fault => self.fault(who),
            What::Other => self.other(),
        }
        Ok(())
    }
}
