//! The client: a connection, through which buckets are created, opened and listed.

use std::{
    fmt,
    pin::pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures::{future::select, stream::BoxStream};

use crate::{
    backend::{Backend, Buckets, CreateMode},
    error::{BoxError, InvalidOption, ServiceError},
    key::BucketName,
    kv::{BucketConfig, BucketError, LocksOf, Store},
    options::ConnectOptions,
    platform::{self, IN_BROWSER},
    status::{ConnectionState, ConnectionWatch},
    words::{Quoted, without_secrets},
};

/// A connection to the service that stores the buckets. Cheap to clone; all clones share the connection.
///
/// ```
/// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let client = shizuku::connect("memory:").await?;
/// let store = client.create_bucket("settings").await?;
/// store.put("color", "blue").await?;
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Client {
    buckets: Arc<dyn Buckets>,
    /// The opened stores that may still be in use.
    stores: Arc<Mutex<Vec<LocksOf>>>,
    /// Set once closing has begun: stores no longer grant locks.
    closing: Arc<AtomicBool>,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("buckets", &self.buckets)
            .finish_non_exhaustive()
    }
}

/// How long closing waits for locks to be released. Locks still held after that end with their leases.
const GOODBYE: Duration = Duration::from_secs(2);

impl Client {
    /// Creates a client on a custom service.
    pub fn new(buckets: Arc<dyn Buckets>) -> Self {
        Self {
            buckets,
            stores: Arc::default(),
            closing: Arc::default(),
        }
    }

    /// Creates a client on a connection to a JetStream account.
    #[cfg(any(feature = "native", feature = "web"))]
    pub(crate) fn over(
        transport: Arc<dyn crate::transport::Transport>,
        options: &ConnectOptions,
    ) -> Self {
        Self::new(Arc::new(crate::backend::jetstream::JetStream::new(
            transport, options,
        )))
    }

    /// Creates a bucket, or opens an existing one with the same settings.
    ///
    /// Accepts a [`BucketConfig`] or just a name, which stands for the default settings; to take a bucket as it
    /// is, use [`open_bucket`](Self::open_bucket).
    ///
    /// # Errors
    /// [`BucketError::Mismatch`] with the settings in which an existing bucket differs.
    pub async fn create_bucket(
        &self,
        config: impl Into<BucketConfig>,
    ) -> Result<Store, BucketError> {
        self.create(config.into(), CreateMode::Create).await
    }

    /// Creates a bucket, or applies these settings to an existing one.
    ///
    /// **All** settings are applied, also those left at their defaults: a bare name reduces the history of
    /// an existing bucket to 1, which deletes older revisions. To change single settings, use
    /// [`update_bucket`](Self::update_bucket).
    ///
    /// # Errors
    /// [`ServiceError::Refused`] if the server cannot change a setting of an existing bucket, such
    /// as its storage.
    pub async fn create_or_update_bucket(
        &self,
        config: impl Into<BucketConfig>,
    ) -> Result<Store, BucketError> {
        self.create(config.into(), CreateMode::CreateOrUpdate).await
    }

    /// Changes settings of an existing bucket; the others keep their values.
    ///
    /// ```
    /// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # use shizuku::kv::BucketConfig;
    /// # let client = shizuku::connect("memory:").await?;
    /// # client.create_bucket(BucketConfig::new("settings").history(5)).await?;
    /// let store = client
    ///     .update_bucket("settings", |config| config.description = "of the shop".into())
    ///     .await?;
    /// assert_eq!(store.status().await?.config.history, 5);
    /// # Ok(()) }
    /// ```
    ///
    /// Reads the settings, lets `change` modify them (its changes to the name are ignored), and applies the
    /// result. This is not atomic: a concurrent update of another client may be undone.
    ///
    /// # Errors
    /// [`ServiceError::BucketNotFound`] if it does not exist; [`ServiceError::Refused`] if the server cannot
    /// change a setting of an existing bucket, such as its storage.
    pub async fn update_bucket(
        &self,
        name: impl AsRef<str>,
        change: impl FnOnce(&mut BucketConfig) + Send,
    ) -> Result<Store, BucketError> {
        let bucket = BucketName::new(name.as_ref())?;
        let backend = self.buckets.open(&bucket).await?;
        let mut config = backend.status().await?.config;
        change(&mut config);
        config.name = bucket.as_str().into();
        self.create_or_update_bucket(config).await
    }

    async fn create(&self, config: BucketConfig, mode: CreateMode) -> Result<Store, BucketError> {
        config.bucket()?;
        config.check()?;
        Ok(self.store(self.buckets.create(&config, mode).await?))
    }

    /// Opens an existing bucket.
    ///
    /// # Errors
    /// [`ServiceError::BucketNotFound`] if it does not exist.
    pub async fn open_bucket(&self, name: impl AsRef<str>) -> Result<Store, BucketError> {
        let bucket = BucketName::new(name.as_ref())?;
        Ok(self.store(self.buckets.open(&bucket).await?))
    }

    fn store(&self, backend: Arc<dyn Backend>) -> Store {
        let store = Store::until(backend, Arc::clone(&self.closing));
        let mut stores = self.stores();
        stores.retain(|locks| !locks.are_gone());
        stores.push(store.locks_to_close());
        store
    }

    fn stores(&self) -> MutexGuard<'_, Vec<LocksOf>> {
        self.stores.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Deletes a bucket and everything in it.
    ///
    /// # Errors
    /// [`ServiceError::BucketNotFound`] if it does not exist.
    pub async fn delete_bucket(&self, name: impl AsRef<str>) -> Result<(), BucketError> {
        let bucket = BucketName::new(name.as_ref())?;
        self.buckets.delete(&bucket).await
    }

    /// Returns the names of all buckets, as a stream, since there may be many.
    pub fn bucket_names(&self) -> BoxStream<'_, Result<BucketName, BucketError>> {
        self.buckets.list()
    }

    /// Returns a watch on the state of the connection.
    pub fn connection(&self) -> ConnectionWatch {
        self.buckets.connection()
    }

    /// Releases held locks, cancels pending acquires, flushes outgoing messages and closes.
    /// Later calls on any clone or store fail with [`ServiceError::Closed`].
    ///
    /// If the server does not reply, this takes up to 2 s plus one
    /// [`request_timeout`](ConnectOptions::request_timeout); locks then end with their leases.
    ///
    /// A second call waits for the same shutdown, and returns `Ok` if the client is already closed. The
    /// future may be dropped: from its first poll on, held locks are being released and none can be
    /// acquired; call it again to be sure of the rest.
    ///
    /// # Errors
    /// [`ServiceError`] if the connection is lost before everything is sent. The client is closed in
    /// that case too; only [`ServiceError::NoRuntime`] leaves it open.
    pub async fn close(&self) -> Result<(), ServiceError> {
        if !platform::is_running() {
            // Before anything is released, in case that this is refused.
            self.buckets.close().await?;
        }
        self.closing.store(true, Ordering::SeqCst);
        let released: Vec<_> = self.stores().iter().filter_map(LocksOf::close).collect();
        let released = pin!(async {
            for released in released {
                released.await;
            }
        });
        // Without a connection, releases cannot be sent.
        let is_there = self.connection().seen() == ConnectionState::Connected;
        let patience = if is_there { GOODBYE } else { Duration::ZERO };
        let enough = pin!(platform::pause(patience));
        select(released, enough).await;
        self.buckets.close().await
    }
}

/// Connects to the service at an address.
///
/// | address | service |
/// | --- | --- |
/// | `memory:` | a fresh embedded service inside this process (feature `memory`) |
/// | `nats://host:4222` | JetStream (feature `native`); no scheme means this one |
/// | `tls://host:4222` | the same over TLS |
/// | `ws://host:80`, `wss://host:443` | the same over WebSocket (feature `native`; in browsers `web`, and nothing else works there) |
///
/// Separate multiple servers of a cluster by commas. An address may contain credentials, percent-encoded:
/// `nats://user:password@host` or `nats://token@host`. Those in [`ConnectOptions`] take precedence. Over
/// `nats` and `tls`, the first ones in the list are used for all servers.
///
/// ```
/// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let client = shizuku::connect("memory:").await?;
/// # Ok(()) }
/// ```
///
/// # Errors
/// [`ConnectError`], with what is wrong with the address, or why the server could not be reached.
pub async fn connect(url: impl AsRef<str>) -> Result<Client, ConnectError> {
    ConnectOptions::new().connect(url).await
}

/// Selects the service by the address.
pub(crate) async fn open(url: &str, options: &ConnectOptions) -> Result<Client, ConnectError> {
    let first = url.split(',').next().unwrap_or_default().trim();
    if first == "memory" || first.starts_with('-') {
        let hint = "use `memory:` or an address such as nats://host:4222";
        return Err(ConnectError::invalid(url, hint));
    }
    let scheme = match first.split_once(':') {
        Some((scheme, rest)) if rest.starts_with("//") || scheme == "memory" => scheme,
        // Without a scheme, it is a host, optionally with a port.
        _ if !first.is_empty() => "nats",
        _ => return Err(ConnectError::invalid(url, "it is empty")),
    };
    match scheme {
        #[cfg(feature = "memory")]
        "memory" => {
            if url != "memory:" {
                return Err(ConnectError::invalid(
                    url,
                    "unexpected text after `memory:`",
                ));
            }
            let buckets = crate::backend::memory::MemoryBuckets::new();
            Ok(Client::new(Arc::new(buckets)))
        }
        #[cfg(not(feature = "memory"))]
        "memory" => Err(ConnectError::no_feature(url, "memory")),
        "nats" | "tls" if IN_BROWSER => Err(ConnectError::invalid(
            url,
            "this client connects over WebSocket: use ws:// or wss://",
        )),
        // async-nats would report an invalid scheme, but the scheme is valid.
        "web+nats" | "web+ws" if cfg!(not(feature = "web")) => {
            Err(ConnectError::no_feature(url, "web"))
        }
        #[cfg(any(feature = "native", feature = "web"))]
        "nats" | "tls" | "ws" | "wss" | "web+nats" | "web+ws" => {
            let transport = platform::dial(scheme, url, options).await?;
            Ok(Client::over(transport, options))
        }
        #[cfg(not(any(feature = "native", feature = "web")))]
        "nats" | "tls" | "ws" | "wss" | "web+nats" | "web+ws" => {
            _ = options;
            Err(ConnectError::no_feature(url, "native or web"))
        }
        _ if IN_BROWSER => Err(ConnectError::invalid(url, "the scheme must be ws or wss")),
        _ => Err(ConnectError::invalid(
            url,
            "the scheme must be memory, nats, tls, ws or wss",
        )),
    }
}

/// The error of a connect.
///
/// ```
/// use shizuku::ConnectError;
///
/// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// match shizuku::connect("http://127.0.0.1").await {
///     Err(ConnectError::InvalidUrl { reason, .. }) => println!("{reason}"),
///     other => panic!("{other:?}"),
/// }
/// # Ok(()) }
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The address is invalid. Nothing was sent.
    #[error("invalid address {}: {reason}", Quoted(.url))]
    InvalidUrl {
        /// The address, without user and password.
        url: String,
        /// What is wrong.
        reason: String,
    },
    /// An option is out of range. Nothing was sent.
    #[error(transparent)]
    InvalidOption(#[from] InvalidOption),
    /// This build does not support the address.
    #[error("{} requires the cargo feature {feature} on this platform", Quoted(.url))]
    MissingFeature {
        /// The address, without user and password.
        url: String,
        /// The missing feature: its name, or `native or web`.
        feature: &'static str,
    },
    /// The server rejected the credentials, or they could not be obtained.
    #[error("authentication failed")]
    Authentication {
        /// The error of the server or the credentials provider.
        source: BoxError,
    },
    /// No server could be reached.
    #[error("cannot reach {}", Quoted(.url))]
    Unreachable {
        /// The address, without user and password.
        url: String,
        /// The cause.
        source: BoxError,
    },
    /// TLS could not be set up.
    #[error("TLS failed")]
    Tls {
        /// The cause.
        source: BoxError,
    },
    /// Another [`ServiceError`], such as [`NoRuntime`](ServiceError::NoRuntime).
    #[error(transparent)]
    Service(#[from] ServiceError),
}

impl ConnectError {
    pub(crate) fn invalid(url: &str, reason: impl Into<String>) -> Self {
        Self::InvalidUrl {
            url: without_secrets(url),
            reason: reason.into(),
        }
    }

    pub(crate) fn no_feature(url: &str, feature: &'static str) -> Self {
        Self::MissingFeature {
            url: without_secrets(url),
            feature,
        }
    }
}

#[cfg(test)]
mod tests {
    #[cfg(not(all(feature = "memory", feature = "web")))]
    #[tokio::test]
    async fn an_error_names_the_missing_feature() {
        for (url, needs) in [
            #[cfg(not(feature = "memory"))]
            ("memory:", "memory"),
            #[cfg(not(any(feature = "native", feature = "web")))]
            ("nats://user:secret@host", "native or web"),
            #[cfg(not(feature = "web"))]
            ("web+nats://user:secret@host", "web"),
            #[cfg(not(feature = "web"))]
            ("web+ws://user:secret@host, nats://host", "web"),
        ] {
            match super::connect(url).await {
                Err(error @ super::ConnectError::MissingFeature { feature, .. }) => {
                    assert_eq!(feature, needs);
                    assert!(!error.to_string().contains("secret"), "{error}");
                }
                other => panic!("{other:?}"),
            }
        }
    }
}
