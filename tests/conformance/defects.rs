//! Bugs of other clients, each in a test named after the client.

use std::time::Duration;

use futures::future::{join_all, try_join};
use shizuku::kv::{
    Deliver, Expect, KeyValue, KvReadError, KvWriteError, LimitMarkers, Operation, PutOptions,
    WatchOptions,
};

use super::{Env, Outcome, history, keys, ttl};
use crate::assert_refused;

/// Its `create` over a tombstone becomes an `update` that drops the time to live.
pub(crate) async fn async_nats_drops_the_ttl_of_a_create_over_a_tombstone(env: Env) -> Outcome {
    let Some(store) = ttl::bucket(&env, |_| {}).await? else {
        return Ok(());
    };
    store.put("a", "1").await?;
    store.delete("a").await?;
    store.purge("b").await?;
    let create = PutOptions::new()
        .expect(Expect::Absent)
        .ttl(Duration::from_secs(1));
    let watch = store
        .watch_with(">", WatchOptions::new().deliver(Deliver::Updates))
        .await?;
    for key in ["a", "b"] {
        store.put_with(key, "2", create.clone()).await?;
        assert_eq!(env.next(&watch).await, format!("{key}=2"));
    }
    env.pass(1).await;
    for _ in ["a", "b"] {
        assert_eq!(env.next_entry(&watch).await.operation, Operation::Expire);
    }
    Ok(())
}

/// A server has two codes for a conflict; it sends the second while another write is in flight.
pub(crate) async fn async_nats_recognises_only_one_of_two_conflict_codes(env: Env) -> Outcome {
    let store = env.bucket().await?;
    let mut revision = store.put("a", "0").await?;
    for _ in 0..10 {
        let updates = (0..64).map(|n| store.update("a", n.to_string(), revision));
        for result in env.soon("64 updates", join_all(updates)).await {
            match result {
                Ok(won) => revision = won,
                Err(error) => assert!(error.conflict().is_some(), "{error:?}"),
            }
        }
    }
    assert_eq!(store.entry("a").await?.unwrap().revision, revision);
    Ok(())
}

/// The server receives 0, which means forever.
pub(crate) async fn async_nats_sends_a_ttl_below_a_second_as_zero(env: Env) -> Outcome {
    let store = env.bucket().await?;
    let options = PutOptions::new().ttl(Duration::from_millis(500));
    assert_refused!(
        store.put_with("a", "1", options).await,
        KvWriteError::InvalidOption(_)
    );
    assert_eq!(store.get("a").await?, None);
    Ok(())
}

/// With a history longer than one, it purges a key because of an older marker.
pub(crate) async fn nats_js_purge_deletes_erases_live_values(env: Env) -> Outcome {
    let store = env.bucket_with(|config| config.history = 10).await?;
    for value in ["1", "2", "3"] {
        store.put("a", value).await?;
        store.delete("a").await?;
    }
    store.put("a", "alive").await?;
    assert_eq!(store.purge_deletes(Duration::ZERO).await?, 0);
    assert_eq!(store.get("a").await?.unwrap(), "alive");
    assert_eq!(history(&store, "a").await?.len(), 7);
    Ok(())
}

/// It does not know the markers that servers write.
pub(crate) async fn nats_js_lists_expired_keys(env: Env) -> Outcome {
    let long = LimitMarkers::For(Duration::from_secs(600));
    let Some(store) = ttl::bucket(&env, |config| config.limit_markers = long).await? else {
        return Ok(());
    };
    let options = PutOptions::new().ttl(Duration::from_secs(1));
    store.put_with("a", "1", options).await?;
    store.put("b", "1").await?;
    let watch = store
        .watch_with("a", WatchOptions::new().deliver(Deliver::Updates))
        .await?;
    env.pass(1).await;
    assert_eq!(env.next_entry(&watch).await.operation, Operation::Expire);
    assert_eq!(keys(&store, ">").await?, ["b"]);
    assert!(keys(&store, "a").await?.is_empty());
    Ok(())
}

/// It purges the whole key, including values put after it saw the marker.
pub(crate) async fn nats_go_purge_deletes_loses_a_racing_put(env: Env) -> Outcome {
    let store = env.bucket().await?;
    for round in 0..50 {
        let names: Vec<_> = (0..5).map(|n| format!("k.{n}")).collect();
        for name in &names {
            store.delete(name).await?;
        }
        let putting = async {
            for name in &names {
                store.put(name, round.to_string()).await?;
            }
            Ok(())
        };
        try_join(store.purge_deletes(Duration::ZERO), putting).await?;
        for name in &names {
            let value = store.get(name).await?;
            assert_eq!(value.expect("an acknowledged put stays"), round.to_string());
        }
    }
    Ok(())
}

/// Its helper for atomic writes treats a conflict as success, and the update is lost.
pub(crate) async fn shizuku_0_1_treats_a_conflict_as_success(env: Env) -> Outcome {
    let store = env.bucket().await?;
    let revision = store.put("a", "1").await?;
    store.put("a", "2").await?;
    async fn write(store: &shizuku::Store, revision: u64) -> Result<u64, KvWriteError> {
        let revision = store.update("a", "3", revision).await?;
        Ok(revision)
    }
    assert_refused!(write(&store, revision).await, KvWriteError::Conflict(_));
    assert_eq!(store.get("a").await?.unwrap(), "2");
    Ok(())
}

/// It decodes the empty body of a removed key.
pub(crate) async fn shizuku_0_1_decodes_tombstones(env: Env) -> Outcome {
    let store = env.bucket().await?;
    for purge in [false, true] {
        store.put("a", "1").await?;
        if purge {
            store.purge("a").await?;
        } else {
            store.delete("a").await?;
        }
        let read: Result<Option<String>, KvReadError> = String::read_from(&store, "a").await;
        assert_eq!(read?, None, "and not an empty text");
    }
    Ok(())
}

/// They never report the end of the initial values.
pub(crate) async fn clients_never_report_the_end_of_an_empty_initial_set(env: Env) -> Outcome {
    let store = env.bucket().await?;
    store.put("other", "1").await?;
    let watch = store.watch("none.*").await?;
    assert!(env.initial(&watch).await.is_empty());
    assert!(env.soon("keys", keys(&store, "none.*")).await?.is_empty());
    assert!(
        env.soon("history", history(&store, "none"))
            .await?
            .is_empty()
    );
    Ok(())
}
