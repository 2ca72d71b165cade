//! The shared part of [`Live`](super::Live) and [`LiveMap`](super::LiveMap): a task that follows a watch
//! and keeps a view current, and the handles that read the view.

use std::{collections::BTreeMap, pin::pin, sync::Arc};

use futures::future::{Either, select};
use tokio::sync::watch;

use super::{
    entry::Entry, error::KvReadError, options::WatchOptions, store::Store, typed::decode,
    watch::Watch,
};
use crate::{
    backend::WatchEvent,
    codec::ByteDeserialize,
    error::{ServiceError, WithCauses},
    key::{Key, KeyFilter},
    platform,
};

/// Whether a live value is up to date with the bucket.
///
/// ```
/// use shizuku::kv::{KeyValueRead, LiveStatus};
///
/// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let client = shizuku::connect("memory:").await?;
/// let store = client.create_bucket("docs").await?;
/// store.put("color", "blue").await?;
/// let color = String::live(&store, "color").await?;
/// assert_eq!(color.status(), LiveStatus::Current);
/// client.delete_bucket("docs").await?;
/// # let mut color = color;
/// # while color.status() != LiveStatus::Ended {
/// #     _ = color.changed().await;
/// # }
/// // … and a moment later:
/// assert_eq!(color.status(), LiveStatus::Ended);
/// assert_eq!(color.get().as_deref().map(String::as_str), Some("blue"));
/// # Ok(()) }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LiveStatus {
    /// Up to date: every change is followed. A lost connection is noticed at once, a server that hangs only
    /// after ten seconds.
    Current,
    /// The connection is lost: the last known value stays, and missed changes will follow.
    Interrupted,
    /// No longer followed, because the bucket is gone, the client was closed or a permission is missing:
    /// `last_error` has the reason. The last known value stays.
    Ended,
}

/// A state built from entries.
pub(super) trait View<T>: Default + Send + Sync + 'static {
    /// Applies a value or a removal; returns the key's last entry before it.
    fn apply(&mut self, entry: Entry<Arc<T>>) -> Option<Entry<Arc<T>>>;
}

#[derive(Debug)]
struct State<V> {
    view: V,
    status: LiveStatus,
    errors: Errors,
    /// The number of view changes and revisions that do not decode.
    changes: u64,
}

/// The current errors.
#[derive(Debug, Default)]
struct Errors {
    /// By key, the error of a last revision that does not decode, until a good revision replaces it.
    decode: BTreeMap<Key, Arc<KvReadError>>,
    /// The newest of these, or the last by key once any was cleared.
    last: Option<Arc<KvReadError>>,
    /// The error that ended the watch.
    end: Option<Arc<KvReadError>>,
}

impl<V> State<V> {
    /// Applies an event of the watch; returns whether to notify readers. Moves the replaced entry to `old`,
    /// because dropping its value runs the user's code, which may read this view.
    fn apply<T>(
        &mut self,
        event: Result<WatchEvent<Entry<T>>, KvReadError>,
        old: &mut Option<Entry<Arc<T>>>,
    ) -> bool
    where
        V: View<T>,
    {
        match event {
            Ok(WatchEvent::Entry(entry)) => {
                let forgiven = self.errors.forgive(&entry.key);
                let is_removal = entry.is_removal();
                *old = self.view.apply(keep(entry));
                // Removing an absent value is not a visible change.
                let had_value = old.as_ref().is_some_and(|old| !old.is_removal());
                let changed = !is_removal || had_value || forgiven;
                self.changes += u64::from(changed);
                changed
            }
            Ok(WatchEvent::Current) => self.turn(LiveStatus::Current),
            Ok(WatchEvent::Interrupted) => self.turn(LiveStatus::Interrupted),
            Err(error) => {
                tracing::warn!(error = %WithCauses(&error), "a live value keeps its last good state");
                self.refuse(error);
                true
            }
        }
    }

    fn refuse(&mut self, error: KvReadError) {
        let key = match &error {
            KvReadError::Decode(error) => Some(error.key.detached()),
            _ => None,
        };
        let error = Arc::new(error);
        match key {
            Some(key) => {
                self.errors.decode.insert(key, error.clone());
                self.errors.last = Some(error);
                self.changes += 1;
            }
            None => {
                self.errors.end = Some(error);
                self.status = LiveStatus::Ended;
            }
        }
    }

    fn turn(&mut self, status: LiveStatus) -> bool {
        std::mem::replace(&mut self.status, status) != status
    }
}

impl Errors {
    /// Clears the error of a bad value under the same key, after a good value or a removal.
    fn forgive(&mut self, key: &Key) -> bool {
        if self.decode.remove(key).is_none() {
            return false;
        }
        self.last = self.decode.values().next_back().cloned();
        true
    }
}

/// Converts an entry for storage: the value shared, the key copied out of its read buffer.
fn keep<T>(mut entry: Entry<T>) -> Entry<Arc<T>> {
    entry.key = entry.key.detached();
    let value = entry.value.take().map(Arc::new);
    entry.with_value(value)
}

/// A handle on a followed view. The background task ends when the last handle is dropped.
#[derive(Debug)]
pub(super) struct Follower<V> {
    state: watch::Receiver<State<V>>,
    seen_changes: u64,
    seen_status: LiveStatus,
}

impl<V> Clone for Follower<V> {
    fn clone(&self) -> Self {
        Self {
            state: self.state.clone(),
            seen_changes: self.seen_changes,
            seen_status: self.seen_status,
        }
    }
}

impl<V> Follower<V> {
    /// Waits for the initial entries, then follows in a background task.
    pub(super) async fn open<T>(store: &Store, filters: Vec<KeyFilter>) -> Result<Self, KvReadError>
    where
        T: ByteDeserialize + Send + Sync + 'static,
        V: View<T>,
    {
        let watch = Watch::open(store, filters, &WatchOptions::new(), decode::<T>).await?;
        let mut state = State {
            view: V::default(),
            status: LiveStatus::Interrupted,
            errors: Errors::default(),
            changes: 0,
        };
        while state.status != LiveStatus::Current {
            match watch.next_event().await {
                Some(Err(error)) if !matches!(error, KvReadError::Decode(_)) => return Err(error),
                Some(event) => _ = state.apply(event, &mut None),
                None => return Err(ServiceError::Closed.into()),
            }
        }
        let (seen_changes, seen_status) = (state.changes, state.status);
        let (sender, receiver) = watch::channel(state);
        platform::spawn(follow(watch, sender))?;
        Ok(Self {
            state: receiver,
            seen_changes,
            seen_status,
        })
    }

    /// Reads the view. Keep it short: the view cannot change meanwhile.
    pub(super) fn read<R>(&self, look: impl FnOnce(&V) -> R) -> R {
        look(&self.state.borrow().view)
    }

    pub(super) fn status(&self) -> LiveStatus {
        // The task is gone without an `Ended`: its runtime was shut down.
        if self.state.has_changed().is_err() {
            return LiveStatus::Ended;
        }
        self.state.borrow().status
    }

    /// Returns the error that ended the watch, or else one of the uncleared decode errors.
    pub(super) fn last_error(&self) -> Option<Arc<KvReadError>> {
        let has_ended = self.status() == LiveStatus::Ended;
        let errors = &self.state.borrow().errors;
        match has_ended {
            true => Some(errors.end.clone().unwrap_or_else(closed)),
            false => errors.last.clone(),
        }
    }

    /// Returns the error of each key, in key order.
    pub(super) fn decode_errors(&self) -> Vec<Arc<KvReadError>> {
        let state = self.state.borrow();
        state.errors.decode.values().cloned().collect()
    }

    /// Waits until the view has changed since this handle last waited, and reads it.
    pub(super) async fn changed<R>(
        &mut self,
        look: impl FnOnce(&V) -> R,
    ) -> Result<R, Arc<KvReadError>> {
        let seen = self.seen_changes;
        let news = self
            .state
            .wait_for(|state| state.changes != seen || state.status == LiveStatus::Ended)
            .await;
        let Ok(state) = news else {
            return Err(closed());
        };
        // Changes just before the end count too.
        if state.changes != seen {
            self.seen_changes = state.changes;
            return Ok(look(&state.view));
        }
        Err(state.errors.end.clone().unwrap_or_else(closed))
    }

    /// Waits until the status differs from what this handle last saw; after the end, forever.
    pub(super) async fn status_changed(&mut self) -> LiveStatus {
        let seen = self.seen_status;
        if seen == LiveStatus::Ended {
            std::future::pending::<()>().await;
        }
        // An error means that the task is gone, and a task ends with an `Ended`.
        let status = match self.state.wait_for(|state| state.status != seen).await {
            Ok(state) => state.status,
            Err(_) => LiveStatus::Ended,
        };
        self.seen_status = status;
        status
    }
}

fn closed() -> Arc<KvReadError> {
    Arc::new(ServiceError::Closed.into())
}

/// Keeps a view current until the last handle is dropped or the watch ends.
async fn follow<T, V>(watch: Watch<T>, state: watch::Sender<State<V>>)
where
    V: View<T>,
{
    loop {
        let next = pin!(watch.next_event());
        let event = match select(next, pin!(state.closed())).await {
            Either::Left((event, _)) => event,
            Either::Right(_) => return,
        };
        let event = event.unwrap_or_else(|| Err(ServiceError::Closed.into()));
        let mut old = None;
        state.send_if_modified(|state| state.apply(event, &mut old));
        drop(old); // now that readers are let in again
        if state.borrow().status == LiveStatus::Ended {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::time::SystemTime;

    use super::*;
    use crate::{
        Headers,
        key::BucketName,
        kv::{DecodeError, Operation},
    };

    /// Never changes, so that notifications have other causes.
    #[derive(Default)]
    struct Blank;

    impl View<()> for Blank {
        fn apply(&mut self, _entry: Entry<Arc<()>>) -> Option<Entry<Arc<()>>> {
            None
        }
    }

    fn entry(key: &str) -> Entry<()> {
        Entry {
            bucket: BucketName::new("b").unwrap(),
            key: Key::new(key).unwrap(),
            value: None,
            revision: 1,
            created: SystemTime::UNIX_EPOCH,
            operation: Operation::Delete,
            delta: 0,
            headers: Headers::new(),
        }
    }

    #[test]
    fn only_changes_are_reported() {
        let mut state = State {
            view: Blank,
            status: LiveStatus::Interrupted,
            errors: Errors::default(),
            changes: 0,
        };
        let apply = |state: &mut State<Blank>, event| state.apply(event, &mut None);
        assert!(apply(&mut state, Ok(WatchEvent::Current)));
        assert!(!apply(&mut state, Ok(WatchEvent::Current)));
        assert!(!apply(&mut state, Ok(WatchEvent::Entry(entry("a")))));
        assert_eq!(state.changes, 0);
        let bad = DecodeError {
            bucket: BucketName::new("b").unwrap(),
            key: Key::new("a").unwrap(),
            revision: 1,
            type_name: "()",
            source: "no".into(),
        };
        assert!(apply(&mut state, Err(bad.into())));
        assert!(!apply(&mut state, Ok(WatchEvent::Entry(entry("b")))));
        assert_eq!(state.changes, 1);
        assert!(apply(&mut state, Ok(WatchEvent::Entry(entry("a")))));
        assert_eq!(state.changes, 2);
        assert!(!apply(&mut state, Ok(WatchEvent::Entry(entry("a")))));
    }
}
