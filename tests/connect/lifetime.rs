//! How connections end.

use std::time::Duration;

use harness::{LATEST, NatsServer};
use shizuku::{
    ConnectionState, ConnectionStatus, Store, WithCauses,
    kv::{
        BoxError, BucketError, KeyValueRead, KvReadError, KvWriteError, ServiceError, WatchEvent,
        lock::LockOptions, rw_lock::DistroRwLock,
    },
};
use tokio::runtime::Runtime;

use crate::{assert_refused, ways, works};

#[tokio::test]
async fn closing_completes_writes_in_flight_and_refuses_later_ones() {
    let server = NatsServer::builder().version(LATEST).start().await.unwrap();
    let client = shizuku::connect(server.url()).await.unwrap();
    let store = works(&client).await;
    let watch = store.watch_all().await.unwrap();

    let writes: Vec<_> = (0..200)
        .map(|i| {
            let store = store.clone();
            tokio::spawn(async move { store.put(format!("under-way.{i}"), "x").await })
        })
        .collect();
    tokio::task::yield_now().await;
    drop(watch);
    client.close().await.unwrap();
    let mut written = 0;
    for write in writes {
        match write.await.unwrap() {
            Ok(_) => written += 1,
            Err(KvWriteError::Service(ServiceError::Closed)) => {}
            Err(error) => panic!("neither written nor refused: {error:?}"),
        }
    }
    assert_refused!(
        store.put("late", "x").await,
        KvWriteError::Service(ServiceError::Closed)
    );
    client.close().await.unwrap();

    let again = shizuku::connect(server.url()).await.unwrap();
    let there = again.open_bucket("connect").await.unwrap();
    assert_eq!(
        there.get_many("under-way.*").await.unwrap().len(),
        written,
        "what was acknowledged is there, and nothing else"
    );
}

/// A connection lives exactly as long as it is in use.
#[tokio::test]
async fn the_last_handle_closes_the_connection() {
    let server = NatsServer::start_default().await.unwrap();
    let connections = async || {
        let status = server.monitor("/varz").await.unwrap();
        status["connections"].as_u64().unwrap()
    };
    for url in ways(&server.url()) {
        let client = shizuku::connect(&url).await.unwrap();
        let store = works(&client).await;
        let watch = store.watch_all().await.unwrap();
        let live = String::live(&store, "key").await.unwrap();
        let lock = DistroRwLock::new(&store, "job").unwrap();
        let guard = lock.write().await.unwrap();
        drop((client, store, lock, guard));
        // A watch still uses it.
        while watch.next().await.unwrap().unwrap().key != "key" {}
        assert_eq!(connections().await, 1, "{url}");
        drop((watch, live));
        let closed = async {
            while connections().await > 0 {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let closed = tokio::time::timeout(Duration::from_secs(10), closed).await;
        closed.unwrap_or_else(|_| panic!("{url} is still connected"));
    }
}

/// Runs calls in a thread without a runtime.
async fn without_a_runtime<T: Send + 'static>(
    calls: impl Future<Output = T> + Send + 'static,
) -> T {
    let elsewhere = std::thread::spawn(|| futures::executor::block_on(calls));
    tokio::task::spawn_blocking(|| elsewhere.join().unwrap())
        .await
        .unwrap()
}

/// Calls from a thread without a runtime return an error instead of panicking.
#[tokio::test]
async fn calls_without_a_runtime_are_refused() {
    let server = NatsServer::start_default().await.unwrap();
    let mut urls = ways(&server.url());
    urls.push("memory:".to_owned());
    for url in urls {
        let client = shizuku::connect(&url).await.unwrap();
        let store = works(&client).await;
        let is_memory = url == "memory:";
        let calls = async move {
            let refused = |error: BoxError| {
                let error = WithCauses(&*error).to_string();
                assert!(error.contains("from within a tokio runtime"), "{error}");
            };
            if !is_memory {
                refused(store.put("a", "1").await.unwrap_err().into());
                refused(store.get("a").await.unwrap_err().into());
                refused(store.status().await.unwrap_err().into());
                refused(store.keys().await.map(drop).unwrap_err().into());
                refused(store.watch("a").await.unwrap_err().into());
                refused(client.create_bucket("other").await.unwrap_err().into());
                refused(client.close().await.unwrap_err().into());
            }
            refused(String::live(&store, "a").await.unwrap_err().into());
            for options in [
                LockOptions::new(),
                LockOptions::new().timeout(Duration::from_secs(1)),
            ] {
                let lock = DistroRwLock::with_options(&store, "job", options).unwrap();
                refused(lock.write().await.unwrap_err().into());
            }
        };
        without_a_runtime(calls).await;
    }
}

#[tokio::test]
async fn a_refused_close_releases_nothing() {
    let server = NatsServer::start_default().await.unwrap();
    for url in ways(&server.url()) {
        let client = shizuku::connect(&url).await.unwrap();
        let lock = DistroRwLock::new(&works(&client).await, "job").unwrap();
        let guard = lock.write().await.unwrap();
        let client = without_a_runtime(async {
            let closed = client.close().await;
            assert!(matches!(closed, Err(ServiceError::NoRuntime)));
            client
        })
        .await;
        assert!(guard.is_held(), "{url}");
        guard.release().await.unwrap();
        lock.write().await.unwrap().release().await.unwrap();
        client.close().await.unwrap();
    }
}

/// Also where a call would first wait for a connection.
#[tokio::test]
async fn calls_without_a_runtime_are_refused_while_disconnected() {
    let server = NatsServer::start_default().await.unwrap();
    for url in ways(&server.url()) {
        let client = shizuku::connect(&url).await.unwrap();
        let store = works(&client).await;
        store.get_many("key").await.unwrap();
        server.stop().await.unwrap();
        let mut connection = client.connection();
        let lost = |now: &ConnectionStatus| now.state == ConnectionState::Disconnected;
        connection.wait_for(lost).await.unwrap();
        without_a_runtime(async move {
            let error = store.get_many("key").await.unwrap_err();
            let is_refused = matches!(error, KvReadError::Service(ServiceError::NoRuntime));
            assert!(is_refused, "{url}: {error}");
        })
        .await;
        server.restart().await.unwrap();
    }
}

/// A store whose connection runs in another runtime.
async fn in_another_runtime(url: String) -> (Runtime, Store) {
    let other = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let made = other.spawn(async move {
        let client = shizuku::connect(&url).await.unwrap();
        works(&client).await
    });
    let store = made.await.unwrap();
    (other, store)
}

/// A connection runs in the runtime that created it, as in tests.
#[tokio::test]
async fn a_client_is_closed_when_its_runtime_ends() {
    let server = NatsServer::start_default().await.unwrap();
    for url in ways(&server.url()) {
        let (other, store) = in_another_runtime(url).await;
        other.shutdown_background();
        // With async-nats, the first request notices.
        for _ in 0..100 {
            if store.get("key").await.unwrap_err().to_string() == ServiceError::Closed.to_string() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert_refused!(
            store.put("key", "1").await,
            KvWriteError::Service(ServiceError::Closed)
        );
        assert_refused!(
            store.status().await,
            BucketError::Service(ServiceError::Closed)
        );
    }
}

/// Also those to which nothing was sent yet: a denied subscription looks the same.
#[tokio::test]
async fn reads_in_progress_end_when_their_runtime_ends() {
    let server = NatsServer::start_default().await.unwrap();
    for url in ways(&server.url()) {
        let (other, store) = in_another_runtime(url.clone()).await;
        let watch = store.watch("none").await.unwrap();
        while !matches!(watch.next_event().await, Some(Ok(WatchEvent::Current))) {}
        server.pause().unwrap();
        let reading = tokio::spawn(async move { store.get_many(["a", "b"]).await });
        tokio::time::sleep(Duration::from_millis(200)).await;
        other.shutdown_background();
        let many = reading.await.unwrap().map(drop);
        let next = watch.next().await.unwrap().map(drop);
        for (what, ended) in [("a batch", many), ("a watch", next)] {
            let error = ended.unwrap_err();
            let is_closed = matches!(error, KvReadError::Service(ServiceError::Closed));
            assert!(is_closed, "{what} {url}: {error}");
        }
        server.resume().unwrap();
    }
}

/// A write in flight at that time may have arrived.
#[tokio::test]
async fn writes_in_flight_are_unknown_when_their_runtime_ends() {
    let server = NatsServer::start_default().await.unwrap();
    for url in ways(&server.url()) {
        let (other, store) = in_another_runtime(url).await;
        server.pause().unwrap();
        let writing = tokio::spawn(async move { store.put("key", "later").await });
        tokio::time::sleep(Duration::from_millis(200)).await;
        other.shutdown_background();
        assert_refused!(writing.await.unwrap(), KvWriteError::OutcomeUnknown { .. });
        server.resume().unwrap();
    }
}
