//! The conformance suite on real servers of every supported version: one server per version, and
//! separate buckets for each case.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod conformance;
#[path = "support/on_server.rs"]
mod on_server;
#[path = "conformance/reserved.rs"]
mod reserved;

use conformance::Env;

/// A client of the server of this version for one case.
async fn env(case: &str, version: &str) -> Env {
    let server = harness::shared(version).await.unwrap();
    on_server::env(case, version, server.url()).await
}

macro_rules! on_server {
    ([$version:ident] $($module:ident { $($case:ident)* })*) => {$(
        mod $module {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $case() {
                    let name = concat!(stringify!($module), "-", stringify!($case));
                    let case = crate::conformance::$module::$case;
                    let env = crate::env(name, harness::$version);
                    crate::on_server::run(env, case).await;
                }
            )*
        }
    )*};
}

mod v2_10 {
    crate::conformance_cases!(on_server, V2_10);
}

mod v2_11 {
    crate::conformance_cases!(on_server, V2_11);
}

mod v2_12 {
    crate::conformance_cases!(on_server, V2_12);
}

mod latest {
    crate::conformance_cases!(on_server, LATEST);
}

/// Behaviour that only the server's own API, or another client, can show.
mod server {
    use std::time::Duration;

    use harness::VERSIONS;
    use shizuku::kv::{KvWriteError, Operation, PutOptions, ServiceError};

    use super::{env, reserved};

    /// The number of consumers of a bucket's stream.
    async fn consumers(version: &str, bucket: &str) -> u64 {
        let server = harness::shared(version).await.unwrap();
        let report = server.monitor("/jsz?streams=true").await.unwrap();
        let accounts = report["account_details"].as_array().unwrap();
        let streams = accounts
            .iter()
            .flat_map(|account| account["stream_detail"].as_array().unwrap());
        let name = format!("KV_{bucket}");
        let mut found = streams.filter(|stream| stream["name"] == *name);
        found.next().unwrap()["state"]["consumer_count"]
            .as_u64()
            .unwrap()
    }

    async fn raw(version: &str) -> async_nats::jetstream::Context {
        let server = harness::shared(version).await.unwrap();
        let client = async_nats::connect(server.url()).await.unwrap();
        async_nats::jetstream::new(client)
    }

    #[tokio::test]
    async fn watches_and_listings_leave_no_consumer() {
        for version in VERSIONS {
            let env = env("server-consumers", version).await;
            let store = env.bucket().await.unwrap();
            store.put("a", "1").await.unwrap();
            let mut watches = Vec::new();
            for _ in 0..10 {
                watches.push(store.watch_all().await.unwrap());
            }
            for watch in &watches {
                env.initial(watch).await;
            }
            assert_eq!(consumers(version, store.bucket()).await, 10);
            drop(watches);
            for _ in 0..10 {
                store.history("a").await.unwrap();
                // Not read to the end.
                drop(store.keys().await.unwrap());
            }
            env.until("no consumer", async || {
                consumers(version, store.bucket()).await == 0
            })
            .await;
        }
    }

    #[tokio::test]
    async fn listings_and_watches_omit_lock_keys() {
        for version in VERSIONS {
            let env = env("server-reserved", version).await;
            let store = env.bucket().await.unwrap();
            let raw = raw(version).await;
            reserved::stay_out_of_sight(&store, async |key| {
                let subject = format!("$KV.{}.{key}", store.bucket());
                let sent = raw.publish(subject, "1".into()).await.unwrap();
                sent.await.unwrap();
            })
            .await
            .unwrap();
        }
    }

    #[tokio::test]
    async fn a_bucket_created_by_another_client_works() {
        for version in VERSIONS {
            let env = env("server-other", version).await;
            let name = env.fresh_name();
            let config = async_nats::jetstream::kv::Config {
                bucket: name.clone(),
                history: 5,
                ..Default::default()
            };
            let theirs = raw(version).await.create_key_value(config).await.unwrap();
            let ours = env.client.open_bucket(&name).await.unwrap();
            theirs.put("a", "1".into()).await.unwrap();
            assert_eq!(ours.get("a").await.unwrap().unwrap(), "1");
            let revision = ours.put("a", "2").await.unwrap();
            theirs.update("a", "3".into(), revision).await.unwrap();
            theirs.delete("a").await.unwrap();
            let deleted = ours.entry("a").await.unwrap().unwrap();
            assert_eq!(deleted.operation, Operation::Delete);
            ours.create("a", "4").await.unwrap();
            assert_eq!(theirs.get("a").await.unwrap().unwrap(), "4");
            ours.purge("a").await.unwrap();
            assert_eq!(theirs.get("a").await.unwrap(), None);
            // It was created without limit markers, and reports that.
            let ttl = PutOptions::new().ttl(Duration::from_secs(1));
            let error = ours.put_with("a", "5", ttl).await.unwrap_err();
            assert!(
                matches!(
                    &error,
                    KvWriteError::Service(ServiceError::Unsupported { remedy, .. })
                        if remedy.contains(&name)
                ),
                "{error:?}"
            );
        }
    }
}
