//! Options for reading, writing and watching.

use std::time::Duration;

use crate::{
    error::InvalidOption,
    headers::Headers,
    words::{Lasting, Quoted},
};

/// Defines builder methods that set the field of the same name.
macro_rules! setters {
    ($($(#[$doc:meta])* $field:ident($type:ty) = $value:expr;)*) => {$(
        $(#[$doc])*
        #[must_use]
        pub const fn $field(mut self, $field: $type) -> Self {
            self.$field = $value;
            self
        }
    )*};
}

/// Which replica serves a read.
///
/// ```
/// use shizuku::kv::Read;
///
/// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let store = shizuku::connect("memory:").await?.create_bucket("docs").await?;
/// store.put("color", "blue").await?;
/// let entry = store.entry_with("color", Read::Leader).await?;
/// assert_eq!(entry.expect("the leader has it").revision, 1);
/// # Ok(()) }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Read {
    /// Any replica or mirror (direct get): fast, but may lag slightly behind the last write.
    #[default]
    Any,
    /// The stream's leader: sees every write that was acknowledged before the read started.
    Leader,
}

/// The condition of a write.
///
/// ```
/// use shizuku::kv::{Expect, PutOptions};
///
/// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let store = shizuku::connect("memory:").await?.create_bucket("docs").await?;
/// let options = PutOptions::new().expect(Expect::Absent);
/// store.put_with("color", "blue", options.clone()).await?;
/// let error = store.put_with("color", "red", options).await.unwrap_err();
/// assert_eq!(error.conflict().expect("a lost race").expected, Expect::Absent);
/// # Ok(()) }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Expect {
    /// Unconditional: the last writer wins.
    #[default]
    Any,
    /// The key has no value: it was never written, or its last revision is a removal.
    Absent,
    /// The key's last revision is exactly this one. 0 means that the key has no revision at all, not
    /// even a removal.
    Revision(u64),
}

/// Options for writing a value.
///
/// ```
/// use std::time::Duration;
/// use shizuku::kv::PutOptions;
///
/// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let store = shizuku::connect("memory:").await?.create_bucket("docs").await?;
/// let options = PutOptions::new()
///     .ttl(Duration::from_secs(60))
///     .header("Trace-Id", "7f3a");
/// store.put_with("session.1", "alice", options).await?;
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PutOptions {
    /// The condition.
    pub expect: Expect,
    /// The time to live.
    pub ttl: Option<Duration>,
    /// The headers.
    pub headers: Headers,
}

impl PutOptions {
    /// Creates options for an unconditional write without a time to live or headers.
    pub const fn new() -> Self {
        Self {
            expect: Expect::Any,
            ttl: None,
            headers: Headers::new(),
        }
    }

    setters! {
        /// Makes the write conditional.
        expect(Expect) = expect;

        /// Expires the value after this time: whole seconds, at least one.
        ///
        /// Requires a bucket with [limit markers](super::BucketConfig::limit_markers) (server 2.11 and
        /// newer). A later write without a time to live makes the key permanent again. If the bucket
        /// keeps more than one revision, the server raises a shorter time to that of the bucket's
        /// markers.
        ttl(Duration) = Some(ttl);
    }

    /// Writes only if the key has no value, as [`Store::create`](super::Store::create) does.
    #[must_use]
    pub const fn if_absent(self) -> Self {
        self.expect(Expect::Absent)
    }

    /// Writes only if the key's last revision is this one, as
    /// [`Store::update`](super::Store::update) does.
    #[must_use]
    pub const fn if_revision(self, revision: u64) -> Self {
        self.expect(Expect::Revision(revision))
    }

    /// Adds a header. Names that begin with `Nats-` or `KV-` are reserved for the protocol and cause an
    /// error when the value is put.
    #[must_use]
    pub fn header(mut self, name: impl AsRef<str>, value: impl AsRef<str>) -> Self {
        self.headers.append(name, value);
        self
    }

    /// Validates everything that can be validated without a server.
    pub(crate) fn check(&self) -> Result<(), InvalidOption> {
        if let Some(ttl) = self.ttl {
            check_ttl("ttl", ttl)?;
        }
        for (name, value) in self.headers.iter() {
            check_header(name, value)?;
        }
        Ok(())
    }
}

/// How a key is removed.
///
/// ```
/// use shizuku::kv::{BucketConfig, RemoveOptions};
///
/// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let client = shizuku::connect("memory:").await?;
/// let store = client.create_bucket(BucketConfig::new("docs").history(5)).await?;
/// store.put("color", "blue").await?;
/// store.remove_with("color", RemoveOptions::delete()).await?;
/// assert_eq!(store.history("color").await?.len(), 2);
/// store.remove_with("color", RemoveOptions::purge()).await?;
/// assert_eq!(store.history("color").await?.len(), 1); // the purge itself
/// # Ok(()) }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Removal {
    /// Keeps older revisions in the key's history.
    #[default]
    Delete,
    /// Removes the history too.
    Purge,
}

/// Options for removing a key.
///
/// ```
/// use std::time::Duration;
/// use shizuku::kv::RemoveOptions;
///
/// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let store = shizuku::connect("memory:").await?.create_bucket("docs").await?;
/// let revision = store.put("job", "done").await?;
/// let options = RemoveOptions::purge()
///     .if_revision(revision)
///     .marker_ttl(Duration::from_secs(60));
/// store.remove_with("job", options).await?;
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RemoveOptions {
    /// How the key is removed.
    pub removal: Removal,
    /// The condition.
    pub expect: Expect,
    /// The time to live of the marker that the removal leaves.
    pub marker_ttl: Option<Duration>,
}

impl RemoveOptions {
    /// Creates options for a delete, which keeps the history.
    pub const fn delete() -> Self {
        Self {
            removal: Removal::Delete,
            expect: Expect::Any,
            marker_ttl: None,
        }
    }

    /// Creates options for a purge, which removes the history.
    pub const fn purge() -> Self {
        Self {
            removal: Removal::Purge,
            expect: Expect::Any,
            marker_ttl: None,
        }
    }

    setters! {
        /// Makes the removal conditional. [`Expect::Absent`] is meaningless here and causes an error.
        expect(Expect) = expect;

        /// Expires the marker that the removal leaves after this time: whole seconds, at least one. Only
        /// for a purge, and only on a bucket with limit markers.
        marker_ttl(Duration) = Some(marker_ttl);
    }

    /// Removes only if the key's last revision is this one.
    #[must_use]
    pub const fn if_revision(self, revision: u64) -> Self {
        self.expect(Expect::Revision(revision))
    }

    pub(crate) fn check(&self) -> Result<(), InvalidOption> {
        if self.expect == Expect::Absent {
            return Err(InvalidOption::new(
                "expect",
                "a removal cannot be conditional on the key being absent",
            ));
        }
        if let Some(ttl) = self.marker_ttl {
            if self.removal == Removal::Delete {
                return Err(InvalidOption::new(
                    "marker_ttl",
                    "only a purge can have one: older revisions would reappear when the marker of a delete expires",
                ));
            }
            check_ttl("marker_ttl", ttl)?;
        }
        Ok(())
    }
}

/// Options for an update loop; see [`Store::update_with`](super::Store::update_with).
///
/// ```
/// use std::time::Duration;
/// use shizuku::kv::UpdateOptions;
///
/// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let store = shizuku::connect("memory:").await?.create_bucket("docs").await?;
/// let options = UpdateOptions::new().attempts(5).ttl(Duration::from_secs(60));
/// store
///     .try_update_with("session.1", options, |_| Ok::<_, shizuku::kv::KvWriteError>(Some("seen")))
///     .await?;
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct UpdateOptions {
    /// The number of lost races after which to give up; 0 is an error.
    pub attempts: usize,
    /// The time to live of the new value. The old value's is not carried over.
    pub ttl: Option<Duration>,
    /// The headers of the new value. The old value's are not carried over.
    pub headers: Headers,
}

impl Default for UpdateOptions {
    fn default() -> Self {
        Self::new()
    }
}

impl UpdateOptions {
    /// Creates options with 256 attempts, no time to live and no headers. Every lost race means that
    /// another write succeeded, so 256 are lost only if very many clients write to one key at the same
    /// time.
    pub const fn new() -> Self {
        Self {
            attempts: 256,
            ttl: None,
            headers: Headers::new(),
        }
    }

    setters! {
        /// Sets the number of lost races after which to give up: at least one.
        attempts(usize) = attempts;

        /// Sets the time to live of the new value, as in [`PutOptions::ttl`].
        ttl(Duration) = Some(ttl);
    }

    /// Adds a header to the new value, as in [`PutOptions::header`].
    #[must_use]
    pub fn header(mut self, name: impl AsRef<str>, value: impl AsRef<str>) -> Self {
        self.headers.append(name, value);
        self
    }

    /// Converts into the options of each write.
    pub(crate) fn into_put(self) -> Result<PutOptions, InvalidOption> {
        if self.attempts == 0 {
            return Err(InvalidOption::new("attempts", "must be at least 1"));
        }
        let mut put = PutOptions::new();
        put.ttl = self.ttl;
        put.headers = self.headers;
        put.check()?;
        Ok(put)
    }
}

/// What a watch delivers before the changes.
///
/// ```
/// use shizuku::kv::{Deliver, WatchOptions};
///
/// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let store = shizuku::connect("memory:").await?.create_bucket("docs").await?;
/// store.put("color", "blue").await?;
/// let changes = WatchOptions::new().deliver(Deliver::Updates);
/// let watch = store.watch_with("color", changes).await?;
/// store.put("color", "green").await?;
/// let entry = watch.next().await.expect("a watch goes on")?;
/// assert_eq!(entry.value.as_deref(), Some(&b"green"[..]));
/// # Ok(()) }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Deliver {
    /// The last revision of every key.
    #[default]
    Latest,
    /// Every stored revision.
    History,
    /// Nothing: only changes from now on.
    Updates,
    /// Every stored revision from this one on: to resume, pass the last known revision plus one.
    ///
    /// Revisions that no longer exist are skipped: those that were superseded beyond the history, and removals
    /// whose marker has expired. If the bucket was deleted and recreated, its revisions begin at 1 again; compare
    /// with [`last_revision`](super::BucketStatus::last_revision) if that can happen.
    From(u64),
}

/// Options for a watch.
///
/// ```
/// use shizuku::kv::{Deliver, WatchOptions};
///
/// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let store = shizuku::connect("memory:").await?.create_bucket("docs").await?;
/// let changes = WatchOptions::new().deliver(Deliver::Updates).ignore_removals(true);
/// let watch = store.watch_with("app.>", changes).await?;
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct WatchOptions {
    /// What to deliver before the changes.
    pub deliver: Deliver,
    /// Omits removals.
    pub ignore_removals: bool,
    /// Omits values.
    pub metadata_only: bool,
    /// Includes the keys under `_lock.`.
    pub include_reserved: bool,
}

impl WatchOptions {
    /// Creates options for the last revision of every key, then every change, with values and removals.
    pub const fn new() -> Self {
        Self {
            deliver: Deliver::Latest,
            ignore_removals: false,
            metadata_only: false,
            include_reserved: false,
        }
    }

    setters! {
        /// What to deliver before the changes.
        deliver(Deliver) = deliver;

        /// Omits removals.
        ignore_removals(bool) = ignore_removals;

        /// Omits values: entries have their metadata, and `value` is `None`.
        metadata_only(bool) = metadata_only;

        /// Includes the keys under `_lock.`, which belong to the library's locks. A filter that begins
        /// with `_lock.` includes them too.
        include_reserved(bool) = include_reserved;
    }
}

/// On the wire a time to live is in whole seconds; the server would truncate the rest.
pub(crate) fn check_ttl(option: &'static str, ttl: Duration) -> Result<(), InvalidOption> {
    if ttl.subsec_nanos() != 0 || ttl.as_secs() == 0 {
        return Err(InvalidOption::new(
            option,
            format!(
                "{} is not a whole number of seconds of at least 1",
                Lasting(ttl)
            ),
        ));
    }
    // Go stores durations as nanoseconds in an i64, about 292 years.
    if ttl.as_secs() > i64::MAX as u64 / 1_000_000_000 {
        return Err(InvalidOption::new(
            option,
            format!("{} exceeds the maximum of 292 years", Lasting(ttl)),
        ));
    }
    Ok(())
}

fn check_header(name: &str, value: &str) -> Result<(), InvalidOption> {
    let refuse = |why: &str| {
        Err(InvalidOption::new(
            "header",
            format!(
                "{}: {why}",
                Quoted(&name.chars().take(64).collect::<String>())
            ),
        ))
    };
    let name_ok = |byte: u8| byte.is_ascii_graphic() && byte != b':';
    if name.is_empty() || !name.bytes().all(name_ok) {
        return refuse("a name is made of visible ASCII characters other than a colon");
    }
    let starts = |prefix: &str| {
        name.get(..prefix.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(prefix))
    };
    if starts("Nats-") || starts("KV-") {
        return refuse("names that begin with Nats- or KV- belong to the protocol");
    }
    if value.contains(['\r', '\n']) {
        return refuse("a value cannot contain a line break");
    }
    if value.trim() != value {
        return refuse("a value cannot begin or end with white space, which the protocol drops");
    }
    Ok(())
}
