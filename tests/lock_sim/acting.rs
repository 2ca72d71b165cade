//! What participants do in a world, and the faults that they meet.

use shizuku::kv::lock::{
    entry::{EntryId, Mode},
    machine::{Action, ClaimId, Event, GivenUp, Notice, Outcome, Request},
};

use crate::{
    check::{Hold, Verdict},
    request,
    stream::{MS, SECOND, Time},
    world::{Asked, Kind, Message, Ticket, What, World},
};

/// How soon a free lock must be granted if there are no faults.
const PROMPT: Time = 1500 * MS;

/// Whether this participant has written the entry, in any of its sessions.
pub fn is_own(who: usize, id: &EntryId) -> bool {
    let rest = id.strip_prefix(&format!("p{who}"));
    rest.is_some_and(|rest| rest.starts_with(['-', 's']))
}

impl World {
    pub fn start(&mut self, who: usize) -> Verdict {
        if self.participants[who].jobs == 0 {
            return Ok(());
        }
        let mode = match self.kind {
            Kind::Mutex => Mode::Write,
            Kind::Semaphore(of) => Mode::Permit(of),
            Kind::ReadWrite if self.rng.chance(400) => Mode::Write,
            Kind::ReadWrite => Mode::Read,
        };
        let try_only = self.rng.chance(80);
        let now = self.local(who);
        let participant = &mut self.participants[who];
        participant.claims += 1;
        let claim = ClaimId(participant.claims);
        participant.live.insert(claim);
        participant.machine.acquire(
            now,
            claim,
            Request {
                try_only,
                ..request(mode, self.lease)
            },
        );
        if self.strikes(self.faults.cancel) {
            let at = self.now + self.rng.below(3 * SECOND);
            self.at(at, who, What::Release(claim));
        }
        self.act(who)
    }

    /// The job is done, or must be repeated.
    pub fn finished(&mut self, who: usize, claim: ClaimId, done: bool) {
        let pause = self.rng.range(MS, 2 * SECOND);
        let participant = &mut self.participants[who];
        if !participant.live.remove(&claim) {
            return;
        }
        participant.jobs = participant.jobs.saturating_sub(u32::from(done));
        self.at(self.now + pause, who, What::Start);
    }

    /// Processes the machine's notices and actions.
    pub fn act(&mut self, who: usize) -> Verdict {
        let mut actions = Vec::new();
        while let Some(action) = self.participants[who].machine.next_action() {
            if let Action::Purge { id, .. } = &action
                && is_own(who, id)
            {
                self.stream.give_up(who, id, self.now);
            }
            actions.push(action);
        }
        while let Some(notice) = self.participants[who].machine.next_notice() {
            if self.trace {
                println!("{:>10} p{who} {notice:?}", self.now);
            }
            match notice {
                Notice::Granted { claim, token, .. } => {
                    self.grants += 1;
                    let mode = self.participants[who].machine.mode(claim);
                    let free = self.stream.free_since(mode.unwrap_or(Mode::Write), token);
                    if self.faults.calm && self.now > free + PROMPT {
                        return Err(format!(
                            "late: p{who} got in with {token} at {}, and could since {free}",
                            self.now
                        ));
                    }
                    let hold = Hold {
                        participant: who,
                        claim,
                        token,
                        over: false,
                    };
                    self.check
                        .granted(&self.stream, mode.unwrap_or(Mode::Write), hold)?;
                    let longest = *[50 * MS, 2 * SECOND, 15 * SECOND]
                        .get(self.rng.below(3) as usize)
                        .unwrap_or(&SECOND);
                    let release = self.now + self.rng.below(longest);
                    if mode == Some(Mode::Write)
                        && self.kind == Kind::ReadWrite
                        && self.rng.chance(200)
                    {
                        self.at((self.now + release) / 2, who, What::Downgrade(claim));
                    }
                    self.at(release, who, What::Release(claim));
                }
                Notice::Released { claim }
                | Notice::ReleaseFailed { claim }
                | Notice::NotHeld { claim }
                | Notice::Lost { claim, .. } => self.finished(who, claim, true),
                Notice::GaveUp { claim, why } => {
                    if why == GivenUp::Unreachable && self.now > self.faults.until + 60 * SECOND {
                        return Err(format!("liveness: p{who} gave up in a calm world"));
                    }
                    self.finished(who, claim, why == GivenUp::WouldBlock);
                }
                Notice::Extended { .. } | Notice::Changed { .. } => {}
            }
        }
        for action in actions {
            if self.trace {
                println!("{:>10} p{who} {action:?}", self.now);
            }
            match action {
                Action::Watch => {
                    let participant = &mut self.participants[who];
                    participant.link += 1;
                    participant.feed = None;
                    participant.known.clear();
                    participant.seen = 0;
                    let link = participant.link;
                    let at = self.now + self.delay();
                    let (from, fresh) = (0, true);
                    self.at(at, who, What::OpenWatch { link, from, fresh });
                }
                Action::Write { id, entry, expect } => {
                    let number = entry.write;
                    let request = Message::Write { entry, expect };
                    self.send(who, id, request, Asked::Write(number));
                }
                Action::Probe { id } => self.send(who, id, Message::Probe, Asked::Probe),
                Action::Purge { id, expect } => {
                    self.send(who, id, Message::Purge { expect }, Asked::Purge);
                }
                Action::Read { from } => {
                    self.send(who, EntryId::new("*"), Message::Read { from }, Asked::Read);
                }
            }
        }
        let participant = &self.participants[who];
        if participant.machine.is_idle() && participant.live.is_empty() && self.rng.chance(500) {
            self.come_back(who);
        }
        self.participants[who].wake += 1;
        if let Some(wake) = self.participants[who].machine.wake_at() {
            let at = self.true_time(who, wake);
            let number = self.participants[who].wake;
            self.at(at, who, What::Wake(number));
        }
        Ok(())
    }

    /// The participant has ended, being out of use, and a new one replaces it.
    fn come_back(&mut self, who: usize) {
        self.sessions += 1;
        let machine = self.machine(&format!("p{who}s{}", self.sessions));
        let participant = &mut self.participants[who];
        participant.machine = machine;
        participant.link += 1;
        participant.feed = None;
        participant.open.clear();
    }

    pub fn send(&mut self, who: usize, id: EntryId, request: Message, asked: Asked) {
        let delay = self.delay();
        let timeout = self.faults.timeout;
        let reorder = self.faults.reorder;
        let participant = &mut self.participants[who];
        participant.requests += 1;
        let number = participant.requests;
        participant.open.insert(number, ());
        let mut at = self.now + delay;
        if !reorder {
            at = at.max(participant.last_sent);
            participant.last_sent = at;
        }
        if self.strikes(self.faults.refuse) {
            let outcome = Outcome::Failed { fatal: false };
            let reply = What::Reply(id, asked, outcome, number, None);
            self.at(self.now + MS, who, reply);
            return;
        }
        let deadline = self.now + timeout;
        let unknown = What::Reply(id.clone(), asked, Outcome::Unknown, number, None);
        self.at(deadline, who, unknown);
        if !self.strikes(self.faults.lose_request) {
            let ticket = Ticket {
                number,
                asked,
                deadline,
            };
            self.at(at, who, What::Arrive(id, request, ticket));
        }
    }

    pub fn deliver(&mut self, who: usize, link: u64, seq: u64, event: Event) -> Verdict {
        if link != self.participants[who].link {
            return Ok(());
        }
        if self.trace {
            println!("{:>10} p{who} <- {event:?}", self.now);
        }
        let now = self.local(who);
        let participant = &mut self.participants[who];
        participant.seen = participant.seen.max(seq);
        match &event {
            Event::Put { id, revision, .. } => {
                participant.known.insert(id.clone(), *revision);
            }
            Event::Gone { id, .. } | Event::Vanished { id } => {
                participant.known.remove(id);
            }
            _ => {}
        }
        participant.machine.event(now, event);
        self.act(who)
    }

    pub fn other(&mut self) {
        if self.faulty() {
            self.stream.append_other(self.now);
            let next = self.now + self.rng.below(self.faults.other);
            self.at(next, 0, What::Other);
        }
    }

    pub fn fault(&mut self, who: usize) {
        if !self.faulty() {
            return;
        }
        let next = self.now + self.rng.range(100 * MS, 4 * SECOND);
        self.at(next, who, What::Fault);
        if self.rng.chance(self.faults.elect) {
            // A lead of up to a tenth of the lease is tolerated.
            let allowed = u64::from(self.lease) * SECOND / 10;
            self.stream.ahead = self.rng.below(allowed);
        }
        if self.rng.chance(self.faults.revive)
            && let Some(seq) = self.stream.forgotten(&mut self.rng)
        {
            if self.trace {
                println!("{:>10} server: {seq} comes back", self.now);
            }
            self.stream.revive(seq);
        }
        if self.rng.chance(self.faults.crash) {
            if self.trace {
                println!("{:>10} p{who} crashes", self.now);
            }
            self.participants[who].alive = false;
            self.participants[who].feed = None;
            self.participants[who].jobs = 0;
            return;
        }
        if self.rng.chance(self.faults.stall) {
            let stall = self.rng.below(self.faults.longest_stall);
            if self.trace {
                println!("{:>10} p{who} stalls for {stall}", self.now);
            }
            let participant = &mut self.participants[who];
            participant.stalled_until = participant.stalled_until.max(self.now + stall);
        }
        if self.participants[who].feed.is_none() {
            return;
        }
        if self.rng.chance(self.faults.end) {
            let participant = &mut self.participants[who];
            participant.link += 1;
            participant.feed = None;
            let link = participant.link;
            let event = Event::Ended { fatal: false };
            self.at(
                self.now,
                who,
                What::Deliver {
                    link,
                    seq: 0,
                    event,
                },
            );
        } else if self.rng.chance(self.faults.interrupt) {
            let participant = &mut self.participants[who];
            participant.link += 1;
            participant.feed = None;
            let link = participant.link;
            let from = participant.seen;
            let event = Event::Interrupted;
            self.at(
                self.now,
                who,
                What::Deliver {
                    link,
                    seq: 0,
                    event,
                },
            );
            let again = self.now + self.rng.range(10 * MS, 8 * SECOND);
            let fresh = false;
            self.at(again, who, What::OpenWatch { link, from, fresh });
        }
    }
}
