//! The value format of lock entries in the log, version 1.
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
//! | `h` | a label of the holder, for humans | optional |
//! | `d` | data that comes with the hold, such as a leader's address | optional |
//!
//! An entry must be rewritten before its lease is over. Once an entry is two seconds past its lease by the
//! server's clock, any client may purge it, conditional on its revision: a restored server might not remove
//! it itself.
//!
//! Unknown fields are ignored. A value of another form or version counts as a live writer whose ticket is
//! smaller than any other.
//!
//! A tool that inspects a lock without taking part in it can read its entries like any other keys:
//!
//! ```
//! use shizuku::kv::{lock::{LockOptions, Mode, entry::Record}, mutex::DistroMutex};
//!
//! # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let store = shizuku::connect("memory:").await?.create_bucket("docs").await?;
//! let options = LockOptions::new().label("host 7");
//! let mutex = DistroMutex::with_options(&store, "invoices", options)?;
//! let guard = mutex.lock().await?;
//!
//! let entries = store.get_many("_lock.invoices.*").await?;
//! let value = entries[0].value.as_deref().expect("a removal is not listed");
//! let Record::Entry(entry) = Record::decode(value) else {
//!     panic!("only this version uses this lock");
//! };
//! assert_eq!((entry.mode, entry.label.as_deref()), (Mode::Write, Some("host 7")));
//! # guard.release().await?;
//! # Ok(()) }
//! ```

use std::{fmt, ops::Deref, sync::Arc, time::Duration};

use crate::json::{self, Fields, FromJson, Writer};

/// The format version that this library writes.
///
/// ```
/// use shizuku::kv::lock::entry::{Record, VERSION};
///
/// let probe = |version| Record::decode(format!(r#"{{"v":{version},"m":"probe"}}"#).as_bytes());
/// assert_eq!(probe(VERSION), Record::Probe);
/// // Whatever it means to a later version, this one waits until it is gone.
/// assert_eq!(probe(VERSION + 1), Record::Unknown);
/// ```
pub const VERSION: u32 = 1;

/// The last token of an entry's key: unique per acquisition, never reused.
///
/// ```
/// use shizuku::kv::{lock::entry::EntryId, mutex::DistroMutex};
///
/// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let store = shizuku::connect("memory:").await?.create_bucket("docs").await?;
/// let mutex = DistroMutex::new(&store, "invoices")?;
/// let guard = mutex.lock().await?;
/// let entry = store.get_many("_lock.invoices.*").await?.remove(0);
/// let id = EntryId::new(entry.key.strip_prefix("_lock.invoices.").expect("asked for"));
/// // It connects an entry of the log with the list of holders.
/// assert_eq!(*id, *mutex.holders().await?[0].id);
/// # guard.release().await?;
/// # Ok(()) }
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntryId(Arc<str>);

impl EntryId {
    /// Creates an id from one token, which is not checked, because ids come from this library or from a
    /// key.
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

/// The mode of an entry.
///
/// ```
/// use shizuku::kv::{lock::Mode, rw_lock::DistroRwLock};
///
/// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let store = shizuku::connect("memory:").await?.create_bucket("docs").await?;
/// let lock = DistroRwLock::new(&store, "catalogue")?;
/// let reading = lock.read().await?;
/// // A page for humans: who blocks whom?
/// let mut lines = Vec::new();
/// for holder in lock.holders().await? {
///     lines.push(match holder.mode {
///         Some(Mode::Read) => "a reader: writers wait".to_owned(),
///         Some(Mode::Write) => "a writer: all others wait".to_owned(),
///         Some(Mode::Permit(of)) => format!("one of {of} permits"),
///         _ => "a newer version of this library".to_owned(),
///     });
/// }
/// assert_eq!(lines, ["a reader: writers wait"]);
/// # reading.release().await?;
/// # Ok(()) }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Mode {
    /// Shared with other readers.
    Read,
    /// Exclusive.
    Write,
    /// One of this many permits.
    Permit(u32),
}

/// An entry: a hold, or a waiting acquire.
///
/// ```
/// use std::time::Duration;
/// use shizuku::kv::lock::{Mode, entry::{LockEntry, Record}};
///
/// // The first write to acquire one of four permits …
/// let mut first = LockEntry::new(Mode::Permit(4), 15);
/// first.label = Some("host 7".into());
/// let value = Record::Entry(first.clone()).encode();
/// assert_eq!(value, br#"{"v":1,"m":"p","n":4,"l":15,"w":0,"h":"host 7"}"#);
/// // … is put with this time to live. Renewals also have the ticket.
/// assert_eq!(first.lease(), Duration::from_secs(15));
/// let mut next = first;
/// (next.ticket, next.write) = (Some(17), 1);
/// assert_eq!(Record::decode(&Record::Entry(next.clone()).encode()), Record::Entry(next));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct LockEntry {
    /// The requested mode.
    pub mode: Mode,
    /// The sequence of the first write; `None` in the first write itself.
    pub ticket: Option<u64>,
    /// The lease, in whole seconds.
    pub lease: u32,
    /// The number of this write.
    pub write: u32,
    /// When the first write was stored, by the server's clock, in ms since 1970.
    pub since: Option<u64>,
    /// The label, for humans.
    pub label: Option<Arc<str>>,
    /// The data, for programs.
    pub data: Option<Arc<str>>,
}

impl LockEntry {
    /// Creates the first write of an acquisition, with a lease in whole seconds.
    pub const fn new(mode: Mode, lease: u32) -> Self {
        Self {
            mode,
            ticket: None,
            lease,
            write: 0,
            since: None,
            label: None,
            data: None,
        }
    }

    /// Returns the lease.
    pub fn lease(&self) -> Duration {
        Duration::from_secs(self.lease.into())
    }
}

/// Any value under a lock's keys.
///
/// ```
/// use shizuku::kv::lock::{Mode, entry::Record};
///
/// let Record::Entry(entry) = Record::decode(br#"{"v":1,"m":"w","l":15,"w":0}"#) else {
///     panic!("this is an entry");
/// };
/// assert_eq!((entry.mode, entry.lease), (Mode::Write, 15));
/// assert_eq!(Record::decode(b"something else"), Record::Unknown);
/// // An unreadable value stays unreadable when it is written again.
/// assert_eq!(Record::decode(&Record::Unknown.encode()), Record::Unknown);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Record {
    /// An entry.
    Entry(LockEntry),
    /// A probe: has no content; only its arrival matters.
    Probe,
    /// Something else, which counts as a live writer.
    Unknown,
}

impl Record {
    /// Encodes the value for the log.
    pub fn encode(&self) -> Vec<u8> {
        let mut json = Writer::new();
        json.number("v", VERSION.into());
        match self {
            Self::Entry(entry) => {
                match entry.mode {
                    Mode::Read => json.text("m", "r"),
                    Mode::Write => json.text("m", "w"),
                    Mode::Permit(of) => {
                        json.text("m", "p");
                        json.number("n", of.into());
                    }
                }
                json.number("l", entry.lease.into());
                json.number("w", entry.write.into());
                json.maybe_number("t", entry.ticket);
                json.maybe_number("s", entry.since);
                json.maybe_text("h", entry.label.as_deref());
                json.maybe_text("d", entry.data.as_deref());
            }
            Self::Probe => json.text("m", "probe"),
            // A reader takes a value without a mode for a live writer, as it did the original.
            Self::Unknown => {}
        }
        json.finish().into()
    }

    /// Decodes a value. Never fails: an unreadable value is [`Record::Unknown`].
    pub fn decode(value: &[u8]) -> Self {
        json::read(value).unwrap_or(Self::Unknown)
    }

    fn known(fields: &mut Fields<'_>) -> Option<Self> {
        if fields.maybe_small::<u32>("v")? != VERSION {
            return None;
        }
        let mode = fields.text("m");
        let permits = fields.maybe_small("n");
        let lease = fields.maybe_small("l");
        let write = fields.maybe_small("w");
        let (ticket, since) = (fields.maybe_number("t"), fields.maybe_number("s"));
        let label = fields.maybe_text("h").map(Arc::from);
        let data = fields.maybe_text("d").map(Arc::from);
        let mode = match &*mode {
            "probe" => return Some(Self::Probe),
            "r" => Mode::Read,
            "w" => Mode::Write,
            "p" => Mode::Permit(permits.filter(|of| *of > 0)?),
            _ => return None,
        };
        Some(Self::Entry(LockEntry {
            mode,
            ticket,
            lease: lease.filter(|lease| *lease > 0)?,
            write: write?,
            since,
            label,
            data,
        }))
    }
}

impl FromJson<'_> for Record {
    fn from_json(fields: &mut Fields<'_>) -> Self {
        Self::known(fields).unwrap_or(Self::Unknown)
    }
}

#[cfg(test)]
impl LockEntry {
    /// The first write of an entry.
    pub(super) fn first(mode: Mode) -> Self {
        Self {
            mode,
            ticket: None,
            lease: 15,
            write: 0,
            since: None,
            label: None,
            data: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_format_matches_its_documentation() {
        let first = Record::Entry(LockEntry::first(Mode::Write)).encode();
        assert_eq!(first, br#"{"v":1,"m":"w","l":15,"w":0}"#);
        let later = Record::Entry(LockEntry {
            ticket: Some(17),
            write: 3,
            since: Some(1_700_000_000_000),
            label: Some("host \"a\"".into()),
            data: Some("10.0.0.1:80".into()),
            ..LockEntry::first(Mode::Permit(4))
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
    fn an_unreadable_entry_counts_as_a_live_writer() {
        for value in [
            &b""[..],
            b"garbage",
            b"{}",
            br#"{"v":2,"m":"probe"}"#,
            br#"{"v":1,"m":"probe","l":"x"}"#,
            br#"{"v":1,"l":15,"w":0}"#,
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
            Record::Entry(LockEntry::first(Mode::Read))
        );
    }
}
