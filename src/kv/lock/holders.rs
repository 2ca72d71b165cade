//! The holders and waiters of a lock.

use std::{
    pin::pin,
    sync::Arc,
    time::{Duration, SystemTime},
};

use futures::{
    StreamExt,
    future::{Either, select},
    stream::{self, BoxStream},
};

use super::{entry::Mode, error::LockError, participant::Observer};
use crate::platform;

/// A participant that holds a lock or waits for it.
///
/// While a writer holds or waits, readers wait without an entry in the log, so they are not listed until
/// they hold the lock.
///
/// ```
/// use shizuku::kv::rw_lock::DistroRwLock;
///
/// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let store = shizuku::connect("memory:").await?.create_bucket("docs").await?;
/// let lock = DistroRwLock::new(&store, "catalogue")?;
/// let guard = lock.write().await?;
/// for holder in lock.holders().await? {
///     let label = holder.label.as_deref().unwrap_or("somebody");
///     let does = if holder.holds { "holds it" } else { "waits" };
///     println!("{label} {does} since {:?}, with token {:?}", holder.since, holder.token);
/// }
/// # guard.release().await?;
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Holder {
    /// Identifies this acquisition: the last token of its key.
    pub id: String,
    /// The requested mode. `None` if its entry has a format that this version does not know; it is then
    /// treated as a writer that holds the lock.
    pub mode: Option<Mode>,
    /// Its ticket, which becomes its fencing token once it holds. `None` if its entry has a format that
    /// this version does not know.
    pub token: Option<u64>,
    /// Whether it holds the lock, by ticket order. Otherwise it waits.
    pub holds: bool,
    /// When its entry was first stored, by the server's clock (UTC).
    pub since: SystemTime,
    /// How long its entry outlives it.
    pub lease: Duration,
    /// Its label.
    pub label: Option<Arc<str>>,
    /// The data it publishes, such as the address of a leader.
    pub data: Option<Arc<str>>,
}

/// Waits at most `patience` for the first list.
pub(crate) async fn look(
    mut observer: Observer,
    patience: Duration,
) -> Result<Vec<Holder>, LockError> {
    platform::count().await;
    let mut late = None;
    loop {
        if let Some(holders) = observer.holders()? {
            return Ok(holders);
        }
        let late = late.get_or_insert_with(|| platform::sleep(patience));
        let changed = pin!(observer.changed());
        if matches!(select(changed, late).await, Either::Right(_)) {
            break;
        }
    }
    Err(observer.error())
}

/// Streams every list that differs from the previous one. An error ends the stream.
pub(crate) fn follow(observer: Observer) -> BoxStream<'static, Result<Vec<Holder>, LockError>> {
    let start = (Some(observer), None);
    stream::unfold(start, |(observer, mut last)| async move {
        let mut observer = observer?;
        loop {
            match observer.holders() {
                Ok(Some(holders)) if last.as_ref() != Some(&holders) => {
                    last = Some(holders.clone());
                    return Some((Ok(holders), (Some(observer), last)));
                }
                Ok(_) => observer.changed().await,
                Err(error) => return Some((Err(error), (None, None))),
            }
        }
    })
    .boxed()
}
