//! A bucket's settings and state.

use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime},
};

use super::options::check_ttl;
use crate::{
    error::InvalidOption,
    invalid::InvalidKey,
    key::BucketName,
    words::{Lasting, Quoted},
};

/// Where a bucket stores its data.
///
/// ```
/// use shizuku::kv::{BucketConfig, Storage};
///
/// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let client = shizuku::connect("memory:").await?;
/// let config = BucketConfig::new("sessions").storage(Storage::Memory);
/// client.create_bucket(config).await?;
/// # Ok(()) }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Storage {
    /// On disk.
    #[default]
    File,
    /// In the server's memory, lost when it stops.
    Memory,
}

/// Which servers may hold a bucket.
///
/// ```
/// use shizuku::kv::{BucketConfig, Placement};
///
/// let mut config = BucketConfig::new("sessions").replicas(3);
/// config.placement = Some(Placement::new().tag("ssd"));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Placement {
    /// The cluster's name; `None` for any cluster.
    pub cluster: Option<String>,
    /// Tags that a server must have.
    pub tags: Vec<String>,
}

impl Placement {
    /// Creates a placement that accepts any server.
    pub const fn new() -> Self {
        Self {
            cluster: None,
            tags: Vec::new(),
        }
    }

    /// Accepts only servers of this cluster.
    #[must_use]
    pub fn cluster(mut self, name: impl Into<String>) -> Self {
        self.cluster = Some(name.into());
        self
    }

    /// Additionally requires this tag.
    #[must_use]
    pub fn tag(mut self, tag: impl Into<String>) -> Self {
        self.tags.push(tag.into());
        self
    }
}

/// Where a bucket republishes its writes as plain messages.
///
/// ```
/// use shizuku::kv::{BucketConfig, Republish};
///
/// let mut config = BucketConfig::new("orders");
/// config.republish = Some(Republish::to("changes.orders.>"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Republish {
    /// The subjects to republish, such as `$KV.<bucket>.…`; empty for all.
    pub source: String,
    /// The subject to publish to.
    pub destination: String,
    /// Omits the values.
    pub headers_only: bool,
}

impl Republish {
    /// Republishes everything, with values.
    pub fn to(destination: impl Into<String>) -> Self {
        Self {
            source: String::new(),
            destination: destination.into(),
            headers_only: false,
        }
    }

    /// Republishes only these subjects, such as `$KV.<bucket>.…`.
    #[must_use]
    pub fn source(mut self, source: impl Into<String>) -> Self {
        self.source = source.into();
        self
    }

    /// Omits the values.
    #[must_use]
    pub const fn headers_only(mut self) -> Self {
        self.headers_only = true;
        self
    }
}

/// A bucket to copy data from.
///
/// ```
/// use shizuku::kv::{BucketConfig, BucketName, Source};
///
/// let mut config = BucketConfig::new("settings-copy");
/// config.mirror = Some(Source::new(BucketName::new("settings")?).domain("hub"));
/// # Ok::<(), shizuku::kv::InvalidKey>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Source {
    /// The other bucket.
    pub bucket: BucketName,
    /// Its JetStream domain; `None` for the current one.
    pub domain: Option<String>,
}

impl Source {
    /// Creates a source from a bucket in the current JetStream domain.
    pub const fn new(bucket: BucketName) -> Self {
        Self {
            bucket,
            domain: None,
        }
    }

    /// Sets the bucket's JetStream domain.
    #[must_use]
    pub fn domain(mut self, domain: impl Into<String>) -> Self {
        self.domain = Some(domain.into());
        self
    }
}

/// A bucket's settings.
///
/// ```
/// use std::time::Duration;
/// use shizuku::kv::BucketConfig;
///
/// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let client = shizuku::connect("memory:").await?;
/// let mut config = BucketConfig::new("sessions").history(5);
/// config.description = "who is logged in".into();
/// let store = client.create_bucket(config).await?;
/// assert_eq!(store.status().await?.config.history, 5);
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BucketConfig {
    /// The name; validated when the bucket is created.
    pub name: String,
    /// A note for humans, at most 4096 bytes.
    pub description: String,
    /// The number of revisions to keep per key, 1 to 64. In a [`BucketStatus`], 64 may mean more, set on
    /// the stream by another program; an update that leaves it at 64 keeps that value.
    pub history: u8,
    /// The maximum age of a revision, 100 ms to 292 years; `None` for no limit.
    pub max_age: Option<Duration>,
    /// How long a marker stays after the server has removed an expired value. [`LimitMarkers::Off`] also
    /// disables per-key time to live and all locks.
    ///
    /// The default is 1 s on servers 2.11 and newer, and off on older ones; an existing bucket keeps its
    /// setting. Other handles detect that markers were turned off only when they are reopened.
    pub limit_markers: LimitMarkers,
    /// The maximum size of a value with its headers, in bytes, at most `i32::MAX`; `None` for the
    /// server's own limit.
    pub max_value_size: Option<u32>,
    /// The maximum size of the bucket, in bytes; `None` for no limit. A full bucket rejects writes.
    pub max_bytes: Option<u64>,
    /// Where the data is stored.
    pub storage: Storage,
    /// The number of replicas, 1 to 5.
    pub replicas: u8,
    /// Whether to compress data on disk (S2).
    pub compression: bool,
    /// Which servers may hold the bucket.
    pub placement: Option<Placement>,
    /// Republishes writes on other subjects.
    pub republish: Option<Republish>,
    /// Makes this bucket a read-only copy of another.
    pub mirror: Option<Source>,
    /// Copies the data of other buckets into this one.
    pub sources: Vec<Source>,
    /// Metadata for programs. Names that begin with `_nats.` are reserved for the server and not shown
    /// here.
    pub metadata: BTreeMap<String, String>,
}

/// Whether, and for how long, the server leaves markers in place of expired values.
///
/// ```
/// use std::time::Duration;
/// use shizuku::kv::{BucketConfig, LimitMarkers};
///
/// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let client = shizuku::connect("memory:").await?;
/// let minute = LimitMarkers::For(Duration::from_secs(60));
/// let config = BucketConfig::new("sessions").limit_markers(minute);
/// let store = client.create_bucket(config).await?;
/// assert!(store.status().await?.has_limit_markers());
/// # Ok(()) }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum LimitMarkers {
    /// A new bucket gets one second if the server supports it (2.11 and newer), otherwise off. An
    /// existing bucket keeps its setting, even if that is off, as is common for buckets of other
    /// programs; [`update_bucket`](crate::Client::update_bucket) can turn markers on.
    #[default]
    Auto,
    /// Off.
    Off,
    /// Markers stay for this long: whole seconds, at least one. Older servers reject it.
    For(Duration),
}

impl LimitMarkers {
    /// The value of `Auto` on servers that support markers.
    pub(crate) const AUTO: Duration = Duration::from_secs(1);

    /// Returns the marker time on a server that supports markers.
    pub(crate) fn duration(self) -> Option<Duration> {
        match self {
            Self::Auto => Some(Self::AUTO),
            Self::Off => None,
            Self::For(ttl) => Some(ttl),
        }
    }
}

impl BucketConfig {
    /// Creates the default settings: one revision per key, no limits, limit markers if the server
    /// supports them, on disk, one replica.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            description: String::new(),
            history: 1,
            max_age: None,
            limit_markers: LimitMarkers::Auto,
            max_value_size: None,
            max_bytes: None,
            storage: Storage::File,
            replicas: 1,
            compression: false,
            placement: None,
            republish: None,
            mirror: None,
            sources: Vec::new(),
            metadata: BTreeMap::new(),
        }
    }

    /// Sets `history`.
    #[must_use]
    pub const fn history(mut self, revisions: u8) -> Self {
        self.history = revisions;
        self
    }

    /// Sets `max_age`: 100 ms to 292 years.
    #[must_use]
    pub const fn max_age(mut self, age: Duration) -> Self {
        self.max_age = Some(age);
        self
    }

    /// Sets `limit_markers`.
    #[must_use]
    pub const fn limit_markers(mut self, markers: LimitMarkers) -> Self {
        self.limit_markers = markers;
        self
    }

    /// Sets `storage`.
    #[must_use]
    pub const fn storage(mut self, storage: Storage) -> Self {
        self.storage = storage;
        self
    }

    /// Sets `replicas`.
    #[must_use]
    pub const fn replicas(mut self, copies: u8) -> Self {
        self.replicas = copies;
        self
    }

    /// Returns the validated name.
    pub(crate) fn bucket(&self) -> Result<BucketName, InvalidKey> {
        BucketName::new(self.name.as_str())
    }

    /// Validates everything that can be validated without a server.
    pub(crate) fn check(&self) -> Result<(), InvalidOption> {
        if !(1..=64).contains(&self.history) {
            return Err(InvalidOption::new(
                "history",
                format!("{} is not within 1 to 64", self.history),
            ));
        }
        if !(1..=5).contains(&self.replicas) {
            return Err(InvalidOption::new(
                "replicas",
                format!("{} is not within 1 to 5", self.replicas),
            ));
        }
        if self.description.len() > 4096 {
            return Err(InvalidOption::new(
                "description",
                format!(
                    "{} bytes exceed the maximum of 4096",
                    self.description.len()
                ),
            ));
        }
        if let Some(age) = self.max_age
            && (age < Duration::from_millis(100) || age.as_nanos() > i64::MAX as u128)
        {
            return Err(InvalidOption::new(
                "max_age",
                format!("{} is not within 100 ms to 292 years", Lasting(age)),
            ));
        }
        if let LimitMarkers::For(ttl) = self.limit_markers {
            check_ttl("limit_markers", ttl)?;
        }
        let none = [
            ("max_value_size", self.max_value_size == Some(0)),
            ("max_bytes", self.max_bytes == Some(0)),
        ];
        if let Some((option, _)) = none.into_iter().find(|(_, is_zero)| *is_zero) {
            return Err(InvalidOption::new(option, "it must be at least 1"));
        }
        if self
            .max_value_size
            .is_some_and(|size| i32::try_from(size).is_err())
        {
            return Err(InvalidOption::new(
                "max_value_size",
                "it must be less than 2 GiB",
            ));
        }
        if self
            .max_bytes
            .is_some_and(|bytes| i64::try_from(bytes).is_err())
        {
            return Err(InvalidOption::new(
                "max_bytes",
                "it must be less than 2^63 bytes",
            ));
        }
        if let Some(name) = self.metadata.keys().find(|name| name.starts_with("_nats.")) {
            return Err(InvalidOption::new(
                "metadata",
                format!(
                    "{}: names that begin with _nats. belong to the server",
                    Quoted(name)
                ),
            ));
        }
        if self.mirror.is_some() && !self.sources.is_empty() {
            return Err(InvalidOption::new(
                "mirror",
                "a mirror cannot have sources too",
            ));
        }
        Ok(())
    }
}

impl From<&str> for BucketConfig {
    fn from(name: &str) -> Self {
        Self::new(name)
    }
}

impl From<String> for BucketConfig {
    fn from(name: String) -> Self {
        Self::new(name)
    }
}

impl From<&String> for BucketConfig {
    fn from(name: &String) -> Self {
        Self::new(name)
    }
}

impl From<BucketName> for BucketConfig {
    fn from(name: BucketName) -> Self {
        Self::new(name.as_str())
    }
}

impl From<&BucketName> for BucketConfig {
    fn from(name: &BucketName) -> Self {
        Self::new(name.as_str())
    }
}

impl From<&BucketConfig> for BucketConfig {
    fn from(config: &BucketConfig) -> Self {
        config.clone()
    }
}

/// A bucket's settings and state, as reported by the server.
///
/// ```
/// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let store = shizuku::connect("memory:").await?.create_bucket("docs").await?;
/// store.put("color", "blue").await?;
/// let status = store.status().await?;
/// assert_eq!((status.keys, status.values, status.last_revision), (1, 1, 1));
/// assert!(status.has_limit_markers());
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct BucketStatus {
    /// The bucket.
    pub bucket: BucketName,
    /// Its settings. `limit_markers` is never `Auto` here.
    pub config: BucketConfig,
    /// The number of stored revisions and markers.
    pub values: u64,
    /// The number of keys with a revision or marker.
    pub keys: u64,
    /// The size of the stored data in bytes, as counted by the server.
    pub bytes: u64,
    /// The first stored revision; 0 if the bucket is empty.
    pub first_revision: u64,
    /// The last revision; 0 if the bucket was never written to.
    pub last_revision: u64,
    /// When it was created.
    pub created: SystemTime,
}

impl BucketStatus {
    /// Creates the status of an empty bucket, for a custom backend; the other fields can be set
    /// afterwards.
    pub fn new(bucket: BucketName, config: BucketConfig, created: SystemTime) -> Self {
        Self {
            bucket,
            config,
            values: 0,
            keys: 0,
            bytes: 0,
            first_revision: 0,
            last_revision: 0,
            created,
        }
    }

    /// Returns whether keys can have a time to live, which locks require too.
    pub fn has_limit_markers(&self) -> bool {
        matches!(self.config.limit_markers, LimitMarkers::For(_))
    }
}
