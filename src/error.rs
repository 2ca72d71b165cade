//! Errors that every layer may have, and what holds for all errors of this crate.
//!
//! A message does not repeat what caused the error: `source()` has that, and who prints an error with its
//! sources, as `{:#}` of anyhow does, would print it twice. So no `#[error]` has `{source}` in it, and a
//! message must make sense alone. An error that has nothing to say of its own is `transparent`. Where only
//! a line of text is wanted, as in our own logs, it is [`WithCauses`]. The one exception is
//! `WithLockProcessError::Process`, whose error need not be an `Error`: it is in the message, and no source.

use std::{error::Error, fmt, time::Duration};

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
pub type BoxError = Box<dyn Error + Send + Sync + 'static>;

/// Prints an error together with all that caused it, in one line.
///
/// The message of an error leaves out its causes, which [`source`](Error::source) has. Crates that report
/// errors, such as anyhow, print them all; this is for `println!` and logs. Causes that another crate has
/// put into its own message are not repeated.
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
    #[error(fmt = refused)]
    Refused {
        /// The HTTP-like status.
        status: u16,
        /// The JetStream error code, if it is JetStream that refused and not the server below.
        code: Option<u64>,
        /// The server's words.
        description: String,
    },
    /// An answer that violates the protocol.
    #[error("cannot understand the answer to {operation}: {detail}")]
    Malformed {
        /// What was asked.
        operation: String,
        /// What is wrong with the answer.
        detail: String,
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

fn refused(
    status: &u16,
    code: &Option<u64>,
    description: &str,
    f: &mut fmt::Formatter<'_>,
) -> fmt::Result {
    match code {
        Some(code) => write!(
            f,
            "the server refused ({status}, code {code}): {description}"
        ),
        None => write!(f, "the server refused ({status}): {description}"),
    }
}
