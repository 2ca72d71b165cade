//! Buckets in this process: for tests, for tools without a server, and for experiments.
//! `shizuku::connect("memory:")` returns a client of one such service.
//!
//! They behave like buckets on nats-server 2.11 or newer, including bucket-wide revisions, history, TTL,
//! limit markers and conditional writes; the library's conformance suite tests that. The differences are:
//!
//! - Data is lost with the last handle. [`Storage`](crate::kv::Storage) and compression are accepted, but
//!   only change how sizes are counted.
//! - There is one replica and no network: replicas, placement, republishing, mirrors and sources are
//!   refused with [`ServiceError::Unsupported`], and every read sees all earlier writes.
//! - A full bucket still takes the markers of expired values; a server keeps an expired value until there
//!   is space for its marker.
//! - Values expire exactly on time; a server takes up to a second longer.
//!
//! ```
//! use shizuku::kv::BucketConfig;
//!
//! # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let client = shizuku::connect("memory:").await?;
//! let store = client.create_bucket(BucketConfig::new("settings").history(5)).await?;
//! store.put("color", "blue").await?;
//! store.put("color", "green").await?;
//! assert_eq!(store.history("color").await?.len(), 2);
//!
//! // Another service, with buckets of its own.
//! let other = shizuku::connect("memory:").await?;
//! assert!(other.open_bucket("settings").await.is_err());
//! # Ok(()) }
//! ```

mod bucket;
mod clock;
mod ghosts;
mod log;
mod registry;
mod settings;
mod size;
mod watch;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use futures::{FutureExt, StreamExt, future, future::BoxFuture, stream, stream::BoxStream};

use self::{bucket::Handle, registry::Registry};
use super::{Backend, Buckets, CreateMode};
use crate::{
    error::ServiceError,
    key::BucketName,
    kv::{BucketConfig, BucketError},
    status::ConnectionWatch,
};

pub use self::clock::{Clock, ManualClock, SystemClock};

/// An embedded service. Clones share the same service; each `new` creates another one.
///
/// ```
/// use std::{sync::Arc, time::Duration};
/// use shizuku::{Client, backend::memory::{ManualClock, MemoryBuckets}, kv::PutOptions};
///
/// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let clock = ManualClock::new();
/// let buckets = MemoryBuckets::with_clock(Arc::new(clock.clone()));
/// let store = Client::new(Arc::new(buckets)).create_bucket("sessions").await?;
///
/// let an_hour = PutOptions::new().ttl(Duration::from_secs(3600));
/// store.put_with("alice", "token", an_hour).await?;
/// clock.advance(Duration::from_secs(3600)); // takes no time
/// assert_eq!(store.get("alice").await?, None);
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct MemoryBuckets {
    registry: Arc<Registry>,
}

impl MemoryBuckets {
    /// Creates an empty service on the system clock.
    pub fn new() -> Self {
        Self::with_clock(Arc::new(SystemClock::new()))
    }

    /// Creates an empty service on another clock; see [`ManualClock`].
    pub fn with_clock(clock: Arc<dyn Clock>) -> Self {
        Self {
            registry: Arc::new(Registry::new(clock)),
        }
    }

    fn handle(&self, name: BucketName) -> Arc<dyn Backend> {
        Arc::new(Handle {
            name,
            registry: self.registry.clone(),
        })
    }
}

impl Default for MemoryBuckets {
    fn default() -> Self {
        Self::new()
    }
}

impl Buckets for MemoryBuckets {
    fn create<'a>(
        &'a self,
        config: &'a BucketConfig,
        mode: CreateMode,
    ) -> BoxFuture<'a, Result<Arc<dyn Backend>, BucketError>> {
        let create = move || Ok(self.handle(self.registry.create(config, mode)?));
        future::lazy(move |_| create()).boxed()
    }

    fn open<'a>(
        &'a self,
        bucket: &'a BucketName,
    ) -> BoxFuture<'a, Result<Arc<dyn Backend>, BucketError>> {
        let open = move || {
            self.registry.find(bucket)?;
            Ok(self.handle(bucket.clone()))
        };
        future::lazy(move |_| open()).boxed()
    }

    fn delete<'a>(&'a self, bucket: &'a BucketName) -> BoxFuture<'a, Result<(), BucketError>> {
        future::lazy(move |_| Ok(self.registry.delete(bucket)?)).boxed()
    }

    fn list(&self) -> BoxStream<'_, Result<BucketName, BucketError>> {
        let names = future::lazy(move |_| match self.registry.names() {
            Ok(names) => stream::iter(names).map(Ok).left_stream(),
            Err(error) => stream::once(future::ready(Err(error.into()))).right_stream(),
        });
        names.flatten_stream().boxed()
    }

    fn connection(&self) -> ConnectionWatch {
        self.registry.connection()
    }

    fn close(&self) -> BoxFuture<'_, Result<(), ServiceError>> {
        future::lazy(move |_| {
            self.registry.close();
            Ok(())
        })
        .boxed()
    }
}
