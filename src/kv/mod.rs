//! Typed key-value on a bucket: keys, entries, watches, live values.

mod bucket;
mod difference;
pub mod election;
mod entry;
mod error;
mod follow;
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
pub use key::{
    BucketName, IntoFilters, IntoKey, InvalidKey, InvalidReason, Key, KeyFilter, MAX_BUCKET_LEN,
    MAX_KEY_LEN, NameKind,
};
pub use live::Live;
pub use live_map::LiveMap;
pub use options::{
    Deliver, Expect, PutOptions, Read, Removal, RemoveOptions, UpdateOptions, WatchOptions,
};
pub use store::Store;
pub use typed::{KeyIndexedValue, KeyValue, KeyValueRead, StaticKeyIndexedValue};
pub use watch::Watch;
