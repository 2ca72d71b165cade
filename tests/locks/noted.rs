//! An in-memory service that records requests and fails on demand.

use std::{
    collections::VecDeque,
    future::ready,
    mem,
    sync::{Arc, Mutex},
    time::Duration,
};

use futures::{FutureExt, future::BoxFuture, stream::BoxStream};
use shizuku::{
    Bytes, Client, ConnectionState, ConnectionStatus, ConnectionWatch,
    backend::{
        Backend, Buckets, ConnectionReporter, CreateMode, RawWatch, WatchRequest,
        memory::{ManualClock, MemoryBuckets},
    },
    kv::{
        BucketConfig, BucketError, BucketName, BucketStatus, Entry, Expect, Key, KeyFilter,
        KvReadError, KvWriteError, PutOptions, Read, RemoveOptions, ServiceError,
    },
};

pub type Failure = fn(Key) -> KvWriteError;

/// An in-memory service that records requests.
#[derive(Debug)]
pub struct Noted<T: ?Sized> {
    notes: Arc<Mutex<Vec<String>>>,
    pub connection: ConnectionReporter,
    /// Failures of the next writes.
    pub failures: Arc<Mutex<VecDeque<Failure>>>,
    inner: Arc<T>,
}

impl<T: ?Sized> Noted<T> {
    fn wrap<U: ?Sized>(&self, inner: Arc<U>) -> Noted<U> {
        Noted {
            notes: self.notes.clone(),
            connection: self.connection.clone(),
            failures: self.failures.clone(),
            inner,
        }
    }

    fn note(&self, note: String) {
        self.notes.lock().unwrap().push(note);
    }

    /// The requests since the last call.
    pub fn notes(&self) -> Vec<String> {
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

    fn connection(&self) -> ConnectionWatch {
        self.connection.watch()
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
        let failure = self.failures.lock().unwrap().pop_front();
        if let Some(failure) = failure {
            return ready(Err(failure(key.clone()))).boxed();
        }
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

    fn connection(&self) -> ConnectionWatch {
        self.connection.watch()
    }
}

/// Such a service, with a client.
pub fn noted() -> (Arc<Noted<dyn Buckets>>, Client) {
    // Nothing expires.
    let clock = Arc::new(ManualClock::new());
    let inner: Arc<dyn Buckets> = Arc::new(MemoryBuckets::with_clock(clock));
    let connected = ConnectionStatus::new(ConnectionState::Connected, 1);
    let noted = Arc::new(Noted {
        notes: Arc::default(),
        failures: Arc::default(),
        connection: ConnectionReporter::new(connected),
        inner,
    });
    let client = Client::new(noted.clone());
    (noted, client)
}
