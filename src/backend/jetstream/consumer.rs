//! An ordered push consumer without I/O: messages and the time go in, actions come out.
//!
//! One [`Consumer`] represents one consumer on the server. It counts the deliveries, and requests a reset
//! if the count does not match: then the driver creates a new consumer, with a new name and inbox, and a
//! new [`Consumer`].

use std::time::Duration;

use bytestring::ByteString;

use super::entry::header;
use crate::{message::Message, platform::Instant};

/// What to do with a message.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// Hand it to the reader.
    Deliver(Delivery),
    /// Publish an empty message to this subject: everything before it has been handled.
    Answer(ByteString),
    /// Publish it again, because it did not arrive. It may have been refused.
    AnswerAgain(ByteString),
    /// The server has nothing more to send for now, which completes the initial data if it was not complete
    /// yet.
    CaughtUp,
    /// Create a new consumer.
    Reset(Why),
    /// Nothing.
    Ignore,
}

/// The server's metadata of a delivered message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Delivery {
    /// Its stream sequence.
    pub(super) revision: u64,
    /// When it was stored, in ns since 1970.
    pub(super) stored: u64,
    /// How many more are pending.
    pub(super) pending: u64,
}

/// Why a consumer cannot continue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    /// A message is missing.
    Gap,
    /// The server has sent more than has arrived.
    StaleHeartbeat,
    /// Nothing arrived, not even heartbeats.
    Silence,
    /// The server reports that the consumer is gone.
    Gone,
    /// The connection was lost or replaced.
    Connection,
    /// The transport ended the subscription, because its reader was too slow.
    Behind,
    /// The replica that it reads is incomplete.
    OldCopy,
}

impl Why {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Gap => "a message is missing",
            Self::StaleHeartbeat => "a heartbeat reports messages that did not arrive",
            Self::Silence => "heartbeats are missing",
            Self::Gone => "the consumer is gone",
            Self::Connection => "the connection was lost",
            Self::Behind => "the reader is too slow",
            Self::OldCopy => "the replica that it reads is incomplete",
        }
    }
}

/// The state of one consumer on the server, as shown by its messages.
#[derive(Debug)]
pub(super) struct Consumer {
    /// How many messages it has delivered.
    delivered: u64,
    /// The start of the reply subjects of its messages, up to the numbers.
    reply_prefix: Vec<u8>,
    /// How long it may be silent.
    patience: Duration,
    /// Whether anything arrived since `heard_by`.
    heard: bool,
    /// The latest possible time of the last message before that.
    heard_by: Instant,
}

impl Consumer {
    /// Creates a consumer that sends a heartbeat at this interval when idle.
    pub(super) fn new(heartbeat: Duration, now: Instant) -> Self {
        Self {
            delivered: 0,
            reply_prefix: Vec::new(),
            patience: heartbeat * 2,
            heard: false,
            heard_by: now,
        }
    }

    /// Handles a message.
    pub(super) fn message(&mut self, message: &Message) -> Action {
        self.heard = true;
        if let Some(status) = message.status {
            return self.control(status, message);
        }
        let Some(ack) = message
            .reply
            .as_ref()
            .and_then(|reply| self.parse_reply(reply.as_bytes()))
        else {
            // Not from the consumer: any client may publish to an inbox.
            return Action::Ignore;
        };
        if ack.consumer_seq != self.delivered + 1 {
            return Action::Reset(Why::Gap);
        }
        self.delivered = ack.consumer_seq;
        Action::Deliver(Delivery {
            revision: ack.stream_seq,
            stored: ack.nanos,
            pending: ack.pending,
        })
    }

    fn control(&mut self, status: u16, message: &Message) -> Action {
        match (status, &message.reply) {
            // Flow control: reply, but only once everything before it is handled.
            (100, Some(reply)) => Action::Answer(reply.clone()),
            (100, None) => {
                let last = message.headers.get(header::LAST_CONSUMER);
                if let Some(last) = last.and_then(|last| last.parse::<u64>().ok())
                    && last != self.delivered
                {
                    return Action::Reset(Why::StaleHeartbeat);
                }
                match message.headers.get(header::STALLED) {
                    Some(subject) => Action::AnswerAgain(subject.into()),
                    None => Action::CaughtUp,
                }
            }
            (404 | 409, _) => Action::Reset(Why::Gone),
            _ => Action::Ignore,
        }
    }

    /// Called when everything received has been handled: the time is read only once for all of it.
    pub(super) fn drained(&mut self, now: Instant) {
        if self.heard {
            self.heard = false;
            self.heard_by = now;
        }
    }

    /// How long it may remain silent; `None` if that is over.
    pub(super) fn patience_left(&self, now: Instant) -> Option<Duration> {
        let silent = now.saturating_duration_since(self.heard_by);
        self.patience
            .checked_sub(silent)
            .filter(|left| !left.is_zero())
    }

    fn parse_reply(&mut self, reply: &[u8]) -> Option<Ack> {
        // All reply subjects of a consumer start the same way, so the start is parsed only once.
        if self.reply_prefix.is_empty() || !reply.starts_with(&self.reply_prefix) {
            let start = numbers_start(reply)?;
            self.reply_prefix = reply[..start].to_vec();
        }
        Ack::parse(&reply[self.reply_prefix.len()..])
    }
}

/// The numbers in the reply subject of a delivered message.
#[derive(Debug)]
struct Ack {
    stream_seq: u64,
    consumer_seq: u64,
    nanos: u64,
    pending: u64,
}

impl Ack {
    /// Parses `<delivered>.<stream seq>.<consumer seq>.<ns>.<pending>`, to which newer servers add a random
    /// token.
    fn parse(text: &[u8]) -> Option<Self> {
        let mut parts = text.split(|&byte| byte == b'.');
        let mut number = || parts.next().and_then(decimal);
        let _delivered = number()?;
        let (stream_seq, consumer_seq) = (number()?, number()?);
        let (nanos, pending) = (number()?, number()?);
        (stream_seq > 0).then_some(Self {
            stream_seq,
            consumer_seq,
            nanos,
            pending,
        })
    }
}

fn decimal(digits: &[u8]) -> Option<u64> {
    // This many digits cannot overflow; checking each addition would take longer than parsing.
    if digits.is_empty() || digits.len() > 19 {
        return None;
    }
    digits.iter().try_fold(0, |number: u64, byte| {
        let digit = byte.wrapping_sub(b'0');
        (digit < 10).then(|| number * 10 + u64::from(digit))
    })
}

/// Returns the position of the numbers: after `$JS.ACK.<stream>.<consumer>.` if the subject has 9 tokens,
/// after `$JS.ACK.<domain>.<account>.<stream>.<consumer>.` if it has 11 or more.
fn numbers_start(reply: &[u8]) -> Option<usize> {
    if !reply.starts_with(b"$JS.ACK.") {
        return None;
    }
    let dots = |reply: &[u8]| reply.iter().filter(|byte| **byte == b'.').count();
    let skipped = match dots(reply) + 1 {
        9 => 4,
        11.. => 6,
        _ => return None,
    };
    let mut left = skipped;
    let start = reply.iter().position(|byte| {
        left -= usize::from(*byte == b'.');
        left == 0
    })?;
    Some(start + 1)
}

#[cfg(test)]
#[path = "consumer_tests.rs"]
mod tests;
