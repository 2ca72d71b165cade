//! Creates entries from the server's messages.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::{Buf, Bytes};
use bytestring::ByteString;

use super::{bucket::Bucket, call::malformed};
use crate::{
    error::ServiceError,
    headers::Headers,
    key::Key,
    kv::{Entry, Operation},
    message::Message,
};

/// Headers of the protocol.
pub(super) mod header {
    pub(crate) const OPERATION: &str = "KV-Operation";
    pub(crate) const MARKER_REASON: &str = "Nats-Marker-Reason";
    pub(crate) const ROLLUP: &str = "Nats-Rollup";
    pub(crate) const TTL: &str = "Nats-TTL";
    pub(crate) const EXPECTED: &str = "Nats-Expected-Last-Subject-Sequence";
    pub(crate) const STREAM: &str = "Nats-Stream";
    pub(crate) const SUBJECT: &str = "Nats-Subject";
    pub(crate) const SEQUENCE: &str = "Nats-Sequence";
    pub(crate) const TIME: &str = "Nats-Time-Stamp";
    pub(crate) const PENDING: &str = "Nats-Num-Pending";
    pub(crate) const LAST_SEQUENCE: &str = "Nats-Last-Sequence";
    pub(crate) const LAST_CONSUMER: &str = "Nats-Last-Consumer";
    pub(crate) const STALLED: &str = "Nats-Consumer-Stalled";
}

/// Returns the operation named by the headers.
pub(super) fn operation(headers: &Headers) -> Operation {
    let mut operation = Operation::Put;
    for (name, value) in headers.iter() {
        match (name, value) {
            // A marker of the server overrides the headers with which it was written.
            (header::MARKER_REASON, "MaxAge") => return Operation::Expire,
            (header::MARKER_REASON, "Purge") => return Operation::Purge,
            (header::MARKER_REASON, _) => return Operation::Delete,
            (header::OPERATION, "DEL") => operation = Operation::Delete,
            (header::OPERATION, "PURGE") => operation = Operation::Purge,
            _ => {}
        }
    }
    operation
}

fn is_own(name: &str) -> bool {
    let starts = |prefix: &[u8]| {
        name.as_bytes()
            .get(..prefix.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(prefix))
    };
    starts(b"Nats-") || starts(b"KV-Operation")
}

/// A revision without its key, headers and value.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stamp {
    pub(super) revision: u64,
    pub(super) created: SystemTime,
    pub(super) delta: u64,
}

/// Converts a server's time: nanoseconds since 1970, UTC.
pub(super) fn from_nanos(nanos: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_nanos(nanos)
}

pub(super) fn parse_time(text: &str) -> Result<SystemTime, ServiceError> {
    // A malformed time is an error; it is never replaced by the current time.
    humantime::parse_rfc3339(text).map_err(|error| malformed("a timestamp", error))
}

impl Bucket {
    /// Creates an entry from its parts.
    pub(super) fn entry(
        &self,
        key: Key,
        stamp: Stamp,
        mut headers: Headers,
        payload: Bytes,
        metadata_only: bool,
    ) -> Entry {
        let mut found = Operation::Put;
        if !headers.is_empty() {
            found = operation(&headers);
            headers.retain(|name| !is_own(name));
        }
        Entry {
            bucket: self.name.clone(),
            key,
            value: (found == Operation::Put && !metadata_only).then_some(payload),
            revision: stamp.revision,
            created: stamp.created,
            operation: found,
            delta: stamp.delta,
            headers,
        }
    }

    /// Returns the key for a subject; `None` if it belongs to another bucket.
    pub(super) fn key_of(&self, subject: ByteString) -> Option<Key> {
        if subject.len() <= self.subjects.len() || !subject.starts_with(&*self.subjects) {
            return None;
        }
        // Cut in place: another slice would need a reference count, and so an allocation.
        let mut key = subject.into_bytes();
        key.advance(self.subjects.len());
        ByteString::try_from(key).ok().map(Key::from_subject)
    }

    /// Creates an entry from the response to a direct get, which has the subject, sequence and time in
    /// headers. `None` if it belongs to another bucket. A known key is not parsed again.
    pub(super) fn entry_of_direct(
        &self,
        message: Message,
        key: Option<&Key>,
    ) -> Result<Option<Entry>, ServiceError> {
        let field = |name: &'static str| {
            message
                .headers
                .last(name)
                .ok_or_else(|| malformed("a direct get", format!("it has no {name}")))
        };
        let number = |name: &'static str| {
            field(name)?
                .parse()
                .map_err(|error| malformed("a direct get", error))
        };
        let stamp = Stamp {
            revision: number(header::SEQUENCE)?,
            created: parse_time(field(header::TIME)?)?,
            delta: 0,
        };
        let key = match key {
            Some(key) => key.clone(),
            None => match self.key_of(ByteString::from(field(header::SUBJECT)?)) {
                Some(key) => key,
                None => return Ok(None),
            },
        };
        let entry = self.entry(key, stamp, message.headers, message.payload, false);
        Ok(Some(entry))
    }
}

/// Parses a header block, as the stream's leader sends it: a version line, then fields.
pub(super) fn parse_headers(block: &[u8]) -> Headers {
    let block = String::from_utf8_lossy(block);
    block
        .split('\n')
        .skip(1)
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name, value.trim()))
        .collect()
}

/// Decodes base64 (the standard alphabet); `None` if it is not base64.
pub(super) fn decode_base64(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| {
        Some(match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        })
    };
    let text = text.trim_end_matches('=').as_bytes();
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3 + 3);
    for group in text.chunks(4) {
        let mut bits = 0u32;
        for &byte in group {
            bits = bits << 6 | u32::from(digit(byte)?);
        }
        bits <<= 6 * (4 - group.len());
        let [_, a, b, c] = bits.to_be_bytes();
        // Four digits encode three bytes, three encode two, two encode one.
        bytes.extend_from_slice(&[a, b, c][..group.len().checked_sub(1).filter(|n| *n > 0)?]);
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(fields: &[(&str, &str)]) -> Headers {
        fields.iter().copied().collect()
    }

    #[test]
    fn every_kind_of_removal_is_recognized() {
        for (fields, wanted) in [
            (&[][..], Operation::Put),
            (&[("Trace", "1")][..], Operation::Put),
            (&[("KV-Operation", "DEL")][..], Operation::Delete),
            (
                &[("KV-Operation", "PURGE"), ("Nats-Rollup", "sub")][..],
                Operation::Purge,
            ),
            (
                &[("Nats-Marker-Reason", "MaxAge"), ("Nats-TTL", "1s")][..],
                Operation::Expire,
            ),
            (&[("Nats-Marker-Reason", "Purge")][..], Operation::Purge),
            (&[("Nats-Marker-Reason", "Remove")][..], Operation::Delete),
        ] {
            assert_eq!(operation(&headers(fields)), wanted, "{fields:?}");
        }
    }

    #[test]
    fn users_cannot_set_protocol_headers() {
        for name in [
            "Nats-TTL",
            "nats-msg-size",
            "KV-Operation",
            "Nats-Expected-Last-Sequence",
        ] {
            assert!(is_own(name), "{name}");
        }
        for name in ["Trace-Id", "Nat", "KV-", "Natsy"] {
            assert!(!is_own(name), "{name}");
        }
    }

    #[test]
    fn base64_and_header_blocks_are_decoded() {
        for (text, bytes) in [
            ("", &b""[..]),
            ("dg==", b"v"),
            ("dmE=", b"va"),
            ("dmFs", b"val"),
            ("+/+/", &[0xfb, 0xff, 0xbf]),
        ] {
            assert_eq!(decode_base64(text).as_deref(), Some(bytes), "{text}");
        }
        assert_eq!(decode_base64("d"), None);
        assert_eq!(decode_base64("d*=="), None);
        let parsed = parse_headers(b"NATS/1.0\r\nA: b\r\nNats-TTL:1\r\n\r\n");
        assert_eq!(parsed, headers(&[("A", "b"), ("Nats-TTL", "1")]));
    }
}
