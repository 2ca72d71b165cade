//! Servers that cannot or will not: JetStream off, no permission, values too large.

use std::time::Duration;

use harness::{LATEST, NatsServer};
use shizuku::{
    ConnectOptions,
    kv::{BucketConfig, BucketError, KvReadError, KvWriteError, ServiceError},
};

use crate::{current, next};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_without_jetstream_says_so() {
    let server = NatsServer::builder().version(LATEST).start().await.unwrap();
    let client = shizuku::connect(server.url()).await.unwrap();
    let store = client.create_bucket("b").await.unwrap();
    server.reconfigure(|builder| builder.jetstream(false));
    server.restart().await.unwrap();

    let unavailable =
        |error: &ServiceError| matches!(error, ServiceError::JetStreamUnavailable { .. });
    let error = client.create_bucket("c").await.unwrap_err();
    assert!(
        matches!(&error, BucketError::Service(error) if unavailable(error)),
        "{error:?}"
    );
    let error = client.open_bucket("b").await.unwrap_err();
    assert!(
        matches!(&error, BucketError::Service(error) if unavailable(error)),
        "{error:?}"
    );
    let error = store.put("a", "1").await.unwrap_err();
    assert!(
        matches!(&error, KvWriteError::Service(error) if unavailable(error)),
        "{error:?}"
    );
    let error = store.get("a").await.unwrap_err();
    assert!(
        matches!(&error, KvReadError::Service(error) if unavailable(error)),
        "{error:?}"
    );
    let error = store.get_many("a").await.unwrap_err();
    assert!(
        matches!(&error, KvReadError::Service(error) if unavailable(error)),
        "{error:?}"
    );
    let error = store.watch_all().await.unwrap_err();
    assert!(
        matches!(&error, KvReadError::Service(error) if unavailable(error)),
        "{error:?}"
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
    let connect = |user: &str| {
        ConnectOptions::new()
            .user_and_password(user, user)
            .connect(server.url())
    };
    let all = connect("all")
        .await
        .unwrap()
        .create_bucket("b")
        .await
        .unwrap();
    all.put("a", "1").await.unwrap();

    let reads = connect("reads")
        .await
        .unwrap()
        .open_bucket("b")
        .await
        .unwrap();
    assert!(reads.get("a").await.unwrap().is_some());
    let error = reads.put("a", "2").await.unwrap_err();
    assert!(
        matches!(&error, KvWriteError::Service(ServiceError::PermissionDenied { subject }) if subject.contains("$KV.b.a")),
        "{error:?}"
    );

    let none = connect("none").await.unwrap();
    let error = none.create_bucket("c").await.unwrap_err();
    assert!(
        matches!(
            error,
            BucketError::Service(ServiceError::PermissionDenied { .. })
        ),
        "{error:?}"
    );
    let none = none.open_bucket("b").await.unwrap();
    let error = none.get("a").await.unwrap_err();
    assert!(
        matches!(
            error,
            KvReadError::Service(ServiceError::PermissionDenied { .. })
        ),
        "{error:?}"
    );
    let error = none.watch_all().await.unwrap_err();
    assert!(
        matches!(
            error,
            KvReadError::Service(ServiceError::PermissionDenied { .. })
        ),
        "{error:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_permission_that_is_taken_away_ends_a_watch() {
    let server = NatsServer::builder()
        .version(LATEST)
        .config(USERS)
        .start()
        .await
        .unwrap();
    let connect = |user: &str| {
        ConnectOptions::new()
            .user_and_password(user, user)
            .connect(server.url())
    };
    let store = connect("all")
        .await
        .unwrap()
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
    let error = loop {
        match next(&watch).await {
            Ok(_) => {}
            Err(error) => break error,
        }
    };
    assert!(
        matches!(
            error,
            KvReadError::Service(ServiceError::PermissionDenied { .. })
        ),
        "{error:?}"
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
    // By the bucket's limit, then by the server's.
    for size in [2000, 100_000] {
        let error = store.put("a", vec![0; size]).await.unwrap_err();
        assert!(
            matches!(&error, KvWriteError::TooLarge { key, size: found, .. } if *key == "a" && *found >= size),
            "{error:?}"
        );
    }
    store.put("a", vec![0; 900]).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_hangs_leaves_the_outcome_of_a_write_unknown() {
    let server = NatsServer::builder().version(LATEST).start().await.unwrap();
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
    let error = store.put("a", "1").await.unwrap_err();
    assert!(
        matches!(
            &error,
            KvWriteError::OutcomeUnknown {
                source: ServiceError::Timeout { .. },
                ..
            }
        ),
        "{error:?}"
    );
    let error = store.get("a").await.unwrap_err();
    assert!(
        matches!(error, KvReadError::Service(ServiceError::Timeout { .. })),
        "{error:?}"
    );
    server.resume().unwrap();
    // It happened after all, once.
    crate::until("the write shows", || async {
        store.get("a").await.ok().flatten().is_some()
    })
    .await;
    assert_eq!(store.status().await.unwrap().last_revision, 1);
}
