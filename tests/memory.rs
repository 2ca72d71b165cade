//! The conformance suite on the embedded backend, with a manual clock.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod conformance;
#[path = "conformance/reserved.rs"]
mod reserved;
#[path = "support/restless.rs"]
mod restless;

use std::{cell::Cell, sync::Arc, time::Duration};

use conformance::{Capabilities, Env, Outcome};
use restless::Restless;
use shizuku::{
    Client, Store,
    backend::{
        Buckets, CreateMode,
        memory::{ManualClock, MemoryBuckets},
    },
    kv::{BucketConfig, Key, KeyValueRead, KvReadError, LiveStatus, PutOptions, ServiceError},
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
