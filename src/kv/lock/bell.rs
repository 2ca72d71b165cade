//! Who is woken when there is something to do for a participant.
//!
//! A caller that waits for a lock does the participant's work itself when it is woken: an answer
//! from the server so reaches it without a detour over another task. But a caller may hold a future
//! that it does not poll. So if the bell rings and nobody has come for a while since an earlier ring,
//! the background task is woken too; and that comes by itself whenever an entry is to be written
//! again, which is early enough for whatever a single ring was about.
//!
//! Only after a while, because an acknowledgement and an echo often arrive together: waking the
//! background task as well takes another thread, and more time than all that there is to do.
//!
//! Of the callers the one is woken whom the news is most likely for, as any other would only have to
//! wake it in turn: one that waits for an answer, as it has something under way; then the writer who
//! came first, as it stands first in the queue. If that writer never polls, nobody is worse off: those
//! behind it had to wait for it anyway.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Wake, Waker},
    time::Duration,
};

use crate::platform::Instant;

/// How long a caller that was woken may take to come.
const PATIENCE: Duration = Duration::from_millis(1);

/// How often who is at work looks again, before others get their turn.
const ROUNDS: usize = 16;

#[derive(Debug, Default)]
pub(super) struct Bell {
    who: Mutex<Who>,
    /// How many have asked for a look since the one who is at work began; 0 where nobody is.
    asked: AtomicUsize,
}

#[derive(Debug, Default)]
struct Who {
    background: Option<Waker>,
    /// Callers that wait, the latest last.
    callers: Vec<Caller>,
    next: u64,
    /// When a caller was woken, if nobody has come since.
    unanswered: Option<Instant>,
    /// For when the background task has set its timer.
    alarm: Option<Duration>,
}

#[derive(Debug)]
struct Caller {
    number: u64,
    waits: Waits,
    waker: Waker,
}

/// What a caller waits for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Waits {
    /// What came of a change or a release.
    Answer,
    /// To hold the lock alone: such callers are served in the order in which they came.
    Turn,
    /// To hold the lock beside others.
    Entry,
}

impl Who {
    /// Whom news is most likely for.
    fn next(&self) -> Option<&Waker> {
        let mut latest_first = self.callers.iter().rev();
        let caller = latest_first
            .find(|caller| caller.waits == Waits::Answer)
            .or_else(|| {
                self.callers
                    .iter()
                    .find(|caller| caller.waits == Waits::Turn)
            })
            .or(self.callers.last())?;
        Some(&caller.waker)
    }
}

impl Bell {
    fn who(&self) -> MutexGuard<'_, Who> {
        self.who.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn set_background(&self, waker: &Waker) {
        let background = &mut self.who().background;
        match background {
            Some(background) => background.clone_from(waker),
            None => *background = Some(waker.clone()),
        }
    }

    pub(super) fn set_alarm(&self, alarm: Option<Duration>) {
        self.who().alarm = alarm;
    }

    /// Wakes the background task if its timer is set for later than this.
    pub(super) fn need(&self, wake: Option<Duration>) {
        let who = self.who();
        let late = wake.is_some_and(|wake| who.alarm.is_none_or(|alarm| wake < alarm));
        let background = if late { who.background.clone() } else { None };
        drop(who);
        if let Some(background) = background {
            background.wake();
        }
    }

    /// Does the work, unless somebody is at it: then they look again. What rings meanwhile is
    /// heard by who is at it, and wakes nobody.
    pub(super) fn work(&self, mut look: impl FnMut()) {
        if self.asked.fetch_add(1, Ordering::AcqRel) > 0 {
            return;
        }
        let _panic = Panic(&self.asked);
        self.who().unanswered = None;
        let mut asked = 1;
        for _ in 0..ROUNDS {
            look();
            match self
                .asked
                .compare_exchange(asked, 0, Ordering::AcqRel, Ordering::Acquire)
            {
                Ok(_) => return,
                Err(more) => asked = more,
            }
        }
        self.asked.store(0, Ordering::Release);
        self.ring();
    }

    /// Asks who is at work to look again. Answers whether there is such.
    fn ask(&self) -> bool {
        let more = |asked| (asked > 0).then_some(asked + 1);
        self.asked
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, more)
            .is_ok()
    }

    /// There is something to do, and nobody at work.
    pub(super) fn ring(&self) {
        let mut who = self.who();
        let caller = who.next().cloned();
        let late = match (&caller, who.unanswered) {
            (None, _) => true,
            (Some(_), Some(since)) => since.elapsed() > PATIENCE,
            (Some(_), None) => {
                who.unanswered = Some(Instant::now());
                false
            }
        };
        let background = if late { who.background.clone() } else { None };
        drop(who);
        if let Some(background) = background {
            background.wake();
        }
        // Last, so that a runtime that runs the latest first runs it first.
        if let Some(caller) = caller {
            caller.wake();
        }
    }

    /// There is something to do, and who rings will not do it.
    pub(super) fn call_background(&self) {
        let background = self.who().background.clone();
        if let Some(background) = background {
            background.wake();
        }
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.ask() {
            self.ring();
        }
    }
}

/// Lets others go on where a backend panics.
struct Panic<'a>(&'a AtomicUsize);

impl Drop for Panic<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.store(0, Ordering::Release);
        }
    }
}

/// A caller's place at the bell.
#[derive(Debug)]
pub(super) struct Place {
    bell: Arc<Bell>,
    waits: Waits,
    number: Option<u64>,
}

impl Place {
    pub(super) fn new(bell: Arc<Bell>, waits: Waits) -> Self {
        Self {
            bell,
            waits,
            number: None,
        }
    }

    /// This caller is to be woken.
    pub(super) fn take(&mut self, waker: &Waker) {
        let mut who = self.bell.who();
        if let Some(number) = self.number
            && let Some(caller) = who.callers.iter_mut().find(|c| c.number == number)
        {
            caller.waker.clone_from(waker);
            return;
        }
        let number = who.next;
        who.next += 1;
        who.callers.push(Caller {
            number,
            waits: self.waits,
            waker: waker.clone(),
        });
        drop(who);
        self.number = Some(number);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let Some(number) = self.number else { return };
        let mut who = self.bell.who();
        who.callers.retain(|caller| caller.number != number);
        let unanswered = std::mem::take(&mut who.unanswered);
        drop(who);
        // It may have been this caller who was woken.
        if unanswered.is_some() {
            self.bell.call_background();
        }
    }
}
