//! Reads, writes, listings, watches and their errors, on every version.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use futures::StreamExt;
use harness::{V2_10, VERSIONS};
use shizuku::{
    Client,
    kv::{
        BucketConfig, BucketError, Expect, KvReadError, KvWriteError, LimitMarkers, Operation,
        PutOptions, Read, RemoveOptions, ServiceError,
    },
};

use crate::{assert_refused, client, current, entry, keys};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_basics_work_on_every_version() {
    for version in VERSIONS {
        basics(&client(version).await, *version != V2_10).await;
    }
}

async fn basics(client: &Client, modern: bool) {
    let name = "basics";
    let store = client.create_bucket(name).await.unwrap();
    assert_eq!(keys(&store).await, [""; 0]);

    let watch = store.watch_all().await.unwrap();
    current(&watch).await;

    let first = store.put("a.b", "1").await.unwrap();
    assert_eq!(entry(&watch).await.revision, first);
    let options = PutOptions::new().header("Trace", "x").header("Trace", "y");
    let second = store.put_with("a.b", "2", options).await.unwrap();
    let seen = entry(&watch).await;
    let got = store.entry("a.b").await.unwrap().unwrap();
    let led = store
        .entry_with("a.b", Read::Leader)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(got.value.as_deref(), Some(&b"2"[..]));
    assert_eq!(got.revision, second);
    assert_eq!(got.headers.get_all("Trace").collect::<Vec<_>>(), ["x", "y"]);
    assert_eq!(got.headers.len(), 2);
    assert_eq!(got, led);
    assert_eq!(got, seen);

    // Conditions
    assert_eq!(
        store
            .update("a.b", "3", first)
            .await
            .unwrap_err()
            .conflict()
            .unwrap()
            .actual,
        Some(second)
    );
    let lost = store.create("a.b", "3").await.unwrap_err();
    let lost = lost.conflict().unwrap();
    assert_eq!((lost.expected, lost.actual), (Expect::Absent, Some(second)));
    let third = store.update("a.b", "3", second).await.unwrap();
    assert_eq!(entry(&watch).await.revision, third);
    assert!(store.entry_at("a.b", second).await.unwrap().is_none());
    assert!(store.entry_at("other", third).await.unwrap().is_none());
    assert_eq!(
        store
            .entry_at("a.b", third)
            .await
            .unwrap()
            .unwrap()
            .revision,
        third
    );
    assert!(store.entry("none").await.unwrap().is_none());
    assert!(
        store
            .entry_with("none", Read::Leader)
            .await
            .unwrap()
            .is_none()
    );

    // Removals
    let removed = store
        .remove_with("a.b", RemoveOptions::delete())
        .await
        .unwrap();
    let seen = entry(&watch).await;
    assert_eq!(
        (seen.revision, seen.operation, seen.value),
        (removed, Operation::Delete, None)
    );
    assert_eq!(store.get("a.b").await.unwrap(), None);
    assert_eq!(keys(&store).await, [""; 0]);
    let created = store.create("a.b", "4").await.unwrap();
    assert_eq!(entry(&watch).await.revision, created);
    let purge = RemoveOptions::purge().expect(Expect::Revision(created));
    store.remove_with("a.b", purge).await.unwrap();
    assert_eq!(entry(&watch).await.operation, Operation::Purge);

    // Many
    for n in 0..20 {
        store.put(format!("many.{n}"), n.to_string()).await.unwrap();
    }
    assert_eq!(keys(&store).await.len(), 20);
    assert_eq!(
        store
            .get_many(["many.1", "many.2", "none", "a.b"])
            .await
            .unwrap()
            .len(),
        2
    );
    assert_eq!(
        store
            .get_many(["many.*", "*.3", "many.4"])
            .await
            .unwrap()
            .len(),
        20
    );

    // Time to live
    let ttl = PutOptions::new().ttl(Duration::from_secs(1));
    let put = store.put_with("ttl", "x", ttl.clone()).await;
    let status = store.status().await.unwrap();
    if modern {
        let put = put.unwrap();
        assert!(status.has_limit_markers());
        let watch = store.watch("ttl").await.unwrap();
        assert_eq!(entry(&watch).await.revision, put);
        current(&watch).await;
        let seen = entry(&watch).await;
        assert_eq!((seen.operation, seen.headers.len()), (Operation::Expire, 0));
        // Over the marker, and with a time to live as before.
        store
            .put_with("ttl2", "x", PutOptions::new())
            .await
            .unwrap();
        store
            .remove_with("ttl2", RemoveOptions::delete())
            .await
            .unwrap();
        store
            .put_with("ttl2", "x", ttl.expect(Expect::Absent))
            .await
            .unwrap();
        tokio::time::sleep(Duration::from_millis(3500)).await;
        assert!(store.entry("ttl2").await.unwrap().is_none());
    } else {
        assert_refused!(
            put,
            KvWriteError::Service(ServiceError::Unsupported { remedy, .. })
                if remedy.contains(name) && remedy.contains("2.11")
        );
        let mut config = BucketConfig::new("markers");
        config.limit_markers = LimitMarkers::For(Duration::from_secs(1));
        assert_refused!(
            client.create_bucket(config).await,
            BucketError::Service(ServiceError::Unsupported { .. })
        );
    }
    assert!(
        client
            .bucket_names()
            .any(|found| async move { found.unwrap() == name })
            .await
    );
    client.delete_bucket(name).await.unwrap();
    assert_refused!(
        client.open_bucket(name).await,
        BucketError::Service(ServiceError::BucketNotFound { .. })
    );
    assert_refused!(
        store.put("a", "1").await,
        KvWriteError::Service(ServiceError::BucketNotFound { .. })
    );
    assert_refused!(
        store.get("a").await,
        KvReadError::Service(ServiceError::BucketNotFound { .. })
    );
    assert_refused!(
        store.get_many("a").await,
        KvReadError::Service(ServiceError::BucketNotFound { .. })
    );
    assert_refused!(
        store.watch_all().await,
        KvReadError::Service(ServiceError::BucketNotFound { .. })
    );
}

/// Concurrent updates of one key back off, or most attempts would be wasted.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_updates_of_one_key_back_off() {
    let client = client(harness::LATEST).await;
    let store = client.create_bucket("crowd").await.unwrap();
    let calls = AtomicUsize::new(0);
    let updates = (0..200).map(|_| async {
        for _ in 0..5 {
            let add = |current: Option<shizuku::kv::Entry>| {
                calls.fetch_add(1, Ordering::Relaxed);
                let value = current.and_then(|entry| entry.value);
                let count = value.map_or(0, |value| {
                    let text = std::str::from_utf8(&value).unwrap();
                    text.parse::<u32>().unwrap()
                });
                Some((count + 1).to_string())
            };
            store.update_with("count", add).await.unwrap();
        }
    });
    futures::future::join_all(updates).await;
    assert_eq!(
        store.get("count").await.unwrap().as_deref(),
        Some(&b"1000"[..])
    );
    // Without backoff there were some 70 000, and one in thirty gave up.
    let calls = calls.into_inner();
    assert!(calls < 20_000, "{calls}");
}
