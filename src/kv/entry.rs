//! A revision of a key.

use std::time::SystemTime;

use bytes::Bytes;

use crate::{
    headers::Headers,
    key::{BucketName, Key},
};

/// A revision of a key: a value, or the record of a removal.
///
/// [`Store`](super::Store)'s methods return `Entry<Bytes>`; typed reads and watches return `Entry<T>`.
///
/// ```
/// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let store = shizuku::connect("memory:").await?.create_bucket("docs").await?;
/// let revision = store.put("color", "blue").await?;
/// let entry = store.entry("color").await?.expect("it was just written");
/// assert_eq!(entry.revision, revision);
/// assert_eq!(entry.value.as_deref(), Some(&b"blue"[..]));
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Entry<T = Bytes> {
    /// The bucket.
    pub bucket: BucketName,
    /// The key.
    pub key: Key,
    /// The value; `None` for a removal, or if only metadata was requested.
    pub value: Option<T>,
    /// The bucket-wide sequence number of this revision, which increases with every write to any key.
    pub revision: u64,
    /// When the server stored it (its clock, UTC).
    pub created: SystemTime,
    /// The operation.
    pub operation: Operation,
    /// In a watch, listing or history, the number of entries still pending when the server sent this
    /// one; 0 elsewhere.
    pub delta: u64,
    /// The headers set by the writer, without those of the KV protocol itself.
    pub headers: Headers,
}

/// The operation that created a revision.
///
/// ```
/// use shizuku::kv::Operation;
///
/// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let store = shizuku::connect("memory:").await?.create_bucket("docs").await?;
/// store.put("color", "blue").await?;
/// store.delete("color").await?;
/// let entry = store.entry("color").await?.expect("the removal is there");
/// assert_eq!(entry.operation, Operation::Delete);
/// assert!(entry.is_removal() && store.get("color").await?.is_none());
/// # Ok(()) }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Operation {
    /// A value was written.
    Put,
    /// The key was deleted; older revisions stay in its history.
    Delete,
    /// The key and its history were removed.
    Purge,
    /// The value expired, and the server left a marker (server 2.11 and newer, on buckets with limit
    /// markers).
    Expire,
    /// The key is gone without a record of when or how: a watch was interrupted, and the marker of the
    /// removal was itself removed before the watch resumed. `revision` is then the latest revision of
    /// the bucket at which the key is known to be absent.
    Vanish,
}

impl Operation {
    /// Returns whether the key has no value after this: for everything but [`Operation::Put`].
    pub const fn is_removal(self) -> bool {
        !matches!(self, Self::Put)
    }
}

impl<T> Entry<T> {
    /// Creates an entry with the current time, no headers and none pending: for custom backends and
    /// tests. The other fields can be set afterwards.
    pub const fn new(
        bucket: BucketName,
        key: Key,
        revision: u64,
        operation: Operation,
        value: Option<T>,
    ) -> Self {
        Self {
            bucket,
            key,
            value,
            revision,
            created: SystemTime::UNIX_EPOCH,
            operation,
            delta: 0,
            headers: Headers::new(),
        }
    }

    /// Returns whether this is a removal.
    pub const fn is_removal(&self) -> bool {
        self.operation.is_removal()
    }

    /// Returns the same entry with another value.
    pub(crate) fn with_value<U>(self, value: Option<U>) -> Entry<U> {
        Entry {
            bucket: self.bucket,
            key: self.key,
            value,
            revision: self.revision,
            created: self.created,
            operation: self.operation,
            delta: self.delta,
            headers: self.headers,
        }
    }
}
