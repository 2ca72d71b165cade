//! Connecting, and failing to: addresses, credentials, TLS, servers that are down, and connections
//! made by async-nats.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[cfg(feature = "async-nats-interop")]
mod adopted;
mod credentials;
#[path = "../support/jwt.rs"]
mod jwt;
mod lifetime;
#[path = "../support/refused.rs"]
mod refused;
mod tls;

use std::{fs, path::PathBuf, time::Duration};

use harness::{Cluster, LATEST, NatsServer};
use shizuku::{
    Client, ConnectError, ConnectOptions, ConnectionState, Store,
    kv::{BucketError, ServiceError},
};

const PATIENCE: Duration = Duration::from_secs(30);

async fn works(client: &Client) -> Store {
    let store = client.create_bucket("connect").await.unwrap();
    store.put("key", "value").await.unwrap();
    store
}

/// URLs for every transport in this build.
fn ways(url: &str) -> Vec<String> {
    let web = cfg!(feature = "web").then(|| format!("web+{url}"));
    [url.to_owned()].into_iter().chain(web).collect()
}

/// A server that is down: nothing listens at its address, and its ports stay reserved.
async fn down() -> NatsServer {
    let server = NatsServer::start_default().await.unwrap();
    server.stop().await.unwrap();
    server
}

#[tokio::test]
async fn bad_addresses_fail_before_anything_is_sent() {
    for url in [
        "",
        " ",
        "http://127.0.0.1",
        "nats://",
        "nats://127.0.0.1:port",
        "memory:shared",
        "memory://x",
        "nats://127.0.0.1:4222,http://127.0.0.1",
    ] {
        assert_refused!(shizuku::connect(url).await, ConnectError::InvalidUrl { .. });
    }
    for (url, hint) in [
        ("memory", "use `memory:` or an address"),
        ("--url", "use `memory:` or an address"),
        ("", "it is empty"),
    ] {
        let error = shizuku::connect(url).await.unwrap_err().to_string();
        assert!(error.contains(hint), "{error}");
    }
    let secret = shizuku::connect("nats://user:secret@127.0.0.1:port").await;
    assert!(!secret.unwrap_err().to_string().contains("secret"));
}

#[tokio::test]
async fn bad_options_fail_before_anything_is_sent() {
    for options in [
        ConnectOptions::new().connect_timeout(Duration::ZERO),
        ConnectOptions::new().connect_timeout(Duration::MAX),
        ConnectOptions::new().request_timeout(Duration::ZERO),
        ConnectOptions::new().request_timeout(Duration::MAX),
        ConnectOptions::new().domain("a b"),
        ConnectOptions::new().domain(""),
        ConnectOptions::new().api_prefix("$JS.*"),
        ConnectOptions::new().inbox_prefix("_INBOX."),
    ] {
        assert_refused!(
            options.connect("nats://127.0.0.1:1").await,
            ConnectError::InvalidOption(_)
        );
    }
}

#[cfg(feature = "web")]
#[tokio::test]
async fn certificate_options_are_refused_by_the_web_transport() {
    for (name, options) in [
        (
            "root_certificates",
            ConnectOptions::new().root_certificates("ca.pem"),
        ),
        (
            "client_certificate",
            ConnectOptions::new().client_certificate("client.pem", "key.pem"),
        ),
    ] {
        assert_refused!(
            options.connect("web+nats://127.0.0.1:1").await,
            ConnectError::InvalidOption(error) if error.option == name
        );
    }
}

#[tokio::test]
async fn timeouts_may_be_a_year_long() {
    let year = Duration::from_secs(365 * 24 * 60 * 60);
    let server = NatsServer::start_default().await.unwrap();
    for url in ways(&server.url()) {
        let options = ConnectOptions::new();
        let patient = options.connect_timeout(year).request_timeout(year);
        let client = patient.connect(url).await.unwrap();
        let store = works(&client).await;
        assert_eq!(store.get_many("*").await.unwrap().len(), 1);
        client.close().await.unwrap();
    }
}

#[test]
fn connecting_without_a_runtime_is_an_error_not_a_panic() {
    let connected = futures::executor::block_on(shizuku::connect("nats://127.0.0.1:1"));
    assert!(matches!(
        connected,
        Err(ConnectError::Service(ServiceError::NoRuntime))
    ));
}

#[tokio::test]
async fn a_server_that_is_down_at_the_start_is_unreachable() {
    let server = down().await;
    assert_refused!(
        shizuku::connect(server.url()).await,
        ConnectError::Unreachable { .. }
    );
}

#[tokio::test]
async fn the_first_connect_can_be_retried_and_calls_wait_for_it() {
    let server = down().await;
    let client = ConnectOptions::new()
        .retry_first_connect(true)
        .request_timeout(Duration::from_millis(300))
        .connect(server.url())
        .await
        .unwrap();
    assert_refused!(
        client.create_bucket("b").await,
        BucketError::Service(ServiceError::Disconnected { .. })
    );
    server.restart().await.unwrap();
    let mut connection = client.connection();
    let connected = connection.wait_for(|now| now.state == ConnectionState::Connected);
    tokio::time::timeout(PATIENCE, connected)
        .await
        .expect("it should connect")
        .unwrap();
    works(&client).await;
}

#[tokio::test]
async fn an_address_without_a_scheme_is_a_server() {
    let server = NatsServer::start_default().await.unwrap();
    let url = server.url();
    let bare = url.strip_prefix("nats://").unwrap();
    works(&shizuku::connect(bare).await.unwrap()).await;
}

#[tokio::test]
async fn one_of_several_servers_is_enough() {
    let (dead, alive) = (down().await, NatsServer::start_default().await.unwrap());
    let url = format!("{}, {}", dead.url(), alive.url());
    works(&shizuku::connect(url).await.unwrap()).await;
}

#[tokio::test]
async fn the_server_lists_the_clients_name() {
    let server = NatsServer::start_default().await.unwrap();
    let billing = ConnectOptions::new().name("billing");
    let _client = billing.connect(server.url()).await.unwrap();
    let connections = server.monitor("/connz").await.unwrap();
    assert_eq!(connections["connections"][0]["name"], "billing");
}

#[tokio::test]
async fn replies_use_the_inbox_prefix() {
    let config = r#"authorization { users = [{
        user: ann, password: ann, permissions: { subscribe: { allow: ["ann.>"] } }
    }] }"#;
    let server = NatsServer::builder().config(config).start().await.unwrap();
    let ann = || {
        ConnectOptions::new()
            .user_and_password("ann", "ann")
            .request_timeout(Duration::from_secs(2))
    };
    let store = works(
        &ann()
            .inbox_prefix("ann")
            .connect(server.url())
            .await
            .unwrap(),
    )
    .await;
    let watch = store.watch_all().await.unwrap();
    let entry = tokio::time::timeout(PATIENCE, watch.next()).await.unwrap();
    assert_eq!(entry.unwrap().unwrap().key, "key");
    let elsewhere = ann().connect(server.url()).await.unwrap();
    assert_refused!(
        elsewhere.create_bucket("other").await,
        BucketError::Service(ServiceError::PermissionDenied { .. })
    );
}

#[tokio::test]
async fn other_servers_of_a_cluster_are_used_unless_ignored() {
    let cluster = Cluster::start(3, LATEST).await.unwrap();
    let first = cluster.node(0);
    let connect = |ignore| {
        ConnectOptions::new()
            .ignore_discovered_servers(ignore)
            .connect(first.url())
    };
    let (free, bound) = (connect(false).await.unwrap(), connect(true).await.unwrap());
    let connected = async |client: &Client| {
        let mut connection = client.connection();
        let again =
            connection.wait_for(|now| now.epoch > 1 && now.state == ConnectionState::Connected);
        drop(
            tokio::time::timeout(PATIENCE, again)
                .await
                .unwrap()
                .unwrap(),
        );
    };
    first.kill().unwrap();
    connected(&free).await;
    assert_eq!(bound.connection().current().epoch, 1);
    first.restart().await.unwrap();
    connected(&bound).await;
}

#[tokio::test]
async fn websocket_works_natively_too() {
    let server = NatsServer::builder().websocket(true).start().await.unwrap();
    works(&shizuku::connect(server.ws_url()).await.unwrap()).await;
}

/// A private folder for a test.
fn tempdir(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("shizuku-{name}-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    folder
}
