//! Typed key-value on a bucket: keys, entries, watches, live values.
//!
//! A [`Store`] is a bucket as bytes, [`KeyValue`] and [`KeyValueRead`] put types on top, and
//! [`Live`] keeps a value in memory. Locks are built of the same keys: [`rw_lock`], [`mutex`],
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

mod bucket;
mod difference;
pub mod election;
mod entry;
mod error;
mod follow;
mod indexed;
mod invalid;
mod key;
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

pub use crate::backend::WatchEvent;
pub use bucket::{BucketConfig, BucketStatus, LimitMarkers, Placement, Republish, Source, Storage};
pub use entry::{Entry, Operation};
pub use error::{
    BoxError, BucketError, Conflict, DecodeError, Difference, InvalidOption, KvReadError,
    KvWriteError, ServiceError,
};
pub use follow::LiveStatus;
pub use indexed::{KeyIndexedValue, StaticKeyIndexedValue};
pub use invalid::{InvalidKey, InvalidReason, NameKind};
pub use key::{BucketName, IntoFilters, IntoKey, Key, KeyFilter, MAX_BUCKET_LEN, MAX_KEY_LEN};
pub use live::Live;
pub use live_map::LiveMap;
pub use options::{
    Deliver, Expect, PutOptions, Read, Removal, RemoveOptions, UpdateOptions, WatchOptions,
};
pub use store::Store;
pub use typed::{KeyValue, KeyValueRead};
pub use watch::Watch;
