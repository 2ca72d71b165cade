//! Lost connections and restarted servers: nothing acknowledged is lost, nothing is delivered
//! twice, and vanished keys are reported.

use std::{collections::HashMap, time::Duration};

use harness::{LATEST, NatsServer, V2_10, V2_11};
use shizuku::{
    ConnectOptions, ConnectionState,
    kv::{
        BucketConfig, Deliver, KeyValueRead, KvReadError, KvWriteError, LiveStatus, Operation,
        PutOptions, RemoveOptions, ServiceError, WatchEvent, WatchOptions,
    },
};

use crate::{
    admin, assert_refused, change, consumers, current, entry, event, interrupted, next,
    proxy::Proxy, server, until,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_server_loses_no_acknowledged_write() {
    for version in [LATEST, V2_10] {
        let server = server(version).await;
        let client = ConnectOptions::new()
            .request_timeout(Duration::from_secs(2))
            .connect(server.url())
            .await
            .unwrap();
        let mut config = BucketConfig::new("b");
        config.history = 64; // a duplicated write would show
        let store = client.create_bucket(config).await.unwrap();
        let watch = store.watch_all().await.unwrap();
        current(&watch).await;

        let writer = {
            let store = store.clone();
            tokio::spawn(async move {
                let mut outcomes = HashMap::new();
                let mut after = 0;
                for n in 0.. {
                    let key = format!("k.{n}");
                    let outcome = store.put(&key, key.clone()).await;
                    after += usize::from(outcome.is_ok() && outcomes.values().any(Result::is_err));
                    outcomes.insert(key, outcome);
                    // Continues for a while after the server is back.
                    if after > 200 {
                        break;
                    }
                }
                store.put("end", "x").await.unwrap();
                outcomes
            })
        };
        tokio::time::sleep(Duration::from_millis(300)).await;
        for _ in 0..2 {
            server.kill().unwrap();
            tokio::time::sleep(Duration::from_millis(200)).await;
            server.restart().await.unwrap();
            tokio::time::sleep(Duration::from_millis(700)).await;
        }

        let mut seen = HashMap::new();
        let (mut breaks, mut currents) = (0, 0);
        loop {
            match event(&watch).await {
                WatchEvent::Entry(entry) if entry.key == "end" => break,
                WatchEvent::Entry(entry) => {
                    let twice = seen.insert(entry.key.to_string(), entry.revision);
                    assert_eq!(twice, None, "{version} {}", entry.key);
                }
                WatchEvent::Interrupted => breaks += 1,
                WatchEvent::Current => currents += 1,
                _ => {}
            }
        }
        let outcomes = writer.await.unwrap();
        assert!(breaks >= 1 && breaks >= currents, "{breaks} {currents}");
        let mut unknown = 0;
        for (key, outcome) in &outcomes {
            match outcome {
                Ok(revision) => assert_eq!(seen.get(key), Some(revision), "{version} {key}"),
                Err(KvWriteError::OutcomeUnknown { .. }) => unknown += 1,
                Err(error) => assert!(!seen.contains_key(key), "{version} {key} {error}"),
            }
        }
        // At most one write was in flight at each kill.
        assert!(unknown <= 2, "{unknown}");
        let status = store.status().await.unwrap();
        assert_eq!(status.values, seen.len() as u64 + 1, "{version}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watch_reports_keys_that_vanished_while_disconnected() {
    let server = server(V2_11).await;
    let proxy = Proxy::start(&server.url()).await;
    let writer = shizuku::connect(server.url()).await.unwrap();
    let written = writer.create_bucket("b").await.unwrap();
    let ttl = PutOptions::new().ttl(Duration::from_secs(1));

    let client = shizuku::connect(&proxy.url).await.unwrap();
    let store = client.open_bucket("b").await.unwrap();
    for key in ["stays", "changes", "deleted", "purged"] {
        written.put(key, "1").await.unwrap();
    }
    let watch = store.watch_all().await.unwrap();
    for _ in 0..4 {
        entry(&watch).await;
    }
    current(&watch).await;
    let expiring = written.put_with("expires", "1", ttl.clone()).await.unwrap();
    assert_eq!(entry(&watch).await.revision, expiring);

    proxy.cut();
    interrupted(&watch).await;
    written.put("changes", "2").await.unwrap();
    written
        .remove_with("deleted", RemoveOptions::delete())
        .await
        .unwrap();
    let purge = RemoveOptions::purge().marker_ttl(Duration::from_secs(1));
    written.remove_with("purged", purge).await.unwrap();
    written.put_with("short", "1", ttl).await.unwrap(); // created and expired unseen
    // Until all markers are gone, too.
    until("the markers are gone", || async {
        let status = written.status().await.unwrap();
        status.keys == 3
    })
    .await;
    proxy.mend();

    let mut seen = Vec::new();
    loop {
        match event(&watch).await {
            WatchEvent::Entry(entry) => {
                seen.push((entry.key.to_string(), entry.operation, entry.revision));
            }
            WatchEvent::Current => break,
            other => panic!("{other:?}"),
        }
    }
    let mut found: Vec<_> = seen
        .iter()
        .map(|(key, operation, _)| (key.as_str(), *operation))
        .collect();
    found.sort_by_key(|(key, _)| *key);
    assert_eq!(
        found,
        [
            ("changes", Operation::Put),
            ("deleted", Operation::Delete),
            ("expires", Operation::Vanish),
            ("purged", Operation::Vanish),
        ]
    );
    let last = written.status().await.unwrap().last_revision;
    for (key, operation, revision) in seen {
        assert!(
            operation != Operation::Vanish || revision == last,
            "{key} {revision} {last}"
        );
    }
    // The watch continues, even with a key that comes back.
    let put = written.put("expires", "2").await.unwrap();
    assert_eq!(entry(&watch).await.revision, put);
    drop(watch);
    let admin = admin(&server.url()).await;
    until("no consumer is left", || async {
        consumers(&admin, "b").await.is_empty()
    })
    .await;
}

/// Resuming a watch must not require a second consumer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watch_resumes_with_a_limit_of_one_consumer() {
    let server = server(LATEST).await;
    let proxy = Proxy::start(&server.url()).await;
    let written = shizuku::connect(server.url()).await.unwrap();
    let written = written.create_bucket("b").await.unwrap();
    let admin = admin(&server.url()).await;
    let stream = admin.get_stream("KV_b").await.unwrap();
    let changed = change(&admin, "KV_b", |stream| stream.max_consumers = 1).await;
    changed.unwrap();
    for key in ["stays", "vanishes"] {
        written.put(key, "1").await.unwrap();
    }
    let store = shizuku::connect(&proxy.url).await.unwrap();
    let store = store.open_bucket("b").await.unwrap();
    let watch = store.watch_all().await.unwrap();
    for _ in 0..2 {
        entry(&watch).await;
    }
    current(&watch).await;

    proxy.cut();
    interrupted(&watch).await;
    stream.purge().filter("$KV.b.vanishes").await.unwrap();
    proxy.mend();
    let gone = entry(&watch).await;
    assert_eq!(
        (gone.key.as_str(), gone.operation),
        ("vanishes", Operation::Vanish)
    );
    current(&watch).await;
    assert!(consumers(&admin, "b").await.len() <= 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn updates_only_never_replays_earlier_values() {
    let server = server(LATEST).await;
    let proxy = Proxy::start(&server.url()).await;
    let writer = shizuku::connect(server.url()).await.unwrap();
    for first in [false, true] {
        // Once with an existing revision in the bucket, once with none.
        let name = format!("b{first}");
        let written = writer.create_bucket(&*name).await.unwrap();
        if first {
            written.put("old", "1").await.unwrap();
        }
        let client = shizuku::connect(&proxy.url).await.unwrap();
        let store = client.open_bucket(&name).await.unwrap();
        let updates = WatchOptions::new().deliver(Deliver::Updates);
        let watch = store.watch_with(">", updates).await.unwrap();
        current(&watch).await;
        proxy.cut();
        interrupted(&watch).await;
        let new = written.put("new", "1").await.unwrap();
        proxy.mend();
        let seen = entry(&watch).await;
        assert_eq!((seen.key.as_str(), seen.revision), ("new", new));
        current(&watch).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watch_restarts_on_a_bucket_recreated_while_disconnected() {
    let server = server(LATEST).await;
    let proxy = Proxy::start(&server.url()).await;
    let writer = shizuku::connect(server.url()).await.unwrap();
    let written = writer.create_bucket("b").await.unwrap();
    for n in 0..10 {
        written.put("old", n.to_string()).await.unwrap();
    }
    written.put("both", "1").await.unwrap();
    let client = shizuku::connect(&proxy.url).await.unwrap();
    let store = client.open_bucket("b").await.unwrap();
    let watch = store.watch_all().await.unwrap();
    entry(&watch).await;
    entry(&watch).await;
    current(&watch).await;

    proxy.cut();
    interrupted(&watch).await;
    writer.delete_bucket("b").await.unwrap();
    let written = writer.create_bucket("b").await.unwrap();
    written.put("both", "2").await.unwrap();
    written.put("new", "1").await.unwrap();
    proxy.mend();

    let mut seen = Vec::new();
    for _ in 0..3 {
        let entry = entry(&watch).await;
        seen.push((entry.key.to_string(), entry.operation));
    }
    seen.sort_by(|a, b| a.0.cmp(&b.0));
    let wanted = [
        ("both", Operation::Put),
        ("new", Operation::Put),
        ("old", Operation::Vanish),
    ];
    assert_eq!(
        seen,
        wanted.map(|(key, operation)| (key.to_owned(), operation))
    );
    current(&watch).await;
    let put = written.put("new", "2").await.unwrap();
    assert_eq!(entry(&watch).await.revision, put);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deleting_a_bucket_ends_its_watches() {
    let server = server(LATEST).await;
    let client = shizuku::connect(server.url()).await.unwrap();
    let store = client.create_bucket("b").await.unwrap();
    let watch = store.watch_all().await.unwrap();
    current(&watch).await;
    client.delete_bucket("b").await.unwrap();
    interrupted(&watch).await;
    assert_refused!(
        next(&watch).await,
        KvReadError::Service(ServiceError::BucketNotFound { bucket })
            if bucket == "b"
    );
    assert!(watch.next_event().await.is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn closing_a_client_ends_its_watches() {
    let server = server(LATEST).await;
    let client = shizuku::connect(server.url()).await.unwrap();
    let store = client.create_bucket("b").await.unwrap();
    let watch = store.watch_all().await.unwrap();
    current(&watch).await;
    client.close().await.unwrap();
    assert_refused!(
        next(&watch).await,
        KvReadError::Service(ServiceError::Closed)
    );
    assert_refused!(
        store.put("a", "1").await,
        KvWriteError::Service(ServiceError::Closed)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn live_values_survive_a_disconnection() {
    let server = server(LATEST).await;
    let proxy = Proxy::start(&server.url()).await;
    let writer = shizuku::connect(server.url()).await.unwrap();
    let written = writer.create_bucket("b").await.unwrap();
    for key in ["n.changes", "n.goes", "n.stays"] {
        written.put(key, "1").await.unwrap();
    }
    let client = shizuku::connect(&proxy.url).await.unwrap();
    let store = client.open_bucket("b").await.unwrap();
    let mut live = String::live(&store, "n.changes").await.unwrap();
    let mut map = String::live_map(&store, "n.*").await.unwrap();
    assert_eq!((live.status(), map.len()), (LiveStatus::Current, 3));

    proxy.cut();
    assert_eq!(live.status_changed().await, LiveStatus::Interrupted);
    assert_eq!(map.status_changed().await, LiveStatus::Interrupted);
    written.put("n.changes", "2").await.unwrap();
    written.put("n.new", "1").await.unwrap();
    let purge = RemoveOptions::purge().marker_ttl(Duration::from_secs(1));
    written.remove_with("n.goes", purge).await.unwrap();
    until("the marker is gone", || async {
        written.status().await.unwrap().keys == 3
    })
    .await;
    assert_eq!(*live.get().unwrap(), "1", "the last known one stands");
    proxy.mend();

    assert_eq!(*live.changed().await.unwrap().unwrap(), "2");
    assert_eq!(map.status_changed().await, LiveStatus::Current);
    assert_eq!(map.keys(), ["n.changes", "n.new", "n.stays"]);
    assert_eq!(
        map.get("n.changes").as_deref().map(String::as_str),
        Some("2")
    );
    while live.status() != LiveStatus::Current {
        live.status_changed().await;
    }
    written.put("n.changes", "3").await.unwrap();
    assert_eq!(*live.changed().await.unwrap().unwrap(), "3");
}

/// As when a network drops a connection silently, or a machine loses power.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_connection_is_replaced() {
    let server = server(LATEST).await;
    let proxy = Proxy::start(&server.url()).await;
    let client = shizuku::connect(&proxy.url).await.unwrap();
    let store = client.create_bucket("b").await.unwrap();
    store.put("a", "1").await.unwrap();
    let mut connection = client.connection();
    let epoch = connection.current().epoch;
    proxy.silence();
    let replaced = connection.wait_for(|now| now.epoch > epoch);
    let replaced = tokio::time::timeout(crate::PATIENCE, replaced).await;
    replaced.expect("half a minute is enough").unwrap();
    store.put("a", "2").await.unwrap();
}

/// A request on a dead connection gets no reply, and must not wait for one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reads_of_many_keys_fail_with_their_connection() {
    let server = server(LATEST).await;
    let proxy = Proxy::start(&server.url()).await;
    for url in [proxy.url.clone(), format!("web+{}", proxy.url)] {
        read_while_cut(&server, &proxy, &url).await;
    }
}

async fn read_while_cut(server: &NatsServer, proxy: &Proxy, url: &str) {
    let client = shizuku::connect(url).await.unwrap();
    let store = client.create_bucket("b").await.unwrap();
    store.put("a", "1").await.unwrap();
    server.pause().unwrap();
    let reader = store.clone();
    let many = tokio::spawn(async move { reader.get_many(["a", "b"]).await });
    tokio::time::sleep(Duration::from_millis(300)).await;
    proxy.cut();
    let many = tokio::time::timeout(Duration::from_secs(3), many).await;
    assert_refused!(
        many.unwrap().unwrap(),
        KvReadError::Service(ServiceError::Disconnected { .. })
    );
    server.resume().unwrap();
    // A request without a connection waits for one.
    let mut connection = client.connection();
    let cut = connection.wait_for(|now| now.state == ConnectionState::Disconnected);
    let cut = tokio::time::timeout(Duration::from_secs(3), cut).await;
    drop(cut.unwrap().unwrap());
    let many = tokio::spawn(async move { store.get_many(["a", "b"]).await });
    tokio::time::sleep(Duration::from_millis(300)).await;
    proxy.mend();
    assert_eq!(many.await.unwrap().unwrap().len(), 1, "{url}");
}
