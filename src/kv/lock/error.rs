//! Errors of locks, grouped by what the caller can do about them.

use std::{fmt, sync::Arc, time::Duration};

use super::machine::LostWhy;
use crate::{
    error::{InvalidOption, ServiceError},
    invalid::InvalidKey,
    key::BucketName,
    words::Lasting,
};

/// The error of an operation on a lock, mutex, semaphore or election.
///
/// A failed acquire leaves nothing behind: an entry that was written is withdrawn, and if even that fails,
/// the server removes it when its lease runs out.
///
/// ```
/// use shizuku::{WithCauses, kv::{lock::LockError, mutex::DistroMutex}};
///
/// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let store = shizuku::connect("memory:").await?.create_bucket("docs").await?;
/// let guard = DistroMutex::new(&store, "invoices")?.lock().await?;
/// // … work …
/// match guard.release().await {
///     Ok(()) => {}
///     Err(LockError::Lost { token, reason, .. }) => {
///         println!("another holder may have worked at the same time as token {token}: {reason}");
///     }
///     Err(error) => println!("the server will release it: {}", WithCauses(&error)),
/// }
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LockError {
    /// The name is invalid. Nothing was sent.
    #[error(transparent)]
    InvalidName(#[from] InvalidKey),
    /// An option is out of range. Nothing was sent.
    #[error(transparent)]
    InvalidOption(#[from] InvalidOption),
    /// The bucket or its server does not support locks.
    #[error("bucket {bucket} does not support locks: {remedy}")]
    NotSupported {
        /// The bucket.
        bucket: BucketName,
        /// How to make it work.
        remedy: String,
    },
    /// This store handle does not hold the lock, so it cannot release it.
    #[error("this store handle does not hold lock {lock}")]
    NotHeld {
        /// The lock.
        lock: String,
    },
    /// The lock was lost before it was released. Another participant may have held it since.
    #[error("lock {lock} (token {token}) was lost: {reason}")]
    Lost {
        /// The lock.
        lock: String,
        /// The fencing token of the hold that was lost.
        token: u64,
        /// Why it was lost.
        reason: LostReason,
    },
    /// The lock was not granted within the given time.
    #[error("lock {lock} was not granted within {}", Lasting(*.after))]
    Timeout {
        /// The lock.
        lock: String,
        /// The given time.
        after: Duration,
    },
    /// The service refused, or was unreachable for about the length of the lease.
    #[error("cannot use the bucket of lock {lock}")]
    Service {
        /// The lock.
        lock: String,
        /// The server's error.
        source: Arc<ServiceError>,
    },
}

/// An alias of [`LockError`] for code that only uses read-write locks.
pub type DistroRwLockError = LockError;

/// Why a hold was lost.
///
/// ```
/// use shizuku::kv::{lock::LostReason, mutex::DistroMutex};
///
/// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let store = shizuku::connect("memory:").await?.create_bucket("docs").await?;
/// let guard = DistroMutex::new(&store, "invoices")?.lock().await?;
/// tokio::select! {
///     () = async { /* work */ } => guard.release().await?,
///     reason = guard.lost() => match reason {
///         LostReason::Lapsed => println!("paused, or cut off from the server"),
///         reason => println!("{reason}"),
///     },
/// }
/// # Ok(()) }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LostReason {
    /// Its entry expired on the server, or was removed.
    #[error("its entry is gone")]
    Gone,
    /// The server refused to renew it, because another client had changed its entry.
    #[error("its renewal was refused")]
    Refused,
    /// No renewal was acknowledged in time: the server or the network is down, or this process was
    /// paused.
    #[error("it was not renewed in time")]
    Lapsed,
    /// The background task that renewed it is gone, together with its runtime.
    #[error("the runtime that renewed it has stopped")]
    Stopped,
    /// The client was closed, which released the hold.
    #[error("the client was closed")]
    Closed,
    /// It was released, not lost. Returned only by `lost()`, if its future outlives the guard.
    #[error("it was released")]
    Released,
}

impl From<LostWhy> for LostReason {
    fn from(why: LostWhy) -> Self {
        match why {
            LostWhy::Gone => Self::Gone,
            LostWhy::Refused => Self::Refused,
            LostWhy::Lapsed => Self::Lapsed,
        }
    }
}

/// The error of work under a lock.
///
/// A failed release is not an error here, because it does not undo the work: see
/// [`process_and_report`](crate::kv::rw_lock::LockedResourceWriteProcessor::process_and_report).
///
/// It implements `Error` for any work error that can be displayed, including a `String` or a boxed error.
/// Therefore it does not report the work's error as its source.
///
/// ```
/// use std::sync::Arc;
/// use shizuku::Processor;
/// use shizuku::kv::{lock::WithLockProcessError, rw_lock::LockedResourceWriteProcessor};
///
/// struct Length;
///
/// impl Processor<&'static str, Result<usize, String>> for Length {
///     async fn process(&self, input: &'static str) -> Result<usize, String> {
///         if input.is_empty() { Err("nothing".to_owned()) } else { Ok(input.len()) }
///     }
/// }
///
/// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let store = shizuku::connect("memory:").await?.create_bucket("docs").await?;
/// let work = LockedResourceWriteProcessor::new(Arc::new(Length), &store, "my-resource");
/// match work.process("").await {
///     Err(WithLockProcessError::Process(error)) => assert_eq!(error, "nothing"),
///     other => panic!("{other:?}"),
/// }
/// # Ok(()) }
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub enum WithLockProcessError<E> {
    /// The lock could not be acquired. The work did not start.
    Lock(LockError),
    /// The work failed. The lock was released.
    Process(E),
}

impl<E: fmt::Display> fmt::Display for WithLockProcessError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lock(_) => f.write_str("cannot acquire the lock"),
            Self::Process(error) => write!(f, "the work under the lock failed: {error}"),
        }
    }
}

impl<E: fmt::Debug + fmt::Display> std::error::Error for WithLockProcessError<E> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Lock(error) => Some(error),
            Self::Process(_) => None,
        }
    }
}

impl<E> From<LockError> for WithLockProcessError<E> {
    fn from(error: LockError) -> Self {
        Self::Lock(error)
    }
}
