//! Purging the markers of removed keys.

use std::time::Duration;

use futures::future::try_join;
use shizuku::kv::KvWriteError;

use super::{Env, Outcome, history, keys};

pub(crate) async fn purge_deletes_clears_markers(env: Env) -> Outcome {
    let store = env.bucket_with(|config| config.history = 5).await?;
    for key in ["a", "b", "c"] {
        store.put(key, "1").await?;
    }
    store.delete("a").await?;
    store.purge("b").await?;
    assert_eq!(store.purge_deletes(Duration::ZERO).await?, 2);
    assert_eq!(store.entry("a").await?, None);
    assert!(
        store.history("a").await?.is_empty(),
        "and what was behind it"
    );
    assert_eq!(store.entry("b").await?, None);
    assert_eq!(store.status().await?.values, 1);
    assert_eq!(store.purge_deletes(Duration::ZERO).await?, 0);
    // A purged key can be created again.
    assert_eq!(store.update("a", "2", 0).await?, 6);
    Ok(())
}

pub(crate) async fn purge_deletes_keeps_young_markers(env: Env) -> Outcome {
    let store = env.bucket().await?;
    store.put("a", "1").await?;
    store.delete("a").await?;
    // The age is measured by this machine's clock, which a test cannot change.
    let never = Duration::from_secs(100 * 365 * 24 * 60 * 60);
    assert_eq!(store.purge_deletes(never).await?, 0);
    assert!(store.entry("a").await?.is_some());
    Ok(())
}

pub(crate) async fn purge_deletes_keeps_live_values_and_their_history(env: Env) -> Outcome {
    let store = env.bucket_with(|config| config.history = 5).await?;
    for value in ["1", "2"] {
        store.put("a", value).await?;
    }
    store.delete("a").await?;
    store.put("a", "3").await?;
    store.put("a.b", "1").await?;
    store.delete("b").await?;
    assert_eq!(store.purge_deletes(Duration::ZERO).await?, 1);
    assert_eq!(
        history(&store, "a").await?,
        ["a=1", "a=2", "a:Delete", "a=3"]
    );
    assert_eq!(keys(&store, ">").await?, ["a", "a.b"]);
    Ok(())
}

pub(crate) async fn a_put_concurrent_with_purge_deletes_is_kept(env: Env) -> Outcome {
    let store = env.bucket_with(|config| config.history = 5).await?;
    for round in 0..10 {
        store.delete("a").await?;
        let value = round.to_string();
        // The order is random.
        try_join(
            store.purge_deletes(Duration::ZERO),
            store.put("a", value.clone()),
        )
        .await?;
        assert_eq!(store.get("a").await?.unwrap(), value);
    }
    Ok(())
}

pub(crate) async fn puts_racing_purge_deletes_are_never_lost(env: Env) -> Outcome {
    for history in [1, 5] {
        let store = env.bucket_with(|config| config.history = history).await?;
        let writing = async {
            for round in 0..60 {
                for key in ["a", "b", "c"] {
                    store.delete(key).await?;
                    let value = format!("{round}");
                    let revision = store.put(key, value.clone()).await?;
                    let entry = store.entry_at(key, revision).await;
                    let entry = entry.map_err(|error| KvWriteError::Read(Box::new(error)))?;
                    assert_eq!(
                        entry.expect("an acknowledged put stays").value.unwrap(),
                        value
                    );
                }
            }
            Ok::<_, KvWriteError>(())
        };
        let clearing = async {
            for _ in 0..60 {
                store.purge_deletes(Duration::ZERO).await?;
            }
            Ok(())
        };
        env.soon("race", try_join(writing, clearing)).await?;
        for key in ["a", "b", "c"] {
            assert_eq!(store.get(key).await?.unwrap(), "59");
        }
    }
    Ok(())
}
