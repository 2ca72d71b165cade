//! Typed key-value on a bucket: keys, entries, watches, live values.
//!
//! A [`Store`] gives access to a bucket as bytes, [`KeyValue`] and [`KeyValueRead`] add types, and
//! [`Live`] keeps a value in memory. Locks are built on keys of the same bucket: [`rw_lock`], [`mutex`],
//! [`semaphore`], [`election`].
//!
//! ```
//! use shizuku::kv::{BucketConfig, KeyValueRead};
//!
//! # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let client = shizuku::connect("memory:").await?;
//! let store = client.create_bucket(BucketConfig::new("settings").history(5)).await?;
//!
//! let first = store.create("color", "blue").await?;
//! store.update("color", "green", first).await?;
//! let history = String::history_from(&store, "color").await?;
//! assert_eq!(history.len(), 2);
//!
//! let color = String::live(&store, "color").await?;
//! assert_eq!(color.get().as_deref().map(String::as_str), Some("green"));
//! # Ok(()) }
//! ```
//!
//! # Coming from async-nats
//!
//! `get`, `entry`, `put`, `create`, `update`, `delete`, `purge`, `keys`, `history`, `watch`, `watch_all`
//! and `status` mean the same here (except `watch`, see below), and are all methods of [`Store`]. The
//! others:
//!
//! | async-nats | here |
//! | --- | --- |
//! | `create_key_value`, `get_key_value`, `delete_key_value` | [`create_bucket`](crate::Client::create_bucket), [`open_bucket`](crate::Client::open_bucket), [`delete_bucket`](crate::Client::delete_bucket) |
//! | `update_key_value`, `create_or_update_key_value` | [`create_or_update_bucket`](crate::Client::create_or_update_bucket), or [`update_bucket`](crate::Client::update_bucket) to keep all other settings |
//! | `entry_for_revision` | [`entry_at`](Store::entry_at) |
//! | `create_with_ttl(key, value, ttl)` | `put_with(key, value, PutOptions::new().if_absent().ttl(ttl))` |
//! | `delete_expect_revision(key, Some(revision))` | `remove_with(key, RemoveOptions::delete().if_revision(revision))` |
//! | `purge_with_ttl(key, ttl)` | `remove_with(key, RemoveOptions::purge().marker_ttl(ttl))` |
//! | `watch_many(keys)` | `watch(keys)` |
//! | `watch_with_history(key)` | `watch_with(key, WatchOptions::new().deliver(Deliver::History))` |
//! | `watch_from_revision(key, revision)` | `watch_with(key, WatchOptions::new().deliver(Deliver::From(revision)))` |
//!
//! A watch begins with the last revision of each key; async-nats' `watch` begins with the next change
//! (`Deliver::Updates` here). A watch also reports when it is current and when it was interrupted, and
//! its entries can report that a value expired ([`Operation::Expire`]) or vanished without a record
//! ([`Operation::Vanish`]).

mod bucket;
mod difference;
pub mod election;
mod entry;
mod error;
mod follow;
mod indexed;
mod listing;
mod live;
mod live_map;
pub mod lock;
pub mod mutex;
mod options;
pub mod rw_lock;
pub mod semaphore;
mod store;
mod typed;
mod update;
mod watch;

pub use crate::{
    backend::WatchEvent,
    error::{BoxError, InvalidOption, ServiceError},
    invalid::{InvalidKey, InvalidReason, NameKind},
    key::{BucketName, IntoFilters, IntoKey, Key, KeyFilter, MAX_BUCKET_LEN, MAX_KEY_LEN},
};
pub use bucket::{BucketConfig, BucketStatus, LimitMarkers, Placement, Republish, Source, Storage};
pub use entry::{Entry, Operation};
pub use error::{BucketError, Conflict, DecodeError, Difference, KvReadError, KvWriteError};
pub use follow::LiveStatus;
pub use indexed::{KeyIndexedValue, StaticKeyIndexedValue};
pub use live::Live;
pub use live_map::LiveMap;
pub use options::{
    Deliver, Expect, PutOptions, Read, Removal, RemoveOptions, UpdateOptions, WatchOptions,
};
pub(crate) use store::LocksOf;
pub use store::Store;
pub use typed::{KeyValue, KeyValueRead};
pub use watch::Watch;
