//! Acquiring and releasing by name, without guards.

use super::{DistroRwLock, LockError, Mode};
use crate::kv::Store;

/// Without guards: the store handle (with all its clones) remembers what it holds and renews it,
/// until it is released by name or the last handle is dropped.
///
/// A handle may acquire the same lock for reading several times, and then releases it as often. That
/// such a hold was lost shows only when it is released, so guards are the better choice.
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
    /// Waits until no writer holds or waits, and acquires as a reader.
    ///
    /// # Errors
    /// As for [`read`](Self::read), and for an invalid name.
    pub async fn acquire_read(store: &Store, name: &str) -> Result<(), LockError> {
        Self::acquire(store, name, Mode::Read).await
    }

    /// Releases one hold that [`acquire_read`](Self::acquire_read) got on this handle.
    ///
    /// # Errors
    /// [`LockError::NotHeld`] if this handle has none, and
    /// [`LockError::Lost`] if it was lost before.
    pub async fn release_read(store: &Store, name: &str) -> Result<(), LockError> {
        Self::release(store, name, Mode::Read).await
    }

    /// Waits until all who came before have left, and acquires as the writer.
    ///
    /// # Errors
    /// As for [`write`](Self::write), and for an invalid name.
    pub async fn acquire_write(store: &Store, name: &str) -> Result<(), LockError> {
        Self::acquire(store, name, Mode::Write).await
    }

    /// Releases the hold that [`acquire_write`](Self::acquire_write) got on this handle.
    ///
    /// # Errors
    /// As for [`release_read`](Self::release_read).
    pub async fn release_write(store: &Store, name: &str) -> Result<(), LockError> {
        Self::release(store, name, Mode::Write).await
    }
}
