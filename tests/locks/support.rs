//! Where lock tests run, and helpers that look at the log.

use std::{
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures::StreamExt;
use shizuku::{
    Client, Store,
    backend::{Buckets, memory::MemoryBuckets},
    kv::{
        BoxError, BucketName, Entry, Key, PutOptions, RemoveOptions, lock::entry::Record,
        rw_lock::DistroRwLock,
    },
};
use tokio::time::{sleep, timeout};

use crate::restless::Restless;

pub type Result<T = (), E = BoxError> = std::result::Result<T, E>;

pub const SOON: Duration = Duration::from_secs(2);
pub const MOMENT: Duration = Duration::from_millis(50);

/// The environment of a test: a service, and a bucket of its own.
#[derive(Clone)]
pub struct World {
    pub bucket: String,
    service: Service,
}

#[derive(Clone)]
enum Service {
    Memory(Arc<dyn Buckets>),
    Server(String),
}

impl World {
    pub fn memory() -> Self {
        Self {
            bucket: "locks".into(),
            service: Service::Memory(Arc::new(MemoryBuckets::default())),
        }
    }

    /// The same buckets, with pauses if the service is in memory.
    pub fn restless(&self) -> Self {
        let mut world = self.clone();
        if let Service::Memory(buckets) = &mut world.service {
            *buckets = Arc::new(Restless(buckets.clone()));
        }
        world
    }

    pub async fn server() -> Result<Self> {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        Ok(Self {
            bucket: format!("locks-{number}"),
            service: Service::Server(harness::shared(harness::LATEST).await?.url()),
        })
    }

    pub async fn client(&self) -> Result<Client> {
        match &self.service {
            Service::Memory(buckets) => Ok(Client::new(buckets.clone())),
            Service::Server(url) => Ok(shizuku::connect(url).await?),
        }
    }

    /// Two handles on one bucket: two participants.
    pub async fn stores(&self) -> Result<(Store, Store)> {
        let client = self.client().await?;
        let one = client.create_bucket(self.bucket.as_str()).await?;
        Ok((one, client.open_bucket(&self.bucket).await?))
    }

    /// Writes a lock's entry, as another library can but a store refuses to.
    pub async fn put(&self, key: &Key, value: &'static str) -> Result {
        match &self.service {
            Service::Memory(buckets) => {
                let bucket = buckets.open(&BucketName::new(&*self.bucket)?).await?;
                bucket.put(key, value.into(), PutOptions::new()).await?;
            }
            Service::Server(url) => {
                let raw = async_nats::jetstream::new(async_nats::connect(url).await?);
                let bucket = raw.get_key_value(&self.bucket).await?;
                bucket.put(key.as_str(), value.into()).await?;
            }
        }
        Ok(())
    }

    /// Removes a lock's entry, as an administrator can but a store refuses to.
    pub async fn remove(&self, key: &Key) -> Result {
        match &self.service {
            Service::Memory(buckets) => {
                let bucket = buckets.open(&BucketName::new(&*self.bucket)?).await?;
                bucket.remove(key, RemoveOptions::purge()).await?;
            }
            Service::Server(url) => {
                let raw = async_nats::jetstream::new(async_nats::connect(url).await?);
                let bucket = raw.get_key_value(&self.bucket).await?;
                bucket.purge(key.as_str()).await?;
            }
        }
        Ok(())
    }
}

/// Runs every test on the embedded backend and on a server.
macro_rules! everywhere {
    ($($test:ident),* $(,)?) => {
        mod memory {
            $(#[tokio::test]
            async fn $test() -> super::Result {
                super::$test(super::World::memory()).await
            })*
        }
        mod server {
            $(#[tokio::test]
            async fn $test() -> super::Result {
                super::$test(super::World::server().await?).await
            })*
        }
    };
}
pub(crate) use everywhere;

/// The number of messages left in the log.
pub async fn entries(store: &Store) -> Result<usize> {
    Ok(store.get_many("_lock.>").await?.len())
}

/// Waits until the log is empty; probes expire by themselves.
pub async fn nothing_left(store: &Store) -> Result {
    for _ in 0..300 {
        if entries(store).await? == 0 {
            return Ok(());
        }
        sleep(Duration::from_millis(20)).await;
    }
    panic!("{:?}", store.get_many("_lock.>").await?);
}

/// The entries of a lock, without probes.
pub async fn standing(store: &Store, lock: &str) -> Result<Vec<Entry>> {
    let mut entries = store.get_many(format!("_lock.{lock}.*")).await?;
    entries.retain(|entry| {
        let value = entry.value.as_deref().unwrap_or_default();
        Record::decode(value) != Record::Probe
    });
    Ok(entries)
}

/// Waits until this many participants hold the lock or wait in its queue.
pub async fn stand_there(lock: &DistroRwLock, count: usize) -> Result {
    let mut seen = pin!(lock.watch_holders()?);
    while timeout(SOON, seen.next()).await?.unwrap()?.len() < count {}
    Ok(())
}

/// The key of the only entry that is not a probe.
pub async fn entry_key(store: &Store) -> Result<Key> {
    let mut entries = standing(store, "*").await?;
    assert_eq!(entries.len(), 1, "{entries:?}");
    Ok(entries.remove(0).key)
}
