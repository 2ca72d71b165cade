//! When all has come that there was when a consumer was made.
//!
//! A server says with each message how many are still to come, but what it says can be too little: a
//! message that replaces one which is still to come takes that off the count a moment before it is counted
//! itself. Whoever believes a zero that was said in this moment misses a key. So those that have come are
//! counted here too.

use std::{
    task::{Context, Poll},
    time::Duration,
};

use futures::{FutureExt, future::BoxFuture};

use super::tracker::{Shown, Tracker};
use crate::platform;

/// For how long more is waited for after a zero that is doubted. What is missing then is not replaced
/// but removed, without a trace. Otherwise it comes within milliseconds.
const GRACE: Duration = Duration::from_millis(500);

#[derive(Default)]
pub(super) struct Loading {
    /// How many messages there were.
    expected: u64,
    came: u64,
    /// How many of those that came are of keys that nobody asked for, and are counted nowhere else.
    ignored: u64,
    /// Up to this revision no key has come twice.
    unique: u64,
    last: u64,
    /// The keys that have come, where some may have come twice.
    keys: Option<Shown>,
    enough: Option<BoxFuture<'static, ()>>,
}

impl Loading {
    pub(super) fn new(expected: u64, unique: u64) -> Self {
        Self {
            expected,
            unique,
            ..Self::default()
        }
    }

    /// A message has come.
    pub(super) fn came(&mut self, revision: u64) {
        self.came += 1;
        self.last = revision;
    }

    /// It is of a key that nobody asked for.
    pub(super) fn ignored(&mut self) {
        self.ignored += 1;
    }

    /// It is of this key.
    pub(super) fn noted(&mut self, key: &str) {
        if let Some(keys) = &mut self.keys {
            keys.is_new(key);
        }
    }

    /// Whether all has come, now that the server says so of these keys.
    pub(super) fn is_complete(&mut self, keys: Counted<'_>) -> bool {
        let distinct = match keys {
            Counted::Shown(shown) => shown.len(),
            Counted::Noted(tracker) if self.last > self.unique => {
                let keys = self.keys.get_or_insert_with(|| tracker.all());
                keys.len()
            }
            Counted::Noted(_) | Counted::Not => self.came,
        };
        let is_complete = self.came.min(distinct + self.ignored) >= self.expected;
        if !is_complete {
            self.enough.get_or_insert_with(|| platform::sleep(GRACE));
        }
        is_complete
    }

    /// Whether what is missing has been waited for long enough.
    pub(super) fn is_enough(&mut self, context: &mut Context<'_>) -> bool {
        let enough = self.enough.as_mut();
        enough.is_some_and(|enough| matches!(enough.poll_unpin(context), Poll::Ready(())))
    }
}

/// What knows the keys that have come.
#[derive(Clone, Copy)]
pub(super) enum Counted<'a> {
    Shown(&'a Shown),
    /// All of them, as long as this is a first load.
    Noted(&'a Tracker),
    /// Nothing does.
    Not,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tracker(keys: &[&str]) -> Tracker {
        let mut tracker = Tracker::default();
        for key in keys {
            tracker.note(key, true, true);
        }
        tracker
    }

    fn loading(expected: u64, unique: u64, revisions: &[u64]) -> Loading {
        let mut loading = Loading::new(expected, unique);
        for revision in revisions {
            loading.came(*revision);
        }
        loading
    }

    #[tokio::test]
    async fn a_zero_that_comes_too_early_is_not_believed() {
        let mut early = loading(3, 3, &[1, 2]);
        assert!(!early.is_complete(Counted::Noted(&tracker(&["a", "b"]))));
        early.came(4);
        assert!(early.is_complete(Counted::Noted(&tracker(&["a", "b", "c"]))));
        // Three, but of two keys.
        let mut twice = loading(3, 3, &[1, 2, 4]);
        let seen = tracker(&["a", "b", "a"]);
        assert!(!twice.is_complete(Counted::Noted(&seen)));
        twice.came(5);
        twice.noted("b");
        assert!(!twice.is_complete(Counted::Noted(&seen)));
        twice.came(6);
        twice.noted("c");
        assert!(twice.is_complete(Counted::Noted(&seen)));
        let mut shown = Shown::default();
        shown.is_new("a");
        assert!(!loading(2, 0, &[1, 2]).is_complete(Counted::Shown(&shown)));
        // What nobody asked for was expected too.
        let mut ignored = loading(2, 0, &[1, 2]);
        ignored.ignored();
        assert!(ignored.is_complete(Counted::Shown(&shown)));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_missing_is_not_waited_for_for_ever() {
        let mut loading = loading(2, 2, &[1]);
        let mut context = Context::from_waker(std::task::Waker::noop());
        assert!(!loading.is_enough(&mut context));
        assert!(!loading.is_complete(Counted::Not));
        assert!(!loading.is_enough(&mut context));
        tokio::time::sleep(GRACE).await;
        assert!(loading.is_enough(&mut context));
    }
}
