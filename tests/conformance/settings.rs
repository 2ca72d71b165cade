//! The effect of a bucket's settings, and its status.

use std::{collections::BTreeMap, time::Duration};

use shizuku::{
    Store,
    kv::{
        BucketConfig, BucketError, KvWriteError, LimitMarkers, PutOptions, Republish, ServiceError,
        Source, Storage,
    },
};

use super::{Env, Outcome, keys};
use crate::assert_refused;

pub(crate) async fn settings_round_trip(env: Env) -> Outcome {
    let defaults = env.fresh_config(|_| {});
    let mut all = env.fresh_config(|config| {
        config.description = "everything, with \"quotes\" and ünïcode".into();
        config.history = 64;
        config.max_age = Some(Duration::from_millis(86_400_123));
        config.max_value_size = Some(123_456);
        config.max_bytes = Some(10_000_000);
        config.storage = Storage::Memory;
        config.metadata = BTreeMap::from([("team".into(), "blue".into())]);
    });
    if env.capabilities.limit_markers {
        all.limit_markers = LimitMarkers::For(Duration::from_secs(42));
    }
    let mut compressed = env.fresh_config(|config| config.compression = true);
    compressed.limit_markers = LimitMarkers::Off;
    for mut config in [defaults, all, compressed] {
        let store = env.client.create_bucket(config.clone()).await?;
        let status = store.status().await?;
        assert_eq!(status.bucket, config.name.as_str());
        let mut actual = status.config;
        if config.limit_markers == LimitMarkers::Auto {
            config.limit_markers = if env.capabilities.limit_markers {
                LimitMarkers::For(Duration::from_secs(1))
            } else {
                LimitMarkers::Off
            };
        }
        assert_eq!(actual, config);
        env.client.create_bucket(config).await?;
        // The settings that were read can be changed and written back.
        actual.description.push_str(", changed");
        let store = env.client.create_or_update_bucket(&actual).await?;
        assert_eq!(store.status().await?.config, actual);
    }
    Ok(())
}

pub(crate) async fn status_counts_keys_values_and_bytes(env: Env) -> Outcome {
    let store = env.bucket_with(|config| config.history = 2).await?;
    let status = store.status().await?;
    assert_eq!((status.values, status.keys, status.bytes), (0, 0, 0));
    assert_eq!((status.first_revision, status.last_revision), (0, 0));
    for (key, value) in [("a", "1"), ("b", "1"), ("a", "2"), ("a", "3")] {
        store.put(key, value).await?;
    }
    store.delete("b").await?;
    let status = store.status().await?;
    assert_eq!((status.values, status.keys), (4, 2));
    assert_eq!((status.first_revision, status.last_revision), (2, 5));
    assert!(status.bytes > 20);
    Ok(())
}

/// To the byte, so that a bucket in memory is full exactly when one on a server is.
pub(crate) async fn every_backend_counts_sizes_identically(env: Env) -> Outcome {
    for (storage, plain, with_headers) in [(Storage::File, 30, 34), (Storage::Memory, 16, 16)] {
        let store = env.bucket_with(|config| config.storage = storage).await?;
        let subject = "$KV.".len() + store.bucket().len() + ".k".len();
        let grows = async |written: u64, by: usize| {
            let status = store.status().await.unwrap();
            assert_eq!((status.last_revision, status.bytes), (written, by as u64));
        };
        store.put("k", "123").await?;
        grows(1, subject + 3 + plain).await;
        // Each of these replaces the previous message.
        let lines = |lines: &[&str]| {
            let lines: usize = lines.iter().map(|line| line.len() + 2).sum();
            "NATS/1.0\r\n".len() + lines + 2 + subject + with_headers
        };
        let named = PutOptions::new().header("Name", "value");
        store.put_with("k", "12", named).await?;
        grows(2, lines(&["Name: value"]) + 2).await;
        let expected = "Nats-Expected-Last-Subject-Sequence:";
        store.update("k", "1", 2).await?;
        grows(3, lines(&[&format!("{expected} 2")]) + 1).await;
        store.delete("k").await?;
        grows(4, lines(&["KV-Operation: DEL"])).await;
        store.create("k", "1").await?;
        grows(5, lines(&[&format!("{expected} 4")]) + 1).await;
        store.purge("k").await?;
        grows(6, lines(&["KV-Operation: PURGE", "Nats-Rollup: sub"])).await;
        if env.capabilities.limit_markers {
            let ttl = PutOptions::new().ttl(Duration::from_secs(100));
            store.put_with("k", "1", ttl).await?;
            grows(7, lines(&["Nats-TTL: 100"]) + 1).await;
        }
    }
    Ok(())
}

pub(crate) async fn an_emptied_bucket_has_first_revision_zero(env: Env) -> Outcome {
    let store = env.bucket().await?;
    store.put("a", "1").await?;
    store.delete("a").await?;
    assert_eq!(store.purge_deletes(Duration::ZERO).await?, 1);
    let status = store.status().await?;
    assert_eq!((status.values, status.keys, status.bytes), (0, 0, 0));
    assert_eq!((status.first_revision, status.last_revision), (0, 2));
    store.put("a", "2").await?;
    let status = store.status().await?;
    assert_eq!((status.first_revision, status.last_revision), (3, 3));
    Ok(())
}

pub(crate) async fn a_value_above_the_bucket_limit_is_too_large(env: Env) -> Outcome {
    let store = env
        .bucket_with(|config| config.max_value_size = Some(100))
        .await?;
    store.put("a", "x".repeat(100)).await?;
    assert_refused!(
        store.put("a", "y".repeat(101)).await,
        KvWriteError::TooLarge { key, .. } if key == "a"
    );
    assert_eq!(store.get("a").await?.unwrap(), "x".repeat(100));
    // Headers count, even those of a removal.
    let small = env
        .bucket_with(|config| config.max_value_size = Some(10))
        .await?;
    for result in [
        small.update("a", "x", 0).await,
        small.delete("a").await,
        small.purge("a").await,
    ] {
        assert_refused!(result, KvWriteError::TooLarge { size, .. } if size > 10);
    }
    Ok(())
}

pub(crate) async fn a_value_above_the_server_limit_is_too_large(env: Env) -> Outcome {
    let store = env.bucket().await?;
    let limit = 1024 * 1024;
    store.put("a", vec![b'x'; limit]).await?;
    for size in [limit + 1, 4 * limit] {
        assert_refused!(
            store.put("b", vec![b'x'; size]).await,
            KvWriteError::TooLarge { key, .. } if key == "b"
        );
    }
    // The connection survives.
    assert_eq!(store.get("a").await?.unwrap().len(), limit);
    assert_eq!(keys(&store, ">").await?, ["a"]);
    Ok(())
}

pub(crate) async fn a_full_bucket_refuses_writes(env: Env) -> Outcome {
    let store = env
        .bucket_with(|config| config.max_bytes = Some(1000))
        .await?;
    store.put("a", "x".repeat(500)).await?;
    for key in ["b", "c"] {
        let result = store.put(key, "y".repeat(500)).await;
        assert_refused!(
            result,
            KvWriteError::Service(ServiceError::Refused {
                code: Some(10077),
                ..
            })
        );
    }
    assert_eq!(
        store.get("a").await?.unwrap(),
        "x".repeat(500),
        "nothing is dropped"
    );
    // A smaller value takes the place of a larger one; one of equal size fits on newer servers
    // only.
    store.put("a", "z".repeat(400)).await?;
    store.put("b", "1").await?;
    Ok(())
}

pub(crate) async fn too_many_replicas_are_refused(env: Env) -> Outcome {
    let config = env.fresh_config(|config| config.replicas = 3);
    assert_refused!(
        env.client.create_bucket(config.clone()).await,
        BucketError::Service(ServiceError::Refused { .. } | ServiceError::Unsupported { .. })
    );
    assert_refused!(
        env.client.open_bucket(config.name).await,
        BucketError::Service(ServiceError::BucketNotFound { .. })
    );
    Ok(())
}

/// Creates a bucket that reads from others; `None` if the service does not support that.
async fn with_others(env: &Env, config: &BucketConfig) -> Result<Option<Store>, BucketError> {
    let created = env.client.create_bucket(config).await;
    if env.capabilities.other_buckets {
        return created.map(Some);
    }
    assert_refused!(
        created,
        BucketError::Service(ServiceError::Unsupported { remedy, .. })
            if remedy.contains(&config.name)
    );
    Ok(None)
}

pub(crate) async fn sources_are_copied_and_writes_republished(env: Env) -> Outcome {
    let origins = [env.bucket().await?, env.bucket().await?];
    let mut sources: Vec<_> = origins
        .iter()
        .map(|origin| Source::new(origin.bucket().clone()))
        .collect();
    let config = env.fresh_config(|config| {
        config.sources = sources.clone();
        let copies = Republish::to(format!("copy.{}.>", config.name));
        config.republish = Some(copies.headers_only());
    });
    let Some(store) = with_others(&env, &config).await? else {
        return Ok(());
    };
    let mut status = store.status().await?;
    let order = |source: &Source| source.bucket.clone();
    status.config.sources.sort_by_key(order);
    sources.sort_by_key(order);
    assert_eq!(status.config.sources, sources);
    assert_eq!(status.config.republish, config.republish);
    let watch = store.watch_all().await?;
    origins[0].put("a", "1").await?;
    assert_eq!(env.next(&watch).await, "a=1");
    origins[1].put("b", "2").await?;
    assert_eq!(env.next(&watch).await, "b=2");
    assert_eq!(store.get("b").await?.unwrap(), "2");
    Ok(())
}

pub(crate) async fn a_mirror_copies_its_origin(env: Env) -> Outcome {
    let origin = env.bucket().await?;
    let config = env.fresh_config(|config| {
        config.mirror = Some(Source::new(origin.bucket().clone()));
    });
    let Some(store) = with_others(&env, &config).await? else {
        return Ok(());
    };
    assert_eq!(store.status().await?.config.mirror, config.mirror);
    let revision = origin.put("a", "1").await?;
    env.until("copy", async || store.get("a").await.unwrap().is_some())
        .await;
    let entry = store.entry("a").await?.unwrap();
    assert_eq!(
        (entry.revision, entry.value.unwrap()),
        (revision, "1".into())
    );
    assert_eq!(keys(&store, ">").await?, ["a"]);
    Ok(())
}
