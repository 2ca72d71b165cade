//! A read-write lock shared by many processes.
//!
//! - Any number of readers, or one writer.
//! - Writers have priority: once a writer waits, no new reader gets in. Writers are served in the order in
//!   which they arrived.
//! - The server removes a holder that died when its lease runs out; a holder that is paused for longer than
//!   that loses the lock and is told. Requests that it still sends can be recognised by their [fencing
//!   token](WriteGuard::token) and rejected. See [what is guaranteed](crate::kv::lock#what-is-guaranteed).
//!
//! ```
//! use shizuku::kv::rw_lock::DistroRwLock;
//!
//! # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let store = shizuku::connect("memory:").await?.create_bucket("docs").await?;
//! let lock = DistroRwLock::new(&store, "my-resource")?;
//!
//! let guard = lock.write().await?;
//! // … do what must not happen twice at the same time, and send the token along …
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
//! Needs a bucket with limit markers, which buckets created by this library have on server 2.11 or newer.
//! Its entries are stored under `_lock.<name>.` in the bucket.

mod processor;
mod seed;

use super::{
    lock::{Ask, Hold, Name, guard, named},
    store::Store,
};

pub use super::lock::{
    DistroRwLockError, Holder, LockError, LockOptions, LostReason, Mode, WithLockProcessError,
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
    /// The exclusive hold on a [`DistroRwLock`].
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

/// A read-write lock; see the [module](self). Cheap to clone, and sends no requests until it is used.
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
    /// Returns the lock of this name in the store's bucket. A name is like a [key](crate::kv::Key): 1 to
    /// 1978 bytes of `A-Z a-z 0-9 - / _ = .`.
    ///
    /// # Errors
    /// [`LockError::InvalidName`].
    pub fn new(store: &Store, name: &str) -> Result<Self, LockError> {
        Self::with_options(store, name, LockOptions::new())
    }

    /// Returns the lock of this name, to be acquired with these options.
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

    /// Waits until no writer holds or waits for the lock, and acquires it as a reader.
    ///
    /// Dropping the future withdraws at once.
    ///
    /// # Errors
    /// [`LockError::NotSupported`] on a bucket without limit markers, [`LockError::Timeout`] if the options
    /// have a timeout, and [`LockError::Service`] if the server refuses or is unreachable for the length of
    /// the lease (at least 10 s).
    pub async fn read(&self) -> Result<ReadGuard, LockError> {
        let hold = self.name.acquire(Ask::new(Mode::Read)).await?;
        Ok(ReadGuard { hold })
    }

    /// Waits until all earlier participants have left, and acquires the lock as the writer.
    ///
    /// Dropping the future withdraws at once.
    ///
    /// # Errors
    /// As for [`read`](Self::read).
    pub async fn write(&self) -> Result<WriteGuard, LockError> {
        let hold = self.name.acquire(Ask::new(Mode::Write)).await?;
        Ok(WriteGuard { hold })
    }

    /// Acquires the lock as a reader if no writer holds or waits for it; otherwise returns `None`.
    ///
    /// # Errors
    /// As for [`read`](Self::read), but if the server is unreachable, this fails after 2 s plus the time of
    /// one request.
    pub async fn try_read(&self) -> Result<Option<ReadGuard>, LockError> {
        let hold = self.name.try_acquire(Ask::new(Mode::Read)).await?;
        Ok(hold.map(|hold| ReadGuard { hold }))
    }

    /// Acquires the lock as the writer if nobody holds or waits for it; otherwise returns `None`.
    ///
    /// # Errors
    /// As for [`read`](Self::read), but if the server is unreachable, this fails after 2 s plus the time of
    /// one request.
    pub async fn try_write(&self) -> Result<Option<WriteGuard>, LockError> {
        let hold = self.name.try_acquire(Ask::new(Mode::Write)).await?;
        Ok(hold.map(|hold| WriteGuard { hold }))
    }

    /// Acquires the lock and stores the hold in the store.
    async fn acquire(store: &Store, name: &str, mode: Mode) -> Result<(), LockError> {
        let lock = Self::new(store, name)?;
        let hold = lock.name.acquire(Ask::new(mode)).await?;
        store.locks().keep(mode, hold);
        Ok(())
    }

    /// Releases the hold that the store keeps.
    async fn release(store: &Store, name: &str, mode: Mode) -> Result<(), LockError> {
        let lock = Self::new(store, name)?;
        let hold: Hold = lock.name.store().locks().take(name, mode)?;
        hold.release().await
    }
}

impl WriteGuard {
    /// Becomes a reader without letting another writer in between. The token stays the same.
    ///
    /// Takes up to about a second, because an entry is not written twice within that time.
    ///
    /// Dropping the future releases the hold.
    ///
    /// # Errors
    /// [`LockError::Lost`] if it was no longer held.
    pub async fn downgrade(mut self) -> Result<ReadGuard, LockError> {
        self.hold.change(Some(Mode::Read), None).await?;
        Ok(ReadGuard { hold: self.hold })
    }
}
