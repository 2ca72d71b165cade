//! Errors that every layer may have.

use std::time::Duration;

use crate::{key::BucketName, words::Lasting};

/// The source of an error that came from elsewhere.
///
/// It keeps its type, so that it can be downcast:
///
/// ```
/// use std::str::Utf8Error;
/// use shizuku::kv::{KeyValue, KvReadError};
///
/// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let store = shizuku::connect("memory:").await?.create_bucket("docs").await?;
/// store.put("name", vec![b'a', 0xff]).await?;
/// let Err(KvReadError::Decode(error)) = String::read_from(&store, "name").await else {
///     panic!("it is no UTF-8");
/// };
/// let cause = error.source.downcast_ref::<Utf8Error>().expect("what the codec of `String` says");
/// assert_eq!(cause.valid_up_to(), 1);
/// # Ok(()) }
/// ```
pub type BoxError = Box<dyn std::error::Error + Send + Sync + 'static>;

/// An option that is out of range. Nothing was sent.
///
/// ```
/// use std::time::Duration;
/// use shizuku::kv::{KvWriteError, PutOptions};
///
/// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let store = shizuku::connect("memory:").await?.create_bucket("docs").await?;
/// let options = PutOptions::new().ttl(Duration::from_millis(1500));
/// match store.put_with("session", "alice", options).await {
///     Err(KvWriteError::InvalidOption(error)) => assert_eq!(error.option, "ttl"),
///     other => panic!("{other:?}"),
/// }
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid {option}: {reason}")]
#[non_exhaustive]
pub struct InvalidOption {
    /// The option.
    pub option: &'static str,
    /// What is wrong with it, and what is allowed.
    pub reason: String,
}

impl InvalidOption {
    /// Makes the error from the option's name and what is wrong with it.
    pub fn new(option: &'static str, reason: impl Into<String>) -> Self {
        Self {
            option,
            reason: reason.into(),
        }
    }
}

/// What the service behind a bucket refused, or failed to answer.
///
/// ```
/// use shizuku::kv::{BucketError, ServiceError};
///
/// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let client = shizuku::connect("memory:").await?;
/// match client.open_bucket("settings").await {
///     Ok(store) => println!("{} is there", store.bucket()),
///     Err(BucketError::Service(ServiceError::BucketNotFound { bucket })) => {
///         println!("{bucket} must be made first");
///     }
///     Err(error) if error.is_retryable() => println!("perhaps later: {error}"),
///     Err(error) => return Err(error.into()),
/// }
/// # Ok(()) }
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServiceError {
    /// There is no such bucket.
    #[error("there is no bucket {bucket}")]
    BucketNotFound {
        /// The bucket.
        bucket: BucketName,
    },
    /// JetStream is off on the server or for this account.
    #[error("JetStream is not available: {detail}")]
    JetStreamUnavailable {
        /// What the server said, or that no server answered.
        detail: String,
    },
    /// This user may not send to, or listen on, a subject.
    #[error("no permission for {subject}")]
    PermissionDenied {
        /// The subject, or a description of it.
        subject: String,
    },
    /// The server, or the bucket's settings, cannot do this.
    #[error("{feature} is not supported here: {remedy}")]
    Unsupported {
        /// What was asked for.
        feature: &'static str,
        /// What would make it work.
        remedy: String,
    },
    /// No answer within the deadline.
    #[error("no answer to {operation} within {}", Lasting(*.after))]
    Timeout {
        /// What was asked.
        operation: String,
        /// The deadline.
        after: Duration,
    },
    /// The connection was lost, or there is none at the moment.
    #[error("not connected: {detail}")]
    Disconnected {
        /// What is known about the reason.
        detail: String,
    },
    /// The client was closed, or dropped.
    #[error("the client is closed")]
    Closed,
    /// The server refused for a reason of its own.
    #[error("the server refused ({status}{}): {description}", with_code(*.code))]
    Refused {
        /// The HTTP-like status.
        status: u16,
        /// The JetStream error code, if it is JetStream that refused and not the server below.
        code: Option<u64>,
        /// The server's words.
        description: String,
    },
    /// An answer that violates the protocol.
    #[error("cannot understand the answer to {operation}: {source}")]
    Malformed {
        /// What was asked.
        operation: String,
        /// What is wrong with the answer.
        source: BoxError,
    },
    /// A background task is needed, but there is no async runtime to run it.
    #[error("no async runtime: call this from within a tokio runtime")]
    NoRuntime,
}

impl ServiceError {
    /// A bucket has no limit markers, and therefore no time to live.
    pub(crate) fn no_ttl(bucket: &BucketName) -> Self {
        Self::Unsupported {
            feature: "a time to live per key",
            remedy: format!(
                "bucket {bucket} has no limit markers: set `limit_markers` with \
                 `create_or_update_bucket`, on server 2.11 or newer"
            ),
        }
    }

    /// Whether the same call may succeed later without any change: after a time-out, a lost
    /// connection, or if the server is short of a resource.
    ///
    /// A write that may have happened is never retryable, whatever this says: see
    /// [`KvWriteError::OutcomeUnknown`](crate::kv::KvWriteError::OutcomeUnknown).
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Timeout { .. } | Self::Disconnected { .. } => true,
            Self::Refused {
                status, code: None, ..
            } => matches!(status, 429 | 503),
            // The status alone says too little: a full bucket is a 503 too.
            Self::Refused {
                code: Some(code), ..
            } => matches!(code, 10008 | 10023 | 10047 | 10167),
            _ => false,
        }
    }
}

fn with_code(code: Option<u64>) -> String {
    code.map(|code| format!(", code {code}"))
        .unwrap_or_default()
}
