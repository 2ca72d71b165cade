//! The update loop: read, modify, write if unchanged.

use std::time::Duration;

use bytes::Bytes;
use rand::{TryRngCore, rngs::OsRng};

use super::{
    entry::Entry,
    error::{KvReadError, KvWriteError},
    options::{Read, UpdateOptions},
    store::{Store, writable},
};
use crate::{error::ServiceError, key::IntoKey, platform, random::Random};

/// The maximum pause, doubled for each lost race, at most `DOUBLINGS` times.
const PAUSE: Duration = Duration::from_micros(500);
const DOUBLINGS: usize = 7;

/// Updating.
impl Store {
    /// Computes a new value from the current one and writes it, retrying after every concurrent write,
    /// and returns its revision. The function receives `None` if there is no value, and returns `None`
    /// (or `None::<Bytes>`, if its type cannot be inferred) to change nothing; this then returns `None`
    /// too. The first value it receives may be from a stale replica; if the stream's leader has another
    /// revision, the function is called again.
    ///
    /// Only a lost race is retried, at most 256 times, after random pauses of up to 64 ms. The old
    /// value's time to live and headers are not carried over;
    /// [`try_update_with`](Store::try_update_with) can set new ones.
    ///
    /// ```
    /// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let store = shizuku::connect("memory:").await?.create_bucket("docs").await?;
    /// for _ in 0..3 {
    ///     store.update_with("count", |current| {
    ///         let count: u32 = current.map_or(0, |entry| {
    ///             let value = entry.value.as_deref().unwrap_or_default();
    ///             String::from_utf8_lossy(value).parse().unwrap_or(0)
    ///         });
    ///         Some((count + 1).to_string())
    ///     }).await?;
    /// }
    /// assert_eq!(store.get("count").await?.as_deref(), Some(&b"3"[..]));
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`KvWriteError::Contention`] after too many lost races; [`KvWriteError::OutcomeUnknown`] without
    /// a retry, which could apply the function twice.
    pub async fn update_with<V: Into<Bytes>>(
        &self,
        key: impl IntoKey,
        mut update: impl FnMut(Option<Entry>) -> Option<V>,
    ) -> Result<Option<u64>, KvWriteError> {
        self.try_update_with(key, UpdateOptions::new(), |current| Ok(update(current)))
            .await
    }

    /// [`update_with`](Store::update_with) with options, for a function that can fail.
    ///
    /// # Errors
    /// Those of `update_with`, and those of the function, immediately; [`KvWriteError::InvalidOption`]
    /// for options out of range, before anything is sent.
    pub async fn try_update_with<V, E>(
        &self,
        key: impl IntoKey,
        options: UpdateOptions,
        mut update: impl FnMut(Option<Entry>) -> Result<Option<V>, E>,
    ) -> Result<Option<u64>, E>
    where
        V: Into<Bytes>,
        E: From<KvWriteError>,
    {
        let key = writable(key)?;
        let most = options.attempts;
        let put = options.into_put().map_err(KvWriteError::from)?;
        let mut attempts = 0;
        // A replica may be stale. For a write that costs one lost race, but a refusal (`None` or an
        // error) would be final; so after either, only the leader is asked.
        let mut read = Read::Any;
        let mut refused = None;
        loop {
            let last = match (self.backend().get(&key, None, read).await, refused.take()) {
                (Ok(last), None) => last,
                (Ok(last), Some((seen, refusal))) => match revision_of(last.as_ref()) == seen {
                    true => return refusal,
                    false => last,
                },
                // Without permission to read from the leader, the refusal stands.
                (Err(error), Some((_, refusal))) if is_denied(&error) => return refusal,
                (Err(error), _) => return Err(KvWriteError::Read(Box::new(error)).into()),
            };
            let revision = revision_of(last.as_ref());
            let current = last.filter(|entry| !entry.is_removal());
            let value = match update(current) {
                Ok(Some(value)) => value,
                refusal if read == Read::Any => {
                    read = Read::Leader;
                    refused = Some((revision, refusal.map(|_| None)));
                    continue;
                }
                refusal => return refusal.map(|_| None),
            };
            let conditional = put.clone().if_revision(revision);
            match self.backend().put(&key, value.into(), conditional).await {
                Ok(revision) => return Ok(Some(revision)),
                Err(KvWriteError::Conflict(last)) => {
                    attempts += 1;
                    tracing::debug!(bucket = %self.bucket(), %key, attempts, "lost a race");
                    if attempts >= most {
                        return Err(KvWriteError::Contention { attempts, last }.into());
                    }
                    read = Read::Leader;
                    // One lost race may be chance; more mean contention, where without pauses the work
                    // would grow with the square of the number of clients.
                    if attempts > 1 {
                        platform::pause(drawn(attempts)).await;
                    }
                }
                Err(error) => return Err(error.into()),
            }
        }
    }
}

fn revision_of(last: Option<&Entry>) -> u64 {
    last.map_or(0, |entry| entry.revision)
}

fn is_denied(error: &KvReadError) -> bool {
    matches!(
        error,
        KvReadError::Service(ServiceError::PermissionDenied { .. })
    )
}

/// Returns a random pause after `races` lost races.
fn drawn(races: usize) -> Duration {
    let longest = PAUSE * (1 << races.min(DOUBLINGS));
    // Without a source of randomness all clients pause equally long, which is better than no pause.
    let seed = OsRng.try_next_u64().unwrap_or_default();
    Random::new(seed).pause(Duration::ZERO, longest)
}
