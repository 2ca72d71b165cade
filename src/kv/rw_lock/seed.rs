//! Acquiring and releasing by name, without guards.

use super::{DistroRwLock, LockError, Mode};
use crate::kv::Store;

/// Acquiring and releasing without guards: the store handle (with all its clones) keeps its holds and
/// renews them until they are released by name or the last handle is dropped.
///
/// A handle may acquire the same lock for reading several times, and must release it as often. The loss of
/// such a hold is only reported on release, so prefer guards.
///
/// ```
/// use shizuku::kv::rw_lock::DistroRwLock;
///
/// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let store = shizuku::connect("memory:").await?.create_bucket("docs").await?;
/// DistroRwLock::acquire_write(&store, "my-resource").await?;
/// // ... perform write operations ...
/// DistroRwLock::release_write(&store, "my-resource").await?;
///
/// assert!(DistroRwLock::release_write(&store, "my-resource").await.is_err(), "not held");
/// # Ok(()) }
/// ```
impl DistroRwLock {
    /// Waits until no writer holds or waits for the lock, and acquires it as a reader.
    ///
    /// # Errors
    /// As for [`read`](Self::read), and for an invalid name.
    pub async fn acquire_read(store: &Store, name: &str) -> Result<(), LockError> {
        Self::acquire(store, name, Mode::Read).await
    }

    /// Releases one hold that [`acquire_read`](Self::acquire_read) acquired on this handle.
    ///
    /// # Errors
    /// [`LockError::NotHeld`] if this handle holds none, and [`LockError::Lost`] if it was lost earlier.
    pub async fn release_read(store: &Store, name: &str) -> Result<(), LockError> {
        Self::release(store, name, Mode::Read).await
    }

    /// Waits until all earlier participants have left, and acquires the lock as the writer.
    ///
    /// # Errors
    /// As for [`write`](Self::write), and for an invalid name.
    pub async fn acquire_write(store: &Store, name: &str) -> Result<(), LockError> {
        Self::acquire(store, name, Mode::Write).await
    }

    /// Releases the hold that [`acquire_write`](Self::acquire_write) acquired on this handle.
    ///
    /// # Errors
    /// As for [`release_read`](Self::release_read).
    pub async fn release_write(store: &Store, name: &str) -> Result<(), LockError> {
        Self::release(store, name, Mode::Write).await
    }
}
