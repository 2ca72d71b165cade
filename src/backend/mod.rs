//! The interface that every backend implements.
//!
//! It consists of two object-safe traits: [`Buckets`] creates, opens and lists buckets, and [`Backend`] is
//! one bucket. They have few methods and no defaults, so that a backend cannot forget one; everything that
//! can be built on top of them (typed values, listings, `update_with`, live values, locks) is written once,
//! in [`crate::kv`].
//!
//! The arguments passed to a backend have already been validated: keys, filters, options and settings.
//!
//! ```
//! use shizuku::{
//!     backend::{Backend, Buckets, CreateMode, memory::MemoryBuckets},
//!     kv::{BucketConfig, Key, PutOptions, Read},
//! };
//!
//! # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let service = MemoryBuckets::new();
//! let bucket = service.create(&BucketConfig::new("b"), CreateMode::Create).await?;
//! let key = Key::new("a")?;
//! let revision = bucket.put(&key, "1".into(), PutOptions::new()).await?;
//! let entry = bucket.get(&key, None, Read::Any).await?.expect("it was just written");
//! assert_eq!(entry.revision, revision);
//! // `Client::new` puts everything else on top of such a service.
//! let store = shizuku::Client::new(std::sync::Arc::new(service)).open_bucket("b").await?;
//! assert_eq!(store.get("a").await?.as_deref(), Some(&b"1"[..]));
//! # Ok(()) }
//! ```

#[cfg(any(feature = "native", feature = "web"))]
#[cfg_attr(not(feature = "web"), allow(dead_code))] // in a browser
pub(crate) mod jetstream;
#[cfg(feature = "memory")]
pub mod memory;

pub use crate::status::ConnectionReporter;

use std::{fmt::Debug, pin::Pin, sync::Arc, time::SystemTime};

use bytes::Bytes;
use futures::{Stream, future::BoxFuture, stream::BoxStream};

use crate::{
    error::ServiceError,
    key::{BucketName, Key, KeyFilter},
    kv::{
        BucketConfig, BucketError, BucketStatus, Deliver, Entry, KvReadError, KvWriteError,
        PutOptions, Read, RemoveOptions,
    },
    status::ConnectionWatch,
};

/// The buckets of one service.
///
/// ```
/// use std::sync::Arc;
/// use futures::{FutureExt, future, future::BoxFuture, stream::BoxStream};
/// use shizuku::{
///     Client, ConnectionWatch,
///     backend::{Backend, Buckets, CreateMode, memory::MemoryBuckets},
///     kv::{BucketConfig, BucketError, BucketName, ServiceError},
/// };
///
/// /// Another service, of which no bucket can be deleted.
/// #[derive(Debug)]
/// struct Keeping<B>(B);
///
/// impl<B: Buckets> Buckets for Keeping<B> {
///     fn delete<'a>(&'a self, bucket: &'a BucketName) -> BoxFuture<'a, Result<(), BucketError>> {
///         let subject = format!("the deletion of {bucket}");
///         future::err(ServiceError::PermissionDenied { subject }.into()).boxed()
///     }
///
///     fn create<'a>(
///         &'a self,
///         config: &'a BucketConfig,
///         mode: CreateMode,
///     ) -> BoxFuture<'a, Result<Arc<dyn Backend>, BucketError>> {
///         self.0.create(config, mode)
///     }
///     // … and so on.
/// #     fn open<'a>(
/// #         &'a self,
/// #         bucket: &'a BucketName,
/// #     ) -> BoxFuture<'a, Result<Arc<dyn Backend>, BucketError>> {
/// #         self.0.open(bucket)
/// #     }
/// #     fn list(&self) -> BoxStream<'_, Result<BucketName, BucketError>> {
/// #         self.0.list()
/// #     }
/// #     fn connection(&self) -> ConnectionWatch {
/// #         self.0.connection()
/// #     }
/// #     fn close(&self) -> BoxFuture<'_, Result<(), ServiceError>> {
/// #         self.0.close()
/// #     }
/// }
///
/// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let client = Client::new(Arc::new(Keeping(MemoryBuckets::new())));
/// let store = client.create_bucket("settings").await?;
/// store.put("color", "blue").await?;
/// assert!(client.delete_bucket("settings").await.is_err());
/// assert!(store.get("color").await?.is_some());
/// # Ok(()) }
/// ```
pub trait Buckets: Debug + Send + Sync + 'static {
    /// Creates a bucket, or opens or changes an existing one, depending on `mode`.
    fn create<'a>(
        &'a self,
        config: &'a BucketConfig,
        mode: CreateMode,
    ) -> BoxFuture<'a, Result<Arc<dyn Backend>, BucketError>>;

    /// Opens an existing bucket.
    fn open<'a>(
        &'a self,
        bucket: &'a BucketName,
    ) -> BoxFuture<'a, Result<Arc<dyn Backend>, BucketError>>;

    /// Deletes a bucket with all its contents.
    fn delete<'a>(&'a self, bucket: &'a BucketName) -> BoxFuture<'a, Result<(), BucketError>>;

    /// Streams the names of all buckets.
    fn list(&self) -> BoxStream<'_, Result<BucketName, BucketError>>;

    /// Returns the state of the connection. A service without a connection is always connected.
    fn connection(&self) -> ConnectionWatch;

    /// Sends what is still queued, and closes. May be called repeatedly and concurrently; returns `Ok` if
    /// it is already closed.
    fn close(&self) -> BoxFuture<'_, Result<(), ServiceError>>;
}

/// What to do if a bucket already exists.
///
/// ```
/// use shizuku::{
///     backend::{Buckets, CreateMode, memory::MemoryBuckets},
///     kv::{BucketConfig, BucketError},
/// };
///
/// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let service = MemoryBuckets::new();
/// let one = BucketConfig::new("settings");
/// let five = one.clone().history(5);
/// service.create(&one, CreateMode::Create).await?;
/// let refused = service.create(&five, CreateMode::Create).await;
/// assert!(matches!(refused, Err(BucketError::Mismatch { .. })));
/// let bucket = service.create(&five, CreateMode::CreateOrUpdate).await?;
/// assert_eq!(bucket.status().await?.config.history, 5);
/// # Ok(()) }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CreateMode {
    /// Opens it if its settings are the same; otherwise fails and lists the differences.
    Create,
    /// Changes its settings.
    CreateOrUpdate,
}

/// One bucket.
///
/// A backend hides nothing; [`Store`](crate::Store) filters out what its callers should not see.
///
/// ```
/// use futures::TryStreamExt;
/// use shizuku::{
///     Store,
///     backend::{Buckets, CreateMode, memory::MemoryBuckets},
///     kv::{BucketConfig, Key, KeyFilter, Operation, Read, RemoveOptions},
/// };
///
/// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let (service, config) = (MemoryBuckets::new(), BucketConfig::new("docs").history(5));
/// let backend = service.create(&config, CreateMode::Create).await?;
/// let store = Store::new(backend.clone());
/// let key = Key::new("color")?;
/// store.put(&key, "blue").await?;
/// let removal = backend.remove(&key, RemoveOptions::delete()).await?;
///
/// // A store says that the key is gone; the backend also has the removal.
/// assert_eq!(store.get(&key).await?, None);
/// let last = backend.get(&key, None, Read::Any).await?.expect("the removal");
/// assert_eq!((last.revision, last.operation), (removal, Operation::Delete));
/// let all: Vec<_> = backend.get_many(&[KeyFilter::all()]).try_collect().await?;
/// assert_eq!(all, [last]);
///
/// // Older revisions go, and the removal stays.
/// backend.compact(&key, removal).await?;
/// assert_eq!(store.history(&key).await?.len(), 1);
/// # Ok(()) }
/// ```
pub trait Backend: Debug + Send + Sync + 'static {
    /// Returns its name.
    fn bucket(&self) -> &BucketName;

    /// Returns the last revision of a key, or one given revision, including removals. `None` if the key was
    /// never written, or if that revision is gone or belongs to another key.
    fn get<'a>(
        &'a self,
        key: &'a Key,
        revision: Option<u64>,
        read: Read,
    ) -> BoxFuture<'a, Result<Option<Entry>, KvReadError>>;

    /// Streams the last revision of every key that passes a filter, including removals, in no particular
    /// order and each key once. `keys` may be of any length; a backend pages as needed.
    fn get_many<'a>(&'a self, keys: &'a [KeyFilter]) -> BoxStream<'a, Result<Entry, KvReadError>>;

    /// Returns the last revision of every key that passes the filter, including removals, all as of one
    /// moment, smallest revision first. With `from` > 0 only revisions from there on, which may include
    /// older revisions of a key. `None` if no replica is certain to have everything that was acknowledged.
    fn snapshot<'a>(
        &'a self,
        filter: &'a KeyFilter,
        from: u64,
    ) -> BoxFuture<'a, Result<Option<Vec<Entry>>, KvReadError>>;

    /// Writes a value and returns its revision.
    fn put<'a>(
        &'a self,
        key: &'a Key,
        value: Bytes,
        options: PutOptions,
    ) -> BoxFuture<'a, Result<u64, KvWriteError>>;

    /// Removes a key and returns the revision of the removal.
    fn remove<'a>(
        &'a self,
        key: &'a Key,
        options: RemoveOptions,
    ) -> BoxFuture<'a, Result<u64, KvWriteError>>;

    /// Watches the keys that pass one of the filters. Once the future resolves, no later change is missed.
    fn watch<'a>(
        &'a self,
        filters: &'a [KeyFilter],
        request: WatchRequest,
    ) -> BoxFuture<'a, Result<RawWatch, KvReadError>>;

    /// Removes every revision of one key that is older than `before`. Never touches `before` or anything
    /// newer, so a concurrent write is safe.
    fn compact<'a>(&'a self, key: &'a Key, before: u64) -> BoxFuture<'a, Result<(), KvWriteError>>;

    /// Returns settings and state.
    fn status(&self) -> BoxFuture<'_, Result<BucketStatus, BucketError>>;

    /// Returns the current time by the clock that expires entries, as far as the client knows it.
    fn now(&self) -> SystemTime;

    /// Returns the state of the underlying connection.
    fn connection(&self) -> ConnectionWatch;
}

/// How to watch.
///
/// ```
/// use futures::StreamExt;
/// use shizuku::{
///     backend::{Buckets, CreateMode, WatchEvent, WatchRequest, memory::MemoryBuckets},
///     kv::{BucketConfig, Key, KeyFilter, PutOptions},
/// };
///
/// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let service = MemoryBuckets::new();
/// # let bucket = service.create(&BucketConfig::new("b"), CreateMode::Create).await?;
/// bucket.put(&Key::new("color")?, "blue".into(), PutOptions::new()).await?;
/// // A listing of the keys: one entry each, without its value, and then the end.
/// let request = WatchRequest::listing(true);
/// let mut watch = bucket.watch(&[KeyFilter::all()], request).await?;
/// assert!(matches!(
///     watch.next().await,
///     Some(Ok(WatchEvent::Entry(entry))) if entry.key == "color" && entry.value.is_none()
/// ));
/// assert!(matches!(watch.next().await, Some(Ok(WatchEvent::Current))));
/// assert!(watch.next().await.is_none());
/// # Ok(()) }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct WatchRequest {
    /// What to deliver first.
    pub deliver: Deliver,
    /// Omits values.
    pub metadata_only: bool,
    /// Ends after the initial entries and their [`WatchEvent::Current`]: a listing, not a watch.
    pub once: bool,
    /// Guarantees that nothing is missing at the first [`WatchEvent::Current`], at the cost of one more
    /// request. Otherwise an entry that is overwritten just as the watch starts may arrive shortly after
    /// it.
    pub complete: bool,
}

impl WatchRequest {
    /// Requests the last revision of every key, and then the end.
    pub const fn listing(metadata_only: bool) -> Self {
        Self {
            deliver: Deliver::Latest,
            metadata_only,
            once: true,
            complete: true,
        }
    }
}

/// An event of a watch.
///
/// ```
/// use shizuku::kv::WatchEvent;
///
/// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let store = shizuku::connect("memory:").await?.create_bucket("docs").await?;
/// store.put("color", "blue").await?;
/// let watch = store.watch_all().await?;
/// let mut colors = Vec::new();
/// while let Some(event) = watch.next_event().await {
///     match event? {
///         WatchEvent::Entry(entry) => colors.extend(entry.value),
///         WatchEvent::Interrupted => println!("what follows may be late"),
///         WatchEvent::Current => break,
///         _ => {}
///     }
/// }
/// assert_eq!(colors, ["blue"]);
/// # Ok(()) }
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub enum WatchEvent<E = Entry> {
    /// An entry.
    Entry(E),
    /// Everything that existed when the watch began, or reconnected, has been delivered. Sent exactly once
    /// after the start, even for an empty bucket, and once after every interruption.
    Current,
    /// The connection to the data was lost; entries may be delayed now. What was missed follows, then
    /// `Current`. Nothing is lost and nothing is repeated.
    Interrupted,
}

/// The events of a watch. An error is final: the stream ends after it. Dropping the watch also ends it on
/// the server.
///
/// ```
/// use futures::{StreamExt, stream};
/// use shizuku::{
///     backend::{RawWatch, WatchEvent},
///     kv::{BucketName, Entry, Key, Operation, ServiceError},
/// };
///
/// /// What a backend returns for a bucket of one key whose server then goes away.
/// fn watch(color: Entry) -> RawWatch {
///     let events = [Ok(WatchEvent::Entry(color)), Ok(WatchEvent::Current), Err(ServiceError::Closed)];
///     Box::pin(stream::iter(events))
/// }
///
/// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let (bucket, key) = (BucketName::new("settings")?, Key::new("color")?);
/// let mut events = watch(Entry::new(bucket, key, 1, Operation::Put, Some("blue".into())));
/// let mut seen = 0;
/// let end = loop {
///     match events.next().await {
///         Some(Ok(WatchEvent::Entry(_))) => seen += 1,
///         Some(Ok(_)) => {}
///         Some(Err(error)) => break error,
///         None => unreachable!("such a watch ends only with an error"),
///     }
/// };
/// assert!(seen == 1 && matches!(end, ServiceError::Closed));
/// # Ok(()) }
/// ```
pub type RawWatch = Pin<Box<dyn Stream<Item = Result<WatchEvent, ServiceError>> + Send>>;
