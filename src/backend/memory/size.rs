//! The size of a message, counted as a nats-server counts it, so that a bucket with limits refuses
//! here what it would refuse there.

use std::time::Duration;

use crate::{
    headers::Headers,
    kv::{Expect, Operation, Storage},
};

/// The largest message, headers included, that a nats-server takes unless it is configured
/// otherwise (`max_payload`).
pub(super) const MAX_PAYLOAD: usize = 1024 * 1024;

/// The length of the header block of a write as it would go over the wire; 0 if it has none.
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

/// The revision that the header of a conditional write would name.
pub(super) fn expected_revision(expect: Expect, last: u64) -> Option<u64> {
    match expect {
        Expect::Any => None,
        Expect::Absent => Some(last),
        Expect::Revision(revision) => Some(revision),
    }
}

/// What a stored message adds to the size of its stream.
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
