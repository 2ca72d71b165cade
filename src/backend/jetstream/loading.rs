//! Decides when everything that existed when a consumer was created has arrived.
//!
//! With each message a server reports how many are still pending, but that number can be too small: a
//! message that replaces a pending one is subtracted from the count a moment before it is counted itself. A
//! client that trusts a zero from this moment misses a key. So received messages are also counted here. For
//! the same reason the initial number of a new consumer can be too small, so in a bucket that is being
//! written, the server gets one more request: whatever is missing was stored before it reported zero, and
//! is sent before the response.

use std::{
    task::{Context, Poll},
    time::Duration,
};

use futures::{FutureExt, future::BoxFuture};

use super::{
    consumer::Delivery,
    tracker::{Shown, Tracker},
};
use crate::platform;

/// How long to wait for more after a doubtful zero. A message that has not arrived by then was not
/// replaced, but removed without a trace. Otherwise it arrives within milliseconds.
const GRACE: Duration = Duration::from_millis(500);

#[derive(Default)]
pub(super) struct Loading {
    /// How many messages there were initially.
    expected: u64,
    came: u64,
    /// How many of the received messages have keys that were not asked for; they are counted nowhere else.
    ignored: u64,
    /// Up to this revision no key is repeated.
    unique: u64,
    last: u64,
    /// How many are still pending, according to the server.
    pending: u64,
    question: Question,
    /// The received keys, if some may have been repeated.
    keys: Option<Shown>,
    enough: Option<BoxFuture<'static, ()>>,
}

/// Whether the server was asked if this is all.
enum Question {
    ToAsk,
    Asked(BoxFuture<'static, u64>),
    /// The server responded with this as its last revision; 0 if it need not be asked.
    Answered(u64),
}

impl Default for Question {
    fn default() -> Self {
        Self::Answered(0)
    }
}

impl Loading {
    pub(super) fn new(expected: u64, unique: u64, unsure: bool) -> Self {
        Self {
            expected,
            unique,
            pending: expected,
            question: match unsure {
                true => Question::ToAsk,
                false => Question::default(),
            },
            ..Self::default()
        }
    }

    /// Creates a load that is complete once everything already sent has been read.
    pub(super) fn until_drained() -> Self {
        Self {
            question: Question::Answered(u64::MAX),
            ..Self::default()
        }
    }

    /// Counts a message.
    pub(super) fn came(&mut self, delivery: Delivery) {
        self.came += 1;
        self.last = delivery.revision;
        self.pending = delivery.pending;
    }

    /// Records that the message has a key that was not asked for.
    pub(super) fn ignored(&mut self) {
        self.ignored += 1;
    }

    /// Records the key of the message.
    pub(super) fn noted(&mut self, key: &str) {
        if let Some(keys) = &mut self.keys {
            keys.is_new(key);
        }
    }

    /// Whether the server reports that this is all.
    pub(super) fn is_at_zero(&self) -> bool {
        self.pending == 0
    }

    /// Whether the load is complete for these keys, now that the server reports zero. `drained` if nothing
    /// is waiting to be read.
    pub(super) fn is_complete(
        &mut self,
        keys: Counted<'_>,
        drained: bool,
        ask: impl FnOnce() -> BoxFuture<'static, u64>,
    ) -> bool {
        if !self.is_counted(keys) {
            self.enough.get_or_insert_with(|| platform::sleep(GRACE));
            return false;
        }
        match self.question {
            Question::ToAsk => {
                self.question = Question::Asked(ask());
                false
            }
            Question::Asked(_) => false,
            Question::Answered(last) => drained || self.last >= last,
        }
    }

    /// Handles the response, once.
    pub(super) fn poll_answer(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let Question::Asked(answer) = &mut self.question else {
            return Poll::Pending;
        };
        answer
            .poll_unpin(context)
            .map(|last| self.question = Question::Answered(last))
    }

    fn is_counted(&mut self, keys: Counted<'_>) -> bool {
        let distinct = match keys {
            Counted::Shown(shown) => shown.len(),
            Counted::Noted(tracker) if self.last > self.unique => {
                let keys = self.keys.get_or_insert_with(|| tracker.all());
                keys.len()
            }
            Counted::Noted(_) | Counted::Not => self.came,
        };
        self.came.min(distinct + self.ignored) >= self.expected
    }

    /// Whether the grace period for missing messages is over.
    pub(super) fn is_enough(&mut self, context: &mut Context<'_>) -> bool {
        let enough = self.enough.as_mut();
        enough.is_some_and(|enough| matches!(enough.poll_unpin(context), Poll::Ready(())))
    }
}

/// Which structure knows the received keys.
#[derive(Clone, Copy)]
pub(super) enum Counted<'a> {
    Shown(&'a Shown),
    /// Knows all of them during an initial load.
    Noted(&'a Tracker),
    /// None does.
    Not,
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use futures::channel::oneshot;

    use super::*;

    fn tracker(keys: &[&str]) -> Tracker {
        let mut tracker = Tracker::default();
        for key in keys {
            tracker.note(key, true, true);
        }
        tracker
    }

    fn loading(expected: u64, unique: u64, revisions: &[u64]) -> Loading {
        let mut loading = Loading::new(expected, unique, false);
        for revision in revisions {
            loading.came(delivery(*revision));
        }
        loading
    }

    fn delivery(revision: u64) -> Delivery {
        Delivery {
            revision,
            stored: 0,
            pending: 0,
        }
    }

    fn is_complete(loading: &mut Loading, keys: Counted<'_>) -> bool {
        loading.is_complete(keys, false, || unreachable!())
    }

    #[tokio::test]
    async fn a_premature_zero_pending_is_not_trusted() {
        let mut early = loading(3, 3, &[1, 2]);
        let noted = |keys: &[&str], loading: &mut Loading| {
            is_complete(loading, Counted::Noted(&tracker(keys)))
        };
        assert!(!noted(&["a", "b"], &mut early));
        early.came(delivery(4));
        assert!(noted(&["a", "b", "c"], &mut early));
        // Three messages, but of two keys.
        let mut twice = loading(3, 3, &[1, 2, 4]);
        let seen = ["a", "b", "a"];
        assert!(!noted(&seen, &mut twice));
        twice.came(delivery(5));
        twice.noted("b");
        assert!(!noted(&seen, &mut twice));
        twice.came(delivery(6));
        twice.noted("c");
        assert!(noted(&seen, &mut twice));
        let mut shown = Shown::default();
        shown.is_new("a");
        let mut short = loading(2, 0, &[1, 2]);
        assert!(!is_complete(&mut short, Counted::Shown(&shown)));
        // Keys that were not asked for are also expected.
        let mut ignored = loading(2, 0, &[1, 2]);
        ignored.ignored();
        assert!(is_complete(&mut ignored, Counted::Shown(&shown)));
    }

    #[tokio::test]
    async fn a_doubtful_zero_pending_waits_for_confirmation() {
        let mut context = Context::from_waker(Waker::noop());
        let mut loading = Loading::new(1, 0, true);
        assert!(loading.poll_answer(&mut context).is_pending());
        loading.came(delivery(5));
        let (answer, answered) = oneshot::channel();
        let ask = || -> BoxFuture<'static, u64> { Box::pin(async { answered.await.unwrap() }) };
        assert!(!loading.is_complete(Counted::Not, true, ask));
        assert!(!loading.is_complete(Counted::Not, true, || unreachable!()));
        assert!(loading.poll_answer(&mut context).is_pending());
        answer.send(7).unwrap();
        assert!(loading.poll_answer(&mut context).is_ready());
        assert!(loading.poll_answer(&mut context).is_pending());
        // Messages sent before the response may still be waiting to be read.
        assert!(!is_complete(&mut loading, Counted::Not));
        loading.came(delivery(6));
        assert!(!is_complete(&mut loading, Counted::Not));
        assert!(loading.is_complete(Counted::Not, true, || unreachable!()));
        loading.came(delivery(7));
        assert!(is_complete(&mut loading, Counted::Not));
    }

    #[tokio::test(start_paused = true)]
    async fn missing_messages_are_not_awaited_forever() {
        let mut loading = loading(2, 2, &[1]);
        let mut context = Context::from_waker(Waker::noop());
        assert!(!loading.is_enough(&mut context));
        assert!(!is_complete(&mut loading, Counted::Not));
        assert!(!loading.is_enough(&mut context));
        tokio::time::sleep(GRACE).await;
        assert!(loading.is_enough(&mut context));
    }
}
