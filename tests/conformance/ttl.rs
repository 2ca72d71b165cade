//! Time to live.
//!
//! A server may remove a value up to a second late, so nothing here asserts that a value is gone at
//! a specific time, only that it exists before and disappears later.

use std::time::Duration;

use futures::StreamExt;
use shizuku::{
    Store,
    kv::{
        BoxError, BucketConfig, BucketError, Expect, KeyValueRead, KvWriteError, LimitMarkers,
        Operation, PutOptions, RemoveOptions, ServiceError,
    },
};

use super::{Env, Outcome, keys};
use crate::assert_refused;

fn ttl(seconds: u64) -> PutOptions {
    PutOptions::new().ttl(Duration::from_secs(seconds))
}

/// Creates a bucket that supports a time to live per key; `None` if the service does not, after
/// checking its error.
pub(crate) async fn bucket(
    env: &Env,
    change: impl FnOnce(&mut BucketConfig),
) -> Result<Option<Store>, BoxError> {
    let config = env.fresh_config(change);
    if env.capabilities.limit_markers {
        return Ok(Some(env.client.create_bucket(config).await?));
    }
    if let LimitMarkers::For(_) = config.limit_markers {
        assert_refused!(
            env.client.create_bucket(config).await,
            BucketError::Service(ServiceError::Unsupported { remedy, .. }) if remedy.contains("2.11")
        );
        return Ok(None);
    }
    let store = env.client.create_bucket(config).await?;
    assert!(!store.status().await?.has_limit_markers());
    refuses(&store).await;
    Ok(None)
}

/// Checks that this bucket refuses a time to live, with a remedy.
async fn refuses(store: &Store) {
    let purge = RemoveOptions::purge().marker_ttl(Duration::from_secs(1));
    for result in [
        store.put_with("a", "1", ttl(1)).await,
        store
            .put_with("a", "1", ttl(1).expect(Expect::Absent))
            .await,
        store
            .put_with("a", "1", ttl(1).expect(Expect::Revision(0)))
            .await,
        store.remove_with("a", purge).await,
    ] {
        assert_refused!(
            result,
            KvWriteError::Service(ServiceError::Unsupported { feature, remedy })
                if feature == "a time to live per key" && remedy.contains(store.bucket().as_str())
        );
    }
    assert_eq!(store.status().await.unwrap().last_revision, 0);
}

/// Waits until a key has no value.
async fn gone(env: &Env, store: &Store, key: &str) {
    env.until("expiry", async || store.get(key).await.unwrap().is_none())
        .await;
}

pub(crate) async fn a_value_expires(env: Env) -> Outcome {
    let Some(store) = bucket(&env, |_| {}).await? else {
        return Ok(());
    };
    assert!(store.status().await?.has_limit_markers());
    store.put("stays", "1").await?;
    store.put_with("a", "1", ttl(2)).await?;
    assert_eq!(store.get("a").await?.unwrap(), "1");
    env.pass(2).await;
    gone(&env, &store, "a").await;
    assert_eq!(store.get("stays").await?.unwrap(), "1");
    Ok(())
}

pub(crate) async fn expiry_is_seen_by_a_watch(env: Env) -> Outcome {
    let Some(store) = bucket(&env, |_| {}).await? else {
        return Ok(());
    };
    let watch = store.watch("a").await?;
    assert!(env.initial(&watch).await.is_empty());
    let revision = store.put_with("a", "1", ttl(1)).await?;
    assert_eq!(env.next(&watch).await, "a=1");
    env.pass(1).await;
    let entry = env.next_entry(&watch).await;
    assert_eq!(entry.operation, Operation::Expire);
    assert_eq!(
        (entry.value.as_deref(), entry.revision),
        (None, revision + 1)
    );
    assert!(
        entry.headers.is_empty(),
        "those of the protocol stay inside"
    );
    assert_eq!(store.get("a").await?, None);
    Ok(())
}

pub(crate) async fn an_expiry_marker_expires(env: Env) -> Outcome {
    let Some(store) = bucket(&env, |_| {}).await? else {
        return Ok(());
    };
    store.put_with("a", "1", ttl(1)).await?;
    env.pass(1).await;
    gone(&env, &store, "a").await;
    env.pass(1).await;
    env.until("nothing", async || {
        store.entry("a").await.unwrap().is_none()
    })
    .await;
    let status = store.status().await?;
    assert_eq!((status.values, status.last_revision), (0, 2));
    Ok(())
}

pub(crate) async fn every_kind_of_write_can_have_a_ttl(env: Env) -> Outcome {
    let Some(store) = bucket(&env, |_| {}).await? else {
        return Ok(());
    };
    store.put_with("put", "1", ttl(1)).await?;
    store
        .put_with("create", "1", ttl(1).expect(Expect::Absent))
        .await?;
    let revision = store.put("update", "1").await?;
    let update = ttl(1).expect(Expect::Revision(revision));
    store.put_with("update", "2", update).await?;
    assert_eq!(keys(&store, ">").await?.len(), 3);
    env.pass(1).await;
    for key in ["put", "create", "update"] {
        gone(&env, &store, key).await;
    }
    Ok(())
}

pub(crate) async fn a_later_write_without_a_ttl_does_not_expire(env: Env) -> Outcome {
    let Some(store) = bucket(&env, |_| {}).await? else {
        return Ok(());
    };
    store.put_with("a", "1", ttl(1)).await?;
    store.put("a", "2").await?;
    store.put_with("b", "1", ttl(1)).await?;
    env.pass(1).await;
    gone(&env, &store, "b").await;
    env.pass(1).await;
    assert_eq!(store.get("a").await?.unwrap(), "2");
    Ok(())
}

pub(crate) async fn a_later_write_with_a_longer_ttl_lives_longer(env: Env) -> Outcome {
    let Some(store) = bucket(&env, |_| {}).await? else {
        return Ok(());
    };
    store.put_with("a", "1", ttl(1)).await?;
    store.put_with("b", "1", ttl(1)).await?;
    store.put_with("a", "2", ttl(600)).await?;
    env.pass(1).await;
    gone(&env, &store, "b").await;
    assert_eq!(store.get("a").await?.unwrap(), "2");
    Ok(())
}

pub(crate) async fn history_raises_short_ttls(env: Env) -> Outcome {
    let change = |config: &mut BucketConfig| {
        config.history = 2;
        config.limit_markers = LimitMarkers::For(Duration::from_secs(600));
    };
    let Some(store) = bucket(&env, change).await? else {
        return Ok(());
    };
    let plain = env.bucket().await?;
    store.put_with("a", "1", ttl(1)).await?;
    plain.put_with("a", "1", ttl(1)).await?;
    env.pass(1).await;
    gone(&env, &plain, "a").await;
    assert_eq!(store.get("a").await?.unwrap(), "1");
    Ok(())
}

pub(crate) async fn a_purge_marker_expires(env: Env) -> Outcome {
    let Some(store) = bucket(&env, |_| {}).await? else {
        return Ok(());
    };
    store.put("a", "1").await?;
    let purge = RemoveOptions::purge().marker_ttl(Duration::from_secs(1));
    let revision = store.remove_with("a", purge).await?;
    assert_eq!(store.get("a").await?, None);
    env.pass(1).await;
    env.until("nothing", async || {
        store.entry("a").await.unwrap().is_none()
    })
    .await;
    let last = store.status().await?.last_revision;
    assert_eq!(last, revision, "the marker of a purge leaves no other");
    Ok(())
}

pub(crate) async fn expired_keys_are_not_listed(env: Env) -> Outcome {
    let change = |config: &mut BucketConfig| {
        config.limit_markers = LimitMarkers::For(Duration::from_secs(600));
    };
    let Some(store) = bucket(&env, change).await? else {
        return Ok(());
    };
    store.put("stays", "1").await?;
    store.put_with("a", "1", ttl(1)).await?;
    env.pass(1).await;
    gone(&env, &store, "a").await;
    assert_eq!(
        store.entry("a").await?.unwrap().operation,
        Operation::Expire
    );
    assert_eq!(keys(&store, ">").await?, ["stays"]);
    assert_eq!(store.get_many([">"]).await?.len(), 1);
    assert!(store.get_many(["a"]).await?.is_empty());
    assert_eq!(store.history("a").await?.len(), 1, "the marker itself");
    Ok(())
}

pub(crate) async fn create_succeeds_over_expired_keys(env: Env) -> Outcome {
    let change = |config: &mut BucketConfig| {
        config.limit_markers = LimitMarkers::For(Duration::from_secs(600));
    };
    let Some(store) = bucket(&env, change).await? else {
        return Ok(());
    };
    store.put_with("a", "1", ttl(1)).await?;
    env.pass(1).await;
    gone(&env, &store, "a").await;
    assert_refused!(store.update("a", "2", 0).await, KvWriteError::Conflict(_));
    store.create("a", "2").await?;
    assert_eq!(store.get("a").await?.unwrap(), "2");
    Ok(())
}

pub(crate) async fn a_live_value_expires(env: Env) -> Outcome {
    let Some(store) = bucket(&env, |_| {}).await? else {
        return Ok(());
    };
    store.put_with("a", "1", ttl(1)).await?;
    let mut live = String::live(&store, "a").await?;
    let map = String::live_map(&store, ">").await?;
    assert_eq!(live.get().unwrap().as_str(), "1");
    assert_eq!(map.len(), 1);
    env.pass(1).await;
    let value = env.soon("change", live.changed()).await?;
    assert_eq!(value, None);
    assert_eq!(live.entry().unwrap().operation, Operation::Expire);
    env.until("expiry in the map", async || map.is_empty())
        .await;
    Ok(())
}

pub(crate) async fn a_ttl_requires_limit_markers(env: Env) -> Outcome {
    let store = env
        .bucket_with(|config| config.limit_markers = LimitMarkers::Off)
        .await?;
    assert!(!store.status().await?.has_limit_markers());
    refuses(&store).await;
    Ok(())
}

pub(crate) async fn limit_markers_can_be_turned_off(env: Env) -> Outcome {
    let mut config = env.fresh_config(|_| {});
    env.client.create_bucket(config.clone()).await?;
    config.limit_markers = LimitMarkers::Off;
    let store = env.client.create_or_update_bucket(config.clone()).await?;
    assert!(!store.status().await?.has_limit_markers());
    // Other handles may notice later.
    refuses(&store).await;
    refuses(&env.client.open_bucket(&config.name).await?).await;
    if env.capabilities.limit_markers {
        // `Auto` turns them on, with the lifetime that they had before.
        let [one, nine] = [1, 9].map(|seconds| LimitMarkers::For(Duration::from_secs(seconds)));
        for (wanted, comes_to) in [
            (LimitMarkers::Auto, one),
            (nine, nine),
            (LimitMarkers::Auto, nine),
        ] {
            config.limit_markers = wanted;
            let store = env.client.create_or_update_bucket(config.clone()).await?;
            assert_eq!(store.status().await?.config.limit_markers, comes_to);
        }
    }
    Ok(())
}

pub(crate) async fn limit_markers_require_a_new_server(env: Env) -> Outcome {
    let change = |config: &mut BucketConfig| {
        config.limit_markers = LimitMarkers::For(Duration::from_secs(7));
    };
    let Some(store) = bucket(&env, change).await? else {
        return Ok(());
    };
    let markers = store.status().await?.config.limit_markers;
    assert_eq!(markers, LimitMarkers::For(Duration::from_secs(7)));
    Ok(())
}

pub(crate) async fn values_expire_at_the_maximum_age(env: Env) -> Outcome {
    for markers in [LimitMarkers::Off, LimitMarkers::Auto] {
        let store = env
            .bucket_with(|config| {
                config.max_age = Some(Duration::from_secs(1));
                config.limit_markers = markers;
            })
            .await?;
        let mut watch = store.watch("a").await?;
        store.put("a", "1").await?;
        assert_eq!(env.next(&watch).await, "a=1");
        env.pass(1).await;
        gone(&env, &store, "a").await;
        assert!(keys(&store, ">").await?.is_empty());
        if store.status().await?.has_limit_markers() {
            let marker = env.soon("marker", watch.next()).await.unwrap()?;
            assert_eq!(marker.operation, Operation::Expire);
        } else {
            // Without markers the value disappears silently.
            store.put("a", "2").await?;
            let next = env.soon("entry", watch.by_ref().next()).await.unwrap()?;
            assert_eq!(next.value.unwrap(), "2");
        }
    }
    Ok(())
}
