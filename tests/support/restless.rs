//! An in-memory service completes immediately, so tasks on one thread never interleave between two
//! of its replies, and races that occur on a server never do. This wrapper yields a varying number
//! of times before and after each call.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use futures::{FutureExt, StreamExt, future::BoxFuture, stream, stream::BoxStream};
use shizuku::{
    Bytes, ConnectionWatch,
    backend::{Backend, Buckets, CreateMode, RawWatch, WatchRequest},
    kv::{
        BucketConfig, BucketError, BucketName, BucketStatus, Entry, Key, KeyFilter, KvReadError,
        KvWriteError, PutOptions, Read, RemoveOptions, ServiceError,
    },
};

/// Yields up to three times.
async fn pause() {
    static CALLS: AtomicU64 = AtomicU64::new(1);
    // SplitMix64. With less mixing the pauses would be regular: a test whose rounds all make the
    // same number of calls could see the same pauses every time.
    let mut mixed = CALLS
        .fetch_add(1, Ordering::Relaxed)
        .wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    for _ in 0..mixed >> 62 {
        tokio::task::yield_now().await;
    }
}

async fn around<T>(call: BoxFuture<'_, T>) -> T {
    pause().await;
    let answer = call.await;
    pause().await;
    answer
}

#[derive(Debug)]
pub(crate) struct Restless(pub(crate) Arc<dyn Buckets>);

#[derive(Debug)]
struct RestlessBucket(Arc<dyn Backend>);

impl Buckets for Restless {
    fn create<'a>(
        &'a self,
        config: &'a BucketConfig,
        mode: CreateMode,
    ) -> BoxFuture<'a, Result<Arc<dyn Backend>, BucketError>> {
        async move {
            let bucket = around(self.0.create(config, mode)).await?;
            Ok(Arc::new(RestlessBucket(bucket)) as _)
        }
        .boxed()
    }

    fn open<'a>(
        &'a self,
        bucket: &'a BucketName,
    ) -> BoxFuture<'a, Result<Arc<dyn Backend>, BucketError>> {
        async move {
            let bucket = around(self.0.open(bucket)).await?;
            Ok(Arc::new(RestlessBucket(bucket)) as _)
        }
        .boxed()
    }

    fn delete<'a>(&'a self, bucket: &'a BucketName) -> BoxFuture<'a, Result<(), BucketError>> {
        around(self.0.delete(bucket)).boxed()
    }

    fn list(&self) -> BoxStream<'_, Result<BucketName, BucketError>> {
        self.0.list()
    }

    fn connection(&self) -> ConnectionWatch {
        self.0.connection()
    }

    fn close(&self) -> BoxFuture<'_, Result<(), ServiceError>> {
        around(self.0.close()).boxed()
    }
}

impl Backend for RestlessBucket {
    fn bucket(&self) -> &BucketName {
        self.0.bucket()
    }

    fn get<'a>(
        &'a self,
        key: &'a Key,
        revision: Option<u64>,
        read: Read,
    ) -> BoxFuture<'a, Result<Option<Entry>, KvReadError>> {
        around(self.0.get(key, revision, read)).boxed()
    }

    fn get_many<'a>(&'a self, keys: &'a [KeyFilter]) -> BoxStream<'a, Result<Entry, KvReadError>> {
        let entries = async move {
            pause().await;
            self.0.get_many(keys)
        };
        stream::once(entries).flatten().boxed()
    }

    fn snapshot<'a>(
        &'a self,
        filter: &'a KeyFilter,
        from: u64,
    ) -> BoxFuture<'a, Result<Option<Vec<Entry>>, KvReadError>> {
        around(self.0.snapshot(filter, from)).boxed()
    }

    fn put<'a>(
        &'a self,
        key: &'a Key,
        value: Bytes,
        options: PutOptions,
    ) -> BoxFuture<'a, Result<u64, KvWriteError>> {
        around(self.0.put(key, value, options)).boxed()
    }

    fn remove<'a>(
        &'a self,
        key: &'a Key,
        options: RemoveOptions,
    ) -> BoxFuture<'a, Result<u64, KvWriteError>> {
        around(self.0.remove(key, options)).boxed()
    }

    fn watch<'a>(
        &'a self,
        filters: &'a [KeyFilter],
        request: WatchRequest,
    ) -> BoxFuture<'a, Result<RawWatch, KvReadError>> {
        async move {
            let events = around(self.0.watch(filters, request)).await?;
            let events = events.then(|event| async {
                pause().await;
                event
            });
            Ok(events.boxed())
        }
        .boxed()
    }

    fn compact<'a>(&'a self, key: &'a Key, before: u64) -> BoxFuture<'a, Result<(), KvWriteError>> {
        around(self.0.compact(key, before)).boxed()
    }

    fn status(&self) -> BoxFuture<'_, Result<BucketStatus, BucketError>> {
        around(self.0.status()).boxed()
    }

    fn now(&self) -> std::time::SystemTime {
        self.0.now()
    }

    fn connection(&self) -> ConnectionWatch {
        self.0.connection()
    }
}
