//! A watch handle: entries and status events.

use std::{
    fmt,
    future::poll_fn,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use futures::{Stream, StreamExt};
use tokio::sync::{Mutex, MutexGuard};

use super::{entry::Entry, error::KvReadError, options::WatchOptions, store::Store};
use crate::{
    backend::{RawWatch, WatchEvent, WatchRequest},
    key::{BucketName, KeyFilter},
};

/// Converts a backend's entry into the requested type.
type Decode<T> = fn(Entry) -> Result<Entry<T>, KvReadError>;

/// Follows keys; created by [`Store::watch`] and [`KeyValueRead::watch`](super::KeyValueRead::watch).
///
/// [`next`](Watch::next) returns entries; [`next_event`](Watch::next_event) also reports when the
/// initial entries are complete and when the connection is lost and restored. A watch reconnects
/// automatically, without gaps or duplicates. A value that does not decode becomes an error at its
/// position, and the watch continues; any other error is the last item.
///
/// Also a [`Stream`]. Dropping the watch ends it on the server.
///
/// ```
/// use shizuku::kv::WatchEvent;
///
/// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let store = shizuku::connect("memory:").await?.create_bucket("docs").await?;
/// store.put("color", "blue").await?;
/// let watch = store.watch_all().await?;
/// assert!(matches!(watch.next_event().await, Some(Ok(WatchEvent::Entry(_)))));
/// assert!(matches!(watch.next_event().await, Some(Ok(WatchEvent::Current))));
/// # Ok(()) }
/// ```
#[must_use = "a watch that is dropped ends"]
pub struct Watch<T = Bytes> {
    bucket: BucketName,
    // `next` takes `&self` so that `let watch` suffices; the lock is uncontended with a single reader.
    inner: Mutex<Inner<T>>,
}

struct Inner<T> {
    events: Option<RawWatch>,
    decode: Decode<T>,
    ignore_removals: bool,
    include_reserved: bool,
}

impl<T> Watch<T> {
    pub(super) async fn open(
        store: &Store,
        filters: Vec<KeyFilter>,
        options: &WatchOptions,
        decode: Decode<T>,
    ) -> Result<Self, KvReadError> {
        let request = WatchRequest {
            deliver: options.deliver,
            metadata_only: options.metadata_only,
            once: false,
            complete: true,
        };
        let include_reserved =
            options.include_reserved || filters.iter().any(KeyFilter::names_reserved);
        let events = store.backend().watch(&filters, request).await?;
        Ok(Self {
            bucket: store.bucket().clone(),
            inner: Mutex::new(Inner {
                events: Some(events),
                decode,
                ignore_removals: options.ignore_removals,
                include_reserved,
            }),
        })
    }

    /// Returns the next entry; `None` after an error that ended the watch.
    ///
    /// The future may be dropped at any time without losing an entry. If two tasks call it, each entry
    /// goes to one of them.
    pub async fn next(&self) -> Option<Result<Entry<T>, KvReadError>> {
        let mut inner = self.lock().await;
        poll_fn(|context| inner.poll_entry(context)).await
    }

    /// Returns the next entry or status event; `None` after an error that ended the watch.
    ///
    /// The future may be dropped at any time without losing an event.
    pub async fn next_event(&self) -> Option<Result<WatchEvent<Entry<T>>, KvReadError>> {
        let mut inner = self.lock().await;
        poll_fn(|context| inner.poll_event(context)).await
    }

    async fn lock(&self) -> MutexGuard<'_, Inner<T>> {
        // This runs for every entry, and awaiting the lock would cost more than the rest of a read.
        match self.inner.try_lock() {
            Ok(inner) => inner,
            Err(_) => self.inner.lock().await,
        }
    }
}

impl<T> Inner<T> {
    fn poll_event(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<WatchEvent<Entry<T>>, KvReadError>>> {
        loop {
            let Some(events) = &mut self.events else {
                return Poll::Ready(None);
            };
            let event = match ready!(events.poll_next_unpin(context)) {
                None => {
                    self.events = None;
                    return Poll::Ready(None);
                }
                Some(Err(error)) => {
                    self.events = None;
                    return Poll::Ready(Some(Err(error.into())));
                }
                Some(Ok(event)) => event,
            };
            return Poll::Ready(Some(match event {
                WatchEvent::Entry(entry) if self.is_unwanted(&entry) => continue,
                WatchEvent::Entry(entry) => (self.decode)(entry).map(WatchEvent::Entry),
                WatchEvent::Current => Ok(WatchEvent::Current),
                WatchEvent::Interrupted => Ok(WatchEvent::Interrupted),
            }));
        }
    }

    fn poll_entry(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Entry<T>, KvReadError>>> {
        loop {
            return Poll::Ready(match ready!(self.poll_event(context)) {
                None => None,
                Some(Ok(WatchEvent::Entry(entry))) => Some(Ok(entry)),
                Some(Ok(WatchEvent::Current | WatchEvent::Interrupted)) => continue,
                Some(Err(error)) => Some(Err(error)),
            });
        }
    }

    fn is_unwanted(&self, entry: &Entry) -> bool {
        (self.ignore_removals && entry.is_removal())
            || (!self.include_reserved && entry.key.is_reserved())
    }
}

impl<T> Stream for Watch<T> {
    type Item = Result<Entry<T>, KvReadError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.inner.get_mut().poll_entry(context)
    }
}

impl<T> fmt::Debug for Watch<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch")
            .field("bucket", &self.bucket)
            .finish_non_exhaustive()
    }
}
