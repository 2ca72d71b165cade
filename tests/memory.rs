//! The conformance suite on the embedded backend, with a manual clock.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod conformance;
#[path = "conformance/reserved.rs"]
mod reserved;
#[path = "support/restless.rs"]
mod restless;

use std::{
    cell::Cell,
    sync::{Arc, OnceLock},
    time::Duration,
};

use conformance::{Capabilities, Env, Outcome};
use restless::Restless;
use shizuku::{
    ByteDeserialize, Client, Store,
    backend::{
        Buckets, CreateMode,
        memory::{ManualClock, MemoryBuckets},
    },
    kv::{
        BoxError, BucketConfig, Key, KeyValueRead, KvReadError, Live, LiveMap, LiveStatus,
        PutOptions, ServiceError,
    },
};

/// A service for one case.
fn env(case: &str) -> Env {
    let clock = ManualClock::new();
    let buckets = MemoryBuckets::with_clock(Arc::new(clock.clone()));
    let client = Client::new(Arc::new(Restless(Arc::new(buckets))));
    let other = client.clone();
    Env {
        client,
        capabilities: Capabilities {
            limit_markers: true,
            other_buckets: false,
        },
        connect: Box::new(move || Box::pin(std::future::ready(other.clone()))),
        wait: |time| Box::pin(tokio::time::sleep(time)),
        pass: Box::new(move |time| {
            clock.advance(time);
            Box::pin(std::future::ready(()))
        }),
        tag: case.replace("::", "-"),
        buckets: Cell::new(0),
    }
}

async fn run<F: Future<Output = Outcome>>(name: &str, case: impl FnOnce(Env) -> F) {
    let limit = Duration::from_secs(60);
    let outcome = tokio::time::timeout(limit, case(env(name))).await;
    outcome.expect("the case should end in time").unwrap();
}

macro_rules! on_memory {
    ([] $($module:ident { $($case:ident)* })*) => {$(
        mod $module {
            $(
                #[tokio::test]
                async fn $case() {
                    let name = concat!(stringify!($module), "-", stringify!($case));
                    crate::run(name, crate::conformance::$module::$case).await;
                }
            )*
        }
    )*};
}
conformance_cases!(on_memory);

#[tokio::test]
async fn listings_and_watches_omit_lock_keys() {
    let buckets = MemoryBuckets::new();
    let config = BucketConfig::new("b");
    let backend = buckets.create(&config, CreateMode::Create).await.unwrap();
    let store = Store::new(backend.clone());
    reserved::stay_out_of_sight(&store, async |key| {
        let key = Key::new(key).unwrap();
        let put = backend.put(&key, "1".into(), PutOptions::new());
        put.await.unwrap();
    })
    .await
    .unwrap();
}

/// The background task ends without notice.
#[test]
fn a_live_value_ends_with_an_error_when_its_runtime_ends() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let store = runtime.block_on(async {
        let client = Client::new(Arc::new(MemoryBuckets::new()));
        client.create_bucket("b").await.unwrap()
    });
    let mut live = runtime.block_on(async {
        store.put("a", "1").await.unwrap();
        String::live(&store, "a").await.unwrap()
    });
    assert!(live.status() == LiveStatus::Current && live.last_error().is_none());
    drop(runtime);
    assert_eq!(live.status(), LiveStatus::Ended);
    assert!(live.last_error().is_some());
    assert_eq!(*live.get().unwrap(), "1");
    let changed = futures::executor::block_on(live.changed());
    assert!(changed.is_err());
}

/// Why it ended is more recent than why a revision did not decode.
#[test]
fn the_end_of_a_live_value_is_not_hidden_by_a_bad_revision() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let live = runtime.block_on(async {
        let client = Client::new(Arc::new(MemoryBuckets::new()));
        let store = client.create_bucket("b").await.unwrap();
        store.put("a", vec![0xff]).await.unwrap();
        String::live(&store, "a").await.unwrap()
    });
    let error = live.last_error().unwrap();
    assert!(matches!(*error, KvReadError::Decode(_)), "{error}");
    drop(runtime);
    assert_eq!(live.status(), LiveStatus::Ended);
    let error = live.last_error().unwrap();
    let closed = matches!(*error, KvReadError::Service(ServiceError::Closed));
    assert!(closed, "{error}");
}

static FOLLOWED: OnceLock<(Live<Curious>, LiveMap<Curious>)> = OnceLock::new();

/// Reads the live value and the map that it was in, when it is dropped.
struct Curious(usize);

impl ByteDeserialize for Curious {
    fn parse_from_bytes(bytes: &[u8]) -> Result<Self, BoxError> {
        Ok(Self(bytes.len()))
    }
}

impl Drop for Curious {
    fn drop(&mut self) {
        if let Some((live, map)) = FOLLOWED.get() {
            _ = (live.get(), map.len());
        }
    }
}

/// Also of a map: both replace and remove values while readers are kept out.
#[test]
fn a_value_may_read_its_successor_when_it_is_dropped() {
    let (done, is_done) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let client = Client::new(Arc::new(MemoryBuckets::new()));
            let store = client.create_bucket("b").await.unwrap();
            store.put("a", "1").await.unwrap();
            let mut live = Curious::live(&store, "a").await.unwrap();
            let mut map = Curious::live_map(&store, "*").await.unwrap();
            assert!(FOLLOWED.set((live.clone(), map.clone())).is_ok());
            store.put("a", "22").await.unwrap();
            assert_eq!(live.changed().await.unwrap().unwrap().0, 2);
            map.changed().await.unwrap();
            store.delete("a").await.unwrap();
            assert!(live.changed().await.unwrap().is_none());
            map.changed().await.unwrap();
        });
        done.send(()).unwrap();
    });
    is_done.recv_timeout(Duration::from_secs(10)).unwrap();
}
