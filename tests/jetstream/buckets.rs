//! Creating, updating and listing buckets; mirrors and sources.

use std::time::Duration;

use async_nats::jetstream::{self, stream::SubjectTransform};
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use harness::{LATEST, NatsServer, V2_10, VERSIONS};
use shizuku::kv::{
    BucketConfig, BucketError, BucketName, Entry, LimitMarkers, PutOptions, Read, RemoveOptions,
    Republish, Source, Storage, mutex::DistroMutex,
};

use crate::{PATIENCE, admin, change, client, current, entry, keys, server, until};

fn source(bucket: &str, domain: Option<&str>) -> Source {
    let source = Source::new(BucketName::new(bucket).unwrap());
    domain.into_iter().fold(source, Source::domain)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn settings_are_stored_compared_and_updated() {
    for version in VERSIONS {
        let modern = *version != V2_10;
        let client = client(version).await;
        let mut config = BucketConfig::new("settings");
        config.description = "text".into();
        config.history = 3;
        config.max_age = Some(Duration::from_secs(3600));
        config.max_value_size = Some(1000);
        config.max_bytes = Some(1_000_000);
        config.storage = Storage::Memory;
        config.republish = Some(Republish::to("out.>").headers_only());
        config.metadata.insert("team".into(), "blue".into());
        client.create_bucket(config.clone()).await.unwrap();
        let store = client.create_bucket(config.clone()).await.unwrap();
        let mut found = store.status().await.unwrap().config;
        assert_eq!(
            found.limit_markers,
            if modern {
                LimitMarkers::For(Duration::from_secs(1))
            } else {
                LimitMarkers::Off
            }
        );
        found.limit_markers = LimitMarkers::Auto;
        assert_eq!(found, config, "{version}");

        let mut other = config.clone();
        other.history = 9;
        other.description.clear();
        let error = client.create_bucket(other.clone()).await.unwrap_err();
        let BucketError::Mismatch { differences, .. } = &error else {
            panic!("{error:?}");
        };
        let names: Vec<_> = differences
            .iter()
            .map(|difference| difference.setting)
            .collect();
        assert_eq!(names, ["description", "history"]);

        // Foreign settings are kept, ours are set.
        let admin = admin(&harness::shared(version).await.unwrap().url()).await;
        let grown = change(&admin, "KV_settings", |stream| stream.max_consumers = 77).await;
        other.limit_markers = LimitMarkers::Off;
        other.republish = None;
        other.metadata.clear();
        let store = client.create_or_update_bucket(other.clone()).await.unwrap();
        let found = store.status().await.unwrap().config;
        assert_eq!(found, other, "{version}");
        if grown.is_ok() {
            let stream = admin.get_stream("KV_settings").await.unwrap();
            assert_eq!(stream.cached_info().config.max_consumers, 77);
        }
        // An existing handle notices when markers are turned off.
        let ttl = PutOptions::new().ttl(Duration::from_secs(5));
        assert!(store.put_with("a", "1", ttl.clone()).await.is_err());
        if modern {
            other.limit_markers = LimitMarkers::For(Duration::from_secs(2));
            client.create_or_update_bucket(other).await.unwrap();
            store.put_with("a", "1", ttl).await.unwrap();
        }
        let fresh = client
            .create_or_update_bucket("made-by-update")
            .await
            .unwrap();
        fresh.put("a", "1").await.unwrap();
        client.delete_bucket("made-by-update").await.unwrap();
        client.delete_bucket("settings").await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_follows_allow_direct_being_turned_off_and_on() {
    for version in VERSIONS {
        let server = server(version).await;
        let admin = admin(&server.url()).await;
        let client = shizuku::connect(server.url()).await.unwrap();
        let stores = [
            client.create_bucket("b").await.unwrap(),
            client.open_bucket("b").await.unwrap(),
            client.open_bucket("b").await.unwrap(),
        ];
        let [one, by_revision, many] = &stores;
        let revision = one.put("a", "1").await.unwrap();
        for direct in [false, true] {
            let changed = change(&admin, "KV_b", |stream| stream.allow_direct = direct).await;
            changed.unwrap();
            assert!(one.get("a").await.unwrap().is_some(), "{version}");
            let there = by_revision.entry_at("a", revision).await.unwrap();
            assert!(there.is_some());
            assert_eq!(many.get_many(["a", "b"]).await.unwrap().len(), 1);
            assert_eq!(many.get_many(">").await.unwrap().len(), 1);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writes_are_republished() {
    for version in VERSIONS {
        let server = server(version).await;
        let nats = async_nats::connect(server.url()).await.unwrap();
        let mut copies = nats.subscribe("changes.>").await.unwrap();
        nats.flush().await.unwrap();
        let client = shizuku::connect(server.url()).await.unwrap();
        let mut config = BucketConfig::new("all");
        config.republish = Some(Republish::to("changes.>").headers_only());
        let all = client.create_bucket(config).await.unwrap();
        let mut config = BucketConfig::new("some");
        config.republish = Some(Republish::to("changes.app.>").source("$KV.some.app.>"));
        let some = client.create_bucket(config).await.unwrap();

        all.put("a.b", "1").await.unwrap();
        some.put("other", "1").await.unwrap();
        let revision = some.put("app.a.b", "2").await.unwrap();
        all.delete("a.b").await.unwrap();
        for (subject, value, revision, operation) in [
            ("changes.$KV.all.a.b", "", 1, None),
            ("changes.app.a.b", "2", revision, None),
            ("changes.$KV.all.a.b", "", 2, Some("DEL")),
        ] {
            let copy = tokio::time::timeout(PATIENCE, copies.next()).await;
            let copy = copy.unwrap().unwrap();
            assert_eq!(
                (&*copy.subject, &*copy.payload),
                (subject, value.as_bytes())
            );
            let headers = copy.headers.unwrap();
            let header = |name| headers.get(name).map(async_nats::HeaderValue::as_str);
            assert_eq!(header("Nats-Sequence"), Some(&*revision.to_string()));
            assert_eq!(header("KV-Operation"), operation, "{version}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mirrors_and_sources_copy_their_origin() {
    for version in VERSIONS {
        let server = server(version).await;
        let client = shizuku::connect(server.url()).await.unwrap();
        let origin = client.create_bucket("origin").await.unwrap();
        let first = origin.put("a", "1").await.unwrap();
        let mut config = BucketConfig::new("mirror");
        config.mirror = Some(source("origin", None));
        let mirror = client.create_bucket(config).await.unwrap();
        let mut config = BucketConfig::new("sum");
        config.sources = vec![source("origin", None)];
        let sum = client.create_bucket(config).await.unwrap();
        until("the copies are there", || async {
            mirror.get("a").await.unwrap().is_some() && sum.get("a").await.unwrap().is_some()
        })
        .await;
        let watch = mirror.watch_all().await.unwrap();
        assert_eq!(entry(&watch).await.revision, first);
        current(&watch).await;

        // A write through the mirror goes to the origin, and is copied back.
        let lost = mirror.create("a", "2").await.unwrap_err();
        assert_eq!(lost.conflict().unwrap().actual, Some(first), "{version}");
        let second = mirror.update("a", "2", first).await.unwrap();
        assert_eq!(entry(&watch).await.revision, second);
        let led = mirror.entry_with("a", Read::Leader).await.unwrap().unwrap();
        assert_eq!((led.revision, led.bucket.as_str()), (second, "mirror"));
        mirror
            .remove_with("a", RemoveOptions::delete())
            .await
            .unwrap();
        mirror.create("a", "3").await.unwrap();
        // Read from the leader: the mirror replies to reads of the origin, too, and may lag.
        let led = origin.entry_with("a", Read::Leader).await.unwrap().unwrap();
        assert_eq!(led.value.as_deref(), Some(&b"3"[..]));
        until("the copy follows", || async {
            mirror.get("a").await.unwrap().as_deref() == Some(b"3")
                && sum.get("a").await.unwrap().as_deref() == Some(b"3")
        })
        .await;
        assert_eq!(keys(&mirror).await, ["a"]);
        assert_eq!(mirror.get_many("a").await.unwrap().len(), 1);
        let ttl = PutOptions::new().ttl(Duration::from_secs(9));
        assert_eq!(
            mirror.put_with("t", "1", ttl).await.is_ok(),
            *version != V2_10
        );
        let mut names: Vec<BucketName> = client.bucket_names().try_collect().await.unwrap();
        names.sort();
        assert_eq!(names, ["mirror", "origin", "sum"]);
        // A mirror cannot have limit markers.
        let lock = DistroMutex::new(&mirror, "l").unwrap();
        let refused = lock.lock().await.unwrap_err().to_string();
        assert!(refused.contains("a mirror"), "{refused}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_foreign_source_is_left_unchanged() {
    for version in VERSIONS {
        let server = server(version).await;
        let admin = admin(&server.url()).await;
        let client = shizuku::connect(server.url()).await.unwrap();
        let origin = client.create_bucket("origin").await.unwrap();
        let transform = SubjectTransform {
            source: "$KV.origin.public.>".into(),
            destination: "$KV.part.>".into(),
        };
        let source = jetstream::stream::Source {
            name: "KV_origin".into(),
            subject_transforms: vec![transform],
            ..Default::default()
        };
        let made = jetstream::stream::Config {
            name: "KV_part".into(),
            subjects: vec!["$KV.part.>".into()],
            max_messages_per_subject: 1,
            allow_rollup: true,
            allow_direct: true,
            sources: Some(vec![source.clone()]),
            ..Default::default()
        };
        admin.create_stream(made).await.unwrap();
        let part = client.open_bucket("part").await.unwrap();
        let mut config = part.status().await.unwrap().config;
        config.description = "changed".into();
        client.create_or_update_bucket(&config).await.unwrap();
        let stream = admin.get_stream("KV_part").await.unwrap();
        let now = stream.cached_info().config.clone();
        assert_eq!(now.description.as_deref(), Some("changed"), "{version}");
        assert_eq!(now.sources, Some(vec![source]), "{version}");
        origin.put("private.a", "1").await.unwrap();
        origin.put("public.a", "1").await.unwrap();
        until("the copy is there", || async {
            !keys(&part).await.is_empty()
        })
        .await;
        assert_eq!(keys(&part).await, ["a"], "{version}");

        // A source that is removed from the settings is removed.
        config.sources.clear();
        client.create_or_update_bucket(&config).await.unwrap();
        let stream = admin.get_stream("KV_part").await.unwrap();
        let now = stream.cached_info().config.sources.clone();
        assert!(now.is_none_or(|sources| sources.is_empty()), "{version}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_foreign_unlimited_history_is_left_unchanged() {
    for version in VERSIONS {
        let server = server(version).await;
        let admin = admin(&server.url()).await;
        let client = shizuku::connect(server.url()).await.unwrap();
        let made = jetstream::stream::Config {
            name: "KV_long".into(),
            subjects: vec!["$KV.long.>".into()],
            max_messages_per_subject: -1,
            allow_rollup: true,
            allow_direct: true,
            ..Default::default()
        };
        admin.create_stream(made).await.unwrap();
        let store = client.open_bucket("long").await.unwrap();
        for _ in 0..70 {
            store.put("key", "value").await.unwrap();
        }
        let mut config = store.status().await.unwrap().config;
        assert_eq!(config.history, 64, "{version}");
        config.description = "changed".into();
        let store = client.create_or_update_bucket(&config).await.unwrap();
        let status = store.status().await.unwrap();
        assert_eq!(status.config.description, "changed", "{version}");
        assert_eq!(status.values, 70, "{version}");

        config.history = 5;
        let store = client.create_or_update_bucket(&config).await.unwrap();
        assert_eq!(store.status().await.unwrap().config.history, 5, "{version}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_republished_into_a_bucket_are_read() {
    for version in VERSIONS {
        let server = server(version).await;
        let admin = admin(&server.url()).await;
        let client = shizuku::connect(server.url()).await.unwrap();
        let config = BucketConfig::new("b").history(5);
        let store = client.create_bucket(config).await.unwrap();
        store.put("first", "0").await.unwrap();
        // Republished messages carry headers about their origin, with the names that a server uses
        // for the stored message.
        let made = jetstream::stream::Config {
            name: "other".into(),
            subjects: vec!["other.>".into()],
            republish: Some(jetstream::stream::Republish {
                source: "other.>".into(),
                destination: "$KV.b.>".into(),
                headers_only: false,
            }),
            ..Default::default()
        };
        admin.create_stream(made).await.unwrap();
        for value in ["1", "2"] {
            let sent = admin.publish("other.a", value.into()).await.unwrap();
            sent.await.unwrap();
        }
        until("it is there", || async {
            store.history("a").await.unwrap().len() == 2
        })
        .await;
        let show = |entry: Entry| (entry.key.to_string(), entry.revision, entry.value.unwrap());
        let last = ("a".to_owned(), 3, Bytes::from("2"));
        for read in [Read::Any, Read::Leader] {
            let entry = store.entry_with("a", read).await.unwrap().unwrap();
            assert_eq!(show(entry), last, "{version} {read:?}");
            let entry = store.entry_at_with("a", 2, read).await.unwrap().unwrap();
            let first = ("a".to_owned(), 2, Bytes::from("1"));
            assert_eq!(show(entry), first, "{version} {read:?}");
        }
        let mut many: Vec<_> = store.get_many(">").await.unwrap();
        many.sort_by_key(|entry| entry.revision);
        let first = ("first".to_owned(), 1, Bytes::from("0"));
        let many: Vec<_> = many.into_iter().map(show).collect();
        assert_eq!(many, [first, last], "{version}");
        store.update("a", "3", 3).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mirrors_and_sources_work_across_domains() {
    let hub = NatsServer::builder().version(LATEST).domain("hub");
    let hub = hub.config("leafnodes { host: 127.0.0.1, port: -1 }");
    let hub = hub.start().await.unwrap();
    let port = &hub.monitor("/varz").await.unwrap()["leaf"]["port"];
    let remote = format!("leafnodes {{ remotes: [{{ url: \"nats-leaf://127.0.0.1:{port}\" }}] }}");
    let leaf = NatsServer::builder().version(LATEST).domain("leaf");
    let leaf = leaf.config(remote).start().await.unwrap();

    let origin = shizuku::connect(hub.url()).await.unwrap();
    let origin = origin.create_bucket("origin").await.unwrap();
    origin.put("a", "1").await.unwrap();
    let client = shizuku::connect(leaf.url()).await.unwrap();
    let mut config = BucketConfig::new("mirror");
    config.mirror = Some(source("origin", Some("hub")));
    let mirror = client.create_bucket(&config).await.unwrap();
    assert_eq!(mirror.status().await.unwrap().config.mirror, config.mirror);
    let mut config = BucketConfig::new("sum");
    config.sources = vec![source("origin", Some("hub"))];
    let sum = client.create_bucket(&config).await.unwrap();
    assert_eq!(sum.status().await.unwrap().config.sources, config.sources);
    for value in ["1", "2"] {
        until("the copies are there", || async {
            let mirrored = mirror.get("a").await.unwrap();
            let taken_in = sum.get("a").await.unwrap();
            mirrored.as_deref() == Some(value.as_bytes()) && taken_in == mirrored
        })
        .await;
        // A write through the mirror goes to the origin.
        mirror.put("a", "2").await.unwrap();
        assert_eq!(origin.get("a").await.unwrap().as_deref(), Some(&b"2"[..]));
    }
}
