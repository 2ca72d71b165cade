//! The consumers of watches and listings: deleted, stalled, and cleaned up.

use std::{
    pin::pin,
    time::{Duration, Instant},
};

use futures::{StreamExt, TryStreamExt, poll, stream};
use harness::{LATEST, V2_10, V2_11, VERSIONS};
use shizuku::kv::{
    BucketConfig, Deliver, Storage, WatchEvent, WatchOptions, rw_lock::DistroRwLock,
};

use crate::{
    admin, client, consumers, current, entry, event, interrupted, keys, proxy::Proxy, server, until,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watch_recreates_its_deleted_consumer() {
    let server = server(LATEST).await;
    let client = shizuku::connect(server.url()).await.unwrap();
    let store = client.create_bucket("b").await.unwrap();
    store.put("a", "1").await.unwrap();
    let watch = store.watch_all().await.unwrap();
    entry(&watch).await;
    current(&watch).await;
    let admin = admin(&server.url()).await;
    let names = consumers(&admin, "b").await;
    let stream = admin.get_stream("KV_b").await.unwrap();
    stream.delete_consumer(&names[0]).await.unwrap();
    let put = store.put("b", "2").await.unwrap();
    interrupted(&watch).await;
    assert_eq!(entry(&watch).await.revision, put);
    current(&watch).await;
    // The listing that looked for vanished keys is cleaned up in the background.
    until("one new consumer", || async {
        let again = consumers(&admin, "b").await;
        again.len() == 1 && again != names
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_busy_lock_in_a_busy_bucket_needs_no_consumer() {
    for version in [V2_11, LATEST] {
        let client = client(version).await;
        let store = client.create_bucket("busy").await.unwrap();
        let admin = admin(&harness::shared(version).await.unwrap().url()).await;
        let lock = DistroRwLock::new(&store, "busy").unwrap();
        // More than a server returns for one request for the last message of each key.
        for _ in 0..1100 {
            lock.write().await.unwrap().release().await.unwrap();
        }
        for n in 0..3 {
            store.put(format!("k.{n}"), "1").await.unwrap();
            let guard = lock.write().await.unwrap();
            store.put(format!("k.{n}"), "2").await.unwrap();
            guard.release().await.unwrap();
            let made = consumers(&admin, "busy").await;
            assert!(made.is_empty(), "{version}: {made:?} after {n}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn finished_and_dropped_reads_leave_no_consumer() {
    for version in VERSIONS {
        let client = client(version).await;
        let store = client.create_bucket("left").await.unwrap();
        for n in 0..100 {
            store.put(format!("k.{n}"), "1").await.unwrap();
        }
        let admin = admin(&harness::shared(version).await.unwrap().url()).await;
        let watch = store.watch_all().await.unwrap();
        entry(&watch).await;
        assert_eq!(consumers(&admin, "left").await.len(), 1, "{version}");
        drop(watch);
        assert_eq!(keys(&store).await.len(), 100);
        assert_eq!(store.history("k.1").await.unwrap().len(), 1);
        // A listing that is dropped half-way.
        let mut some = store.keys().await.unwrap();
        some.next().await.unwrap().unwrap();
        drop(some);
        until("no consumer is left", || async {
            consumers(&admin, "left").await.is_empty()
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancelled_start_of_a_watch_leaves_no_consumer() {
    for version in VERSIONS {
        let client = client(version).await;
        let store = client.create_bucket("given-up").await.unwrap();
        let admin = admin(&harness::shared(version).await.unwrap().url()).await;
        let mut given_up = 0;
        for n in 0..100 {
            // Before the request is sent, while it is in flight, and after the reply. A timer would
            // be too coarse.
            let patience = Instant::now() + Duration::from_micros(20 * n);
            let mut watch = pin!(store.watch_all());
            while poll!(&mut watch).is_pending() {
                if Instant::now() >= patience {
                    given_up += 1;
                    break;
                }
                tokio::task::yield_now().await;
            }
        }
        assert!(given_up > 5, "{version} {given_up}");
        until("no consumer is left", || async {
            consumers(&admin, "given-up").await.is_empty()
        })
        .await;
        client.delete_bucket("given-up").await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_reader_receives_everything() {
    for version in [LATEST, V2_10] {
        let client = client(version).await;
        let mut config = BucketConfig::new("slow");
        config.storage = Storage::Memory;
        let store = client.create_bucket(config).await.unwrap();
        let value = vec![b'x'; 4096];
        let puts = stream::iter(0..10_000).map(|n| store.put(format!("k.{n}"), value.clone()));
        let puts: Vec<u64> = puts.buffer_unordered(64).try_collect().await.unwrap();
        assert_eq!(puts.len(), 10_000);

        // Longer than two heartbeats, so that the server reports a stall.
        let watch = store.watch_all().await.unwrap();
        entry(&watch).await;
        tokio::time::sleep(Duration::from_secs(12)).await;
        let mut seen = 1;
        loop {
            match event(&watch).await {
                WatchEvent::Entry(_) => seen += 1,
                WatchEvent::Current => break,
                other => panic!("{version} {other:?}"),
            }
        }
        assert_eq!(seen, 10_000, "{version}");
        client.delete_bucket("slow").await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_flow_control_reply_does_not_stall_a_watch() {
    for version in [LATEST, V2_10] {
        let server = server(version).await;
        let direct = shizuku::connect(server.url()).await.unwrap();
        let written = direct.create_bucket("b").await.unwrap();
        let value = vec![b'x'; 4096];
        let puts = stream::iter(0..5_000).map(|n| written.put(format!("k.{n}"), value.clone()));
        let _: Vec<u64> = puts.buffer_unordered(64).try_collect().await.unwrap();

        let proxy = Proxy::start(&server.url()).await;
        let client = shizuku::connect(&proxy.url).await.unwrap();
        let store = client.open_bucket("b").await.unwrap();
        proxy.lose_answers(2);
        let watch = store.watch_all().await.unwrap();
        for _ in 0..5_000 {
            // Nothing is missed, so the watch need not restart: no interruption.
            entry(&watch).await;
        }
        current(&watch).await;
        assert_eq!(proxy.lost(), 2, "{version}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_start_delivers_the_documented_entries() {
    for version in VERSIONS {
        let client = client(version).await;
        let mut config = BucketConfig::new("starts");
        config.history = 5;
        let store = client.create_bucket(config).await.unwrap();
        for n in 1..=3 {
            store.put("a", n.to_string()).await.unwrap(); // 1, 2, 3
        }
        store.put("b.x", "4").await.unwrap();
        let far = 7; // not written yet
        for (deliver, wanted) in [
            (Deliver::Latest, &[3, 4][..]),
            (Deliver::History, &[1, 2, 3, 4]),
            (Deliver::Updates, &[]),
            (Deliver::From(2), &[2, 3, 4]),
            (Deliver::From(0), &[1, 2, 3, 4]),
            (Deliver::From(far), &[]),
        ] {
            let options = WatchOptions::new().deliver(deliver);
            let watch = store.watch_with(">", options).await.unwrap();
            let mut seen = Vec::new();
            loop {
                match event(&watch).await {
                    WatchEvent::Entry(entry) => seen.push(entry.revision),
                    WatchEvent::Current => break,
                    other => panic!("{other:?}"),
                }
            }
            assert_eq!(seen, wanted, "{version} {deliver:?}");
        }
        let options = WatchOptions::new().deliver(Deliver::From(far));
        let watch = store.watch_with(">", options).await.unwrap();
        current(&watch).await;
        for n in 5..=7 {
            store.put("a", n.to_string()).await.unwrap();
        }
        assert_eq!(entry(&watch).await.revision, far, "{version}");

        // Overlapping filters, which older servers refuse.
        let watch = store.watch(["b.*", "*.x", "b.x", "none"]).await.unwrap();
        let seen = entry(&watch).await;
        assert_eq!((seen.key.as_str(), seen.delta), ("b.x", 0));
        current(&watch).await;
        store.put("b.q", "8").await.unwrap();
        store.put("q.q", "9").await.unwrap();
        store.put("q.x", "10").await.unwrap();
        assert_eq!(entry(&watch).await.key, "b.q");
        assert_eq!(entry(&watch).await.key, "q.x");
        client.delete_bucket("starts").await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_keys_are_read_in_pages_on_every_version() {
    for version in VERSIONS {
        let client = client(version).await;
        let mut config = BucketConfig::new("many");
        config.storage = Storage::Memory;
        let store = client.create_bucket(config).await.unwrap();
        let puts = stream::iter(0..2500).map(|n| store.put(format!("k.{n}"), n.to_string()));
        let _: Vec<u64> = puts.buffer_unordered(64).try_collect().await.unwrap();
        // More than one request may ask for, by name and by filter.
        let names: Vec<_> = (0..2600).map(|n| format!("k.{n}")).collect();
        for found in [
            store.get_many(&*names).await.unwrap(),
            store.get_many("k.*").await.unwrap(),
            store.get_many(["k.>", "*.1", "k.5"]).await.unwrap(),
        ] {
            assert_eq!(found.len(), 2500, "{version}");
            let mut keys: Vec<_> = found.iter().map(|entry| entry.key.as_str()).collect();
            keys.sort_unstable();
            keys.dedup();
            assert_eq!(keys.len(), 2500, "{version}");
            assert!(
                found
                    .iter()
                    .all(|entry| entry.key[2..].as_bytes() == entry.value.as_deref().unwrap())
            );
        }
        client.delete_bucket("many").await.unwrap();
    }
}
