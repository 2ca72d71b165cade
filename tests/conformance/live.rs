//! Live values.

use futures::FutureExt;
use shizuku::{
    ByteDeserialize,
    kv::{
        BoxError, KeyValueRead, KvReadError, LiveStatus, Operation,
        rw_lock::{DistroRwLock, LockError},
    },
};

use super::{Env, Outcome};
use crate::assert_refused;

/// A type that not every byte string decodes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Number(u32);

impl ByteDeserialize for Number {
    fn parse_from_bytes(bytes: &[u8]) -> Result<Self, BoxError> {
        Ok(Self(std::str::from_utf8(bytes)?.parse()?))
    }
}

pub(crate) async fn a_live_value_follows_changes(env: Env) -> Outcome {
    let store = env.bucket().await?;
    let mut live = Number::live(&store, "a").await?;
    assert_eq!(live.get(), None);
    assert_eq!(live.status(), LiveStatus::Current);
    for n in 1..=3 {
        let revision = store.put("a", n.to_string()).await?;
        let value = env.soon("change", live.changed()).await?;
        assert_eq!(*value.unwrap(), Number(n));
        assert_eq!(*live.get().unwrap(), Number(n));
        assert_eq!(live.entry().unwrap().revision, revision);
    }
    store.put("b", "9").await?;
    store.delete("a").await?;
    assert_eq!(env.soon("change", live.changed()).await?, None);
    assert_eq!(live.get(), None);
    assert_eq!(live.entry().unwrap().operation, Operation::Delete);
    Ok(())
}

pub(crate) async fn a_live_value_starts_with_the_current_value(env: Env) -> Outcome {
    let store = env.bucket().await?;
    store.put("a", "7").await?;
    let live = Number::live(&store, "a").await?;
    assert_eq!(*live.get().unwrap(), Number(7));
    assert_eq!(*live.key(), "a");
    Ok(())
}

pub(crate) async fn a_live_value_keeps_the_last_value_that_decoded(env: Env) -> Outcome {
    let store = env.bucket().await?;
    store.put("a", "1").await?;
    let mut live = Number::live(&store, "a").await?;
    assert!(live.last_error().is_none());
    let revision = store.put("a", "one").await?;
    env.soon("change", live.changed()).await?;
    assert_eq!(*live.get().unwrap(), Number(1), "the last good one stands");
    match live.last_error().as_deref() {
        Some(KvReadError::Decode(error)) => assert_eq!(error.revision, revision),
        other => panic!("{other:?}"),
    }
    assert_eq!(live.status(), LiveStatus::Current);
    store.put("a", "2").await?;
    env.soon("change", live.changed()).await?;
    assert_eq!(*live.get().unwrap(), Number(2));
    assert!(live.last_error().is_none(), "a good value makes up for it");

    // If the first value does not decode there is no value yet, but changes are followed.
    store.put("b", "one").await?;
    let mut live = Number::live(&store, "b").await?;
    assert_eq!(live.get(), None);
    assert!(live.last_error().is_some());
    store.put("b", "3").await?;
    env.soon("change", live.changed()).await?;
    assert_eq!(*live.get().unwrap(), Number(3));
    Ok(())
}

pub(crate) async fn live_values_share_a_watch(env: Env) -> Outcome {
    let store = env.bucket().await?;
    let mut first = Number::live(&store, "a").await?;
    let mut second = first.clone();
    store.put("a", "1").await?;
    env.soon("change", first.changed()).await?;
    env.soon("change", second.changed()).await?;
    assert_eq!(first.get(), second.get());
    drop(first);
    store.put("a", "2").await?;
    let value = env.soon("change", second.changed()).await?;
    assert_eq!(*value.unwrap(), Number(2));
    Ok(())
}

pub(crate) async fn a_live_value_ends_with_its_bucket(env: Env) -> Outcome {
    let store = env.bucket().await?;
    store.put("a", "1").await?;
    let mut live = Number::live(&store, "a").await?;
    env.client.delete_bucket(store.bucket()).await?;
    while env.soon("end", live.status_changed()).await != LiveStatus::Ended {}
    assert!(live.status_changed().now_or_never().is_none(), "for ever");
    assert_eq!(*live.get().unwrap(), Number(1), "the last known one stands");
    assert!(live.last_error().is_some());
    assert!(env.soon("error", live.changed()).await.is_err());
    Ok(())
}

pub(crate) async fn a_live_map_follows_changes(env: Env) -> Outcome {
    let store = env.bucket().await?;
    store.put("n.a", "1").await?;
    store.put("n.b", "2").await?;
    store.delete("n.c").await?;
    store.put("other", "3").await?;
    let mut map = Number::live_map(&store, "n.*").await?;
    assert_eq!(map.keys(), ["n.a", "n.b"]);
    assert_eq!(map.get("n.a").as_deref(), Some(&Number(1)));
    assert_eq!(map.get("other"), None);
    store.put("n.d", "4").await?;
    env.soon("change", map.changed()).await?;
    assert_eq!(map.get("n.d").as_deref(), Some(&Number(4)));
    store.delete("n.a").await?;
    env.soon("change", map.changed()).await?;
    assert_eq!(map.get("n.a"), None);
    let snapshot = map.snapshot();
    assert_eq!((snapshot.len(), map.len()), (2, 2));
    assert_eq!(snapshot["n.b"].0, 2);
    Ok(())
}

pub(crate) async fn a_live_map_keeps_the_values_that_decoded(env: Env) -> Outcome {
    let store = env.bucket().await?;
    store.put("a", "1").await?;
    store.put("b", "two").await?;
    let mut map = Number::live_map(&store, ">").await?;
    assert_eq!(map.keys(), ["a"]);
    assert!(map.last_error().is_some());
    assert_eq!(map.decode_errors().len(), 1);
    store.put("a", "one").await?;
    env.soon("change", map.changed()).await?;
    assert_eq!(map.decode_errors().len(), 2);
    assert_eq!(map.entry("a").unwrap().revision, 1);
    assert_eq!(map.get("a").as_deref(), Some(&Number(1)));
    Ok(())
}

pub(crate) async fn lock_entries_are_not_shown_as_values(env: Env) -> Outcome {
    let store = env.bucket().await?;
    let lock = DistroRwLock::new(&store, "a")?;
    if !env.capabilities.limit_markers {
        assert_refused!(lock.write().await, LockError::NotSupported { .. });
        return Ok(());
    }
    let mut map = Number::live_map(&store, ">").await?;
    let watch = store.watch_all().await?;
    assert!(env.initial(&watch).await.is_empty());
    let guard = env.soon("the lock", lock.write()).await?;
    store.put("a", "1").await?;
    assert_eq!(env.next(&watch).await, "a=1");
    env.soon("change", map.changed()).await?;
    // Live values and watches opened while the lock is held do not see it either.
    let (late, late_watch) = (
        Number::live_map(&store, ">").await?,
        store.watch_all().await?,
    );
    assert_eq!(env.initial(&late_watch).await, ["a=1"]);
    guard.release().await?;
    store.put("b", "2").await?;
    for watch in [&watch, &late_watch] {
        assert_eq!(env.next(watch).await, "b=2");
    }
    env.soon("change", map.changed()).await?;
    assert_eq!(map.keys(), ["a", "b"]);
    for map in [map, late] {
        assert!(map.decode_errors().is_empty() && map.get("a").is_some());
    }
    Ok(())
}
