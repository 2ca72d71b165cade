//! A bucket handle: keys, bytes and revisions.

use std::{
    fmt,
    sync::{Arc, OnceLock, Weak, atomic::AtomicBool},
};

use bytes::Bytes;
use futures::{TryStreamExt, future::BoxFuture};
use tracing::Instrument;

use super::{
    bucket::BucketStatus,
    entry::Entry,
    error::{BucketError, KvReadError, KvWriteError},
    lock::Registry,
    options::{PutOptions, Read, RemoveOptions, WatchOptions},
    watch::Watch,
};
use crate::{
    backend::Backend,
    key::{BucketName, IntoFilters, IntoKey, Key, KeyFilter},
    status::ConnectionWatch,
};

/// A bucket handle, cheap to clone, with the same behaviour on every backend.
///
/// These methods work on bytes; [`KeyValue`](super::KeyValue) and [`KeyValueRead`](super::KeyValueRead)
/// add types.
///
/// Every future may be dropped at any time. A dropped read has no effect; a dropped write may or may not
/// happen.
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
    locks: Arc<OnceLock<Box<dyn Locks>>>,
    /// Set once the client is closing.
    closing: Arc<AtomicBool>,
}

/// The lock registry, created with the first lock. It is behind a trait so that programs that never use
/// a lock do not link any lock code, not even its drop glue.
trait Locks: Send + Sync {
    fn registry(&self) -> &Arc<Registry>;
    fn close(&self) -> BoxFuture<'static, ()>;
}

impl Locks for Arc<Registry> {
    fn registry(&self) -> &Arc<Registry> {
        self
    }

    fn close(&self) -> BoxFuture<'static, ()> {
        Registry::close(self)
    }
}

/// A weak reference to a store's locks. The client releases them when it is closed.
pub(crate) struct LocksOf(Weak<OnceLock<Box<dyn Locks>>>);

impl LocksOf {
    pub(crate) fn are_gone(&self) -> bool {
        self.0.strong_count() == 0
    }

    /// Starts releasing all locks. The returned future completes when they are released.
    pub(crate) fn close(&self) -> Option<BoxFuture<'static, ()>> {
        Some(self.0.upgrade()?.get()?.close())
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store")
            .field("bucket", self.bucket())
            .finish_non_exhaustive()
    }
}

impl Store {
    /// Creates a store on a custom backend.
    pub fn new(backend: Arc<dyn Backend>) -> Self {
        Self::until(backend, Arc::default())
    }

    /// Creates a store that grants locks until `closing` is set.
    pub(crate) fn until(backend: Arc<dyn Backend>, closing: Arc<AtomicBool>) -> Self {
        Self {
            backend,
            locks: Arc::default(),
            closing,
        }
    }

    /// Creates the tracing span of an operation on a key.
    fn span(&self, operation: &'static str, key: &Key) -> tracing::Span {
        tracing::debug_span!("kv", operation, bucket = %self.bucket(), %key)
    }

    pub(crate) fn backend(&self) -> &Arc<dyn Backend> {
        &self.backend
    }

    pub(crate) fn locks_to_close(&self) -> LocksOf {
        LocksOf(Arc::downgrade(&self.locks))
    }

    /// Returns the locks that this handle and its clones share.
    pub(crate) fn locks(&self) -> &Arc<Registry> {
        let make = || Box::new(Arc::new(Registry::new(Arc::clone(&self.closing)))) as _;
        self.locks.get_or_init(make).registry()
    }

    /// Returns the bucket's name.
    pub fn bucket(&self) -> &BucketName {
        self.backend.bucket()
    }

    /// Returns a watch on the state of the underlying connection.
    pub fn connection(&self) -> ConnectionWatch {
        self.backend.connection()
    }

    /// Returns the bucket's settings and state.
    ///
    /// # Errors
    /// [`ServiceError::BucketNotFound`](super::ServiceError::BucketNotFound) if it was deleted.
    pub async fn status(&self) -> Result<BucketStatus, BucketError> {
        self.backend.status().await
    }
}

/// Reading.
impl Store {
    /// Returns the value of a key from any replica; `None` if it was never written, was removed or has
    /// expired.
    ///
    /// # Errors
    /// [`KvReadError`]; an invalid key is rejected before anything is sent.
    pub async fn get(&self, key: impl IntoKey) -> Result<Option<Bytes>, KvReadError> {
        self.get_with(key, Read::Any).await
    }

    /// Returns the value of a key from the chosen kind of replica.
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

    /// Returns the last revision of a key, a value or a removal, from any replica; `None` if the bucket
    /// has neither.
    ///
    /// # Errors
    /// [`KvReadError`].
    pub async fn entry(&self, key: impl IntoKey) -> Result<Option<Entry>, KvReadError> {
        self.entry_with(key, Read::Any).await
    }

    /// Returns the last revision of a key from the chosen kind of replica.
    ///
    /// # Errors
    /// [`KvReadError`].
    pub async fn entry_with(
        &self,
        key: impl IntoKey,
        read: Read,
    ) -> Result<Option<Entry>, KvReadError> {
        let key = key.into_key()?;
        let span = self.span("get", &key);
        self.backend.get(&key, None, read).instrument(span).await
    }

    /// Returns one revision of a key from any replica; `None` if it is no longer stored or belongs to
    /// another key.
    ///
    /// # Errors
    /// [`KvReadError`].
    pub async fn entry_at(
        &self,
        key: impl IntoKey,
        revision: u64,
    ) -> Result<Option<Entry>, KvReadError> {
        self.entry_at_with(key, revision, Read::Any).await
    }

    /// Returns one revision of a key from the chosen kind of replica. Recent writes may not have reached
    /// every replica yet.
    ///
    /// # Errors
    /// [`KvReadError`].
    pub async fn entry_at_with(
        &self,
        key: impl IntoKey,
        revision: u64,
        read: Read,
    ) -> Result<Option<Entry>, KvReadError> {
        let key = key.into_key()?;
        if revision == 0 {
            return Ok(None); // revisions start at 1
        }
        let span = self.span("get revision", &key);
        let entry = self.backend.get(&key, Some(revision), read);
        entry.instrument(span).await
    }

    /// Returns the values of many keys, with one request per 1000 if the server supports it (2.11 and
    /// newer). Accepts filters too. Keys without a value are omitted; the order is the server's. Any
    /// replica may reply: this request has no leader-only form.
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
        let mut found = Vec::new();
        let mut entries = self.backend.get_many(&filters);
        while let Some(entry) = entries.try_next().await? {
            if wanted(&entry) {
                found.push(entry);
            }
        }
        Ok(found)
    }
}

/// Watching.
impl Store {
    /// Watches keys: their last revisions first, then every change. Accepts one filter or many.
    ///
    /// Each watch, and each [`Live`](super::Live), is a consumer on the server, and a bucket may allow
    /// only a few hundred consumers. A watch with many filters, or a [`LiveMap`](super::LiveMap), is a
    /// single consumer.
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
    /// [`KvReadError`]; an invalid filter is rejected before anything is sent.
    pub async fn watch(&self, filters: impl IntoFilters) -> Result<Watch, KvReadError> {
        self.watch_with(filters, WatchOptions::new()).await
    }

    /// Watches every key.
    ///
    /// # Errors
    /// [`KvReadError`].
    pub async fn watch_all(&self) -> Result<Watch, KvReadError> {
        self.watch(KeyFilter::all()).await
    }

    /// Watches keys, with options.
    ///
    /// # Errors
    /// [`KvReadError`]; invalid filters are rejected before anything is sent.
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
    /// Writes a value unconditionally and returns its revision.
    ///
    /// A value is anything that converts into [`Bytes`]: `&'static str`, `String`, `Vec<u8>`, `Bytes`.
    /// Copy other borrowed text or bytes first, for example with `to_owned`.
    ///
    /// # Errors
    /// [`KvWriteError`]; an unknown outcome is a variant of its own.
    pub async fn put(
        &self,
        key: impl IntoKey,
        value: impl Into<Bytes>,
    ) -> Result<u64, KvWriteError> {
        self.put_with(key, value, PutOptions::new()).await
    }

    /// Writes a value with options: a condition, a time to live, headers.
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
        let span = self.span("put", &key);
        let written = self.backend.put(&key, value.into(), options);
        written.instrument(span).await
    }

    /// Writes a value if the key has none: it was never written, or was removed. For a time to live or
    /// headers, use `put_with` and [`PutOptions::if_absent`].
    ///
    /// # Errors
    /// [`KvWriteError::Conflict`] if the key has a value.
    pub async fn create(
        &self,
        key: impl IntoKey,
        value: impl Into<Bytes>,
    ) -> Result<u64, KvWriteError> {
        self.put_with(key, value, PutOptions::new().if_absent())
            .await
    }

    /// Writes a value if the key's last revision is `revision`. For a time to live or headers, use
    /// `put_with` and [`PutOptions::if_revision`].
    ///
    /// # Errors
    /// [`KvWriteError::Conflict`] if the key is at another revision.
    pub async fn update(
        &self,
        key: impl IntoKey,
        value: impl Into<Bytes>,
        revision: u64,
    ) -> Result<u64, KvWriteError> {
        self.put_with(key, value, PutOptions::new().if_revision(revision))
            .await
    }

    /// Deletes a key but keeps its history, and returns the revision of the removal. Deleting a key
    /// without a value leaves a marker too. For a condition, use `remove_with`.
    ///
    /// # Errors
    /// [`KvWriteError`].
    pub async fn delete(&self, key: impl IntoKey) -> Result<u64, KvWriteError> {
        self.remove_with(key, RemoveOptions::delete()).await
    }

    /// Deletes a key together with its history, and returns the revision of the removal. For a
    /// condition, or a time to live for the marker, use `remove_with`.
    ///
    /// # Errors
    /// [`KvWriteError`].
    pub async fn purge(&self, key: impl IntoKey) -> Result<u64, KvWriteError> {
        self.remove_with(key, RemoveOptions::purge()).await
    }

    /// Removes a key with options: a condition, a time to live for the marker.
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
        let span = self.span("remove", &key);
        self.backend.remove(&key, options).instrument(span).await
    }
}

pub(super) fn writable(key: impl IntoKey) -> Result<Key, KvWriteError> {
    let key = key.into_key()?;
    key.check_writable()?;
    Ok(key)
}
