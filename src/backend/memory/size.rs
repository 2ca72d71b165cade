//! Message sizes, counted like a nats-server counts them, so that a bucket with limits refuses the same
//! writes here as there.

use std::time::Duration;

use crate::{
    headers::Headers,
    kv::{Expect, Operation, Storage},
};

/// The largest message, including headers, that a nats-server accepts by default (`max_payload`).
pub(super) const MAX_PAYLOAD: usize = 1024 * 1024;

/// Returns the length of a write's header block on the wire; 0 if it has none.
pub(super) fn header_block(
    headers: &Headers,
    operation: Operation,
    expect: Option<u64>,
    ttl: Option<Duration>,
) -> usize {
    let line = |name: usize, value: usize| name + ": ".len() + value + "\r\n".len();
    let mut fields: usize = headers
        .iter()
        .map(|(name, value)| line(name.len(), value.len()))
        .sum();
    match operation {
        Operation::Put | Operation::Vanish => {}
        Operation::Delete => fields += line("KV-Operation".len(), "DEL".len()),
        Operation::Purge => {
            fields += line("KV-Operation".len(), "PURGE".len());
            fields += line("Nats-Rollup".len(), "sub".len());
        }
        Operation::Expire => {
            fields += line("Nats-Marker-Reason".len(), "MaxAge".len());
            fields += line("Nats-Rollup".len(), "sub".len());
        }
    }
    if let Some(revision) = expect {
        let name = "Nats-Expected-Last-Subject-Sequence".len();
        fields += line(name, digits(revision));
    }
    if let Some(ttl) = ttl {
        fields += line("Nats-TTL".len(), digits(ttl.as_secs()));
    }
    match fields {
        0 => 0,
        fields => "NATS/1.0\r\n".len() + fields + "\r\n".len(),
    }
}

/// Returns the revision that the header of a conditional write would contain.
pub(super) fn expected_revision(expect: Expect, last: u64) -> Option<u64> {
    match expect {
        Expect::Any => None,
        Expect::Absent => Some(last),
        Expect::Revision(revision) => Some(revision),
    }
}

/// Returns how much a stored message adds to the size of its stream.
pub(super) fn stored(
    storage: Storage,
    bucket: &str,
    key: &str,
    headers: usize,
    value: usize,
) -> u64 {
    let subject = "$KV.".len() + bucket.len() + ".".len() + key.len();
    let overhead = match storage {
        // Length, sequence, time, length of the subject, checksum; and the length of the headers.
        Storage::File if headers == 0 => 30,
        Storage::File => 34,
        // Sequence and time.
        Storage::Memory => 16,
    };
    (subject + headers + value + overhead) as u64
}

fn digits(number: u64) -> usize {
    number.checked_ilog10().unwrap_or(0) as usize + 1
}
