//! The server's side: it stores and expires entries, and feeds watches.

use shizuku::kv::lock::{
    MARKER_TTL, PROBE_TTL,
    entry::{EntryId, Record},
    machine::{Event, Outcome},
};

use crate::{
    acting::is_own,
    check::{Hold, Verdict},
    stream::{Body, MS, SECOND, Time},
    world::{Feed, Message, Ticket, What, World},
};

impl World {
    pub(super) fn arrive(
        &mut self,
        who: usize,
        id: &EntryId,
        request: Message,
        ticket: Ticket,
    ) -> Verdict {
        let outcome = match request {
            Message::Write { entry, expect } => {
                let last = self.stream.revision(id);
                if expect.is_some_and(|expect| expect != last) {
                    Outcome::Conflict
                } else {
                    if entry.write > 0 && self.stream.value(id).is_none() {
                        return Err(format!("resurrection: the dead entry {id} came back"));
                    }
                    let ttl = u64::from(entry.lease) * SECOND;
                    let body = Body::Value(Record::Entry(entry));
                    Outcome::Stored(self.append(id, body, ttl))
                }
            }
            Message::Probe => {
                let ttl = PROBE_TTL.as_micros() as Time;
                Outcome::Stored(self.append(id, Body::Value(Record::Probe), ttl))
            }
            Message::Read { from } => {
                let seen = self.snapshot(from);
                return self.answer(who, id, Outcome::Unknown, ticket, Some(seen));
            }
            Message::Purge { expect }
                if expect.is_some_and(|expect| expect != self.stream.revision(id)) =>
            {
                Outcome::Conflict
            }
            Message::Purge { .. } => {
                self.robbed(who, id)?;
                let ttl = MARKER_TTL.as_micros() as Time;
                Outcome::Stored(self.append(id, Body::Marker, ttl))
            }
        };
        if self.trace {
            println!("{:>10} server: {id} {outcome:?}", self.now);
        }
        self.answer(who, id, outcome, ticket, None)
    }

    /// Fails if this removes an entry that another participant trusts.
    fn robbed(&self, who: usize, id: &EntryId) -> Verdict {
        let Some(ticket) = self.stream.ticket(id).filter(|_| !is_own(who, id)) else {
            return Ok(());
        };
        let believed = |hold: &&Hold| hold.token == ticket && self.believes(hold);
        match self.check.holds.iter().find(believed) {
            Some(hold) => Err(format!("robbed: p{who} takes out {id} of {hold:?}")),
            None => Ok(()),
        }
    }

    fn answer(
        &mut self,
        who: usize,
        id: &EntryId,
        outcome: Outcome,
        ticket: Ticket,
        seen: Option<Vec<Event>>,
    ) -> Verdict {
        let at = self.now + self.delay();
        if at < ticket.deadline && !self.strikes(self.faults.lose_reply) {
            let reply = What::Reply(id.clone(), ticket.asked, outcome, ticket.number, seen);
            self.at(at, who, reply);
        }
        Ok(())
    }

    /// A snapshot from a replica that may lag.
    fn snapshot(&mut self, from: u64) -> Vec<Event> {
        let applied = self.lagging();
        (from.max(1)..=applied)
            .filter(|seq| self.stream.shows(*seq, applied))
            .map(|seq| self.stream.event(seq))
            .collect()
    }

    /// How far a replica has applied the log.
    fn lagging(&mut self) -> u64 {
        if self.strikes(self.faults.lag) {
            let lag = self.rng.below(3 * SECOND);
            self.stream.applied_at(self.now.saturating_sub(lag))
        } else {
            self.stream.last_seq()
        }
    }

    pub(super) fn append(&mut self, id: &EntryId, body: Body, ttl: Time) -> u64 {
        let seq = self.stream.append(id, body, ttl, self.now);
        self.appended(seq);
        seq
    }

    pub(super) fn appended(&mut self, seq: u64) {
        // A server checks for expired messages only now and then.
        let expires = self.stream.message(seq).expires + self.rng.below(SECOND);
        self.at(expires, 0, What::Expire(seq));
        for who in 0..self.participants.len() {
            self.pump_soon(who, 0);
        }
    }

    pub(super) fn pump_soon(&mut self, who: usize, least: Time) {
        let delay = if self.strikes(self.faults.pump_stall) {
            self.rng.below(10 * SECOND)
        } else {
            self.rng.below(2 * MS)
        };
        if let Some(feed) = &mut self.participants[who].feed
            && !feed.pumping
        {
            feed.pumping = true;
            self.at(self.now + least + delay, who, What::Pump);
        }
    }

    pub(super) fn open_watch(&mut self, who: usize, from: u64, fresh: bool) {
        if self.strikes(self.faults.refuse) {
            let link = self.participants[who].link;
            let event = Event::Ended { fatal: false };
            self.at(
                self.now + MS,
                who,
                What::Deliver {
                    link,
                    seq: 0,
                    event,
                },
            );
            return;
        }
        // The watch may read a lagging replica.
        let applied = self.lagging();
        let mut vanished = Vec::new();
        if !fresh {
            for (id, seq) in &self.participants[who].known {
                let last = self.stream.revision(id);
                // A second scan that overlaps a renewal finds neither the old nor the new message.
                if last == 0 || (last != *seq && last > applied && self.rng.chance(300)) {
                    vanished.push(id.clone());
                }
            }
        }
        let mut phantoms = Vec::new();
        while self.strikes(self.faults.phantom) && phantoms.len() < 3 {
            phantoms.extend(self.stream.forgotten(&mut self.rng));
        }
        self.participants[who].feed = Some(Feed {
            cursor: from,
            applied,
            initial_end: Some(applied),
            pumping: false,
            last_arrival: self.now,
            vanished,
            phantoms,
        });
        self.pump_soon(who, 0);
    }

    pub(super) fn pump(&mut self, who: usize) {
        let batch = if self.faulty() {
            self.rng.range(1, 20)
        } else {
            u64::MAX
        };
        let last = self.stream.last_seq();
        let catch_up = !self.strikes(self.faults.lag);
        let behind = self.rng.below(last + 1);
        let link = self.participants[who].link;
        let Some(feed) = &mut self.participants[who].feed else {
            return;
        };
        feed.pumping = false;
        // The initial entries are those of the replica at the time.
        if feed.initial_end.is_none() || feed.cursor > 0 || catch_up {
            feed.applied = if catch_up {
                last
            } else {
                feed.applied.max(behind)
            };
        }
        let mut out = Vec::new();
        let mut sent = 0;
        while sent < batch {
            if feed.initial_end.is_some_and(|end| feed.cursor >= end) {
                feed.initial_end = None;
                for id in feed.vanished.drain(..) {
                    out.push((0, Event::Vanished { id }));
                }
                out.push((0, Event::Current));
            }
            if feed.cursor >= feed.applied {
                break;
            }
            feed.cursor += 1;
            let seq = feed.cursor;
            if !self.stream.shows(seq, feed.applied) && !feed.phantoms.contains(&seq) {
                continue;
            }
            sent += 1;
            let event = self.stream.event(seq);
            out.push((seq, event));
        }
        let more = feed.cursor < last || feed.initial_end.is_some();
        for (seq, event) in out {
            let at = self.now + self.delay();
            if let Some(feed) = &mut self.participants[who].feed {
                feed.last_arrival = feed.last_arrival.max(at);
                let at = feed.last_arrival;
                self.at(at, who, What::Deliver { link, seq, event });
            }
        }
        if more {
            self.pump_soon(who, MS);
        }
    }
}
