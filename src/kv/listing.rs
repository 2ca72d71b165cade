//! Listings of a bucket's current content, and clearing old markers.

use std::time::Duration;

use futures::{
    Stream, StreamExt, TryStreamExt, future,
    stream::{self, BoxStream},
};

use super::{
    entry::Entry,
    error::{KvReadError, KvWriteError},
    options::Deliver,
    store::Store,
};
use crate::{
    backend::{WatchEvent, WatchRequest},
    key::{IntoFilters, IntoKey, Key, KeyFilter},
};

/// The number of keys cleared concurrently.
const AT_ONCE: usize = 16;

/// Listing, and clearing old markers.
impl Store {
    /// Returns every stored revision of a key, oldest first, including removals.
    ///
    /// # Errors
    /// [`KvReadError`].
    pub async fn history(&self, key: impl IntoKey) -> Result<Vec<Entry>, KvReadError> {
        let key = key.into_key()?;
        let request = WatchRequest {
            deliver: Deliver::History,
            metadata_only: false,
            once: true,
            complete: true,
        };
        self.list(vec![KeyFilter::from(key)], request)
            .await?
            .try_collect()
            .await
    }

    /// Returns the keys with a value, in no particular order.
    ///
    /// ```
    /// use futures::TryStreamExt;
    ///
    /// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let store = shizuku::connect("memory:").await?.create_bucket("docs").await?;
    /// store.put("db.url", "db:5432").await?;
    /// let keys: Vec<_> = store.keys().await?.try_collect().await?;
    /// assert_eq!(keys, ["db.url"]);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`KvReadError`], at the start or as an item.
    pub async fn keys(&self) -> Result<BoxStream<'static, Result<Key, KvReadError>>, KvReadError> {
        self.keys_matching(KeyFilter::all()).await
    }

    /// Returns the keys with a value that match one of the filters, each once, in no particular order.
    ///
    /// # Errors
    /// [`KvReadError`], at the start or as an item.
    pub async fn keys_matching(
        &self,
        filters: impl IntoFilters,
    ) -> Result<BoxStream<'static, Result<Key, KvReadError>>, KvReadError> {
        let filters = filters.into_filters()?;
        let reserved = filters.iter().any(KeyFilter::names_reserved);
        let keys = self
            .list(filters, WatchRequest::listing(true))
            .await?
            .try_filter_map(move |entry| {
                let wanted = !entry.is_removal() && (reserved || !entry.key.is_reserved());
                future::ok(wanted.then_some(entry.key))
            });
        Ok(keys.boxed())
    }

    /// Returns the entries of a finite watch.
    async fn list(
        &self,
        filters: Vec<KeyFilter>,
        request: WatchRequest,
    ) -> Result<impl Stream<Item = Result<Entry, KvReadError>> + Send + use<>, KvReadError> {
        let events = self.backend().watch(&filters, request).await?;
        Ok(events.map_err(KvReadError::from).try_filter_map(|event| {
            future::ok(match event {
                WatchEvent::Entry(entry) => Some(entry),
                WatchEvent::Current | WatchEvent::Interrupted => None,
            })
        }))
    }

    /// Deletes the markers of removed keys that are older than `older_than`, and these keys' older
    /// history; returns the number of keys cleared. Zero means all. Age is measured by this machine's
    /// clock, or by the backend's if it has one.
    ///
    /// A value written concurrently is never lost: only revisions up to the observed marker are deleted.
    /// Sixteen keys are cleared at a time. After an error, or if the future is dropped, cleared keys
    /// stay cleared, keys in progress may be cleared, and a later call does the rest.
    ///
    /// # Errors
    /// [`KvWriteError`].
    pub async fn purge_deletes(&self, older_than: Duration) -> Result<u64, KvWriteError> {
        let read_error = |error| KvWriteError::Read(Box::new(error));
        let mut events = self
            .backend()
            .watch(&[KeyFilter::all()], WatchRequest::listing(true))
            .await
            .map_err(read_error)?;
        // The listing is read to its end first: clearing while the server lists would make this a slow
        // consumer.
        let now = self.backend().now();
        let mut markers = Vec::new();
        while let Some(event) = events.next().await {
            let WatchEvent::Entry(entry) = event.map_err(|error| read_error(error.into()))? else {
                continue;
            };
            let old_enough = older_than.is_zero()
                || now
                    .duration_since(entry.created)
                    .is_ok_and(|age| age >= older_than);
            if entry.is_removal() && !entry.key.is_reserved() && old_enough {
                markers.push((entry.key.detached(), entry.revision));
            }
        }
        let mut cleared = 0;
        let mut clearing = stream::iter(&markers)
            .map(|(key, revision)| self.backend().compact(key, revision + 1))
            .buffer_unordered(AT_ONCE);
        while let Some(one) = clearing.next().await {
            one?;
            cleared += 1;
        }
        Ok(cleared)
    }
}
