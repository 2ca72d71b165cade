//! Whether the server is alive, and how much of the sent data it has processed.
//!
//! Both are determined with PINGs: their PONGs come back in order, so each also confirms everything sent
//! before it. That bounds the data in buffers that cannot be inspected, a browser's above all.

use std::{collections::VecDeque, time::Duration};

use super::Config;
use crate::platform::Instant;

/// The lowest throughput, in bytes per second, at which a connection counts as alive.
const SLOWEST: u64 = 16 * 1024;
/// If a timer fires this late, this process was not running, and incoming data may be unread.
const LATE: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct Liveness {
    interval: Duration,
    timeout: Duration,
    probe_timeout: Duration,
    window: u64,
    last_received: Instant,
    pings: VecDeque<Sent>,
    /// Bytes sent; sent before the last PING; and confirmed.
    sent: u64,
    pinged: u64,
    confirmed: u64,
    /// The deadline of a probe.
    probe: Option<Instant>,
    /// Whether a late timer was already forgiven since data was last received.
    forgiven: bool,
}

#[derive(Debug)]
struct Sent {
    at: Instant,
    before: u64,
}

/// The action that is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Fine,
    /// Send a PING.
    Ping,
    /// Give up the connection.
    Dead,
}

impl Liveness {
    pub(super) fn new(config: &Config, now: Instant) -> Self {
        Self {
            interval: config.ping_interval,
            timeout: config.ping_timeout,
            probe_timeout: config.probe_timeout,
            window: config.window as u64,
            last_received: now,
            pings: VecDeque::new(),
            sent: 0,
            pinged: 0,
            confirmed: 0,
            probe: None,
            forgiven: false,
        }
    }

    pub(super) fn received(&mut self, now: Instant) {
        self.last_received = now;
        self.probe = None;
        self.forgiven = false;
    }

    pub(super) fn wrote(&mut self, bytes: usize) {
        self.sent += bytes as u64;
    }

    /// Whether a PING is due to get sent data confirmed.
    pub(super) fn wants_confirmation(&self) -> bool {
        self.sent - self.pinged >= (self.window / 4).max(1)
    }

    pub(super) fn has_room(&self) -> bool {
        self.sent - self.confirmed < self.window
    }

    pub(super) fn ping_sent(&mut self, now: Instant) {
        self.pinged = self.sent;
        self.pings.push_back(Sent {
            at: now,
            before: self.sent,
        });
    }

    pub(super) fn pong_received(&mut self) {
        // Ignores an unsolicited PONG.
        if let Some(ping) = self.pings.pop_front() {
            self.confirmed = ping.before;
        }
    }

    /// Whether every PING is answered.
    pub(super) fn is_settled(&self) -> bool {
        self.pings.is_empty()
    }

    /// Whether everything that was sent is confirmed.
    pub(super) fn is_confirmed(&self) -> bool {
        self.confirmed == self.sent
    }

    /// Starts a probe: the connection is in doubt, and the PING being sent must be answered soon.
    pub(super) fn probe(&mut self, now: Instant) {
        self.probe = Some(now + self.probe_timeout);
    }

    fn dead_at(&self) -> Option<Instant> {
        if let Some(probe) = self.probe {
            return Some(probe);
        }
        let oldest = self.pings.front()?;
        let to_send = Duration::from_secs((self.sent - self.confirmed) / SLOWEST);
        Some(oldest.at.max(self.last_received) + self.timeout + to_send)
    }

    pub(super) fn deadline(&self) -> Instant {
        self.dead_at().unwrap_or(self.last_received + self.interval)
    }

    pub(super) fn check(&mut self, now: Instant) -> Verdict {
        match self.dead_at() {
            None if now >= self.last_received + self.interval => Verdict::Ping,
            Some(dead_at) if now >= dead_at + LATE && !self.forgiven => {
                // Asleep, frozen or throttled: a reply may already be queued behind this timer. Ping once
                // more rather than drop a good connection.
                self.forgiven = true;
                self.probe(now);
                Verdict::Ping
            }
            Some(dead_at) if now >= dead_at => Verdict::Dead,
            _ => Verdict::Fine,
        }
    }
}
