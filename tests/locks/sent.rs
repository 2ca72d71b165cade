//! What a lock asks of a service, request by request, and what it learns from a lost connection.

use std::{
    mem,
    sync::{Arc, Mutex},
    time::Duration,
};

use futures::{FutureExt, future::BoxFuture, stream::BoxStream};
use shizuku::{
    Bytes, Client, ConnectionState, ConnectionStatus,
    backend::{
        Backend, Buckets, CreateMode, RawWatch, WatchRequest,
        memory::{ManualClock, MemoryBuckets},
    },
    kv::{
        BucketConfig, BucketError, BucketName, BucketStatus, Entry, Expect, Key, KeyFilter,
        KvReadError, KvWriteError, PutOptions, Read, RemoveOptions, ServiceError,
        lock::LockOptions, rw_lock::DistroRwLock,
    },
};
use tokio::sync::watch;

use crate::support::Result;

/// A service in memory that notes what it is asked for.
#[derive(Debug)]
struct Noted<T: ?Sized> {
    notes: Arc<Mutex<Vec<String>>>,
    connection: watch::Sender<ConnectionStatus>,
    inner: Arc<T>,
}

impl<T: ?Sized> Noted<T> {
    fn wrap<U: ?Sized>(&self, inner: Arc<U>) -> Noted<U> {
        Noted {
            notes: self.notes.clone(),
            connection: self.connection.clone(),
            inner,
        }
    }

    fn note(&self, note: String) {
        self.notes.lock().unwrap().push(note);
    }

    /// What was noted since the last look.
    fn notes(&self) -> Vec<String> {
        mem::take(&mut self.notes.lock().unwrap())
    }
}

impl Buckets for Noted<dyn Buckets> {
    fn create<'a>(
        &'a self,
        config: &'a BucketConfig,
        mode: CreateMode,
    ) -> BoxFuture<'a, Result<Arc<dyn Backend>, BucketError>> {
        let create = self.inner.create(config, mode);
        async move { Ok(Arc::new(self.wrap(create.await?)) as _) }.boxed()
    }

    fn open<'a>(
        &'a self,
        bucket: &'a BucketName,
    ) -> BoxFuture<'a, Result<Arc<dyn Backend>, BucketError>> {
        let open = self.inner.open(bucket);
        async move { Ok(Arc::new(self.wrap(open.await?)) as _) }.boxed()
    }

    fn delete<'a>(&'a self, bucket: &'a BucketName) -> BoxFuture<'a, Result<(), BucketError>> {
        self.inner.delete(bucket)
    }

    fn list(&self) -> BoxStream<'_, Result<BucketName, BucketError>> {
        self.inner.list()
    }

    fn connection(&self) -> watch::Receiver<ConnectionStatus> {
        self.connection.subscribe()
    }

    fn close(&self) -> BoxFuture<'_, Result<(), ServiceError>> {
        self.inner.close()
    }
}

fn seconds(ttl: Option<Duration>) -> u64 {
    ttl.map_or(0, |ttl| ttl.as_secs())
}

fn condition(expect: Expect) -> String {
    match expect {
        Expect::Any => String::new(),
        other => format!(" if {other:?}"),
    }
}

impl Backend for Noted<dyn Backend> {
    fn bucket(&self) -> &BucketName {
        self.inner.bucket()
    }

    fn get<'a>(
        &'a self,
        key: &'a Key,
        revision: Option<u64>,
        read: Read,
    ) -> BoxFuture<'a, Result<Option<Entry>, KvReadError>> {
        self.inner.get(key, revision, read)
    }

    fn get_many<'a>(&'a self, keys: &'a [KeyFilter]) -> BoxStream<'a, Result<Entry, KvReadError>> {
        self.inner.get_many(keys)
    }

    fn snapshot<'a>(
        &'a self,
        filter: &'a KeyFilter,
        from: u64,
    ) -> BoxFuture<'a, Result<Option<Vec<Entry>>, KvReadError>> {
        self.note(format!("read {filter} from {from}"));
        self.inner.snapshot(filter, from)
    }

    fn put<'a>(
        &'a self,
        key: &'a Key,
        value: Bytes,
        options: PutOptions,
    ) -> BoxFuture<'a, Result<u64, KvWriteError>> {
        let ttl = seconds(options.ttl);
        self.note(format!("put for {ttl} s{}", condition(options.expect)));
        self.inner.put(key, value, options)
    }

    fn remove<'a>(
        &'a self,
        key: &'a Key,
        options: RemoveOptions,
    ) -> BoxFuture<'a, Result<u64, KvWriteError>> {
        let ttl = seconds(options.marker_ttl);
        let condition = condition(options.expect);
        self.note(format!("{:?} for {ttl} s{condition}", options.removal));
        self.inner.remove(key, options)
    }

    fn watch<'a>(
        &'a self,
        filters: &'a [KeyFilter],
        request: WatchRequest,
    ) -> BoxFuture<'a, Result<RawWatch, KvReadError>> {
        self.note(format!("watch {}", filters[0]));
        self.inner.watch(filters, request)
    }

    fn compact<'a>(&'a self, key: &'a Key, before: u64) -> BoxFuture<'a, Result<(), KvWriteError>> {
        self.inner.compact(key, before)
    }

    fn status(&self) -> BoxFuture<'_, Result<BucketStatus, BucketError>> {
        self.inner.status()
    }

    fn now(&self) -> std::time::SystemTime {
        self.inner.now()
    }

    fn connection(&self) -> watch::Receiver<ConnectionStatus> {
        self.connection.subscribe()
    }
}

fn noted() -> (Arc<Noted<dyn Buckets>>, Client) {
    // Nothing expires.
    let clock = Arc::new(ManualClock::new());
    let inner: Arc<dyn Buckets> = Arc::new(MemoryBuckets::with_clock(clock));
    let connected = ConnectionStatus::new(ConnectionState::Connected, 1);
    let noted = Arc::new(Noted {
        notes: Arc::default(),
        connection: watch::Sender::new(connected),
        inner,
    });
    let client = Client::new(noted.clone());
    (noted, client)
}

enum Before {
    Nothing,
    /// Somebody writes to the bucket, so that it is not known where the log ends.
    Write,
    /// The server may come back with another log.
    Reconnect,
}

#[tokio::test]
async fn only_what_has_come_since_is_read_but_all_after_a_lost_connection() -> Result {
    use Before::{Nothing, Reconnect, Write};
    let (service, client) = noted();
    let store = client.create_bucket("locks").await?;
    let lock = DistroRwLock::new(&store, "r")?;
    for (before, read, revision) in [
        (Nothing, Some(0), 1),
        (Nothing, None, 3),
        (Write, Some(4), 6),
        (Nothing, None, 8),
        (Reconnect, Some(0), 10),
        (Nothing, None, 12),
    ] {
        match before {
            Nothing => {}
            Write => _ = store.put("key", "").await?,
            Reconnect => service.connection.send_modify(|now| now.epoch += 1),
        }
        service.notes();
        lock.write().await?.release().await?;
        let mut asked = vec!["put for 15 s".to_owned()];
        asked.extend(read.map(|from| format!("read _lock.r.* from {from}")));
        asked.push(format!("Purge for 5 s if Revision({revision})"));
        assert_eq!(service.notes(), asked);
    }
    Ok(())
}

#[tokio::test]
async fn who_must_wait_asks_for_a_watch_and_a_probe() -> Result {
    let (service, client) = noted();
    let store = client.create_bucket("locks").await?;
    let other = client.open_bucket("locks").await?;
    let held = DistroRwLock::new(&store, "r")?.write().await?;
    service.notes();
    let options = LockOptions::new().lease(Duration::from_secs(60));
    let lock = DistroRwLock::with_options(&other, "r", options)?;
    assert!(lock.try_write().await?.is_none());
    let asked = [
        "put for 60 s",
        "read _lock.r.* from 0",
        "watch _lock.r.*",
        // A probe.
        "put for 2 s",
        "Purge for 5 s",
    ];
    assert_eq!(service.notes(), asked);
    held.release().await?;
    Ok(())
}
