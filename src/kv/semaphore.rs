//! A counting semaphore shared by many processes.
//!
//! ```
//! use shizuku::kv::semaphore::DistroSemaphore;
//!
//! # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let store = shizuku::connect("memory:").await?.create_bucket("docs").await?;
//! // In each of many processes: together they run at most four uploads at a time.
//! let uploads = DistroSemaphore::new(&store, "uploads", 4)?;
//! let permit = uploads.acquire().await?;
//! // … upload …
//! permit.release().await?;
//! # Ok(()) }
//! ```

use super::{
    InvalidOption,
    lock::{Ask, LockError, LockOptions, Mode, Name, guard, named},
    store::Store,
};

guard! {
    /// One permit of a [`DistroSemaphore`].
    ///
    /// Its token is larger than those of all earlier permits, but several permits are held at the same
    /// time.
    ///
    /// ```
    /// use shizuku::kv::semaphore::DistroSemaphore;
    ///
    /// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let store = shizuku::connect("memory:").await?.create_bucket("docs").await?;
    /// let exports = DistroSemaphore::new(&store, "exports", 2)?;
    /// let (one, two) = (exports.acquire().await?, exports.acquire().await?);
    /// assert!(one.is_held() && two.is_held() && one.token() < two.token());
    /// # Ok(()) }
    /// ```
    Permit
}

/// A semaphore: at most a given number of permits are held at a time, first come, first served.
///
/// The number of permits is not stored with the name: every process should use the same number. If they
/// differ, the smaller one applies. Locks of other kinds with the same name in the same bucket are the same
/// lock: while one is held exclusively, there are no permits.
///
/// ```
/// use shizuku::kv::semaphore::DistroSemaphore;
///
/// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let store = shizuku::connect("memory:").await?.create_bucket("docs").await?;
/// let semaphore = DistroSemaphore::new(&store, "exports", 2)?;
/// let (one, two) = (semaphore.acquire().await?, semaphore.acquire().await?);
/// assert!(semaphore.try_acquire().await?.is_none());
/// one.release().await?;
/// assert!(semaphore.try_acquire().await?.is_some());
/// # two.release().await?;
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct DistroSemaphore {
    name: Name,
    permits: u32,
}

named! {
    DistroSemaphore, "semaphore",
    "DistroSemaphore::with_options(&store, \"import\", 2, options)?", "acquire()"
}

impl DistroSemaphore {
    /// Returns the semaphore of this name, with this number of permits, at least one.
    ///
    /// # Errors
    /// [`LockError::InvalidName`], [`LockError::InvalidOption`].
    pub fn new(store: &Store, name: &str, permits: u32) -> Result<Self, LockError> {
        Self::with_options(store, name, permits, LockOptions::new())
    }

    /// Returns the semaphore of this name, to be acquired with these options.
    ///
    /// # Errors
    /// [`LockError::InvalidName`], [`LockError::InvalidOption`].
    pub fn with_options(
        store: &Store,
        name: &str,
        permits: u32,
        options: LockOptions,
    ) -> Result<Self, LockError> {
        let name = Name::new(store, name, options)?;
        if permits == 0 {
            return Err(InvalidOption::new("permits", "there must be at least one").into());
        }
        Ok(Self { name, permits })
    }

    fn ask(&self) -> Ask {
        Ask::new(Mode::Permit(self.permits))
    }

    /// Waits for a permit. Dropping the future withdraws.
    ///
    /// # Errors
    /// As for [`DistroRwLock::write`](super::rw_lock::DistroRwLock::write).
    pub async fn acquire(&self) -> Result<Permit, LockError> {
        let hold = self.name.acquire(self.ask()).await?;
        Ok(Permit { hold })
    }

    /// Takes a permit if one is free; otherwise returns `None`.
    ///
    /// # Errors
    /// As for [`acquire`](Self::acquire), but if the server is unreachable, this fails after 2 s plus the
    /// time of one request.
    pub async fn try_acquire(&self) -> Result<Option<Permit>, LockError> {
        let hold = self.name.try_acquire(self.ask()).await?;
        Ok(hold.map(|hold| Permit { hold }))
    }
}
