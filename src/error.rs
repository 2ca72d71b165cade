//! Errors common to all layers, and conventions for all errors of this crate.
//!
//! A message does not include its cause, which `source()` returns: reporters that print an error with
//! its sources, such as anyhow's `{:#}`, would print it twice. So no `#[error]` contains `{source}`, and
//! every message must make sense on its own. An error that adds nothing is `transparent`. Where a single line
//! of text is needed, as in our own logs, use [`WithCauses`]. The one exception is
//! `WithLockProcessError::Process`, whose error need not implement `Error`: it is in the message, and is
//! not a source.

use std::{error::Error, fmt, time::Duration};

use crate::{key::BucketName, words::Lasting};

/// The source of an error from elsewhere.
///
/// It keeps its type, so it can be downcast:
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
pub type BoxError = Box<dyn Error + Send + Sync + 'static>;

/// Prints an error and all its causes in one line.
///
/// An error's message omits its causes, which [`source`](Error::source) returns. Reporters such as
/// anyhow print them all; this is for `println!` and logs. A cause that another crate already includes
/// in its message is not repeated.
///
/// ```
/// use shizuku::{Json, WithCauses, kv::KeyValueRead};
///
/// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let store = shizuku::connect("memory:").await?.create_bucket("settings").await?;
/// store.put("limit", "ten").await?;
/// let limit = Json::<u32>::live(&store, "limit").await?;
/// let error = limit.last_error().expect("it is no number");
/// assert!(WithCauses(&*error).to_string().ends_with(": expected ident at line 1 column 2"));
/// # Ok(()) }
/// ```
#[derive(Clone, Copy, Debug)]
pub struct WithCauses<'a, E: ?Sized>(pub &'a E);

impl<E: Error + ?Sized> fmt::Display for WithCauses<'_, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let says = self.0.to_string();
        f.write_str(&says)?;
        write_causes(f, says, self.0.source())
    }
}

fn write_causes(
    f: &mut fmt::Formatter<'_>,
    mut said: String,
    mut source: Option<&(dyn Error + 'static)>,
) -> fmt::Result {
    while let Some(cause) = source {
        let says = cause.to_string();
        if !said.ends_with(&*says) {
            f.write_str(": ")?;
            f.write_str(&says)?;
        }
        (source, said) = (cause.source(), says);
    }
    Ok(())
}

/// An option out of range. Nothing was sent.
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
    /// What is wrong, and what is allowed.
    pub reason: String,
}

impl InvalidOption {
    /// Creates the error from the option's name and what is wrong with it.
    pub fn new(option: &'static str, reason: impl Into<String>) -> Self {
        Self {
            option,
            reason: reason.into(),
        }
    }
}

/// A failure of the service behind a bucket: it rejected a request or did not reply.
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
    /// The bucket does not exist.
    #[error("bucket {bucket} does not exist")]
    BucketNotFound {
        /// The bucket.
        bucket: BucketName,
    },
    /// JetStream is disabled on the server or for this account.
    #[error("JetStream is not available: {detail}")]
    JetStreamUnavailable {
        /// The server's message, or that no server replied.
        detail: String,
    },
    /// This user may not publish or subscribe to a subject.
    #[error("permission denied for {subject}")]
    PermissionDenied {
        /// The subject, or a description of it.
        subject: String,
    },
    /// The server or the bucket's settings do not support this.
    #[error("{feature} is not supported here: {remedy}")]
    Unsupported {
        /// The unsupported feature.
        feature: &'static str,
        /// What would enable it.
        remedy: String,
    },
    /// No reply within the timeout.
    #[error("{operation} timed out after {}", Lasting(*.after))]
    Timeout {
        /// The operation.
        operation: String,
        /// The timeout.
        after: Duration,
    },
    /// The connection was lost, or there is currently none.
    #[error("not connected: {detail}")]
    Disconnected {
        /// The reason, as far as it is known.
        detail: String,
    },
    /// The client was closed or dropped.
    #[error("the client is closed")]
    Closed,
    /// The server rejected the request for another reason.
    #[error(fmt = refused)]
    Refused {
        /// The HTTP-like status.
        status: u16,
        /// The JetStream error code, if JetStream rejected it rather than the NATS server itself.
        code: Option<u64>,
        /// The server's message.
        description: String,
    },
    /// A reply that violates the protocol.
    #[error("malformed response to {operation}: {detail}")]
    Malformed {
        /// The operation.
        operation: String,
        /// What is wrong with the reply.
        detail: String,
    },
    /// A background task is needed, but there is no async runtime to run it on.
    #[error("no async runtime: call this from within a tokio runtime")]
    NoRuntime,
}

impl ServiceError {
    /// Creates the error for a time to live on a bucket without limit markers.
    pub(crate) fn no_ttl(bucket: &BucketName) -> Self {
        Self::Unsupported {
            feature: "a time to live per key",
            remedy: format!(
                "bucket {bucket} has no limit markers: set `limit_markers` with `update_bucket`, \
                 on server 2.11 or newer"
            ),
        }
    }

    /// Returns whether the same call may succeed later without any change: after a timeout or a lost
    /// connection, or if the server lacks a resource.
    ///
    /// A write that may have happened is never retryable, even if this returns `true`: see
    /// [`KvWriteError::OutcomeUnknown`](crate::kv::KvWriteError::OutcomeUnknown).
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Timeout { .. } | Self::Disconnected { .. } => true,
            Self::Refused {
                status, code: None, ..
            } => matches!(status, 429 | 503),
            // The status is not enough: a full bucket is a 503 too.
            Self::Refused {
                code: Some(code), ..
            } => matches!(code, 10008 | 10023 | 10047 | 10167),
            _ => false,
        }
    }
}

fn refused(
    status: &u16,
    code: &Option<u64>,
    description: &str,
    f: &mut fmt::Formatter<'_>,
) -> fmt::Result {
    match code {
        Some(code) => write!(
            f,
            "the server refused the request ({status}, code {code}): {description}"
        ),
        None => write!(
            f,
            "the server refused the request ({status}): {description}"
        ),
    }
}
