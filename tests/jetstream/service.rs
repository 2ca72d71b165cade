//! Servers that cannot or will not serve: no JetStream, no permission, values too large.

use std::time::Duration;

use harness::{LATEST, NatsServer};
use shizuku::{
    ConnectOptions,
    kv::{BucketConfig, BucketError, KvReadError, KvWriteError, ServiceError},
};

use crate::{assert_refused, current, next, server, sign_in};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_without_jetstream_is_reported() {
    let server = server(LATEST).await;
    let client = shizuku::connect(server.url()).await.unwrap();
    let store = client.create_bucket("b").await.unwrap();
    server.reconfigure(|builder| builder.jetstream(false));
    server.restart().await.unwrap();

    assert_refused!(
        client.create_bucket("c").await,
        BucketError::Service(ServiceError::JetStreamUnavailable { .. })
    );
    assert_refused!(
        client.open_bucket("b").await,
        BucketError::Service(ServiceError::JetStreamUnavailable { .. })
    );
    assert_refused!(
        store.put("a", "1").await,
        KvWriteError::Service(ServiceError::JetStreamUnavailable { .. })
    );
    assert_refused!(
        store.get("a").await,
        KvReadError::Service(ServiceError::JetStreamUnavailable { .. })
    );
    assert_refused!(
        store.get_many("a").await,
        KvReadError::Service(ServiceError::JetStreamUnavailable { .. })
    );
    assert_refused!(
        store.watch_all().await,
        KvReadError::Service(ServiceError::JetStreamUnavailable { .. })
    );
}

const USERS: &str = r#"authorization { users = [
    { user: all, password: all }
    { user: reads, password: reads, permissions: { publish: { deny: ["$KV.>"] } } }
    { user: none, password: none, permissions: { publish: { deny: ["$JS.API.CONSUMER.>", "$JS.API.STREAM.CREATE.>", "$JS.API.DIRECT.>"] } } }
] }"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_missing_permission_names_its_subject() {
    let server = NatsServer::builder()
        .version(LATEST)
        .config(USERS)
        .start()
        .await
        .unwrap();
    let all = sign_in(&server, "all")
        .await
        .create_bucket("b")
        .await
        .unwrap();
    all.put("a", "1").await.unwrap();

    let reads = sign_in(&server, "reads")
        .await
        .open_bucket("b")
        .await
        .unwrap();
    assert!(reads.get("a").await.unwrap().is_some());
    assert_refused!(
        reads.put("a", "2").await,
        KvWriteError::Service(ServiceError::PermissionDenied { subject })
            if subject.contains("$KV.b.a")
    );

    let none = sign_in(&server, "none").await;
    assert_refused!(
        none.create_bucket("c").await,
        BucketError::Service(ServiceError::PermissionDenied { .. })
    );
    let none = none.open_bucket("b").await.unwrap();
    assert_refused!(
        none.get("a").await,
        KvReadError::Service(ServiceError::PermissionDenied { .. })
    );
    assert_refused!(
        none.watch_all().await,
        KvReadError::Service(ServiceError::PermissionDenied { .. })
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revoked_permission_ends_a_watch() {
    let server = NatsServer::builder()
        .version(LATEST)
        .config(USERS)
        .start()
        .await
        .unwrap();
    let store = sign_in(&server, "all")
        .await
        .create_bucket("b")
        .await
        .unwrap();
    let watch = store.watch_all().await.unwrap();
    current(&watch).await;
    server.stop().await.unwrap();
    let less = r#"permissions { publish: { deny: ["$JS.API.CONSUMER.>"] } }"#;
    server.reconfigure(|_| {
        let users = format!("authorization {{ users = [{{ user: all, password: all, {less} }}] }}");
        NatsServer::builder().version(LATEST).config(users)
    });
    server.restart().await.unwrap();
    let last = loop {
        let event = next(&watch).await;
        if event.is_err() {
            break event;
        }
    };
    assert_refused!(
        last,
        KvReadError::Service(ServiceError::PermissionDenied { .. })
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_value_above_a_limit_is_too_large() {
    let server = NatsServer::builder()
        .version(LATEST)
        .max_payload(64 * 1024)
        .start()
        .await
        .unwrap();
    let client = shizuku::connect(server.url()).await.unwrap();
    let mut config = BucketConfig::new("b");
    config.max_value_size = Some(1000);
    let store = client.create_bucket(config).await.unwrap();
    store.put("a", vec![0; 900]).await.unwrap();
    // By the bucket's limit, and by the server's.
    for (size, says) in [
        (2000, "more than the bucket accepts"),
        (100_000, "and the limit is 65536"),
    ] {
        assert_refused!(
            store.put("a", vec![0; size]).await,
            ref error @ KvWriteError::TooLarge { ref key, size: found, .. }
                if key == "a" && found >= size && error.to_string().ends_with(says)
        );
    }
    store.put("a", vec![0; 900]).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_to_a_frozen_server_has_an_unknown_outcome() {
    let server = server(LATEST).await;
    let client = ConnectOptions::new()
        .request_timeout(Duration::from_secs(1))
        .connect(server.url())
        .await
        .unwrap();
    let store = client.create_bucket("b").await.unwrap();
    server.pause().unwrap();
    let state = format!("/proc/{}/stat", server.pid().unwrap());
    crate::until("the server stands still", || async {
        std::fs::read_to_string(&state).unwrap().contains(") T ")
    })
    .await;
    assert_refused!(
        store.put("a", "1").await,
        KvWriteError::OutcomeUnknown {
            source: ServiceError::Timeout { .. },
            ..
        }
    );
    assert_refused!(
        store.get("a").await,
        KvReadError::Service(ServiceError::Timeout { .. })
    );
    server.resume().unwrap();
    // The write was stored after all, once.
    crate::until("the write shows", || async {
        store.get("a").await.ok().flatten().is_some()
    })
    .await;
    assert_eq!(store.status().await.unwrap().last_revision, 1);
}
