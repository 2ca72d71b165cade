//! Who is woken when there is something to do for a participant.
//!
//! A caller that waits for a lock does the participant's work itself when it is woken: an answer
//! from the server so reaches it without a detour over another task. But a caller may hold a future
//! that it does not poll. So if the bell rings a second time and nobody has come since the first,
//! the background task is woken too; and that comes by itself whenever an entry is to be written
//! again, which is early enough for whatever a single ring was about.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Wake, Waker},
    time::Duration,
};

#[derive(Debug, Default)]
pub(super) struct Bell {
    who: Mutex<Who>,
}

#[derive(Debug, Default)]
struct Who {
    background: Option<Waker>,
    /// Callers that wait, the latest last.
    callers: Vec<(u64, Waker)>,
    next: u64,
    /// A caller was woken, and nobody has come since.
    unanswered: bool,
    /// For when the background task has set its timer.
    alarm: Option<Duration>,
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

    /// Somebody has come.
    pub(super) fn answered(&self) {
        self.who().unanswered = false;
    }

    /// There is something to do.
    fn ring(&self) {
        let mut who = self.who();
        let caller = who.callers.last().map(|(_, waker)| waker.clone());
        let background = if who.unanswered || caller.is_none() {
            who.background.clone()
        } else {
            None
        };
        who.unanswered = caller.is_some();
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
        self.ring();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.ring();
    }
}

/// A caller's place at the bell.
#[derive(Debug)]
pub(super) struct Place {
    bell: Arc<Bell>,
    number: Option<u64>,
}

impl Place {
    pub(super) fn new(bell: Arc<Bell>) -> Self {
        Self { bell, number: None }
    }

    /// This caller is to be woken.
    pub(super) fn take(&mut self, waker: &Waker) {
        let mut who = self.bell.who();
        if let Some(number) = self.number
            && let Some((_, place)) = who.callers.iter_mut().find(|(n, _)| *n == number)
        {
            place.clone_from(waker);
            return;
        }
        let number = who.next;
        who.next += 1;
        who.callers.push((number, waker.clone()));
        drop(who);
        self.number = Some(number);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let Some(number) = self.number else { return };
        let mut who = self.bell.who();
        who.callers.retain(|(n, _)| *n != number);
        let unanswered = std::mem::take(&mut who.unanswered);
        drop(who);
        // It may have been this caller who was woken.
        if unanswered {
            self.bell.call_background();
        }
    }
}
