//! A mutex shared by many processes: a [read-write lock](super::rw_lock) with only writers.
//!
//! ```
//! use shizuku::kv::mutex::DistroMutex;
//!
//! # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let store = shizuku::connect("memory:").await?.create_bucket("docs").await?;
//! let mutex = DistroMutex::new(&store, "invoices")?;
//! let guard = mutex.lock().await?;
//! tokio::select! {
//!     () = async { /* work that only one process does at a time */ } => {}
//!     reason = guard.lost() => return Err(format!("stopped in the middle: {reason}").into()),
//! }
//! guard.release().await?;
//! # Ok(()) }
//! ```

use super::{
    lock::{Ask, LockError, LockOptions, Mode, Name, guard, named},
    store::Store,
};

guard! {
    /// A hold on a [`DistroMutex`].
    ///
    /// ```
    /// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let store = shizuku::connect("memory:").await?.create_bucket("docs").await?;
    /// let mutex = shizuku::kv::mutex::DistroMutex::new(&store, "invoices")?;
    /// let first = mutex.lock().await?;
    /// let fence = first.token();
    /// drop(first); // releases in the background
    /// let second = mutex.lock().await?;
    /// assert!(second.is_held() && second.token() > fence);
    /// # Ok(()) }
    /// ```
    MutexGuard
}

/// A mutex, served first come, first served.
///
/// A [`DistroRwLock`](super::rw_lock::DistroRwLock) of the same name in the same bucket is the
/// same lock.
///
/// ```
/// use shizuku::kv::mutex::DistroMutex;
///
/// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let store = shizuku::connect("memory:").await?.create_bucket("docs").await?;
/// let mutex = DistroMutex::new(&store, "nightly-report")?;
/// let guard = mutex.lock().await?;
/// assert!(mutex.try_lock().await?.is_none());
/// guard.release().await?;
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct DistroMutex {
    name: Name,
}

named! {
    DistroMutex, "mutex",
    "DistroMutex::with_options(&store, \"import\", options)?", "lock()"
}

impl DistroMutex {
    /// Returns the mutex of this name.
    ///
    /// # Errors
    /// [`LockError::InvalidName`].
    pub fn new(store: &Store, name: &str) -> Result<Self, LockError> {
        Self::with_options(store, name, LockOptions::new())
    }

    /// Returns the mutex of this name, to be acquired with these options.
    ///
    /// # Errors
    /// [`LockError::InvalidName`], [`LockError::InvalidOption`].
    pub fn with_options(
        store: &Store,
        name: &str,
        options: LockOptions,
    ) -> Result<Self, LockError> {
        let name = Name::new(store, name, options)?;
        Ok(Self { name })
    }

    /// Waits until all earlier participants have left, and locks. Dropping the future withdraws.
    ///
    /// # Errors
    /// As for [`DistroRwLock::write`](super::rw_lock::DistroRwLock::write).
    pub async fn lock(&self) -> Result<MutexGuard, LockError> {
        let hold = self.name.acquire(Ask::new(Mode::Write)).await?;
        Ok(MutexGuard { hold })
    }

    /// Locks if nobody holds or waits for the mutex; otherwise returns `None`.
    ///
    /// # Errors
    /// As for [`lock`](Self::lock), but if the server is unreachable, this fails after 2 s plus the time of
    /// one request.
    pub async fn try_lock(&self) -> Result<Option<MutexGuard>, LockError> {
        let hold = self.name.try_acquire(Ask::new(Mode::Write)).await?;
        Ok(hold.map(|hold| MutexGuard { hold }))
    }
}
