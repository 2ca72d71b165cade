//! Errors, grouped by what the caller can do about them.
//!
//! Reads fail with [`KvReadError`], writes with [`KvWriteError`], and bucket operations with
//! [`BucketError`]. In all three, a failure of the underlying service is a [`ServiceError`].

use super::options::Expect;
use crate::{
    error::{BoxError, InvalidOption, ServiceError},
    invalid::InvalidKey,
    key::{BucketName, Key},
};

/// The error of a read, listing or watch.
///
/// ```
/// use shizuku::kv::{KeyValue, KvReadError};
///
/// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let store = shizuku::connect("memory:").await?.create_bucket("docs").await?;
/// store.put("name", vec![0xff]).await?;
/// match String::read_from(&store, "name").await {
///     Ok(name) => println!("{name:?}"),
///     Err(KvReadError::Decode(error)) => assert_eq!((&*error.key, error.revision), ("name", 1)),
///     Err(error) if error.is_retryable() => println!("later, perhaps: {error}"),
///     Err(error) => return Err(error.into()),
/// }
/// # Ok(()) }
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KvReadError {
    /// The key or filter is invalid. Nothing was sent.
    #[error(transparent)]
    InvalidKey(#[from] InvalidKey),
    /// An option is out of range, or options contradict each other. Nothing was sent.
    #[error(transparent)]
    InvalidOption(#[from] InvalidOption),
    /// The stored value does not decode as the requested type.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// The service rejected the request or did not reply.
    #[error(transparent)]
    Service(#[from] ServiceError),
}

/// The error of a write.
///
/// Every variant except [`OutcomeUnknown`](KvWriteError::OutcomeUnknown) means that nothing was written.
///
/// ```
/// use shizuku::kv::KvWriteError;
///
/// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let store = shizuku::connect("memory:").await?.create_bucket("docs").await?;
/// store.put("color", "blue").await?;
/// match store.create("color", "red").await {
///     Ok(revision) => println!("written as {revision}"),
///     Err(KvWriteError::Conflict(lost)) => assert_eq!(lost.actual, Some(1)),
///     Err(KvWriteError::OutcomeUnknown { key, .. }) => println!("read {key} to know"),
///     Err(error) => return Err(error.into()),
/// }
/// # Ok(()) }
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KvWriteError {
    /// The key is invalid, or reserved for the library. Nothing was sent.
    #[error(transparent)]
    InvalidKey(#[from] InvalidKey),
    /// An option is out of range, or options contradict each other. Nothing was sent.
    #[error(transparent)]
    InvalidOption(#[from] InvalidOption),
    /// The value could not be encoded. Nothing was sent.
    #[error("cannot encode {type_name} for key {key}")]
    Encode {
        /// The key of the write.
        key: Key,
        /// The Rust type of the value.
        type_name: &'static str,
        /// The codec's error.
        source: BoxError,
    },
    /// Another write came first: the key is not at the expected revision.
    #[error(transparent)]
    Conflict(#[from] Conflict),
    /// The message exceeds the limit of the server or the bucket.
    #[error("the write to key {key} is too large: {size} bytes, {}", accepted(*.limit))]
    TooLarge {
        /// The key of the write.
        key: Key,
        /// The size of value and headers, in bytes.
        size: usize,
        /// The limit in bytes, if the server reports it.
        limit: Option<usize>,
    },
    /// The write was sent, but no reply arrived: it may or may not have happened, and may still happen.
    /// The library never resends it. Read the key to find out.
    #[error("the outcome of the write to key {key} is unknown")]
    OutcomeUnknown {
        /// The key.
        key: Key,
        /// Why there was no reply.
        source: ServiceError,
    },
    /// An update loop lost the maximum number of races.
    #[error("gave up on key {} after {attempts} lost races", .last.key)]
    Contention {
        /// The number of attempts.
        attempts: usize,
        /// The last lost race.
        last: Conflict,
    },
    /// An update loop failed to read the current value.
    #[error("cannot read the value to update")]
    Read(#[source] Box<KvReadError>),
    /// The service rejected the write or could not be reached.
    #[error(transparent)]
    Service(#[from] ServiceError),
}

impl KvReadError {
    /// Returns whether the same read may succeed later without any change.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Service(error) if error.is_retryable())
    }
}

impl BucketError {
    /// Returns whether the same call may succeed later without any change.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Service(error) if error.is_retryable())
    }
}

impl KvWriteError {
    /// Returns whether the same write can safely be repeated and may succeed later without any change:
    /// never after an unknown outcome.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Service(error) => error.is_retryable(),
            Self::Read(error) => error.is_retryable(),
            _ => false,
        }
    }

    /// Returns the lost race, if the write failed because of one.
    pub fn conflict(&self) -> Option<&Conflict> {
        match self {
            Self::Conflict(conflict) | Self::Contention { last: conflict, .. } => Some(conflict),
            _ => None,
        }
    }
}

/// A lost race: the key is not at the revision that a write expected.
///
/// Servers report it with two codes: 10071, and 10164 if another write to the key was still in progress.
/// Both become this type.
///
/// ```
/// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let store = shizuku::connect("memory:").await?.create_bucket("docs").await?;
/// let first = store.put("color", "blue").await?;
/// let second = store.put("color", "green").await?;
/// let error = store.update("color", "red", first).await.unwrap_err();
/// let lost = error.conflict().expect("a lost race");
/// assert_eq!(lost.actual, Some(second));
/// assert_eq!(lost.to_string(), "key color is at revision 2, not 1");
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("key {key} {}", match (.expected, .actual) {
    (Expect::Absent, Some(actual)) => format!("already has a value, at revision {actual}"),
    (Expect::Absent, None) => "already has a value".to_owned(),
    (Expect::Revision(wanted), Some(actual)) => format!("is at revision {actual}, not {wanted}"),
    (Expect::Revision(wanted), None) => format!("is not at revision {wanted}"),
    (Expect::Any, _) => "was written to concurrently".to_owned(),
})]
#[non_exhaustive]
pub struct Conflict {
    /// The key.
    pub key: Key,
    /// The write's condition.
    pub expected: Expect,
    /// The key's last revision, if the server reports it. It may be a removal.
    pub actual: Option<u64>,
}

impl Conflict {
    /// Creates a lost race, for a custom backend.
    pub const fn new(key: Key, expected: Expect, actual: Option<u64>) -> Self {
        Self {
            key,
            expected,
            actual,
        }
    }
}

/// A stored value that does not decode as the requested type.
///
/// ```
/// use shizuku::kv::{KeyValue, KvReadError};
///
/// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let store = shizuku::connect("memory:").await?.create_bucket("docs").await?;
/// store.put("color", vec![0xff]).await?;
/// match String::read_from(&store, "color").await {
///     Err(KvReadError::Decode(error)) => assert_eq!((&*error.key, error.revision), ("color", 1)),
///     other => panic!("{other:?}"),
/// }
/// # Ok(()) }
/// ```
#[derive(Debug, thiserror::Error)]
#[error("revision {revision} of key {key} in bucket {bucket} is not a {type_name}")]
#[non_exhaustive]
pub struct DecodeError {
    /// The bucket.
    pub bucket: BucketName,
    /// The key.
    pub key: Key,
    /// The revision that does not decode.
    pub revision: u64,
    /// The requested Rust type.
    pub type_name: &'static str,
    /// The codec's error.
    pub source: BoxError,
}

/// The error of a bucket operation (create, open, delete, list).
///
/// ```
/// use shizuku::kv::{BucketConfig, BucketError};
///
/// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let client = shizuku::connect("memory:").await?;
/// client.create_bucket("settings").await?;
/// match client.create_bucket(BucketConfig::new("settings").history(5)).await {
///     Err(BucketError::Mismatch { differences, .. }) => {
///         assert_eq!(differences[0].to_string(), "history is 1, not 5");
///     }
///     other => panic!("{other:?}"),
/// }
/// # Ok(()) }
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BucketError {
    /// The name is invalid. Nothing was sent.
    #[error(transparent)]
    InvalidName(#[from] InvalidKey),
    /// A setting is out of range. Nothing was sent.
    #[error(transparent)]
    InvalidOption(#[from] InvalidOption),
    /// The bucket exists with other settings.
    #[error("bucket {bucket} exists with other settings: {}", list(.differences))]
    Mismatch {
        /// The bucket.
        bucket: BucketName,
        /// Every setting that differs.
        differences: Vec<Difference>,
    },
    /// The service rejected the request or did not reply.
    #[error(transparent)]
    Service(#[from] ServiceError),
}

/// A setting in which an existing bucket differs from the requested configuration.
///
/// ```
/// use shizuku::kv::{BucketConfig, BucketError};
///
/// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let client = shizuku::connect("memory:").await?;
/// # client.create_bucket("settings").await?;
/// // A history can be changed at any time; other differences need a human decision.
/// let config = BucketConfig::new("settings").history(5);
/// let store = match client.create_bucket(config.clone()).await {
///     Err(BucketError::Mismatch { differences, .. })
///         if differences.iter().all(|found| found.setting == "history") =>
///     {
///         println!("the history was {}", differences[0].actual);
///         client.create_or_update_bucket(config).await?
///     }
///     other => other?,
/// };
/// assert_eq!(store.status().await?.config.history, 5);
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{setting} is {actual}, not {wanted}")]
#[non_exhaustive]
pub struct Difference {
    /// The setting's name, as in [`BucketConfig`](super::BucketConfig).
    pub setting: &'static str,
    /// The requested value.
    pub wanted: String,
    /// The bucket's value.
    pub actual: String,
}

fn accepted(limit: Option<usize>) -> String {
    match limit {
        None => "more than the bucket accepts".to_owned(),
        Some(limit) => format!("and the limit is {limit}"),
    }
}

fn list(differences: &[Difference]) -> String {
    let mut text = String::new();
    for difference in differences {
        if !text.is_empty() {
            text.push_str("; ");
        }
        text.push_str(&difference.to_string());
    }
    text
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn only_transient_errors_are_retryable() {
        let refused = |status, code| ServiceError::Refused {
            status,
            code,
            description: String::new(),
        };
        let timeout = || ServiceError::Timeout {
            operation: "put".into(),
            after: Duration::from_secs(1),
        };
        let lost = || ServiceError::Disconnected {
            detail: String::new(),
        };
        for yes in [
            timeout(),
            lost(),
            refused(503, None),
            refused(503, Some(10008)),
        ] {
            assert!(KvReadError::from(yes).is_retryable());
        }
        assert!(BucketError::from(lost()).is_retryable());
        assert!(KvWriteError::Read(Box::new(lost().into())).is_retryable());
        // A full bucket is a 503 too, and stays full.
        for no in [
            ServiceError::Closed,
            refused(400, None),
            refused(503, Some(10077)),
        ] {
            assert!(!no.is_retryable() && !BucketError::from(no).is_retryable());
        }
        for no in [ServiceError::Closed, refused(400, None)] {
            assert!(!KvReadError::from(no).is_retryable());
        }
        let key = Key::new("a").unwrap();
        let source = timeout();
        assert!(KvWriteError::from(lost()).is_retryable());
        assert!(!KvWriteError::OutcomeUnknown { key, source }.is_retryable());
    }
}
