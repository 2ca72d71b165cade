//! A world: its participants, its stream, and the possible next steps.

use std::{collections::BTreeMap, hash::Hash, time::Duration};

use shizuku::kv::lock::{
    entry::{EntryId, Mode, Record},
    machine::{Action, ClaimId, Event, Machine, Mutant, Notice, Outcome, Request},
};
use stateright::{Model, Property};

pub const SHORT: Duration = Duration::from_millis(750);
pub const LONG: Duration = Duration::from_millis(1600);
/// Longer than a lease.
pub const OVER: Duration = Duration::from_millis(3100);
/// The age in ms at which an entry is overdue.
const OVERDUE: u32 = 5100;
const LEASE: u32 = 3;
/// Longer than any world lasts, in ms.
const FOR_EVER: u32 = 100_000;
const CLAIM: ClaimId = ClaimId(1);

pub const EXCLUSION: &str = "exclusion and growing tokens";
pub const EXPIRED: &str = "an entry is gone with its lease, and somebody has got in";

/// A stored message.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Stored {
    id: EntryId,
    /// `None` for a marker.
    record: Option<Record>,
    /// Whether the key is no lock's.
    other: bool,
    /// When it was stored and when it expires, in ms.
    at: u32,
    expires: u32,
    replaced_by: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Sent {
    Write(EntryId, shizuku::kv::lock::entry::LockEntry, Option<u64>),
    Probe(EntryId),
    Purge(EntryId, Option<u64>),
    Read(u64),
}

/// A participant, and the messages in flight to and from it, in order.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Part {
    machine: Machine,
    /// To the server.
    out: Vec<Sent>,
    /// How far the watch has read, if there is one, and where its initial entries end.
    cursor: Option<u64>,
    initial: Option<u64>,
    released: bool,
    granted: Option<u64>,
    over: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct State {
    /// In ms.
    now: u32,
    log: Vec<Stored>,
    last: BTreeMap<EntryId, u64>,
    parts: Vec<Part>,
    bad: bool,
    /// Whether a lease has expired.
    expired: bool,
    tokens: (u64, u64),
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    /// Time passes for everyone.
    Tick,
    /// The server handles the participant's next message, and its acknowledgement arrives. (Late
    /// acknowledgements are covered by the simulation.)
    Serve(usize),
    /// The same, but the acknowledgement is lost.
    LoseAck(usize),
    /// The watch delivers the next message that still exists.
    Watch(usize),
    /// The holder releases.
    Release(usize),
    /// A write to a key that is no lock's.
    Other,
}

/// A small world.
#[derive(Clone)]
pub struct World {
    pub modes: Vec<Mode>,
    pub mutant: Mutant,
    pub tick: Duration,
    pub ticks: u32,
    pub lose: bool,
    /// Whether the log begins with an entry that the server should have expired and never will.
    pub overdue: bool,
    /// Whether all participants have a watch from the start.
    pub watched: bool,
    /// The number of messages of other keys.
    pub others: usize,
    /// The maximum length of the log.
    pub messages: usize,
}

fn clock(ms: u32) -> Duration {
    Duration::from_millis(ms.into())
}

impl World {
    fn settle(state: &mut State, who: usize) {
        let now = state.now;
        while let Some(notice) = state.parts[who].machine.next_notice() {
            let part = &mut state.parts[who];
            match notice {
                Notice::Granted { token, .. } => {
                    part.granted = Some(token);
                    let mode = part.machine.mode(CLAIM);
                    let (alone, shared) = state.tokens;
                    let floor = match mode {
                        Some(Mode::Read) => alone,
                        _ => alone.max(shared),
                    };
                    state.bad |= token <= floor;
                    if mode == Some(Mode::Read) {
                        state.tokens.1 = shared.max(token);
                    } else {
                        state.tokens.0 = token;
                    }
                }
                Notice::Released { .. }
                | Notice::ReleaseFailed { .. }
                | Notice::NotHeld { .. }
                | Notice::Lost { .. }
                | Notice::GaveUp { .. } => part.over = true,
                Notice::Extended { .. } | Notice::Changed { .. } => {}
            }
        }
        while let Some(action) = state.parts[who].machine.next_action() {
            let part = &mut state.parts[who];
            match action {
                Action::Watch => {
                    // The watch's replica is up to date when the watch is created: lag comes from
                    // reading late. (Lagging replicas are covered by the simulation.)
                    part.cursor = Some(0);
                    part.initial = Some(state.log.len() as u64);
                }
                Action::Write { id, entry, expect } => {
                    part.out.push(Sent::Write(id, entry, expect));
                }
                Action::Probe { id } => part.out.push(Sent::Probe(id)),
                Action::Purge { id, expect } => part.out.push(Sent::Purge(id, expect)),
                Action::Read { from } => part.out.push(Sent::Read(from)),
            }
        }
        let believed = |part: &Part| {
            let until = part.machine.trusted_until(CLAIM)?;
            (clock(now) < until).then(|| part.machine.mode(CLAIM))?
        };
        let held: Vec<_> = state.parts.iter().filter_map(believed).collect();
        let alone = held.iter().filter(|mode| **mode == Mode::Write).count();
        state.bad |= alone > 1 || (alone == 1 && held.len() > 1);
    }

    fn store(state: &mut State, id: &EntryId, record: Option<Record>, ttl: u32) -> u64 {
        let seq = state.log.len() as u64 + 1;
        if let Some(old) = state.last.insert(id.clone(), seq) {
            state.log[old as usize - 1].replaced_by = Some(seq);
        }
        state.log.push(Stored {
            id: id.clone(),
            record,
            other: false,
            at: state.now,
            expires: state.now + ttl,
            replaced_by: None,
        });
        seq
    }

    fn serve(state: &mut State, sent: &Sent) -> Outcome {
        let last = |id| state.last.get(id).copied().unwrap_or(0);
        match sent {
            Sent::Write(id, entry, expect) => {
                let last = last(id);
                if expect.is_some_and(|expect| expect != last) {
                    return Outcome::Conflict;
                }
                let record = Some(Record::Entry(entry.clone()));
                Outcome::Stored(Self::store(state, id, record, entry.lease * 1000))
            }
            Sent::Probe(id) => {
                Outcome::Stored(Self::store(state, id, Some(Record::Probe), FOR_EVER))
            }
            Sent::Purge(id, expect) if expect.is_some_and(|expect| expect != last(id)) => {
                Outcome::Conflict
            }
            Sent::Purge(id, _) => Outcome::Stored(Self::store(state, id, None, FOR_EVER)),
            Sent::Read(_) => Outcome::Unknown,
        }
    }

    /// The messages from a sequence on.
    fn snapshot(state: &State, from: u64) -> Vec<Event> {
        let mut seen = Vec::new();
        let before = from.saturating_sub(1);
        while let Some(seq) = Self::next(state, seen.last().map_or(before, |(seq, _)| *seq)) {
            seen.push((seq, Self::event(state, seq)));
        }
        seen.into_iter().map(|(_, event)| event).collect()
    }

    fn event(state: &State, seq: u64) -> Event {
        let stored = &state.log[seq as usize - 1];
        let id = stored.id.clone();
        match &stored.record {
            Some(record) => Event::Put {
                id,
                revision: seq,
                stored: stored.at.into(),
                record: record.clone(),
            },
            None => Event::Gone { id, revision: seq },
        }
    }

    /// The next message that a watch at this position delivers.
    fn next(state: &State, cursor: u64) -> Option<u64> {
        (cursor + 1..=state.log.len() as u64).find(|seq| {
            let stored = &state.log[*seq as usize - 1];
            stored.replaced_by.is_none() && !stored.other
        })
    }
}

impl Model for World {
    type State = State;
    type Action = Step;

    fn init_states(&self) -> Vec<State> {
        let mut state = State {
            now: 0,
            log: Vec::new(),
            last: BTreeMap::new(),
            parts: Vec::new(),
            bad: false,
            expired: false,
            tokens: (0, 0),
        };
        if self.overdue {
            let id = EntryId::new("dead-1");
            let entry = Record::decode(br#"{"v":1,"m":"w","l":3,"w":0}"#);
            Self::store(&mut state, &id, Some(entry), FOR_EVER);
            state.now = OVERDUE;
        }
        let now = clock(state.now);
        for (number, mode) in self.modes.iter().enumerate() {
            let mut machine = Machine::new(&format!("{number}")).mutant(self.mutant);
            if self.watched {
                machine = machine.unwatched_for(Duration::ZERO);
            }
            let request = Request {
                mode: *mode,
                lease: LEASE,
                label: None,
                data: None,
                try_only: false,
            };
            machine.acquire(now, CLAIM, request);
            state.parts.push(Part {
                machine,
                out: Vec::new(),
                cursor: None,
                initial: None,
                released: false,
                granted: None,
                over: false,
            });
            Self::settle(&mut state, number);
        }
        vec![state]
    }

    fn actions(&self, state: &State, steps: &mut Vec<Step>) {
        if state.bad {
            return;
        }
        if clock(state.now) < self.tick * self.ticks {
            steps.push(Step::Tick);
        }
        let others = state.log.iter().filter(|stored| stored.other).count();
        if others < self.others && !state.log.is_empty() {
            steps.push(Step::Other);
        }
        for (who, part) in state.parts.iter().enumerate() {
            if !part.out.is_empty() {
                steps.push(Step::Serve(who));
                if self.lose {
                    steps.push(Step::LoseAck(who));
                }
            }
            if let Some(cursor) = part.cursor
                && (part.initial.is_some() || Self::next(state, cursor).is_some())
            {
                steps.push(Step::Watch(who));
            }
            if part.granted.is_some() && !part.released && !part.over {
                steps.push(Step::Release(who));
            }
        }
    }

    fn next_state(&self, last: &State, step: Step) -> Option<State> {
        let mut state = last.clone();
        let now = clock(state.now);
        match step {
            Step::Tick => {
                state.now += self.tick.as_millis() as u32;
                let expired: Vec<_> = state
                    .last
                    .iter()
                    .filter(|(_, seq)| {
                        let stored = &state.log[**seq as usize - 1];
                        stored.record.is_some() && stored.expires <= state.now
                    })
                    .map(|(id, _)| id.clone())
                    .collect();
                state.expired |= !expired.is_empty();
                for id in expired {
                    Self::store(&mut state, &id, None, FOR_EVER);
                }
                let now = clock(state.now);
                for who in 0..state.parts.len() {
                    state.parts[who].machine.tick(now);
                    Self::settle(&mut state, who);
                }
            }
            Step::Serve(who) | Step::LoseAck(who) => {
                let sent = state.parts[who].out.remove(0);
                let mut outcome = Self::serve(&mut state, &sent);
                if matches!(step, Step::LoseAck(_)) {
                    outcome = Outcome::Unknown;
                }
                let seen = match (&step, &sent) {
                    (Step::Serve(_), Sent::Read(from)) => Some(Self::snapshot(&state, *from)),
                    _ => None,
                };
                let part = &mut state.parts[who];
                match sent {
                    Sent::Write(id, entry, _) => {
                        part.machine.written(now, &id, entry.write, outcome);
                    }
                    Sent::Probe(id) => part.machine.probed(now, &id, outcome),
                    Sent::Purge(id, _) => part.machine.purged(now, &id, outcome),
                    Sent::Read(_) => part.machine.read(now, seen.as_deref()),
                }
                Self::settle(&mut state, who);
            }
            Step::Watch(who) => {
                let cursor = state.parts[who].cursor?;
                let next = Self::next(&state, cursor);
                let part = &mut state.parts[who];
                // The end of the initial entries precedes everything stored later.
                let event = match (part.initial, next) {
                    (Some(end), next) if next.is_none_or(|seq| seq > end) => {
                        part.initial = None;
                        Event::Current
                    }
                    (_, Some(seq)) => {
                        part.cursor = Some(seq);
                        Self::event(&state, seq)
                    }
                    (_, None) => return None,
                };
                state.parts[who].machine.event(now, event);
                Self::settle(&mut state, who);
            }
            Step::Other => state.log.push(Stored {
                id: EntryId::new("other"),
                record: None,
                other: true,
                at: state.now,
                expires: FOR_EVER,
                replaced_by: None,
            }),
            Step::Release(who) => {
                let part = &mut state.parts[who];
                part.released = true;
                part.machine.release(now, CLAIM);
                Self::settle(&mut state, who);
            }
        }
        Some(state)
    }

    fn within_boundary(&self, state: &State) -> bool {
        state.log.len() <= self.messages
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let mut properties = vec![
            Property::always(EXCLUSION, |_, state: &State| !state.bad),
            Property::sometimes("everybody gets in", |_, state: &State| {
                state.parts.iter().all(|part| part.granted.is_some())
            }),
        ];
        if self.tick == OVER {
            properties.push(Property::sometimes(EXPIRED, |_, state: &State| {
                state.expired && state.parts.iter().any(|part| part.granted.is_some())
            }));
        }
        properties
    }
}
