//! Ways in, and what happens at a door that is shut: addresses, credentials, TLS, servers that are
//! down, and connections that async-nats made.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "support/jwt.rs"]
mod jwt;
#[path = "support/refused.rs"]
mod refused;

use std::{
    error::Error,
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use harness::{Cluster, LATEST, NatsServer};
use shizuku::{
    Client, ConnectError, ConnectOptions, ConnectionState, Credentials, Store,
    kv::{
        BoxError, BucketError, KeyValueRead, KvWriteError, ServiceError, lock::LockOptions,
        rw_lock::DistroRwLock,
    },
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
        assert_refused!(shizuku::connect(url).await, ConnectError::InvalidUrl { .. });
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

#[tokio::test]
async fn a_timeout_may_be_a_year_long() {
    let year = Duration::from_secs(365 * 24 * 60 * 60);
    let server = NatsServer::start_default().await.unwrap();
    let mut urls = vec![server.url()];
    if cfg!(feature = "web") {
        urls.push(format!("web+{}", server.url()));
    }
    for url in urls {
        let options = ConnectOptions::new();
        let patient = options.connect_timeout(year).request_timeout(year);
        let client = patient.connect(url).await.unwrap();
        let store = works(&client).await;
        assert_eq!(store.get_many("*").await.unwrap().len(), 1);
        client.close().await.unwrap();
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
            assert_refused!(
                refused.connect(server.url()).await,
                error @ ConnectError::Authentication { .. }
                    if !format!("{error:?}").contains("secret")
            );
        }
    }
    let broken = new().credentials(nkey("not a seed".into()));
    let server = server(NatsServer::builder().token("x")).await;
    assert_refused!(
        broken.connect(server.url()).await,
        ConnectError::Authentication { .. }
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

/// Credentials may come from a service that is away itself, for as long as the server is.
#[tokio::test]
async fn credentials_that_cannot_be_had_for_a_while_are_asked_for_again() {
    let server = NatsServer::builder().token("t").start().await.unwrap();
    let mut urls = vec![server.url()];
    if cfg!(feature = "web") {
        urls.push(format!("web+{}", server.url()));
    }
    for url in urls {
        let failing = Arc::new(AtomicUsize::new(0));
        let left = failing.clone();
        let client = ConnectOptions::new()
            .credentials_from(move || {
                let fails = left
                    .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
                        left.checked_sub(1)
                    })
                    .is_ok();
                async move {
                    match fails {
                        true => Err("the vault is sealed".into()),
                        false => Ok(Credentials::Token("t".into())),
                    }
                }
            })
            .connect(&url)
            .await
            .unwrap();
        let mut connection = client.connection();
        let epoch = connection.borrow_and_update().epoch;
        failing.store(4, Ordering::Relaxed);
        server.kill().unwrap();
        server.restart().await.unwrap();
        // All that async-nats tells.
        let why = match url.starts_with("nats:") {
            true => "failed signing nonce",
            false => "the vault is sealed",
        };
        let told = connection.wait_for(|now| {
            let reason = now.reason.as_deref().unwrap_or_default();
            now.state == ConnectionState::Disconnected && reason.contains(why)
        });
        let told = tokio::time::timeout(PATIENCE, told).await;
        drop(told.expect("it should be told why").unwrap());
        let again =
            connection.wait_for(|now| now.epoch > epoch && now.state == ConnectionState::Connected);
        tokio::time::timeout(PATIENCE, again)
            .await
            .expect("it should reconnect")
            .unwrap_or_else(|_| panic!("{url} gave up"));
        assert_eq!(failing.load(Ordering::Relaxed), 0);
        works(&client).await;
    }
}

/// A certificate that vouches for itself, and its key, as PEM files.
fn certificate(folder: &Path, name: &str) -> (PathBuf, PathBuf) {
    let names = vec!["localhost".to_string(), "127.0.0.1".to_string()];
    let made = rcgen::generate_simple_self_signed(names).unwrap();
    let file = |what| folder.join(format!("{name}-{what}.pem"));
    let (cert, key) = (file("cert"), file("key"));
    fs::write(&cert, made.cert.pem()).unwrap();
    fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    (cert, key)
}

#[tokio::test]
async fn tls_with_a_root_of_ones_own() {
    let folder = tempdir("tls");
    let (cert, key) = certificate(&folder, "server");
    let tls = format!("tls {{ cert_file: {cert:?}, key_file: {key:?} }}");
    let server = NatsServer::builder()
        .config(&tls)
        .websocket_config(&tls)
        .start()
        .await
        .unwrap();
    let url = server.url().replace("nats://", "tls://");
    let missing = folder.join("none.pem");
    for url in [url, server.ws_url().replace("ws://", "wss://")] {
        let trusting = ConnectOptions::new().root_certificates(&cert);
        works(&trusting.connect(&url).await.unwrap()).await;
        for options in [
            ConnectOptions::new(),
            ConnectOptions::new().root_certificates(&missing),
        ] {
            assert_refused!(
                options.connect(&url).await,
                ConnectError::Unreachable { .. } | ConnectError::Tls { .. }
            );
        }
    }
    fs::remove_dir_all(folder).unwrap();
}

#[tokio::test]
async fn a_server_can_ask_for_a_certificate() {
    let folder = tempdir("mutual-tls");
    let (cert, key) = certificate(&folder, "server");
    let (known, known_key) = certificate(&folder, "known");
    let (strange, strange_key) = certificate(&folder, "strange");
    let config = format!(
        "tls {{ cert_file: {cert:?}, key_file: {key:?}, ca_file: {known:?}, verify: true }}"
    );
    let server = NatsServer::builder().config(config).start().await.unwrap();
    let trusting = || ConnectOptions::new().root_certificates(&cert);
    let known = trusting().client_certificate(known, known_key);
    works(&known.connect(server.url()).await.unwrap()).await;
    for refused in [
        trusting(),
        trusting().client_certificate(strange, strange_key),
    ] {
        assert_refused!(
            refused.connect(server.url()).await,
            ConnectError::Unreachable { .. } | ConnectError::Tls { .. }
        );
    }
    fs::remove_dir_all(folder).unwrap();
}

#[tokio::test]
async fn tls_that_is_required_and_not_there_is_no_connection() {
    let server = NatsServer::start_default().await.unwrap();
    assert_refused!(
        ConnectOptions::new()
            .require_tls(true)
            .connect(server.url())
            .await,
        ConnectError::Unreachable { .. } | ConnectError::Tls { .. }
    );
}

#[tokio::test]
async fn jwts_and_creds_files_get_in_and_wrong_ones_do_not() {
    let user = jwt::User::new();
    let stranger = nkeys::KeyPair::new_user().seed().unwrap();
    let server = NatsServer::builder().config(&user.config);
    let server = server.start().await.unwrap();
    let folder = tempdir("creds");
    let file = folder.join("user.creds");
    fs::write(&file, user.creds()).unwrap();
    let options = ConnectOptions::new;
    let with_seed = |seed| Credentials::Jwt {
        jwt: user.jwt.clone(),
        seed: Some(seed),
    };
    let url = server.url();
    let mut urls = vec![url.clone()];
    if cfg!(all(feature = "web", feature = "nkeys")) {
        urls.push(format!("web+{url}"));
    }
    for url in urls {
        let missing = options().credentials_file(folder.join("missing.creds"));
        let error = missing.connect(&url).await.unwrap_err();
        let says = format!("{}: {error}", error.source().unwrap());
        assert!(says.contains("missing.creds"), "{says}");
        for right in [
            options().credentials(with_seed(user.seed.clone())),
            options().credentials(Credentials::Creds(user.creds())),
            options().credentials_file(&file),
        ] {
            works(&right.connect(&url).await.unwrap()).await;
        }
        for wrong in [
            options(),
            options().credentials(with_seed(stranger.clone())),
            options().credentials(Credentials::Creds("nothing".into())),
            options().credentials_file(folder.join("none.creds")),
        ] {
            assert_refused!(
                wrong.connect(&url).await,
                ConnectError::Authentication { .. }
            );
        }
    }
    fs::remove_dir_all(folder).unwrap();
}

#[tokio::test]
async fn the_server_is_told_the_name() {
    let server = NatsServer::start_default().await.unwrap();
    let billing = ConnectOptions::new().name("billing");
    let _client = billing.connect(server.url()).await.unwrap();
    let connections = server.monitor("/connz").await.unwrap();
    assert_eq!(connections["connections"][0]["name"], "billing");
}

#[tokio::test]
async fn answers_come_under_the_prefix_of_ones_own() {
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
    assert_eq!(bound.connection().borrow().epoch, 1);
    first.restart().await.unwrap();
    connected(&bound).await;
}

fn tempdir(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("shizuku-{name}-{}", std::process::id()));
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
    works(&Client::try_from(context.clone()).unwrap()).await;
    let client = Client::try_from(nats).unwrap();
    let store = works(&client).await;
    let theirs = context.get_key_value("connect").await.unwrap();
    let endless = ConnectOptions::new().request_timeout(Duration::MAX);
    assert_refused!(
        endless.adopt(context.client()),
        ConnectError::InvalidOption(_)
    );
    let same = ConnectOptions::new().adopt(context.client()).unwrap();
    let same = same.open_bucket(&theirs.name).await.unwrap();
    assert_eq!(same.get("key").await.unwrap().unwrap(), "value");

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

/// A connection is there for as long as somebody uses it, and no longer.
#[tokio::test]
async fn the_last_handle_closes_the_connection() {
    let server = NatsServer::start_default().await.unwrap();
    let connections = async || {
        let status = server.monitor("/varz").await.unwrap();
        status["connections"].as_u64().unwrap()
    };
    let mut urls = vec![server.url()];
    if cfg!(feature = "web") {
        urls.push(format!("web+{}", server.url()));
    }
    for url in urls {
        let client = shizuku::connect(&url).await.unwrap();
        let store = works(&client).await;
        let watch = store.watch_all().await.unwrap();
        let live = String::live(&store, "key").await.unwrap();
        let lock = DistroRwLock::new(&store, "job").unwrap();
        let guard = lock.write().await.unwrap();
        drop((client, store, lock, guard));
        // A watch still needs it.
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

/// Calls from a thread that has no runtime are refused, and panic no more than anything else.
#[tokio::test]
async fn without_a_runtime_calls_are_refused() {
    let server = NatsServer::start_default().await.unwrap();
    let mut urls = vec![server.url(), "memory:".to_owned()];
    if cfg!(feature = "web") {
        urls.push(format!("web+{}", server.url()));
    }
    for url in urls {
        let client = shizuku::connect(&url).await.unwrap();
        let store = works(&client).await;
        let is_memory = url == "memory:";
        let calls = async move {
            let refused = |error: BoxError| {
                let error = error.to_string();
                assert!(error.contains("from within a tokio runtime"), "{error}");
            };
            if !is_memory {
                refused(store.put("a", "1").await.unwrap_err().into());
                refused(store.get("a").await.unwrap_err().into());
                refused(store.status().await.unwrap_err().into());
                refused(store.keys().await.map(drop).unwrap_err().into());
                refused(store.watch("a").await.unwrap_err().into());
                refused(client.create_bucket("other").await.unwrap_err().into());
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
        let elsewhere = std::thread::spawn(|| futures::executor::block_on(calls));
        tokio::task::spawn_blocking(|| elsewhere.join().unwrap())
            .await
            .unwrap();
    }
}
