//! Chooses the task to wake when a participant has work to do.
//!
//! A caller that waits for a lock does the participant's work itself when it is woken, so that a reply from
//! the server reaches it without a detour through another task. But a caller may hold a future without
//! polling it, while others wait for the work that it was woken to do. So the background task checks that
//! the woken caller responds, and does the work if it has not responded for a while; that caller is skipped
//! until it is polled again.
//!
//! It waits that long, and does not check at all if nobody else is waiting, because that would involve
//! another thread and cost more than the work itself.
//!
//! The bell wakes the caller that is most likely affected, since any other caller would only have to wake
//! that one in turn: first a caller that waits for a reply, as it has a request in flight; then the first
//! writer in the queue. If that writer never polls, no caller is worse off: those behind it had to wait for
//! it anyway.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Wake, Waker},
    time::Duration,
};

use crate::platform::Instant;

/// How long a woken caller may take to respond.
const PATIENCE: Duration = Duration::from_millis(5);

/// How many rounds the working caller does before it yields to other tasks.
const ROUNDS: usize = 16;

#[derive(Debug, Default)]
pub(super) struct Bell {
    who: Mutex<Who>,
    /// How many rounds were requested since the working caller began; 0 if nobody is working.
    asked: AtomicUsize,
}

#[derive(Debug, Default)]
struct Who {
    background: Option<Waker>,
    /// Waiting callers, latest last.
    callers: Vec<Caller>,
    next: u64,
    /// When a caller was woken, if none has responded since.
    unanswered: Option<Instant>,
    /// Since when the background task has been checking that, if it is.
    watched: Option<Instant>,
    /// Whether all the work is for one caller: if that caller does not respond, nobody else is affected.
    is_for_one: bool,
    /// When the background task's timer is set to fire.
    alarm: Option<Duration>,
}

#[derive(Debug)]
struct Caller {
    number: u64,
    waits: Waits,
    waker: Waker,
    /// It was woken, and did not respond in time.
    absent: bool,
}

/// What a caller waits for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Waits {
    /// The result of a change or a release.
    Answer,
    /// To hold the lock exclusively, or permits: such callers are served in order of arrival.
    Turn,
    /// To read, shared with others.
    Entry,
}

impl Who {
    /// The caller that is most likely affected.
    fn next(&mut self) -> Option<&mut Caller> {
        let is = |waits| move |caller: &Caller| caller.waits == waits && !caller.absent;
        let next = self
            .callers
            .iter()
            .rposition(is(Waits::Answer))
            .or_else(|| self.callers.iter().position(is(Waits::Turn)))
            .or_else(|| self.callers.iter().rposition(is(Waits::Entry)))?;
        self.callers.get_mut(next)
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

    /// Called when the work is done: the rest waits for this moment, or for a ring. Wakes the background
    /// task if its timer is set for later.
    pub(super) fn rest(&self, wake: Option<Duration>, is_for_one: bool) {
        let mut who = self.who();
        who.is_for_one = is_for_one;
        let late = wake.is_some_and(|wake| who.alarm.is_none_or(|alarm| wake < alarm));
        let background = if late { who.background.clone() } else { None };
        drop(who);
        if let Some(background) = background {
            background.wake();
        }
    }

    /// Does the work, or asks the caller that is already doing it for another round. A ring in the meantime
    /// also goes to that caller, and wakes no other.
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

    /// Asks the working caller for another round. Returns whether there is one.
    fn ask(&self) -> bool {
        let more = |asked| (asked > 0).then_some(asked + 1);
        self.asked
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, more)
            .is_ok()
    }

    /// How long the woken caller may still take to respond; `None` if none is due.
    pub(super) fn patience_left(&self) -> Option<Duration> {
        let unanswered = self.who().unanswered?;
        Some(PATIENCE.saturating_sub(unanswered.elapsed()))
    }

    /// How soon the background task should check again whether callers respond. It keeps checking for a
    /// while after the last response, because it would otherwise have to be woken for the next one.
    pub(super) fn look_again_in(&self) -> Option<Duration> {
        let mut who = self.who();
        let watched = |since: &Instant| since.elapsed() < PATIENCE;
        who.watched = who.unanswered.or(who.watched.filter(watched));
        let since = who.watched?;
        Some(PATIENCE.saturating_sub(since.elapsed()))
    }

    /// Marks the woken caller as absent: others are woken until it is polled.
    pub(super) fn pass_over(&self) {
        let mut who = self.who();
        if let Some(caller) = who.next() {
            caller.absent = true;
        }
    }

    /// Wakes a caller to do the work; nobody is doing it now.
    pub(super) fn ring(&self) {
        let mut who = self.who();
        let caller = who.next().map(|caller| caller.waker.clone());
        let mut needs_background = true;
        if caller.is_some() {
            let since = *who.unanswered.get_or_insert_with(Instant::now);
            let is_for_it = who.is_for_one && who.callers.len() == 1;
            needs_background = !is_for_it && who.watched.is_none();
            if needs_background {
                who.watched = Some(since);
            }
        }
        let background = who.background.clone().filter(|_| needs_background);
        drop(who);
        if let Some(background) = background {
            background.wake();
        }
        // Last, so that a runtime that runs the most recently woken task first picks this one.
        if let Some(caller) = caller {
            caller.wake();
        }
    }

    /// Wakes the background task, because the calling task will not do the work.
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

/// Lets others proceed if a backend panics.
struct Panic<'a>(&'a AtomicUsize);

impl Drop for Panic<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.store(0, Ordering::Release);
        }
    }
}

/// A caller's registration with the bell.
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

    /// Registers this caller to be woken.
    pub(super) fn take(&mut self, waker: &Waker) {
        let mut who = self.bell.who();
        if let Some(number) = self.number
            && let Some(caller) = who.callers.iter_mut().find(|c| c.number == number)
        {
            caller.waker.clone_from(waker);
            caller.absent = false;
            return;
        }
        let number = who.next;
        who.next += 1;
        who.callers.push(Caller {
            number,
            waits: self.waits,
            waker: waker.clone(),
            absent: false,
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
        // This may be the caller that was woken.
        if unanswered.is_some() {
            self.bell.call_background();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;

    /// Counts how often it was woken.
    #[derive(Default)]
    struct Woken(AtomicUsize);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    impl Woken {
        fn waker(self: &Arc<Self>) -> Waker {
            self.clone().into()
        }

        /// How often it was woken since the last call.
        fn count(&self) -> usize {
            self.0.swap(0, Ordering::Relaxed)
        }
    }

    /// A bell with a background task.
    fn bell() -> (Arc<Bell>, Arc<Woken>) {
        let (bell, background) = (Arc::new(Bell::default()), Arc::new(Woken::default()));
        bell.set_background(&background.waker());
        (bell, background)
    }

    fn caller(bell: &Arc<Bell>, waits: Waits) -> (Place, Arc<Woken>) {
        let woken = Arc::new(Woken::default());
        let mut place = Place::new(bell.clone(), waits);
        place.take(&woken.waker());
        (place, woken)
    }

    #[test]
    fn the_most_likely_affected_caller_is_woken() {
        use Waits::{Answer, Entry, Turn};
        let (bell, _) = bell();
        // In the order in which they are woken, each once the previous ones have gone.
        let mut callers: Vec<_> = [Entry, Turn, Answer, Entry, Turn, Answer, Entry]
            .map(|waits| Some(caller(&bell, waits)))
            .into();
        for next in [5, 2, 1, 4, 6, 3, 0] {
            bell.ring();
            for (number, caller) in callers.iter().enumerate() {
                let Some((_, woken)) = caller else { continue };
                assert_eq!(woken.count(), usize::from(number == next), "{number}");
            }
            callers[next] = None;
        }
    }

    #[test]
    fn the_background_task_is_woken_if_no_caller_responds() {
        let (bell, background) = bell();
        bell.ring();
        assert_eq!(background.count(), 1);
        assert_eq!(bell.patience_left(), None);
        let (place, caller) = caller(&bell, Waits::Entry);
        // Once, to check that a caller responds.
        bell.ring();
        bell.ring();
        assert_eq!((background.count(), caller.count()), (1, 2));
        assert!(bell.patience_left().is_some_and(|left| left <= PATIENCE));
        std::thread::sleep(2 * PATIENCE);
        assert_eq!(bell.patience_left(), Some(Duration::ZERO));
        bell.ring();
        assert_eq!((background.count(), caller.count()), (0, 1));
        // A caller has responded. The background task notices at its next check, and keeps checking for a
        // while.
        bell.work(|| ());
        bell.ring();
        assert_eq!((background.count(), caller.count()), (0, 1));
        assert!(bell.look_again_in().is_some());
        bell.work(|| ());
        assert_eq!(bell.patience_left(), None);
        assert!(bell.look_again_in().is_some());
        std::thread::sleep(2 * PATIENCE);
        assert_eq!(bell.look_again_in(), None);
        bell.ring();
        assert_eq!((background.count(), caller.count()), (1, 1));
        // It was woken, and has gone without doing the work.
        drop(place);
        assert_eq!(background.count(), 1);
        let (place, _) = self::caller(&bell, Waits::Entry);
        drop(place);
        assert_eq!(background.count(), 0);
    }

    #[test]
    fn the_background_task_sleeps_if_only_one_caller_is_affected() {
        let (bell, background) = bell();
        let (place, first) = caller(&bell, Waits::Turn);
        bell.rest(None, true);
        bell.ring();
        assert_eq!((background.count(), first.count()), (0, 1));
        let (other, _) = caller(&bell, Waits::Turn);
        bell.ring();
        assert_eq!((background.count(), first.count()), (1, 1));
        drop(other);
        assert_eq!(background.count(), 1); // it may have been the one that was woken
        bell.work(|| bell.rest(None, false));
        std::thread::sleep(2 * PATIENCE);
        assert_eq!(bell.look_again_in(), None);
        bell.ring();
        assert_eq!((background.count(), first.count()), (1, 1));
        drop(place);
    }

    #[test]
    fn an_unresponsive_caller_is_skipped_until_it_is_polled() {
        let (bell, background) = bell();
        let (mut first, absent) = caller(&bell, Waits::Turn);
        let (_second, present) = caller(&bell, Waits::Turn);
        bell.ring();
        bell.pass_over();
        bell.ring();
        assert_eq!((absent.count(), present.count()), (1, 1));
        bell.pass_over();
        background.count();
        bell.ring();
        assert_eq!(
            (absent.count(), present.count(), background.count()),
            (0, 0, 1)
        );
        first.take(&absent.waker());
        bell.ring();
        assert_eq!((absent.count(), present.count()), (1, 0));
    }

    #[test]
    fn a_caller_has_one_place_and_its_latest_waker() {
        let (bell, _) = bell();
        let (mut first, old) = caller(&bell, Waits::Turn);
        let (_second, behind) = caller(&bell, Waits::Turn);
        let new = Arc::new(Woken::default());
        first.take(&new.waker());
        bell.ring();
        assert_eq!((old.count(), new.count(), behind.count()), (0, 1, 0));
        drop(first);
        bell.ring();
        assert_eq!((new.count(), behind.count()), (0, 1));
        let again = Arc::new(Woken::default());
        bell.set_background(&again.waker());
        bell.call_background();
        assert_eq!(again.count(), 1);
    }

    #[test]
    fn the_background_task_is_woken_if_its_timer_is_too_late() {
        let ms = Duration::from_millis;
        for (alarm, wake, woken) in [
            (None, None, 0),
            (None, Some(ms(5)), 1),
            (Some(ms(5)), None, 0),
            (Some(ms(5)), Some(ms(5)), 0),
            (Some(ms(5)), Some(ms(4)), 1),
            (Some(ms(5)), Some(ms(6)), 0),
        ] {
            let (bell, background) = bell();
            bell.set_alarm(alarm);
            bell.rest(wake, false);
            assert_eq!(background.count(), woken, "{alarm:?} {wake:?}");
        }
    }

    #[test]
    fn a_ring_during_work_requests_another_round_and_wakes_nobody() {
        let (bell, background) = bell();
        let (_place, caller) = caller(&bell, Waits::Entry);
        let waker = Waker::from(bell.clone());
        let mut looks = 0;
        bell.work(|| {
            looks += 1;
            match looks {
                1 => waker.wake_by_ref(),
                // Another caller is doing the work.
                2 => bell.work(|| panic!("two are at work")),
                _ => {}
            }
        });
        assert_eq!((looks, background.count(), caller.count()), (3, 0, 0));
        waker.wake();
        assert_eq!((background.count(), caller.count()), (1, 1));
    }

    #[test]
    fn endless_or_panicking_work_does_not_block_others() {
        let (bell, background) = bell();
        let mut looks = 0;
        bell.work(|| {
            looks += 1;
            bell.work(|| ());
        });
        assert_eq!((looks, background.count()), (ROUNDS, 1));
        let failed = catch_unwind(AssertUnwindSafe(|| bell.work(|| panic!("a backend"))));
        assert!(failed.is_err());
        bell.work(|| looks += 1);
        assert_eq!(looks, ROUNDS + 1);
    }
}
