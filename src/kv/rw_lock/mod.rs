//! A read-write lock that many processes share.
//!
//! - Any number of readers, or one writer.
//! - Writers go first: from the moment a writer waits, no new reader gets in. Writers are served
//!   in the order in which they came.
//! - A holder that dies is removed by the server when its lease has run out; one that is paused
//!   for longer than that loses the lock and learns it. What it still sends after that can be
//!   told, and refused, by its [fencing token](WriteGuard::token). See [what is
//!   guaranteed](crate::kv::lock#what-is-guaranteed).
//!
//! ```
//! use shizuku::kv::rw_lock::DistroRwLock;
//!
//! # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let store = shizuku::connect("memory:").await?.create_bucket("docs").await?;
//! let lock = DistroRwLock::new(&store, "my-resource")?;
//!
//! let guard = lock.write().await?;
//! // … whatever must not happen twice at the same time, marked with the token …
//! let token = guard.token();
//! guard.release().await?;
//!
//! let (one, other) = (lock.read().await?, lock.read().await?);
//! assert!(one.is_held() && other.is_held() && one.token() > token);
//! # one.release().await?;
//! # other.release().await?;
//! # Ok(()) }
//! ```
//!
//! Needs a bucket with limit markers, as this library makes them on servers from 2.11 on. Its
//! entries lie under `_lock.<name>.` in the bucket.

mod processor;
mod seed;

use super::{
    lock::{Ask, Hold, Name, guard, named},
    store::Store,
};

pub use super::lock::{
    DistroRwLockError, Holder, LockOptions, LostReason, Mode, WithLockProcessError,
};
pub use processor::{LockedResourceReadProcessor, LockedResourceWriteProcessor, Report};

guard! {
    /// A shared hold on a [`DistroRwLock`].
    ///
    /// ```
    /// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let store = shizuku::connect("memory:").await?.create_bucket("docs").await?;
    /// let lock = shizuku::kv::rw_lock::DistroRwLock::new(&store, "catalogue")?;
    /// let (one, other) = (lock.read().await?, lock.read().await?);
    /// assert!(one.is_held() && other.is_held());
    /// assert!(lock.try_write().await?.is_none());
    /// # Ok(()) }
    /// ```
    ReadGuard
}

guard! {
    /// The one hold on a [`DistroRwLock`] that is not shared.
    ///
    /// ```
    /// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let store = shizuku::connect("memory:").await?.create_bucket("docs").await?;
    /// let lock = shizuku::kv::rw_lock::DistroRwLock::new(&store, "catalogue")?;
    /// let guard = lock.write().await?;
    /// // … change it …
    /// let guard = guard.downgrade().await?; // and let readers in
    /// assert!(guard.is_held() && lock.try_read().await?.is_some());
    /// # Ok(()) }
    /// ```
    WriteGuard
}

/// A read-write lock; see the [module](self). Cheap to clone; makes no requests by itself.
///
/// ```
/// use shizuku::kv::rw_lock::DistroRwLock;
///
/// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let store = shizuku::connect("memory:").await?.create_bucket("docs").await?;
/// let lock = DistroRwLock::new(&store, "catalogue")?;
/// let guard = lock.read().await?;
/// assert!(lock.try_read().await?.is_some());
/// assert!(lock.try_write().await?.is_none());
/// guard.release().await?;
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct DistroRwLock {
    name: Name,
}

named! {
    DistroRwLock, "rw_lock",
    "DistroRwLock::with_options(&store, \"import\", options)?", "write()"
}

impl DistroRwLock {
    /// The lock of this name in the store's bucket. A name is like a
    /// [key](crate::kv::Key): 1 to 1978 bytes of `A-Z a-z 0-9 - / _ = .`.
    ///
    /// # Errors
    /// [`DistroRwLockError::InvalidName`].
    pub fn new(store: &Store, name: &str) -> Result<Self, DistroRwLockError> {
        Self::with_options(store, name, LockOptions::new())
    }

    /// The lock of this name, acquired as the options say.
    ///
    /// # Errors
    /// [`DistroRwLockError::InvalidName`], [`DistroRwLockError::InvalidOption`].
    pub fn with_options(
        store: &Store,
        name: &str,
        options: LockOptions,
    ) -> Result<Self, DistroRwLockError> {
        let name = Name::new(store, name, options)?;
        Ok(Self { name })
    }

    /// Waits until no writer holds or waits, and enters.
    ///
    /// Dropping the future withdraws at once.
    ///
    /// # Errors
    /// [`DistroRwLockError::NotSupported`] on a bucket without limit markers,
    /// [`DistroRwLockError::Timeout`] where the options have a deadline, and
    /// [`DistroRwLockError::Service`] where the server refuses or is out of reach for the length
    /// of the lease (10 s at least).
    pub async fn read(&self) -> Result<ReadGuard, DistroRwLockError> {
        let hold = self.name.acquire(Ask::new(Mode::Read)).await?;
        Ok(ReadGuard { hold })
    }

    /// Waits until everybody who came before has left, and enters.
    ///
    /// Dropping the future withdraws at once.
    ///
    /// # Errors
    /// As for [`read`](Self::read).
    pub async fn write(&self) -> Result<WriteGuard, DistroRwLockError> {
        let hold = self.name.acquire(Ask::new(Mode::Write)).await?;
        Ok(WriteGuard { hold })
    }

    /// Enters as a reader if no writer holds or waits; `None` otherwise.
    ///
    /// # Errors
    /// As for [`read`](Self::read), but a server that is out of reach is not waited for: 2 s longer than one
    /// request.
    pub async fn try_read(&self) -> Result<Option<ReadGuard>, DistroRwLockError> {
        let hold = self.name.try_acquire(Ask::new(Mode::Read)).await?;
        Ok(hold.map(|hold| ReadGuard { hold }))
    }

    /// Enters as the writer if nobody holds or waits; `None` otherwise.
    ///
    /// # Errors
    /// As for [`read`](Self::read), but a server that is out of reach is not waited for: 2 s longer than one
    /// request.
    pub async fn try_write(&self) -> Result<Option<WriteGuard>, DistroRwLockError> {
        let hold = self.name.try_acquire(Ask::new(Mode::Write)).await?;
        Ok(hold.map(|hold| WriteGuard { hold }))
    }

    /// Acquires and keeps the hold in the store.
    async fn acquire(store: &Store, name: &str, mode: Mode) -> Result<(), DistroRwLockError> {
        let lock = Self::new(store, name)?;
        let hold = lock.name.acquire(Ask::new(mode)).await?;
        store.locks().keep(mode, hold);
        Ok(())
    }

    /// Releases what the store keeps.
    async fn release(store: &Store, name: &str, mode: Mode) -> Result<(), DistroRwLockError> {
        let lock = Self::new(store, name)?;
        let hold: Hold = lock.name.store().locks().take(name, mode)?;
        hold.release().await
    }
}

impl WriteGuard {
    /// Becomes a reader without letting another writer in between. The token stays.
    ///
    /// Takes up to about a second: an entry is not written twice within that time.
    ///
    /// Dropping the future releases the hold.
    ///
    /// # Errors
    /// [`DistroRwLockError::Lost`] where it was not held any more.
    pub async fn downgrade(mut self) -> Result<ReadGuard, DistroRwLockError> {
        self.hold.change(Some(Mode::Read), None).await?;
        Ok(ReadGuard { hold: self.hold })
    }
}
