//! A bucket.

use std::time::{Duration, UNIX_EPOCH};

use js_sys::{Object, Promise};
use shizuku::kv::{
    BucketStatus, Deliver, Expect, LimitMarkers, PutOptions, Read, RemoveOptions, Storage,
    WatchOptions,
};
use wasm_bindgen::{JsValue, prelude::wasm_bindgen};

use crate::{
    client::promise,
    error::{Fault, Result, number, object, set},
    options::{exact, millis},
    pack::{self, Batch},
    watch::RawWatch,
};

/// Preconditions of a write other than a revision.
const ANY: f64 = -1.0;
const ABSENT: f64 = -2.0;

/// A handle on a bucket.
#[wasm_bindgen]
#[derive(Debug)]
pub struct RawStore {
    pub(crate) store: shizuku::Store,
}

impl RawStore {
    pub(crate) fn new(store: shizuku::Store) -> Self {
        Self { store }
    }
}

#[wasm_bindgen]
impl RawStore {
    /// The bucket's name.
    pub fn bucket(&self) -> String {
        self.store.bucket().as_ref().to_owned()
    }

    /// A promise of a batch with one entry, or of `undefined`. No revision means the latest.
    pub fn get(&self, key: String, revision: Option<f64>, leader: bool) -> Promise {
        let store = self.store.clone();
        promise(async move {
            let read = if leader { Read::Leader } else { Read::Any };
            let entry = match revision {
                None => store.entry_with(key, read).await?,
                Some(revision) => store.entry_at_with(key, exact(revision), read).await?,
            };
            Ok(entry.map_or(JsValue::UNDEFINED, |entry| pack::one(&entry).into()))
        })
    }

    /// A promise of a batch with the values of many keys.
    #[wasm_bindgen(js_name = getMany)]
    pub fn get_many(&self, keys: Vec<String>) -> Promise {
        let store = self.store.clone();
        promise(async move {
            let mut batch = Batch::default();
            for entry in store.get_many(keys).await? {
                batch.entry(&entry);
            }
            Ok(batch.into_js().into())
        })
    }

    /// A promise of the new revision. `expect` is a revision, -1 for no precondition, or -2 for no value.
    pub fn put(&self, key: String, value: Vec<u8>, expect: f64, ttl: f64) -> Promise {
        let store = self.store.clone();
        promise(async move {
            let mut options = PutOptions::new().expect(expected(expect));
            if let Some(ttl) = lifetime(ttl)? {
                options = options.ttl(ttl);
            }
            let revision = store.put_with(key, value, options).await?;
            Ok(number(revision).into())
        })
    }

    /// A promise of the removal's revision.
    pub fn remove(&self, key: String, purge: bool, expect: f64, ttl: f64) -> Promise {
        let store = self.store.clone();
        promise(async move {
            let mut options = if purge {
                RemoveOptions::purge()
            } else {
                RemoveOptions::delete()
            };
            options = options.expect(expected(expect));
            if let Some(ttl) = lifetime(ttl)? {
                options = options.marker_ttl(ttl);
            }
            let revision = store.remove_with(key, options).await?;
            Ok(number(revision).into())
        })
    }

    /// A promise of a [`RawWatch`]. `deliver` is a revision to start at, -1 for the latest revisions, -2
    /// for all, -3 for changes only.
    pub fn watch(
        &self,
        filters: Vec<String>,
        deliver: f64,
        ignore_removals: bool,
        metadata_only: bool,
        once: bool,
    ) -> Promise {
        let store = self.store.clone();
        promise(async move {
            let deliver = match deliver {
                -1.0 => Deliver::Latest,
                -2.0 => Deliver::History,
                -3.0 => Deliver::Updates,
                revision => Deliver::From(exact(revision)),
            };
            let options = WatchOptions::new()
                .deliver(deliver)
                .ignore_removals(ignore_removals)
                .metadata_only(metadata_only);
            let watch = store.watch_with(filters, options).await?;
            Ok(RawWatch::new(watch, once).into())
        })
    }

    /// A promise of the number of keys purged.
    #[wasm_bindgen(js_name = purgeDeletes)]
    pub fn purge_deletes(&self, older_than: f64) -> Promise {
        let store = self.store.clone();
        promise(async move {
            let Some(older_than) = millis(older_than) else {
                return Err(Fault::option("olderMillis", "a number of milliseconds"));
            };
            Ok(number(store.purge_deletes(older_than).await?).into())
        })
    }

    /// A promise of the settings and state.
    pub fn status(&self) -> Promise {
        let store = self.store.clone();
        promise(async move { Ok(describe(&store.status().await?)) })
    }
}

fn expected(expect: f64) -> Expect {
    match expect {
        ANY => Expect::Any,
        ABSENT => Expect::Absent,
        revision => Expect::Revision(exact(revision)),
    }
}

/// 0 means unlimited.
fn lifetime(ttl: f64) -> Result<Option<Duration>> {
    match millis(ttl) {
        Some(Duration::ZERO) => Ok(None),
        Some(ttl) => Ok(Some(ttl)),
        None => Err(Fault::option("ttl", "a number of milliseconds")),
    }
}

fn describe(status: &BucketStatus) -> JsValue {
    let config = &status.config;
    let age = |age: Option<Duration>| age.map_or(0.0, |age| age.as_secs_f64() * 1000.0);
    let markers = match config.limit_markers {
        LimitMarkers::For(ttl) => Some(ttl),
        _ => None,
    };
    let storage = if config.storage == Storage::Memory {
        "memory"
    } else {
        "file"
    };
    let created = status.created.duration_since(UNIX_EPOCH);
    let metadata = Object::new();
    for (name, value) in &config.metadata {
        set(&metadata, name, &value.as_str().into());
    }
    object([
        ("bucket", status.bucket.as_ref().into()),
        ("values", number(status.values).into()),
        ("keys", number(status.keys).into()),
        ("size", number(status.bytes).into()),
        ("lastRevision", number(status.last_revision).into()),
        ("created", age(created.ok()).into()),
        ("description", config.description.as_str().into()),
        ("history", config.history.into()),
        ("ttl", age(config.max_age).into()),
        ("markerTTL", age(markers).into()),
        ("maxValueSize", config.max_value_size.into()),
        ("max_bytes", config.max_bytes.map(number).into()),
        ("replicas", config.replicas.into()),
        ("storage", storage.into()),
        ("compression", config.compression.into()),
        ("metadata", metadata.into()),
    ])
}
