//! The keys of the library's locks. A store refuses to write them, so each runner has its own way.

use std::time::Duration;

use futures::TryStreamExt;
use shizuku::{
    Store,
    kv::{IntoFilters, WatchEvent, WatchOptions},
};

use crate::conformance::Outcome;

/// Listings and watches omit such keys unless asked for them.
pub(crate) async fn stay_out_of_sight(store: &Store, put: impl AsyncFn(&'static str)) -> Outcome {
    put("_lock.a.1").await;
    store.put("a", "1").await?;
    put("_lock.a.2").await;
    store.put("b", "1").await?;

    let keys: Vec<_> = store.keys().await?.try_collect().await?;
    assert_eq!(keys, ["a", "b"]);
    let keys: Vec<_> = store.keys_matching("*.a.1").await?.try_collect().await?;
    assert!(keys.is_empty());
    let asked = store.keys_matching("_lock.>").await?;
    assert_eq!(asked.try_collect::<Vec<_>>().await?.len(), 2);
    assert_eq!(store.get_many(">").await?.len(), 2);
    assert_eq!(store.get_many("_lock.a.*").await?.len(), 2);
    // Also together with other filters.
    let both = ["a", "_lock.a.*"];
    let asked = store.keys_matching(both).await?;
    assert_eq!(asked.try_collect::<Vec<_>>().await?.len(), 3);
    assert_eq!(store.get_many(both).await?.len(), 3);
    assert_eq!(store.get("_lock.a.1").await?.unwrap(), "1");

    assert_eq!(initial(store, ">", false).await?, ["a", "b"]);
    let all = ["_lock.a.1", "a", "_lock.a.2", "b"];
    assert_eq!(initial(store, ">", true).await?, all);
    assert_eq!(initial(store, "_lock.a.*", false).await?.len(), 2);
    assert_eq!(initial(store, both, false).await?.len(), 3);

    store.delete("a").await?;
    assert_eq!(store.purge_deletes(Duration::ZERO).await?, 1);
    assert_eq!(store.get_many("_lock.>").await?.len(), 2);
    Ok(())
}

async fn initial(
    store: &Store,
    filters: impl IntoFilters,
    reserved: bool,
) -> Result<Vec<String>, shizuku::kv::BoxError> {
    let options = WatchOptions::new().include_reserved(reserved);
    let watch = store.watch_with(filters, options).await?;
    let mut keys = Vec::new();
    while let Some(WatchEvent::Entry(entry)) = watch.next_event().await.transpose()? {
        keys.push(entry.key.to_string());
    }
    Ok(keys)
}
