//! Pending requests: those waiting for a reply, and those waiting to be sent.

use std::{
    collections::{HashMap, VecDeque},
    hash::{BuildHasherDefault, Hasher},
    time::Duration,
};

use bytestring::ByteString;

use crate::{
    message::{Outbound, TransportError},
    platform::Instant,
};

/// The number of a request; never reused within a connection.
pub(crate) type RequestId = u64;

/// A map keyed by numbers that this client assigns itself, so they need no secure hash.
pub(crate) type ById<T> = HashMap<u64, T, BuildHasherDefault<Identity>>;

#[derive(Default)]
pub(crate) struct Identity(u64);

impl Hasher for Identity {
    fn finish(&self) -> u64 {
        // The hash table uses the upper bits too.
        self.0.wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = self.0 << 8 ^ u64::from(byte);
        }
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = number;
    }
}

#[derive(Debug)]
pub(super) struct InFlight {
    pub(super) subject: ByteString,
    timeout: Duration,
    deadline: Instant,
}

#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) id: RequestId,
    pub(super) message: Outbound,
    pub(super) timeout: Duration,
    pub(super) deadline: Instant,
}

/// The requests of a connection.
#[derive(Debug, Default)]
pub(super) struct Requests {
    in_flight: ById<InFlight>,
    waiting: VecDeque<Waiting>,
    /// A lower bound of all deadlines. It is not updated when a request ends, so that most requests need no
    /// search for the next deadline.
    next_check: Option<Instant>,
}

impl Requests {
    pub(super) fn sent(
        &mut self,
        id: RequestId,
        subject: ByteString,
        timeout: Duration,
        deadline: Instant,
    ) {
        self.expect(deadline);
        let request = InFlight {
            subject,
            timeout,
            deadline,
        };
        self.in_flight.insert(id, request);
    }

    pub(super) fn wait(&mut self, request: Waiting) {
        self.expect(request.deadline);
        self.waiting.push_back(request);
    }

    fn expect(&mut self, deadline: Instant) {
        self.next_check = Some(
            self.next_check
                .map_or(deadline, |check| check.min(deadline)),
        );
    }

    pub(super) fn answered(&mut self, id: RequestId) -> bool {
        self.in_flight.remove(&id).is_some()
    }

    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    pub(super) fn has_in_flight(&self) -> bool {
        !self.in_flight.is_empty()
    }

    pub(super) fn next_waiting(&mut self) -> Option<Waiting> {
        self.waiting.pop_front()
    }

    /// Removes the requests that were sent to a subject.
    pub(super) fn take_by_subject(&mut self, subject: &str) -> Vec<RequestId> {
        let taken = |(id, request): (&u64, &InFlight)| (request.subject == subject).then_some(*id);
        let ids: Vec<_> = self.in_flight.iter().filter_map(taken).collect();
        for id in &ids {
            self.in_flight.remove(id);
        }
        ids
    }

    /// Removes all requests that were sent.
    pub(super) fn take_in_flight(&mut self) -> Vec<RequestId> {
        self.in_flight.drain().map(|(id, _)| id).collect()
    }

    pub(super) fn take_waiting(&mut self) -> Vec<RequestId> {
        self.waiting.drain(..).map(|request| request.id).collect()
    }

    pub(super) fn next_check(&self) -> Option<Instant> {
        self.next_check
    }

    /// Removes the requests whose time-out has expired. Those that were never sent did not time out waiting
    /// for a reply, but for a connection.
    pub(super) fn expire(
        &mut self,
        now: Instant,
        detail: &str,
    ) -> Vec<(RequestId, TransportError)> {
        if self.next_check.is_none_or(|check| check > now) {
            return Vec::new();
        }
        let mut expired = Vec::new();
        self.in_flight.retain(|&id, request| {
            let over = request.deadline <= now;
            if over {
                expired.push((id, TransportError::Timeout(request.timeout)));
            }
            !over
        });
        self.waiting.retain(|request| {
            let over = request.deadline <= now;
            if over {
                expired.push((request.id, TransportError::NotConnected(detail.to_owned())));
            }
            !over
        });
        let in_flight = self.in_flight.values().map(|request| request.deadline);
        let waiting = self.waiting.iter().map(|request| request.deadline);
        self.next_check = in_flight.chain(waiting).min();
        expired
    }
}
