//! Ways in, and what happens at a door that is shut: addresses, credentials, TLS, servers that are
//! down, and connections that async-nats made.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use harness::{LATEST, NatsServer};
use shizuku::{
    Client, ConnectError, ConnectOptions, ConnectionState, Credentials, Store,
    kv::{BucketError, KvWriteError, ServiceError},
};

const PATIENCE: Duration = Duration::from_secs(30);

async fn works(client: &Client) -> Store {
    let store = client.create_bucket("connect").await.unwrap();
    store.put("key", "value").await.unwrap();
    store
}

/// An address at which nothing listens: a server was there, and its ports stay reserved.
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
        let error = shizuku::connect(url).await.unwrap_err();
        assert!(
            matches!(error, ConnectError::InvalidUrl { .. }),
            "{url}: {error:?}"
        );
    }
    let secret = shizuku::connect("nats://user:secret@127.0.0.1:port").await;
    assert!(!secret.unwrap_err().to_string().contains("secret"));
}

#[tokio::test]
async fn bad_options_fail_before_anything_is_sent() {
    for options in [
        ConnectOptions::new().connect_timeout(Duration::ZERO),
        ConnectOptions::new().request_timeout(Duration::ZERO),
        ConnectOptions::new().domain("a b"),
        ConnectOptions::new().domain(""),
        ConnectOptions::new().api_prefix("$JS.*"),
        ConnectOptions::new().inbox_prefix("_INBOX."),
    ] {
        let error = options.connect("nats://127.0.0.1:1").await.unwrap_err();
        assert!(matches!(error, ConnectError::InvalidOption(_)), "{error:?}");
    }
}

#[test]
fn without_a_runtime_there_is_an_error_and_no_panic() {
    let connected = futures::executor::block_on(shizuku::connect("nats://127.0.0.1:1"));
    assert!(matches!(
        connected,
        Err(ConnectError::Service(ServiceError::NoRuntime))
    ));
}

#[tokio::test]
async fn a_server_that_is_down_at_the_start_is_unreachable() {
    let server = down().await;
    let error = shizuku::connect(server.url()).await.unwrap_err();
    assert!(
        matches!(error, ConnectError::Unreachable { .. }),
        "{error:?}"
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
    let error = client.create_bucket("b").await.unwrap_err();
    assert!(
        matches!(
            error,
            BucketError::Service(ServiceError::Disconnected { .. })
        ),
        "{error:?}"
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
async fn one_of_several_servers_is_enough() {
    let (dead, alive) = (down().await, NatsServer::start_default().await.unwrap());
    let url = format!("{}, {}", dead.url(), alive.url());
    works(&shizuku::connect(url).await.unwrap()).await;
}

#[tokio::test]
async fn users_tokens_and_nkeys_get_in_and_wrong_ones_do_not() {
    let pair = nkeys::KeyPair::new_user();
    let seed = pair.seed().unwrap();
    let stranger = nkeys::KeyPair::new_user().seed().unwrap();
    let by_nkey = format!(
        "authorization {{ users: [ {{ nkey: {} }} ] }}",
        pair.public_key()
    );
    let server = |builder: harness::Builder| async { builder.start().await.unwrap() };
    let new = ConnectOptions::new;
    let nkey = |seed| Credentials::NKey { seed };
    for (server, right, wrong) in [
        (
            server(NatsServer::builder().auth("ann", "pass")).await,
            new().user_and_password("ann", "pass"),
            new().user_and_password("ann", "secret"),
        ),
        (
            server(NatsServer::builder().token("t0k3n")).await,
            new().token("t0k3n"),
            new().token("secret"),
        ),
        (
            server(NatsServer::builder().config(by_nkey)).await,
            new().credentials(nkey(seed)),
            new().credentials(nkey(stranger)),
        ),
    ] {
        works(&right.connect(server.url()).await.unwrap()).await;
        for refused in [wrong, new()] {
            let error = refused.connect(server.url()).await.unwrap_err();
            assert!(
                matches!(error, ConnectError::Authentication { .. }),
                "{error:?}"
            );
            assert!(!format!("{error:?}").contains("secret"));
        }
    }
    let broken = new().credentials(nkey("not a seed".into()));
    let server = server(NatsServer::builder().token("x")).await;
    let error = broken.connect(server.url()).await.unwrap_err();
    assert!(
        matches!(error, ConnectError::Authentication { .. }),
        "{error:?}"
    );
}

#[tokio::test]
async fn credentials_are_asked_for_at_every_connect() {
    let server = NatsServer::builder().token("t").start().await.unwrap();
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    let client = ConnectOptions::new()
        .credentials_from(move || {
            count.fetch_add(1, Ordering::Relaxed);
            async { Ok(Credentials::Token("t".into())) }
        })
        .connect(server.url())
        .await
        .unwrap();
    let before = asked.load(Ordering::Relaxed);
    let mut connection = client.connection();
    let epoch = connection.borrow_and_update().epoch;
    server.stop().await.unwrap();
    server.restart().await.unwrap();
    let again =
        connection.wait_for(|now| now.epoch > epoch && now.state == ConnectionState::Connected);
    tokio::time::timeout(PATIENCE, again)
        .await
        .expect("it should reconnect")
        .unwrap();
    assert!(asked.load(Ordering::Relaxed) > before);
}

#[tokio::test]
async fn tls_with_a_root_of_ones_own() {
    let folder = tempdir();
    let names = vec!["localhost".to_string(), "127.0.0.1".to_string()];
    let made = rcgen::generate_simple_self_signed(names).unwrap();
    let (cert, key) = (folder.join("cert.pem"), folder.join("key.pem"));
    fs::write(&cert, made.cert.pem()).unwrap();
    fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let config = format!(
        "tls {{ cert_file: {:?}, key_file: {:?} }}",
        cert.display().to_string(),
        key.display().to_string()
    );
    let server = NatsServer::builder().config(config).start().await.unwrap();
    let url = server.url().replace("nats://", "tls://");

    let trusting = ConnectOptions::new().root_certificates(&cert);
    works(&trusting.connect(&url).await.unwrap()).await;
    let error = shizuku::connect(&url).await.unwrap_err();
    assert!(
        matches!(
            error,
            ConnectError::Unreachable { .. } | ConnectError::Tls { .. }
        ),
        "{error:?}"
    );
    let missing = ConnectOptions::new().root_certificates(folder.join("none.pem"));
    let error = missing.connect(&url).await.unwrap_err();
    assert!(
        matches!(
            error,
            ConnectError::Unreachable { .. } | ConnectError::Tls { .. }
        ),
        "{error:?}"
    );
    fs::remove_dir_all(folder).unwrap();
}

fn tempdir() -> std::path::PathBuf {
    let folder = std::env::temp_dir().join(format!("shizuku-tls-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    folder
}

#[tokio::test]
async fn websocket_works_natively_too() {
    let server = NatsServer::builder().websocket(true).start().await.unwrap();
    works(&shizuku::connect(server.ws_url()).await.unwrap()).await;
}

#[tokio::test]
async fn a_connection_of_async_nats_can_be_adopted() {
    let server = NatsServer::start_default().await.unwrap();
    let nats = async_nats::connect(server.url()).await.unwrap();
    let context = async_nats::jetstream::new(nats.clone());
    works(&Client::try_from(context).unwrap()).await;
    let client = Client::try_from(nats).unwrap();
    let store = works(&client).await;

    let watch = store.watch("key").await.unwrap();
    let mut connection = client.connection();
    let epoch = connection.borrow_and_update().epoch;
    server.kill().unwrap();
    server.restart().await.unwrap();
    let again =
        connection.wait_for(|now| now.epoch > epoch && now.state == ConnectionState::Connected);
    tokio::time::timeout(PATIENCE, again)
        .await
        .expect("the reconnect should be noticed")
        .unwrap();
    store.put("key", "after").await.unwrap();
    let seen = async {
        while let Some(entry) = watch.next().await {
            if entry.unwrap().value.as_deref() == Some(b"after") {
                return;
            }
        }
        panic!("the watch ended");
    };
    tokio::time::timeout(PATIENCE, seen).await.unwrap();
}

#[tokio::test]
async fn closing_lets_through_what_is_under_way_and_nothing_after() {
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
    let error = store.put("late", "x").await.unwrap_err();
    assert!(
        matches!(error, KvWriteError::Service(ServiceError::Closed)),
        "{error:?}"
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
