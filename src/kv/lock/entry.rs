//! What stands in the log: the value format of lock entries, version 1.
//!
//! The value of `_lock.<name>.<id>` is a JSON object without white space:
//!
//! | field | meaning | |
//! | --- | --- | --- |
//! | `v` | version of this format: 1 | always |
//! | `m` | mode: `"r"` read, `"w"` write, `"p"` one permit of a semaphore, `"probe"` a probe | always |
//! | `n` | how many permits the semaphore has, 1 or more | mode `p` |
//! | `l` | lease in whole seconds, 1 or more; the message's `Nats-TTL` is the same | not in a probe |
//! | `w` | number of this write to the entry: 0 for the first, then growing | not in a probe |
//! | `t` | ticket: the stream sequence of the first write | from the second write on |
//! | `s` | when the first write was stored, by the server's clock, in ms since 1970 | optional |
//! | `h` | a label of the holder, for people | optional |
//! | `d` | data that comes with the hold, such as a leader's address | optional |
//!
//! Fields that a reader does not know are ignored. A value that is not of this form, or of
//! another version, stands for a live writer whose ticket is smaller than any other.

use std::{borrow::Cow, fmt, ops::Deref, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};

/// The version of the format that this library writes.
pub const VERSION: u32 = 1;

/// The last token of an entry's key: unique for each acquisition, never used again.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntryId(Arc<str>);

impl EntryId {
    /// An id. One token: not checked, because ids come from this library or out of a key.
    pub fn new(token: &str) -> Self {
        Self(token.into())
    }
}

impl Deref for EntryId {
    type Target = str;
    fn deref(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for EntryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for EntryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What an entry asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Mode {
    /// Shared with other readers.
    Read,
    /// Alone.
    Write,
    /// One of this many permits.
    Permit(u32),
}

/// An entry: one hold, or one that waits.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct LockEntry {
    /// What it asks for.
    pub mode: Mode,
    /// The sequence of the first write; `None` in the first write itself.
    pub ticket: Option<u64>,
    /// Whole seconds.
    pub lease: u32,
    /// The number of this write.
    pub write: u32,
    /// When the first write was stored, by the server's clock, in ms since 1970.
    pub since: Option<u64>,
    /// For people.
    pub label: Option<Arc<str>>,
    /// For programs.
    pub data: Option<Arc<str>>,
}

impl LockEntry {
    /// The lease.
    pub fn lease(&self) -> Duration {
        Duration::from_secs(self.lease.into())
    }
}

/// Any value under a lock's keys.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Record {
    /// An entry.
    Entry(LockEntry),
    /// A probe: says nothing, and is only there to arrive.
    Probe,
    /// Something else, to be taken for a live writer.
    Unknown,
}

#[derive(Serialize, Deserialize)]
struct Wire<'a> {
    v: u32,
    m: &'a str,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    n: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    l: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    w: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    t: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    s: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    h: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    d: Option<Cow<'a, str>>,
}

impl Record {
    /// The value as it stands in the log.
    pub fn encode(&self) -> Vec<u8> {
        let mut wire = Wire {
            v: VERSION,
            m: "probe",
            n: None,
            l: None,
            w: None,
            t: None,
            s: None,
            h: None,
            d: None,
        };
        if let Self::Entry(entry) = self {
            wire.m = match entry.mode {
                Mode::Read => "r",
                Mode::Write => "w",
                Mode::Permit(of) => {
                    wire.n = Some(of);
                    "p"
                }
            };
            wire.l = Some(entry.lease);
            wire.w = Some(entry.write);
            wire.t = entry.ticket;
            wire.s = entry.since;
            wire.h = entry.label.as_deref().map(Cow::Borrowed);
            wire.d = entry.data.as_deref().map(Cow::Borrowed);
        }
        // Numbers and text always have a JSON form; a writer into memory does not fail.
        serde_json::to_vec(&wire).unwrap_or_default()
    }

    /// Reads a value. Never fails: what cannot be read is [`Record::Unknown`].
    pub fn decode(value: &[u8]) -> Self {
        #[derive(Deserialize)]
        struct Version {
            v: u32,
        }
        let known = |value| {
            let Version { v } = serde_json::from_slice(value).ok()?;
            if v != VERSION {
                return None;
            }
            // Borrowed text cannot hold escapes, but no mode has any.
            let wire: Wire<'_> = serde_json::from_slice(value).ok()?;
            let mode = match wire.m {
                "probe" => return Some(Self::Probe),
                "r" => Mode::Read,
                "w" => Mode::Write,
                "p" => Mode::Permit(wire.n.filter(|of| *of > 0)?),
                _ => return None,
            };
            Some(Self::Entry(LockEntry {
                mode,
                ticket: wire.t,
                lease: wire.l.filter(|lease| *lease > 0)?,
                write: wire.w?,
                since: wire.s,
                label: wire.h.map(Arc::from),
                data: wire.d.map(Arc::from),
            }))
        };
        known(value).unwrap_or(Self::Unknown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(mode: Mode) -> LockEntry {
        LockEntry {
            mode,
            ticket: None,
            lease: 15,
            write: 0,
            since: None,
            label: None,
            data: None,
        }
    }

    #[test]
    fn the_format_is_what_the_table_says() {
        let first = Record::Entry(entry(Mode::Write)).encode();
        assert_eq!(first, br#"{"v":1,"m":"w","l":15,"w":0}"#);
        let later = Record::Entry(LockEntry {
            ticket: Some(17),
            write: 3,
            since: Some(1_700_000_000_000),
            label: Some("host \"a\"".into()),
            data: Some("10.0.0.1:80".into()),
            ..entry(Mode::Permit(4))
        });
        assert_eq!(
            String::from_utf8(later.encode()).unwrap(),
            r#"{"v":1,"m":"p","n":4,"l":15,"w":3,"t":17,"s":1700000000000,"h":"host \"a\"","d":"10.0.0.1:80"}"#
        );
        assert_eq!(Record::decode(&later.encode()), later);
        assert_eq!(Record::Probe.encode(), br#"{"v":1,"m":"probe"}"#);
        assert_eq!(Record::decode(&Record::Probe.encode()), Record::Probe);
    }

    #[test]
    fn what_cannot_be_read_is_a_live_writer() {
        for value in [
            &b""[..],
            b"garbage",
            b"{}",
            br#"{"v":2,"m":"probe"}"#,
            br#"{"v":2,"m":{"kind":"new"}}"#,
            br#"{"v":1,"m":"x","l":15,"w":0}"#,
            br#"{"v":1,"m":"w","l":0,"w":0}"#,
            br#"{"v":1,"m":"w","w":0}"#,
            br#"{"v":1,"m":"p","n":0,"l":3,"w":0}"#,
        ] {
            assert_eq!(
                Record::decode(value),
                Record::Unknown,
                "{}",
                value.escape_ascii()
            );
        }
    }

    #[test]
    fn fields_of_later_minor_formats_are_ignored() {
        assert_eq!(
            Record::decode(br#"{"v":1,"m":"r","l":15,"w":0,"zone":{"a":1}}"#),
            Record::Entry(entry(Mode::Read))
        );
    }
}
