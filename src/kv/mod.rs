//! Typed key-value on a bucket: keys, entries, watches, live values.

mod bucket;
mod entry;
mod error;
mod key;
pub mod lock;
mod options;

pub use bucket::{BucketConfig, BucketStatus, LimitMarkers, Placement, Republish, Source, Storage};
pub use entry::{Entry, Operation};
pub use error::{
    BoxError, BucketError, Conflict, DecodeError, Difference, InvalidOption, KvReadError,
    KvWriteError, ServiceError,
};
pub use key::{
    BucketName, IntoFilters, IntoKey, InvalidKey, InvalidReason, Key, KeyFilter, MAX_BUCKET_LEN,
    MAX_KEY_LEN, NameKind,
};
pub use options::{Deliver, Expect, PutOptions, Read, Removal, RemoveOptions, WatchOptions};
