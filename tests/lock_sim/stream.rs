//! A stream with one message per subject, time to live and markers, and what a lagging replica
//! shows of it.

use std::collections::BTreeMap;

use shizuku::kv::lock::{
    entry::{EntryId, LockEntry, Mode, Record},
    machine::Event,
};

use crate::rng::Rng;

/// Microseconds of the true clock.
pub type Time = u64;
pub const SECOND: Time = 1_000_000;
pub const MS: Time = 1_000;

/// The lifetime of the server's own markers.
const LIMIT_MARKER: Time = SECOND;

#[derive(Clone, Debug)]
pub enum Body {
    Value(Record),
    Marker,
    /// A key that is no lock's.
    Other,
}

#[derive(Clone, Debug)]
pub struct Message {
    pub id: EntryId,
    pub body: Body,
    pub stored: Time,
    /// The same by the clock of the leader at the time.
    stamp: Time,
    /// The later message of the same subject that replaced it.
    replaced_by: Option<u64>,
    /// When it disappeared without a trace.
    removed_at: Option<Time>,
    /// When the server removes it.
    pub expires: Time,
    /// It was removed and has come back, or replaced such a message.
    revived: bool,
}

/// The log. Sequence `n` is at index `n - 1`. Nothing is really deleted, so lagging replicas can be
/// simulated.
#[derive(Default)]
pub struct Stream {
    log: Vec<Message>,
    last: BTreeMap<EntryId, u64>,
    /// How far the leader's clock is ahead of the true clock.
    pub ahead: Time,
    /// The last messages of removed keys.
    removed: Vec<u64>,
    /// Entries that were given up: by whom, and when.
    given_up: BTreeMap<EntryId, (usize, Time)>,
}

impl Stream {
    pub fn last_seq(&self) -> u64 {
        self.log.len() as u64
    }

    pub fn message(&self, seq: u64) -> &Message {
        &self.log[seq as usize - 1]
    }

    /// The sequence of a subject's last message, or 0.
    pub fn revision(&self, id: &EntryId) -> u64 {
        self.last.get(id).copied().unwrap_or(0)
    }

    /// The live entry with this id.
    pub fn value(&self, id: &EntryId) -> Option<&Record> {
        match &self.message(*self.last.get(id)?).body {
            Body::Value(record) => Some(record),
            Body::Marker | Body::Other => None,
        }
    }

    /// This participant will not trust its entry again. The entry may remain in the log, but must
    /// not block others of the same participant.
    pub fn give_up(&mut self, who: usize, id: &EntryId, now: Time) {
        self.given_up.entry(id.clone()).or_insert((who, now));
    }

    pub fn is_given_up_by(&self, who: usize, id: &EntryId) -> bool {
        self.given_up.get(id).is_some_and(|(by, _)| *by == who)
    }

    /// The ticket of the entry with this id, if it is live.
    pub fn ticket(&self, id: &EntryId) -> Option<u64> {
        let mut live = self.live();
        live.find_map(|(live, _, ticket)| (live == id).then_some(ticket))
    }

    /// All live entries with their tickets.
    pub fn live(&self) -> impl Iterator<Item = (&EntryId, &LockEntry, u64)> {
        self.last
            .iter()
            .filter(|(_, seq)| !self.message(**seq).revived)
            .filter_map(|(id, seq)| match self.value(id) {
                Some(Record::Entry(entry)) => Some((id, entry, entry.ticket.unwrap_or(*seq))),
                _ => None,
            })
    }

    /// Whether nothing is left except revived messages.
    pub fn is_empty(&self) -> bool {
        self.last.values().all(|seq| self.message(*seq).revived)
    }

    /// The last message of a random entry whose removal has left no trace, if there is one.
    pub fn forgotten(&self, rng: &mut Rng) -> Option<u64> {
        let removed = self.removed.iter();
        let forgotten: Vec<_> = removed
            .filter(|seq| self.revision(&self.message(**seq).id) == 0)
            .collect();
        let count = forgotten.len() as u64;
        (count > 0).then(|| *forgotten[rng.below(count) as usize])
    }

    /// The server has restored a removed message and will not remove it again.
    pub fn revive(&mut self, seq: u64) {
        let message = &mut self.log[seq as usize - 1];
        message.replaced_by = None;
        message.revived = true;
        let id = message.id.clone();
        self.last.insert(id, seq);
    }

    pub fn append(&mut self, id: &EntryId, body: Body, ttl: Time, now: Time) -> u64 {
        let seq = self.last_seq() + 1;
        let mut revived = false;
        if let Some(old) = self.last.insert(id.clone(), seq) {
            let last = &mut self.log[old as usize - 1];
            last.replaced_by = Some(seq);
            if matches!(body, Body::Value(_)) {
                revived = last.revived;
            } else if matches!(last.body, Body::Value(Record::Entry(_))) {
                self.removed.push(old);
            }
        }
        self.log.push(Message {
            id: id.clone(),
            body,
            stored: now,
            stamp: now + self.ahead,
            replaced_by: None,
            removed_at: None,
            expires: now + ttl,
            revived,
        });
        seq
    }

    /// A write to a key that is no lock's.
    pub fn append_other(&mut self, now: Time) {
        self.log.push(Message {
            id: EntryId::new("other"),
            body: Body::Other,
            stored: now,
            stamp: now + self.ahead,
            replaced_by: None,
            removed_at: Some(now),
            expires: now,
            revived: false,
        });
    }

    /// The message's time to live is over. Returns the marker, if one was written.
    pub fn expire(&mut self, seq: u64, now: Time) -> Option<u64> {
        let message = self.message(seq);
        if message.replaced_by.is_some() || message.removed_at.is_some() {
            return None;
        }
        let id = message.id.clone();
        match message.body {
            Body::Value(_) => Some(self.append(&id, Body::Marker, LIMIT_MARKER, now)),
            Body::Marker => {
                self.log[seq as usize - 1].removed_at = Some(now);
                self.last.remove(&id);
                None
            }
            Body::Other => None,
        }
    }

    /// Whether a replica that has applied the log up to `applied` shows this message.
    pub fn shows(&self, seq: u64, applied: u64) -> bool {
        let message = self.message(seq);
        seq <= applied
            && message.replaced_by.is_none_or(|by| by > applied)
            && message.removed_at.is_none()
    }

    /// Since when no entry before this ticket has blocked one of this mode. Permits are ignored.
    pub fn free_since(&self, mode: Mode, ticket: u64) -> Time {
        let own = self.message(ticket).stored;
        if matches!(mode, Mode::Permit(_)) {
            return Time::MAX - SECOND * 10;
        }
        let before = self.log.iter().take(ticket as usize - 1);
        let blocking = before.filter(|message| match &message.body {
            Body::Value(Record::Entry(entry)) => {
                entry.ticket.is_none() && (mode == Mode::Write || entry.mode != Mode::Read)
            }
            _ => false,
        });
        let ends = blocking.filter_map(|message| {
            if let Some((_, at)) = self.given_up.get(&message.id) {
                return Some(*at);
            }
            let mut message = message;
            while !matches!(message.body, Body::Marker) {
                message = self.message(message.replaced_by?);
            }
            Some(message.stored)
        });
        ends.fold(own, Time::max)
    }

    /// The event that a watch delivers for a message.
    pub fn event(&self, seq: u64) -> Event {
        let message = self.message(seq);
        let id = message.id.clone();
        match &message.body {
            Body::Value(record) => Event::Put {
                id,
                revision: seq,
                stored: message.stamp / MS,
                record: record.clone(),
            },
            Body::Marker | Body::Other => Event::Gone { id, revision: seq },
        }
    }

    /// The sequence that a replica had applied at this moment.
    pub fn applied_at(&self, moment: Time) -> u64 {
        self.log.partition_point(|message| message.stored <= moment) as u64
    }
}

pub fn is_exclusive(mode: Mode) -> bool {
    mode == Mode::Write
}
