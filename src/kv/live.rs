//! A value kept current in memory.

use std::{fmt, sync::Arc};

use super::{
    entry::Entry,
    error::KvReadError,
    follow::{Follower, LiveStatus, View},
    store::Store,
};
use crate::{
    codec::ByteDeserialize,
    key::{Key, KeyFilter},
};

/// The value of one key, kept current in memory: the way for a service to read its configuration.
///
/// Reading it makes no request. It survives reconnects. While the connection is lost, or if a revision
/// does not decode, it keeps the last good value, and [`status`](Live::status) and
/// [`last_error`](Live::last_error) report the problem. Clones are cheap and share one watch, which ends
/// when the last clone is dropped. The watch runs in a task on the runtime in which it was opened.
///
/// ```
/// use shizuku::kv::KeyValueRead;
///
/// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let store = shizuku::connect("memory:").await?.create_bucket("docs").await?;
/// store.put("greeting", "hello").await?;
/// let mut greeting = String::live(&store, "greeting").await?;
/// assert_eq!(*greeting.get().expect("it was written"), "hello");
///
/// store.put("greeting", "welcome").await?;
/// greeting.changed().await?;
/// assert_eq!(*greeting.get().expect("it was written"), "welcome");
/// # Ok(()) }
/// ```
///
/// A bad value and a missing value can be told apart:
///
/// ```
/// use shizuku::{Json, kv::KeyValueRead};
///
/// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let store = shizuku::connect("memory:").await?.create_bucket("docs").await?;
/// store.put("limit", "ten").await?;
/// let limit = Json::<u32>::live(&store, "limit").await?;
/// let limit = match (limit.get(), limit.last_error()) {
///     (Some(limit), None) => limit.0,
///     (Some(limit), Some(_)) => limit.0, // the last good one: a bad one came after it
///     (None, Some(error)) => {
///         assert!(error.to_string().contains("revision 1 of key limit"));
///         10
///     }
///     (None, None) => 10, // nothing was written yet, or it was removed
/// };
/// # assert_eq!(limit, 10);
/// # Ok(()) }
/// ```
///
/// To wait for changes of the value and of the status at the same time, use a clone for one of them:
///
/// ```
/// use shizuku::kv::{KeyValueRead, LiveStatus};
///
/// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let client = shizuku::connect("memory:").await?;
/// # let store = client.create_bucket("docs").await?;
/// let mut greeting = String::live(&store, "greeting").await?;
/// let mut status = greeting.clone();
/// # store.put("greeting", "hello").await?;
/// # let mut closing = Some(client);
/// loop {
///     tokio::select! {
///         changed = greeting.changed() => match changed {
///             Ok(value) => println!("{value:?}"),
///             Err(error) => {
///                 println!("no longer followed: {error}");
///                 break;
///             }
///         },
///         now = status.status_changed() => match now {
///             LiveStatus::Current => println!("up to date"),
///             _ => println!("possibly stale"),
///         },
///     }
///     # if let Some(client) = closing.take() { client.close().await?; }
/// }
/// # Ok(()) }
/// ```
#[must_use = "a live value that is dropped is not followed"]
pub struct Live<T> {
    key: Key,
    follower: Follower<Latest<T>>,
}

/// The key's last entry, a value or a removal; `None` before the first.
struct Latest<T>(Option<Entry<Arc<T>>>);

impl<T> Latest<T> {
    fn value(&self) -> Option<Arc<T>> {
        self.0.as_ref().and_then(|entry| entry.value.clone())
    }
}

impl<T> Default for Latest<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<T: Send + Sync + 'static> View<T> for Latest<T> {
    fn apply(&mut self, entry: Entry<Arc<T>>) -> Option<Entry<Arc<T>>> {
        self.0.replace(entry)
    }
}

impl<T: ByteDeserialize + Send + Sync + 'static> Live<T> {
    pub(super) async fn open(store: &Store, key: Key) -> Result<Self, KvReadError> {
        let filter = KeyFilter::from(&key);
        Ok(Self {
            key,
            follower: Follower::open(store, vec![filter]).await?,
        })
    }
}

impl<T> Live<T> {
    /// Returns the key.
    pub fn key(&self) -> &Key {
        &self.key
    }

    /// Returns the current value; `None` if the key has none. Takes about ten nanoseconds.
    pub fn get(&self) -> Option<Arc<T>> {
        self.follower.read(Latest::value)
    }

    /// Returns the last revision with its metadata: a value or a removal.
    pub fn entry(&self) -> Option<Entry<Arc<T>>> {
        self.follower.read(|latest| latest.0.clone())
    }

    /// Waits until the value has changed, or a revision that does not decode has arrived, since this
    /// handle last waited, and returns the value. Several changes between two calls count as one. A new
    /// handle counts the initial value as seen; a clone starts from what its original had seen. Also
    /// returns `None` if no revision has decoded yet; [`last_error`](Live::last_error) then has the
    /// error.
    ///
    /// The future may be dropped at any time without losing a change.
    ///
    /// # Errors
    /// The error that ended the watch; every later call returns it too.
    pub async fn changed(&mut self) -> Result<Option<Arc<T>>, Arc<KvReadError>> {
        self.follower.changed(Latest::value).await
    }

    /// Returns whether the value is up to date with the bucket.
    pub fn status(&self) -> LiveStatus {
        self.follower.status()
    }

    /// Waits until the status differs from what this handle last saw, and returns it. After
    /// [`LiveStatus::Ended`] the status no longer changes, and this waits forever.
    pub async fn status_changed(&mut self) -> LiveStatus {
        self.follower.status_changed().await
    }

    /// Returns why the value is not the key's last revision, or why the key is no longer followed.
    /// Cleared by the next good value.
    pub fn last_error(&self) -> Option<Arc<KvReadError>> {
        self.follower.last_error()
    }
}

impl<T> Clone for Live<T> {
    fn clone(&self) -> Self {
        Self {
            key: self.key.clone(),
            follower: self.follower.clone(),
        }
    }
}

impl<T> fmt::Debug for Live<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Live")
            .field("key", &self.key)
            .field("status", &self.status())
            .finish_non_exhaustive()
    }
}
