//! A map of values kept current in memory.

use std::{collections::BTreeMap, fmt, sync::Arc};

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

/// The values of all keys that match a filter, kept current in memory.
///
/// Everything said about [`Live`](super::Live) applies here too. Keys under `_lock.` are omitted.
///
/// ```
/// use shizuku::kv::KeyValueRead;
///
/// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let store = shizuku::connect("memory:").await?.create_bucket("docs").await?;
/// store.put("flag.dark", "on").await?;
/// store.put("flag.beta", "off").await?;
/// let flags = String::live_map(&store, "flag.>").await?;
/// assert_eq!(flags.len(), 2);
/// assert_eq!(*flags.get("flag.dark").expect("it was written"), "on");
/// # Ok(()) }
/// ```
#[must_use = "a live map that is dropped is not followed"]
pub struct LiveMap<T> {
    follower: Follower<Values<T>>,
}

/// The keys that have a value.
struct Values<T>(BTreeMap<Key, Entry<Arc<T>>>);

impl<T> Default for Values<T> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<T: Send + Sync + 'static> View<T> for Values<T> {
    fn apply(&mut self, entry: Entry<Arc<T>>) -> Option<Entry<Arc<T>>> {
        match entry.is_removal() {
            true => self.0.remove(&entry.key),
            false => self.0.insert(entry.key.clone(), entry),
        }
    }
}

impl<T: ByteDeserialize + Send + Sync + 'static> LiveMap<T> {
    pub(super) async fn open(store: &Store, filters: Vec<KeyFilter>) -> Result<Self, KvReadError> {
        Ok(Self {
            follower: Follower::open(store, filters).await?,
        })
    }
}

impl<T> LiveMap<T> {
    /// Returns the current value of a key; `None` if it has none or does not match the filter.
    pub fn get(&self, key: &str) -> Option<Arc<T>> {
        self.follower
            .read(|values| values.0.get(key).and_then(|entry| entry.value.clone()))
    }

    /// Returns the last revision of a key with its metadata.
    pub fn entry(&self, key: &str) -> Option<Entry<Arc<T>>> {
        self.follower.read(|values| values.0.get(key).cloned())
    }

    /// Returns the number of keys with a value.
    pub fn len(&self) -> usize {
        self.follower.read(|values| values.0.len())
    }

    /// Returns whether no key has a value.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the keys with a value, in order.
    pub fn keys(&self) -> Vec<Key> {
        self.follower
            .read(|values| values.0.keys().cloned().collect())
    }

    /// Returns all keys and values at one point in time, in order. The values are shared, not copied.
    pub fn snapshot(&self) -> BTreeMap<Key, Arc<T>> {
        self.follower.read(|values| {
            values
                .0
                .iter()
                .filter_map(|(key, entry)| Some((key.clone(), entry.value.clone()?)))
                .collect()
        })
    }

    /// Waits until a value has changed, or a revision that does not decode has arrived, since this
    /// handle last waited. Several changes between two calls count as one. A new handle counts the
    /// initial values as seen; a clone starts from what its original had seen.
    ///
    /// The future may be dropped at any time without losing a change.
    ///
    /// # Errors
    /// The error that ended the watch; every later call returns it too.
    pub async fn changed(&mut self) -> Result<(), Arc<KvReadError>> {
        self.follower.changed(|_| ()).await
    }

    /// Returns whether the map is up to date with the bucket.
    pub fn status(&self) -> LiveStatus {
        self.follower.status()
    }

    /// Waits until the status differs from what this handle last saw, and returns it. After
    /// [`LiveStatus::Ended`] the status no longer changes, and this waits forever.
    pub async fn status_changed(&mut self) -> LiveStatus {
        self.follower.status_changed().await
    }

    /// Returns why the map is no longer followed; otherwise one of the decode errors that have not been
    /// cleared. [`decode_errors`](LiveMap::decode_errors) returns them all.
    pub fn last_error(&self) -> Option<Arc<KvReadError>> {
        self.follower.last_error()
    }

    /// Returns the error of every key whose last revision does not decode, in key order.
    pub fn decode_errors(&self) -> Vec<Arc<KvReadError>> {
        self.follower.decode_errors()
    }
}

impl<T> Clone for LiveMap<T> {
    fn clone(&self) -> Self {
        Self {
            follower: self.follower.clone(),
        }
    }
}

impl<T> fmt::Debug for LiveMap<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LiveMap")
            .field("len", &self.len())
            .field("status", &self.status())
            .finish_non_exhaustive()
    }
}
