//! Listing keys, and reading many at once.

use std::{cell::Cell, collections::BTreeSet, task::Poll};

use futures::{
    TryStreamExt,
    future::{poll_fn, try_join, try_join_all},
};
use shizuku::{
    Store,
    kv::{Entry, KeyFilter, KvWriteError, Operation, PutOptions, WatchEvent},
};

use super::{Env, Outcome, keys, show};

/// Puts many keys, a few dozen at a time.
async fn fill(store: &Store, count: usize) -> Result<(), KvWriteError> {
    for start in (0..count).step_by(100) {
        let end = (start + 100).min(count);
        let puts = (start..end).map(|n| store.put(format!("k.{n}"), n.to_string()));
        try_join_all(puts).await?;
    }
    Ok(())
}

fn sorted(entries: &[Entry]) -> Vec<String> {
    let mut texts: Vec<_> = entries.iter().map(show).collect();
    texts.sort();
    texts
}

pub(crate) async fn keys_are_listed_once(env: Env) -> Outcome {
    let store = env.bucket_with(|config| config.history = 5).await?;
    for key in ["b", "a", "a.x", "b", "a"] {
        store.put(key, "1").await?;
    }
    assert_eq!(keys(&store, ">").await?, ["a", "a.x", "b"]);
    let mut all: Vec<_> = store.keys().await?.try_collect().await?;
    all.sort();
    assert_eq!(all, ["a", "a.x", "b"]);
    Ok(())
}

pub(crate) async fn keys_of_an_empty_bucket_are_empty(env: Env) -> Outcome {
    let store = env.bucket().await?;
    assert!(env.soon("keys", keys(&store, ">")).await?.is_empty());
    store.put("a", "1").await?;
    assert!(env.soon("keys", keys(&store, "b.*")).await?.is_empty());
    Ok(())
}

pub(crate) async fn keys_omits_removed_keys(env: Env) -> Outcome {
    let store = env.bucket_with(|config| config.history = 5).await?;
    for key in ["a", "b", "c", "d"] {
        store.put(key, "1").await?;
    }
    store.delete("a").await?;
    store.purge("b").await?;
    store.delete("c").await?;
    store.put("c", "2").await?;
    store.delete("never").await?;
    assert_eq!(keys(&store, ">").await?, ["c", "d"]);
    Ok(())
}

pub(crate) async fn keys_overwritten_during_a_listing_are_listed(env: Env) -> Outcome {
    let store = env.bucket().await?;
    fill(&store, 10).await?;
    let is_over = Cell::new(false);
    // The server briefly has no value for a key that is overwritten before it is sent.
    let writing = async {
        while !is_over.get() {
            try_join_all((0..5).map(|n| store.put(format!("k.{n}"), "again"))).await?;
            let mut has_waited = false;
            poll_fn(|context| {
                context.waker().wake_by_ref();
                match std::mem::replace(&mut has_waited, true) {
                    true => Poll::Ready(()),
                    false => Poll::Pending,
                }
            })
            .await;
        }
        Ok(())
    };
    let reading = async {
        for _ in 0..40 {
            assert_eq!(keys(&store, ">").await?.len(), 10);
            assert_eq!(store.get_many(">").await?.len(), 10);
            let watch = store.watch_all().await?;
            let mut shown = BTreeSet::new();
            while let Some(WatchEvent::Entry(entry)) = watch.next_event().await.transpose()? {
                shown.insert(entry.key);
            }
            assert_eq!(shown.len(), 10);
        }
        is_over.set(true);
        Ok::<_, super::BoxError>(())
    };
    env.soon("listings", try_join(writing, reading)).await?;
    Ok(())
}

pub(crate) async fn keys_are_filtered(env: Env) -> Outcome {
    let store = env.bucket().await?;
    for key in ["a", "a.b", "a.b.c", "a.x", "b", "b.b"] {
        store.put(key, "1").await?;
    }
    assert_eq!(keys(&store, "a.*").await?, ["a.b", "a.x"]);
    assert_eq!(keys(&store, "a.>").await?, ["a.b", "a.b.c", "a.x"]);
    assert_eq!(keys(&store, "a").await?, ["a"]);
    assert_eq!(keys(&store, ["a", "b.>"]).await?, ["a", "b.b"]);
    assert_eq!(keys(&store, ["*.b", "a.*"]).await?, ["a.b", "a.x", "b.b"]);
    assert_eq!(keys(&store, ["a.b", "a.*", ">"]).await?.len(), 6);
    Ok(())
}

pub(crate) async fn filters_match_whole_tokens(env: Env) -> Outcome {
    let store = env.bucket().await?;
    for key in ["ab", "abc", "a.bc", "a.b", "xa.b"] {
        store.put(key, "1").await?;
    }
    assert_eq!(keys(&store, "a.b").await?, ["a.b"]);
    assert_eq!(keys(&store, "ab").await?, ["ab"]);
    assert_eq!(keys(&store, "a.>").await?, ["a.b", "a.bc"]);
    assert_eq!(keys(&store, "*").await?, ["ab", "abc"]);
    // The library's own matching agrees with the server's.
    let filter = KeyFilter::new("*.b")?;
    assert_eq!(keys(&store, &filter).await?, ["a.b", "xa.b"]);
    assert!(filter.matches("xa.b") && !filter.matches("a.bc"));
    Ok(())
}

pub(crate) async fn many_keys_are_listed(env: Env) -> Outcome {
    let store = env.bucket().await?;
    fill(&store, 3000).await?;
    let listed = env.soon("3000 keys", keys(&store, "k.*")).await?;
    let mut wanted: Vec<_> = (0..3000).map(|n| format!("k.{n}")).collect();
    wanted.sort();
    assert!(listed == wanted, "{} keys", listed.len());
    Ok(())
}

pub(crate) async fn get_many_returns_existing_values(env: Env) -> Outcome {
    let store = env.bucket().await?;
    for key in ["a", "b", "c", "d"] {
        store.put(key, format!("{key}!")).await?;
    }
    store.delete("b").await?;
    store.purge("c").await?;
    let entries = store.get_many(["a", "b", "c", "d", "none", "a"]).await?;
    assert_eq!(sorted(&entries), ["a=a!", "d=d!"]);
    Ok(())
}

pub(crate) async fn get_many_takes_filters(env: Env) -> Outcome {
    let store = env.bucket().await?;
    for key in ["a.b", "a.c", "b.b", "c"] {
        store.put(key, "1").await?;
    }
    let one = store.get_many("a.*").await?;
    assert_eq!(sorted(&one), ["a.b=1", "a.c=1"]);
    let overlapping = store.get_many(["a.*", "*.b", "c", "a.b"]).await?;
    assert_eq!(sorted(&overlapping), ["a.b=1", "a.c=1", "b.b=1", "c=1"]);
    assert_eq!(store.get_many(">").await?.len(), 4);
    Ok(())
}

pub(crate) async fn get_many_returns_the_latest_revision(env: Env) -> Outcome {
    let store = env.bucket_with(|config| config.history = 5).await?;
    store.put("a", "1").await?;
    store.put("b", "1").await?;
    store.put("a", "2").await?;
    store.delete("b").await?;
    assert_eq!(sorted(&store.get_many(["a", "b"]).await?), ["a=2"]);
    Ok(())
}

pub(crate) async fn get_many_without_matches_is_empty(env: Env) -> Outcome {
    let store = env.bucket().await?;
    let none: [&str; 0] = [];
    assert!(env.soon("answer", store.get_many(none)).await?.is_empty());
    assert!(env.soon("answer", store.get_many("a")).await?.is_empty());
    assert!(env.soon("answer", store.get_many(">")).await?.is_empty());
    store.put("a", "1").await?;
    assert!(env.soon("answer", store.get_many(none)).await?.is_empty());
    assert!(
        env.soon("answer", store.get_many(["x", "y.>"]))
            .await?
            .is_empty()
    );
    Ok(())
}

pub(crate) async fn get_many_reads_thousands_of_keys(env: Env) -> Outcome {
    let store = env.bucket().await?;
    fill(&store, 2500).await?;
    let wanted: Vec<_> = {
        let mut all: Vec<_> = (0..2500).map(|n| format!("k.{n}={n}")).collect();
        all.sort();
        all
    };
    // By name: more than a server accepts in one request, and some that do not exist.
    let names: Vec<_> = (0..2600).map(|n| format!("k.{n}")).collect();
    let by_name = env.soon("2500 values", store.get_many(&names[..])).await?;
    assert!(sorted(&by_name) == wanted, "{} by name", by_name.len());
    // By one filter: more than a server returns at once.
    let by_filter = env.soon("2500 values", store.get_many("k.*")).await?;
    assert!(
        sorted(&by_filter) == wanted,
        "{} by filter",
        by_filter.len()
    );
    Ok(())
}

pub(crate) async fn get_many_returns_metadata(env: Env) -> Outcome {
    let store = env.bucket().await?;
    let options = PutOptions::new().header("Tag", "x");
    let revision = store.put_with("a.b", "1", options).await?;
    let single = store.entry("a.b").await?.unwrap();
    let entry = store.get_many("a.b").await?.remove(0);
    assert_eq!(entry.bucket, *store.bucket());
    assert_eq!(
        (entry.revision, entry.operation),
        (revision, Operation::Put)
    );
    assert_eq!(entry.headers.get("Tag"), Some("x"));
    assert_eq!((entry.headers.len(), entry.delta), (1, 0));
    assert_eq!(entry.created, single.created);
    Ok(())
}
