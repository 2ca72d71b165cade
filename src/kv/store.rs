//! A bucket, as a program holds it: keys, bytes and revisions.

use std::{fmt, sync::Arc, time::Duration};

use bytes::Bytes;
use futures::{Stream, StreamExt, TryStreamExt, future, stream::BoxStream};
use tokio::sync::watch;

use super::{
    bucket::BucketStatus,
    entry::Entry,
    error::{BucketError, KvReadError, KvWriteError},
    key::{BucketName, IntoFilters, IntoKey, Key, KeyFilter},
    lock::Registry,
    options::{Deliver, Expect, PutOptions, Read, RemoveOptions, WatchOptions},
    watch::Watch,
};
use crate::{
    backend::{Backend, WatchEvent, WatchRequest},
    client::ConnectionStatus,
    platform,
};

/// How many lost races [`Store::update_with`] takes before it gives up.
///
/// In every race that is lost somebody else's write went through, so this many are lost only where
/// very many write to one key at the same time.
pub const UPDATE_ATTEMPTS: usize = 256;

/// A handle on a bucket: cheap to clone, and the same over every backend.
///
/// Methods here deal in bytes; [`KeyValue`](super::KeyValue) and
/// [`KeyValueRead`](super::KeyValueRead) put types on top.
///
/// Every future here may be dropped at any time. A dropped read has no effect; a dropped write may
/// or may not happen.
///
/// ```
/// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let client = shizuku::connect("memory:").await?;
/// let store = client.create_bucket("settings").await?;
///
/// let revision = store.create("color", "blue").await?;
/// store.update("color", "green", revision).await?;
/// assert!(store.update("color", "red", revision).await.is_err(), "somebody was first");
/// assert_eq!(store.get("color").await?.as_deref(), Some(&b"green"[..]));
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Store {
    backend: Arc<dyn Backend>,
    locks: Arc<Registry>,
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store")
            .field("bucket", self.bucket())
            .finish_non_exhaustive()
    }
}

impl Store {
    /// A store over a backend of your own.
    pub fn new(backend: Arc<dyn Backend>) -> Self {
        Self {
            backend,
            locks: Arc::default(),
        }
    }

    pub(crate) fn backend(&self) -> &Arc<dyn Backend> {
        &self.backend
    }

    /// What lies below, for tests that do what a store refuses.
    #[doc(hidden)]
    pub fn __backend(&self) -> &Arc<dyn Backend> {
        &self.backend
    }

    /// The locks that this handle and its clones share.
    pub(crate) fn locks(&self) -> &Arc<Registry> {
        &self.locks
    }

    /// The bucket's name.
    pub fn bucket(&self) -> &BucketName {
        self.backend.bucket()
    }

    /// The state of the connection below, now and as it changes.
    pub fn connection(&self) -> watch::Receiver<ConnectionStatus> {
        self.backend.connection()
    }

    /// The bucket's settings and state.
    ///
    /// # Errors
    /// [`ServiceError::BucketNotFound`] where it was deleted.
    pub async fn status(&self) -> Result<BucketStatus, BucketError> {
        self.backend.status().await
    }
}

/// Reading.
impl Store {
    /// The value of a key, from any replica; `None` where it has none, because it was never
    /// written, was removed, or has expired.
    ///
    /// # Errors
    /// [`KvReadError`]; a bad key before anything is sent.
    pub async fn get(&self, key: impl IntoKey) -> Result<Option<Bytes>, KvReadError> {
        self.get_with(key, Read::Any).await
    }

    /// The value of a key, from the replica of your choice.
    ///
    /// # Errors
    /// [`KvReadError`].
    pub async fn get_with(
        &self,
        key: impl IntoKey,
        read: Read,
    ) -> Result<Option<Bytes>, KvReadError> {
        let entry = self.entry_with(key, read).await?;
        Ok(entry.and_then(|entry| entry.value))
    }

    /// The last revision of a key, from any replica: a value, or the removal that it ended with.
    /// `None` where nothing of it is left.
    ///
    /// # Errors
    /// [`KvReadError`].
    pub async fn entry(&self, key: impl IntoKey) -> Result<Option<Entry>, KvReadError> {
        self.entry_with(key, Read::Any).await
    }

    /// The last revision of a key, from the replica of your choice.
    ///
    /// # Errors
    /// [`KvReadError`].
    pub async fn entry_with(
        &self,
        key: impl IntoKey,
        read: Read,
    ) -> Result<Option<Entry>, KvReadError> {
        let key = key.into_key()?;
        self.backend.get(&key, None, read).await
    }

    /// One revision of a key; `None` where it is no longer kept, or is of another key.
    ///
    /// # Errors
    /// [`KvReadError`].
    pub async fn entry_at(
        &self,
        key: impl IntoKey,
        revision: u64,
    ) -> Result<Option<Entry>, KvReadError> {
        let key = key.into_key()?;
        if revision == 0 {
            return Ok(None); // the first is 1
        }
        self.backend.get(&key, Some(revision), Read::Any).await
    }

    /// The values of many keys, in one request where the server can (2.11 and newer) and in pages
    /// of 1024. Takes filters too. Keys without a value are left out; the order is the server's.
    ///
    /// ```
    /// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let store = shizuku::connect("memory:").await?.create_bucket("docs").await?;
    /// store.put("db.url", "db:5432").await?;
    /// store.put("db.user", "app").await?;
    /// assert_eq!(store.get_many(["db.url", "db.user", "db.none"]).await?.len(), 2);
    /// assert_eq!(store.get_many("db.*").await?.len(), 2);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`KvReadError`].
    pub async fn get_many(&self, keys: impl IntoFilters) -> Result<Vec<Entry>, KvReadError> {
        let filters = keys.into_filters()?;
        let reserved = filters.iter().any(KeyFilter::names_reserved);
        let wanted = |entry: &Entry| !entry.is_removal() && (reserved || !entry.key.is_reserved());
        self.backend
            .get_many(&filters)
            .try_filter(|entry| future::ready(wanted(entry)))
            .try_collect()
            .await
    }

    /// Every revision of a key that is kept, oldest first, removals included.
    ///
    /// # Errors
    /// [`KvReadError`].
    pub async fn history(&self, key: impl IntoKey) -> Result<Vec<Entry>, KvReadError> {
        let key = key.into_key()?;
        let request = WatchRequest {
            deliver: Deliver::History,
            metadata_only: false,
            once: true,
        };
        self.list(vec![KeyFilter::from(key)], request)
            .await?
            .try_collect()
            .await
    }

    /// The keys that have a value, in no certain order.
    ///
    /// ```
    /// use futures::TryStreamExt;
    ///
    /// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let store = shizuku::connect("memory:").await?.create_bucket("docs").await?;
    /// store.put("db.url", "db:5432").await?;
    /// let keys: Vec<_> = store.keys().await?.try_collect().await?;
    /// assert_eq!(keys, ["db.url"]);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`KvReadError`], at the start or as an item.
    pub async fn keys(&self) -> Result<BoxStream<'static, Result<Key, KvReadError>>, KvReadError> {
        self.keys_matching(KeyFilter::all()).await
    }

    /// The keys that have a value and pass one of the filters, each once, in no certain order.
    ///
    /// # Errors
    /// [`KvReadError`], at the start or as an item.
    pub async fn keys_matching(
        &self,
        filters: impl IntoFilters,
    ) -> Result<BoxStream<'static, Result<Key, KvReadError>>, KvReadError> {
        let filters = filters.into_filters()?;
        let reserved = filters.iter().any(KeyFilter::names_reserved);
        let request = WatchRequest {
            deliver: Deliver::Latest,
            metadata_only: true,
            once: true,
        };
        let keys = self
            .list(filters, request)
            .await?
            .try_filter_map(move |entry| {
                let wanted = !entry.is_removal() && (reserved || !entry.key.is_reserved());
                future::ok(wanted.then_some(entry.key))
            });
        Ok(keys.boxed())
    }

    /// The entries of a watch that ends.
    async fn list(
        &self,
        filters: Vec<KeyFilter>,
        request: WatchRequest,
    ) -> Result<impl Stream<Item = Result<Entry, KvReadError>> + Send + use<>, KvReadError> {
        let events = self.backend.watch(&filters, request).await?;
        Ok(events.map_err(KvReadError::from).try_filter_map(|event| {
            future::ok(match event {
                WatchEvent::Entry(entry) => Some(entry),
                WatchEvent::Current | WatchEvent::Interrupted => None,
            })
        }))
    }
}

/// Watching.
impl Store {
    /// Follows keys: their last revisions first, then every change. Takes one filter or many.
    ///
    /// ```
    /// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let store = shizuku::connect("memory:").await?.create_bucket("docs").await?;
    /// let watch = store.watch("app.>").await?;
    /// store.put("app.color", "blue").await?;
    /// let entry = watch.next().await.expect("a watch goes on")?;
    /// assert_eq!(entry.key, "app.color");
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`KvReadError`]; a bad filter before anything is sent.
    pub async fn watch(&self, filters: impl IntoFilters) -> Result<Watch, KvReadError> {
        self.watch_with(filters, WatchOptions::new()).await
    }

    /// Follows every key.
    ///
    /// # Errors
    /// [`KvReadError`].
    pub async fn watch_all(&self) -> Result<Watch, KvReadError> {
        self.watch(KeyFilter::all()).await
    }

    /// Follows keys as the options say.
    ///
    /// # Errors
    /// [`KvReadError`]; bad filters before anything is sent.
    pub async fn watch_with(
        &self,
        filters: impl IntoFilters,
        options: WatchOptions,
    ) -> Result<Watch, KvReadError> {
        Watch::open(self, filters.into_filters()?, &options, Ok).await
    }
}

/// Writing.
impl Store {
    /// Writes a value, whatever was there, and answers its revision.
    ///
    /// # Errors
    /// [`KvWriteError`]; where the outcome is unknown it says so.
    pub async fn put(
        &self,
        key: impl IntoKey,
        value: impl Into<Bytes>,
    ) -> Result<u64, KvWriteError> {
        self.put_with(key, value, PutOptions::new()).await
    }

    /// Writes a value as the options say: conditionally, with a time to live, with headers.
    ///
    /// # Errors
    /// [`KvWriteError`].
    pub async fn put_with(
        &self,
        key: impl IntoKey,
        value: impl Into<Bytes>,
        options: PutOptions,
    ) -> Result<u64, KvWriteError> {
        let key = writable(key)?;
        options.check()?;
        self.backend.put(&key, value.into(), options).await
    }

    /// Writes a value where there is none: the key was never written, or was removed.
    ///
    /// # Errors
    /// [`KvWriteError::Conflict`] where there is one.
    pub async fn create(
        &self,
        key: impl IntoKey,
        value: impl Into<Bytes>,
    ) -> Result<u64, KvWriteError> {
        let options = PutOptions::new().expect(Expect::Absent);
        self.put_with(key, value, options).await
    }

    /// Writes a value where the key's last revision is this one.
    ///
    /// # Errors
    /// [`KvWriteError::Conflict`] where it is another.
    pub async fn update(
        &self,
        key: impl IntoKey,
        value: impl Into<Bytes>,
        revision: u64,
    ) -> Result<u64, KvWriteError> {
        let options = PutOptions::new().expect(Expect::Revision(revision));
        self.put_with(key, value, options).await
    }

    /// Makes a new value out of the current one, again and again until no other write came in
    /// between, and answers its revision. The function sees `None` where there is no value, and
    /// answers `None` to leave things as they are; then the answer is `None` too.
    ///
    /// Only a lost race makes it try again, at most [`UPDATE_ATTEMPTS`] times. A time to live and
    /// headers of the old value are not carried over.
    ///
    /// ```
    /// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let store = shizuku::connect("memory:").await?.create_bucket("docs").await?;
    /// for _ in 0..3 {
    ///     store.update_with("count", |current| {
    ///         let count: u32 = current.map_or(0, |entry| {
    ///             let value = entry.value.as_deref().unwrap_or_default();
    ///             String::from_utf8_lossy(value).parse().unwrap_or(0)
    ///         });
    ///         Some((count + 1).to_string())
    ///     }).await?;
    /// }
    /// assert_eq!(store.get("count").await?.as_deref(), Some(&b"3"[..]));
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`KvWriteError::Contention`] after too many lost races; [`KvWriteError::OutcomeUnknown`] at
    /// once, since trying again could apply the function twice.
    pub async fn update_with<V: Into<Bytes>>(
        &self,
        key: impl IntoKey,
        mut update: impl FnMut(Option<Entry>) -> Option<V>,
    ) -> Result<Option<u64>, KvWriteError> {
        self.try_update_with(key, |current| Ok(update(current)))
            .await
    }

    /// [`update_with`](Store::update_with) for a function that can fail.
    ///
    /// # Errors
    /// Those of `update_with`, and those of the function, at once.
    pub async fn try_update_with<V: Into<Bytes>>(
        &self,
        key: impl IntoKey,
        mut update: impl FnMut(Option<Entry>) -> Result<Option<V>, KvWriteError>,
    ) -> Result<Option<u64>, KvWriteError> {
        let key = writable(key)?;
        let mut attempts = 0;
        // A replica may be behind, which costs one lost race; after that only the leader is asked.
        let mut read = Read::Any;
        loop {
            let last = self
                .backend
                .get(&key, None, read)
                .await
                .map_err(|error| KvWriteError::Read(Box::new(error)))?;
            let revision = last.as_ref().map_or(0, |entry| entry.revision);
            let current = last.filter(|entry| !entry.is_removal());
            let Some(value) = update(current)? else {
                return Ok(None);
            };
            let options = PutOptions::new().expect(Expect::Revision(revision));
            match self.backend.put(&key, value.into(), options).await {
                Ok(revision) => return Ok(Some(revision)),
                Err(KvWriteError::Conflict(last)) => {
                    attempts += 1;
                    tracing::debug!(bucket = %self.bucket(), %key, attempts, "lost a race");
                    if attempts >= UPDATE_ATTEMPTS {
                        return Err(KvWriteError::Contention { attempts, last });
                    }
                    read = Read::Leader;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Deletes a key, keeping its history, and answers the revision of the removal. Deleting what
    /// is not there leaves a marker too.
    ///
    /// # Errors
    /// [`KvWriteError`].
    pub async fn delete(&self, key: impl IntoKey) -> Result<u64, KvWriteError> {
        self.remove_with(key, RemoveOptions::delete()).await
    }

    /// Deletes a key together with its history, and answers the revision of the removal.
    ///
    /// # Errors
    /// [`KvWriteError`].
    pub async fn purge(&self, key: impl IntoKey) -> Result<u64, KvWriteError> {
        self.remove_with(key, RemoveOptions::purge()).await
    }

    /// Removes a key as the options say: conditionally, with a time to live for the marker.
    ///
    /// # Errors
    /// [`KvWriteError`].
    pub async fn remove_with(
        &self,
        key: impl IntoKey,
        options: RemoveOptions,
    ) -> Result<u64, KvWriteError> {
        let key = writable(key)?;
        options.check()?;
        self.backend.remove(&key, options).await
    }

    /// Clears away the markers of removed keys that are older than `older_than` by this machine's
    /// clock, and the history behind them; answers how many keys were cleared. Zero means all.
    ///
    /// A value that is put meanwhile is never lost: what is cleared is bounded by the revision of
    /// the marker that was seen.
    ///
    /// # Errors
    /// [`KvWriteError`]; keys that were cleared before it stay cleared.
    pub async fn purge_deletes(&self, older_than: Duration) -> Result<u64, KvWriteError> {
        let request = WatchRequest {
            deliver: Deliver::Latest,
            metadata_only: true,
            once: true,
        };
        let read_error = |error| KvWriteError::Read(Box::new(error));
        let mut entries = self
            .list(vec![KeyFilter::all()], request)
            .await
            .map_err(read_error)?;
        // The listing is read to its end first: clearing while the server lists would make its
        // slow reader out of us.
        let mut markers = Vec::new();
        while let Some(entry) = entries.next().await {
            let entry = entry.map_err(read_error)?;
            let old_enough = older_than.is_zero()
                || platform::wall_clock()
                    .duration_since(entry.created)
                    .is_ok_and(|age| age >= older_than);
            if entry.is_removal() && !entry.key.is_reserved() && old_enough {
                markers.push((entry.key.detached(), entry.revision));
            }
        }
        let mut cleared = 0;
        for (key, revision) in markers {
            self.backend.compact(&key, revision + 1).await?;
            cleared += 1;
        }
        Ok(cleared)
    }
}

fn writable(key: impl IntoKey) -> Result<Key, KvWriteError> {
    let key = key.into_key()?;
    key.check_writable()?;
    Ok(key)
}
