//! Work that always runs under a lock.

use std::{fmt, sync::Arc};

use super::{DistroRwLock, LockError, WithLockProcessError};
use crate::{error::WithCauses, kv::Store, processor::Processor};

/// The result of work under a lock, and whether the lock was held throughout.
///
/// ```
/// use std::sync::Arc;
/// use shizuku::{Processor, WithCauses, kv::rw_lock::LockedResourceWriteProcessor};
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
/// let report = work.process_and_report("four").await?;
/// assert_eq!(report.output, Ok(4));
/// if let Err(error) = report.release {
///     println!("token {} may not have been alone: {}", report.token, WithCauses(&error));
/// }
/// # Ok(()) }
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub struct Report<T> {
    /// The result of the work.
    pub output: T,
    /// The fencing token of the lock.
    pub token: u64,
    /// Whether the lock was held until the work was done, and then released.
    pub release: Result<(), LockError>,
}

macro_rules! locked_processor {
    ($(#[$doc:meta])* $name:ident, $acquire:ident) => {
        $(#[$doc])*
        ///
        /// The lock is released however the work ends: with success, an error, a panic, or a dropped
        /// future.
        ///
        /// ```
        /// use std::{convert::Infallible, sync::Arc};
        #[doc = concat!("use shizuku::{Processor, kv::rw_lock::", stringify!($name), "};")]
        ///
        /// struct Length;
        ///
        /// impl Processor<&'static str, Result<usize, Infallible>> for Length {
        ///     async fn process(&self, input: &'static str) -> Result<usize, Infallible> {
        ///         Ok(input.len())
        ///     }
        /// }
        ///
        /// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
        /// # let store = shizuku::connect("memory:").await?.create_bucket("docs").await?;
        #[doc = concat!("let length = ", stringify!($name), "::new(Arc::new(Length), &store, \"my-resource\")")]
        ///     .clone() // cheap, whatever the processor
        ///     .process("four")
        ///     .await?;
        /// assert_eq!(length, 4);
        /// # Ok(()) }
        /// ```
        pub struct $name<P> {
            processor: Arc<P>,
            store: Store,
            lock: String,
        }

        // Works without `P: Clone`, because the processor is shared.
        impl<P> Clone for $name<P> {
            fn clone(&self) -> Self {
                Self {
                    processor: self.processor.clone(),
                    store: self.store.clone(),
                    lock: self.lock.clone(),
                }
            }
        }

        impl<P> fmt::Debug for $name<P> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($name))
                    .field("lock", &self.lock)
                    .finish_non_exhaustive()
            }
        }

        impl<P> $name<P> {
            /// Creates a processor that runs under the lock of this name. The name is checked when the work
            /// starts.
            pub fn new(processor: Arc<P>, store: &Store, lock: impl Into<String>) -> Self {
                Self {
                    processor,
                    store: store.clone(),
                    lock: lock.into(),
                }
            }

            /// Acquires the lock, does the work, releases the lock, and returns the result of the work.
            ///
            /// If the lock was lost meanwhile, or its release failed, the result is returned nevertheless,
            /// and the failure is logged. Use [`process_and_report`](Self::process_and_report) to get both.
            ///
            /// Dropping the future drops the work and releases the lock in the background.
            ///
            /// # Errors
            /// [`WithLockProcessError::Lock`] if the lock cannot be acquired, and
            /// [`WithLockProcessError::Process`] with the error of the work.
            pub async fn process<I, T, E>(&self, input: I) -> Result<T, WithLockProcessError<E>>
            where
                P: Processor<I, Result<T, E>>,
            {
                let report = self.process_and_report(input).await?;
                if let Err(error) = &report.release {
                    tracing::warn!(lock = %self.lock, error = %WithCauses(error), "the work is done, but its lock was lost or could not be released");
                }
                report.output.map_err(WithLockProcessError::Process)
            }

            /// Acquires the lock, does the work, releases the lock, and returns a report on both.
            ///
            /// # Errors
            /// If the lock cannot be acquired.
            pub async fn process_and_report<I, O>(
                &self,
                input: I,
            ) -> Result<Report<O>, LockError>
            where
                P: Processor<I, O>,
            {
                let guard = DistroRwLock::new(&self.store, &self.lock)?.$acquire().await?;
                let output = self.processor.process(input).await;
                Ok(Report {
                    output,
                    token: guard.token(),
                    release: guard.release().await,
                })
            }
        }

        impl<P, I, T, E> Processor<I, Result<T, WithLockProcessError<E>>> for $name<P>
        where
            P: Processor<I, Result<T, E>> + Send + Sync,
            I: Send,
            T: Send,
            E: Send,
        {
            async fn process(&self, input: I) -> Result<T, WithLockProcessError<E>> {
                $name::process(self, input).await
            }
        }
    };
}

locked_processor! {
    /// Work that runs while a [`DistroRwLock`] is held for reading.
    LockedResourceReadProcessor, read
}

locked_processor! {
    /// Work that runs while a [`DistroRwLock`] is held for writing.
    LockedResourceWriteProcessor, write
}
