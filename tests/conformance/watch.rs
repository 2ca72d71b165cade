//! Watches.

use std::collections::BTreeMap;

use futures::{StreamExt, future::try_join_all};
use shizuku::kv::{
    Deliver, KvReadError, Operation, PutOptions, ServiceError, WatchEvent, WatchOptions,
};

use super::{Env, Outcome};
use crate::assert_refused;

const STARTS: [Deliver; 4] = [
    Deliver::Latest,
    Deliver::History,
    Deliver::Updates,
    Deliver::From(1),
];

fn deliver(deliver: Deliver) -> WatchOptions {
    WatchOptions::new().deliver(deliver)
}

pub(crate) async fn a_watch_delivers_values_then_changes(env: Env) -> Outcome {
    let store = env.bucket_with(|config| config.history = 5).await?;
    for (key, value) in [("a", "1"), ("b", "1"), ("a", "2")] {
        store.put(key, value).await?;
    }
    let watch = store.watch_all().await?;
    assert_eq!(env.initial(&watch).await, ["b=1", "a=2"]);
    store.put("c", "1").await?;
    store.put("a", "3").await?;
    assert_eq!(env.next(&watch).await, "c=1");
    assert_eq!(env.next(&watch).await, "a=3");
    Ok(())
}

pub(crate) async fn every_start_reports_current_on_an_empty_set(env: Env) -> Outcome {
    let empty = env.bucket().await?;
    let other = env.bucket().await?;
    other.put("other", "1").await?;
    for store in [empty, other] {
        for start in STARTS {
            for filters in [&["a"][..], &["a.*"], &["a.>"], &["a", "b"], &["a.*", "b.>"]] {
                let watch = store.watch_with(filters, deliver(start)).await?;
                assert!(env.initial(&watch).await.is_empty());
            }
        }
    }
    Ok(())
}

pub(crate) async fn current_is_delivered_once(env: Env) -> Outcome {
    for start in STARTS {
        for full in [false, true] {
            let store = env.bucket().await?;
            if full {
                store.put("a", "1").await?;
                store.put("b", "1").await?;
            }
            let watch = store.watch_with(">", deliver(start)).await?;
            let initial = env.initial(&watch).await;
            let all = full && start != Deliver::Updates;
            assert_eq!(initial.len(), if all { 2 } else { 0 });
            for value in ["2", "3"] {
                store.put("a", value).await?;
                match env.soon("entry", watch.next_event()).await {
                    Some(Ok(WatchEvent::Entry(entry))) => assert_eq!(entry.value.unwrap(), value),
                    other => panic!("no entry but {other:?}"),
                }
            }
        }
    }
    Ok(())
}

pub(crate) async fn updates_only_replays_nothing(env: Env) -> Outcome {
    let store = env.bucket_with(|config| config.history = 5).await?;
    store.put("a", "1").await?;
    store.put("a", "2").await?;
    let watch = store.watch_with("a", deliver(Deliver::Updates)).await?;
    // Written after the watch was opened, so it must be delivered, and nothing before it.
    store.put("a", "3").await?;
    assert!(env.initial(&watch).await.is_empty());
    assert_eq!(env.next(&watch).await, "a=3");
    Ok(())
}

pub(crate) async fn history_delivers_every_revision(env: Env) -> Outcome {
    let store = env.bucket_with(|config| config.history = 5).await?;
    for (key, value) in [("a", "1"), ("b", "1"), ("a", "2")] {
        store.put(key, value).await?;
    }
    store.delete("b").await?;
    let watch = store.watch_with(">", deliver(Deliver::History)).await?;
    assert_eq!(env.initial(&watch).await, ["a=1", "b=1", "a=2", "b:Delete"]);
    store.put("a", "3").await?;
    assert_eq!(env.next(&watch).await, "a=3");
    Ok(())
}

pub(crate) async fn a_watch_can_start_at_a_revision(env: Env) -> Outcome {
    let store = env.bucket_with(|config| config.history = 5).await?;
    for value in ["1", "2", "3", "4"] {
        store.put("a", value).await?;
    }
    let watch = store.watch_with(">", deliver(Deliver::From(3))).await?;
    assert_eq!(env.initial(&watch).await, ["a=3", "a=4"]);
    store.put("a", "5").await?;
    assert_eq!(env.next(&watch).await, "a=5");
    Ok(())
}

pub(crate) async fn a_watch_can_start_at_a_future_revision(env: Env) -> Outcome {
    let store = env.bucket().await?;
    store.put("a", "1").await?;
    let watch = store.watch_with(">", deliver(Deliver::From(3))).await?;
    assert!(env.initial(&watch).await.is_empty());
    store.put("a", "2").await?;
    store.put("a", "3").await?;
    assert_eq!(env.next(&watch).await, "a=3");
    Ok(())
}

pub(crate) async fn removals_are_delivered_as_removals(env: Env) -> Outcome {
    let store = env.bucket().await?;
    let watch = store.watch_all().await?;
    assert!(env.initial(&watch).await.is_empty());
    store.put("a", "1").await?;
    assert_eq!(env.next(&watch).await, "a=1");
    for operation in [Operation::Delete, Operation::Purge] {
        let revision = match operation {
            Operation::Delete => store.delete("a").await?,
            _ => store.purge("a").await?,
        };
        let entry = env.next_entry(&watch).await;
        assert!(entry.is_removal());
        assert_eq!(entry.operation, operation);
        assert_eq!((entry.revision, entry.value), (revision, None));
    }
    let watch = store.watch_all().await?;
    assert_eq!(env.initial(&watch).await, ["a:Purge"], "at the start too");
    Ok(())
}

pub(crate) async fn removals_can_be_ignored(env: Env) -> Outcome {
    let store = env.bucket().await?;
    store.put("a", "1").await?;
    store.put("b", "1").await?;
    store.delete("b").await?;
    let options = WatchOptions::new().ignore_removals(true);
    let watch = store.watch_with(">", options.clone()).await?;
    assert_eq!(env.initial(&watch).await, ["a=1"]);
    store.delete("a").await?;
    store.put("c", "1").await?;
    assert_eq!(env.next(&watch).await, "c=1");
    // If all keys are removed, `Current` is delivered all the same.
    let watch = store.watch_with("b", options).await?;
    assert!(env.initial(&watch).await.is_empty());
    Ok(())
}

pub(crate) async fn a_metadata_only_watch_omits_values(env: Env) -> Outcome {
    let store = env.bucket().await?;
    let options = PutOptions::new().header("Tag", "x");
    store.put_with("a", "1", options.clone()).await?;
    store.delete("b").await?;
    let watch = store
        .watch_with(">", WatchOptions::new().metadata_only(true))
        .await?;
    assert_eq!(env.initial(&watch).await, ["a:Put", "b:Delete"]);
    store.put_with("c", "1", options).await?;
    let entry = env.next_entry(&watch).await;
    assert_eq!((entry.operation, entry.value), (Operation::Put, None));
    assert_eq!(entry.headers.get("Tag"), Some("x"));
    assert_eq!(entry.headers.len(), 1, "none of the protocol's own");
    Ok(())
}

pub(crate) async fn a_watch_matches_keys_and_wildcards(env: Env) -> Outcome {
    let store = env.bucket_with(|config| config.history = 3).await?;
    let keys = ["a", "a.b", "a.b.c", "a.x", "b", "b.b", "ab"];
    let cases: [(&[&str], &[&str]); 10] = [
        (&["a"], &["a"]),
        (&["a.b"], &["a.b"]),
        (&["a.*"], &["a.b", "a.x"]),
        (&["a.>"], &["a.b", "a.b.c", "a.x"]),
        (&["*"], &["a", "b", "ab"]),
        (&["*.b"], &["a.b", "b.b"]),
        (&["*.*.c"], &["a.b.c"]),
        (&["a", "b"], &["a", "b"]),
        (&["a.*", "b"], &["a.b", "a.x", "b"]),
        (&["missing", "b.>"], &["b.b"]),
    ];
    let mut watches = Vec::new();
    for (filters, wanted) in cases {
        let watch = store.watch(filters).await?;
        assert!(env.initial(&watch).await.is_empty());
        watches.push((watch, wanted, filters));
    }
    for key in keys {
        store.put(key, "").await?;
    }
    for (watch, wanted, filters) in watches {
        for key in wanted {
            assert_eq!(env.next_entry(&watch).await.key, *key, "{filters:?}");
        }
    }
    for key in keys {
        store.put(key, "").await?;
    }
    for (filters, wanted) in cases {
        // The latest value of each key, whatever its history.
        let again = store.watch(filters).await?;
        let wanted: Vec<_> = wanted.iter().map(|key| format!("{key}=")).collect();
        assert_eq!(env.initial(&again).await, wanted, "{filters:?}");
    }
    Ok(())
}

pub(crate) async fn overlapping_filters_deliver_once(env: Env) -> Outcome {
    let store = env.bucket().await?;
    store.put("a.b", "1").await?;
    store.put("a.c", "1").await?;
    for filters in [
        &["a.*", "a.b"][..],
        &["a.>", "a.*"],
        &["*.b", "a.*"],
        &[">", "a.b", "a.>"],
        &["a.*", "a.*"],
    ] {
        let watch = store.watch(filters).await?;
        assert_eq!(env.initial(&watch).await, ["a.b=1", "a.c=1"], "{filters:?}");
        // The second write shows that the first is not delivered twice.
        let first = store.put("a.b", "1").await?;
        let second = store.put("a.c", "1").await?;
        assert_eq!(env.next_entry(&watch).await.revision, first, "{filters:?}");
        assert_eq!(env.next_entry(&watch).await.revision, second, "{filters:?}");
        store.put("a.b", "1").await?;
        store.put("a.c", "1").await?;
    }
    Ok(())
}

pub(crate) async fn initial_entries_have_decreasing_deltas(env: Env) -> Outcome {
    let store = env.bucket().await?;
    for n in 0..10 {
        store.put(format!("k.{n}"), "1").await?;
    }
    let watch = store.watch("k.*").await?;
    for left in (0..10).rev() {
        assert_eq!(env.next_entry(&watch).await.delta, left);
    }
    assert!(matches!(
        env.soon("current", watch.next_event()).await,
        Some(Ok(WatchEvent::Current))
    ));
    Ok(())
}

pub(crate) async fn a_slow_reader_sees_the_latest_values_in_order(env: Env) -> Outcome {
    let store = env.bucket().await?;
    let watch = store.watch_all().await?;
    for round in 0..20 {
        let puts = (0..50).map(|n| store.put(format!("k.{n}"), format!("{round}")));
        try_join_all(puts).await?;
    }
    store.put("end", "").await?;
    let mut last = BTreeMap::new();
    let mut revision = 0;
    loop {
        let entry = env.next_entry(&watch).await;
        assert!(entry.revision > revision, "in order, nothing twice");
        revision = entry.revision;
        if entry.key == "end" {
            break;
        }
        last.insert(entry.key, entry.value.unwrap());
    }
    assert_eq!(last.len(), 50);
    assert!(last.values().all(|value| value == "19"));
    Ok(())
}

pub(crate) async fn nothing_is_missed_between_initial_values_and_changes(env: Env) -> Outcome {
    let store = env.bucket_with(|config| config.history = 64).await?;
    for n in 0..300 {
        store.put(format!("k.{}", n % 20), n.to_string()).await?;
    }
    // The watch is opened during the writes.
    let writing = async {
        for n in 300..600 {
            store.put(format!("k.{}", n % 20), n.to_string()).await?;
        }
        store.put("end", "").await.map_err(super::BoxError::from)
    };
    let watching = async {
        let watch = store.watch_with(">", deliver(Deliver::History)).await?;
        let mut revision = 0;
        let mut current = 0;
        while let Some(event) = watch.next_event().await {
            match event? {
                WatchEvent::Entry(entry) => {
                    assert_eq!(entry.revision, revision + 1, "every single one");
                    revision = entry.revision;
                    if entry.key == "end" {
                        break;
                    }
                }
                WatchEvent::Current => current += 1,
                _ => {}
            }
        }
        assert!(current <= 1);
        Ok(())
    };
    env.soon("600 entries", futures::future::try_join(writing, watching))
        .await?;
    Ok(())
}

pub(crate) async fn many_watches_deliver_the_same_entries(env: Env) -> Outcome {
    let store = env.bucket().await?;
    let watches = try_join_all((0..30).map(|_| store.watch("a.*"))).await?;
    for watch in &watches {
        assert!(env.initial(watch).await.is_empty());
    }
    let first = store.put("a.b", "1").await?;
    let second = store.delete("a.c").await?;
    for watch in &watches {
        assert_eq!(env.next_entry(watch).await.revision, first);
        assert_eq!(env.next_entry(watch).await.revision, second);
    }
    Ok(())
}

pub(crate) async fn a_watch_is_a_stream(env: Env) -> Outcome {
    let store = env.bucket().await?;
    store.put("a", "1").await?;
    store.put("b", "1").await?;
    let watch = store.watch_all().await?;
    let keys = watch.take(2).map(|entry| entry.unwrap().key.to_string());
    let keys: Vec<_> = env.soon("two entries", keys.collect()).await;
    assert_eq!(keys, ["a", "b"]);
    Ok(())
}

pub(crate) async fn a_dropped_watch_does_not_affect_others(env: Env) -> Outcome {
    let store = env.bucket().await?;
    let stays = store.watch_all().await?;
    for n in 0..50 {
        let watch = store.watch_all().await?;
        store.put("a", n.to_string()).await?;
        drop(watch);
        assert_eq!(env.next(&stays).await, format!("a={n}"));
    }
    assert_eq!(store.get("a").await?.unwrap(), "49");
    Ok(())
}

pub(crate) async fn a_deleted_bucket_ends_a_watch(env: Env) -> Outcome {
    let store = env.bucket().await?;
    let watch = store.watch_all().await?;
    assert!(env.initial(&watch).await.is_empty());
    env.client.delete_bucket(store.bucket()).await?;
    loop {
        match env.soon("end of the watch", watch.next_event()).await {
            // The server first deletes the consumer, which looks like an interruption.
            Some(Ok(WatchEvent::Interrupted)) => {}
            Some(Err(KvReadError::Service(ServiceError::BucketNotFound { bucket }))) => {
                assert_eq!(bucket, *store.bucket());
                break;
            }
            other => panic!("no end but {other:?}"),
        }
    }
    assert!(watch.next().await.is_none());
    Ok(())
}

pub(crate) async fn a_missing_bucket_cannot_be_watched(env: Env) -> Outcome {
    let store = env.bucket().await?;
    env.client.delete_bucket(store.bucket()).await?;
    assert_refused!(
        store.watch("a").await,
        KvReadError::Service(ServiceError::BucketNotFound { .. })
    );
    assert_refused!(
        store.history("a").await,
        KvReadError::Service(ServiceError::BucketNotFound { .. })
    );
    Ok(())
}
