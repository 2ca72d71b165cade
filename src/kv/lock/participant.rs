//! One handle's participation in one lock: the state machine, and the callers that wait for it.
//!
//! Callers talk to the machine directly, under a mutex that is never held while waiting. The machine's
//! actions are carried out by a task that is awake: a waiting caller, or the background task.

use std::{
    fmt, mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Waker},
    time::Duration,
};

use tokio::sync::watch;

use super::{
    bell::{Bell, Waits},
    entry::Mode,
    error::{LockError, LostReason},
    hold::{Hold, Status},
    io::Io,
    machine::{Action, ClaimId, GivenUp, Machine, Notice, Request},
    told::{Teller, Told},
};
use crate::{
    backend::Backend,
    error::ServiceError,
    platform::{self, Instant},
    sorted::SortedMap,
};

mod observer;

pub(crate) use observer::Observer;

/// `None` if it was a try, and another participant holds or waits for the lock.
pub(super) type Granted = Result<Option<Hold>, LockError>;
type Answer = Result<(), LockError>;

/// The state behind the mutex: the machine, and the callers that wait for its notices.
struct Core {
    machine: Machine,
    /// Whether a caller has used the machine since it was last driven.
    touched: bool,
    /// When the machine needs to be woken.
    wake_at: Option<Duration>,
    waiting: SortedMap<ClaimId, Teller<Granted>>,
    held: SortedMap<ClaimId, watch::Sender<Status>>,
    releasing: SortedMap<ClaimId, Teller<Answer>>,
    changing: SortedMap<ClaimId, Teller<Answer>>,
    claims: u64,
    observers: usize,
    /// The service's last refusal since its last success, reported to callers that give up.
    error: Option<Arc<ServiceError>>,
    /// The task has ended; nothing works any more.
    stopped: bool,
    /// The client is being closed, or is closed: a warm lock will not be used again.
    closed: bool,
    /// Callers that wait until everything is released.
    leaving: Vec<Teller<()>>,
}

impl Core {
    /// Whether all the work is for one caller.
    fn is_for_one(&self) -> bool {
        self.machine.is_simple() && self.changing.is_empty() && self.observers == 0
    }
}

/// See the [module documentation](self).
pub(crate) struct Participant {
    pub(super) lock: Arc<str>,
    began: Instant,
    core: Mutex<Core>,
    pub(super) bell: Arc<Bell>,
    waker: Waker,
    /// `None` once the background task has ended.
    io: Mutex<Option<Io>>,
    /// Counts the events of the watch.
    news: watch::Sender<u64>,
}

impl fmt::Debug for Participant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Participant")
            .field("lock", &self.lock)
            .finish_non_exhaustive()
    }
}

/// Sent after the mutex is released: if the caller has gone, the `Hold` sent to it is dropped, which calls
/// back into this participant.
enum Tell {
    Grant(Teller<Granted>, Granted),
    Answer(Teller<Answer>, Answer),
    Released(
        Option<watch::Sender<Status>>,
        Option<Teller<Answer>>,
        Answer,
    ),
    /// Also tells the callers that then check the status, because they get no answer.
    Lost(watch::Sender<Status>, LostReason, Option<Teller<Answer>>),
}

impl Participant {
    pub(super) fn new(lock: &str, session: &str, backend: Arc<dyn Backend>) -> Arc<Self> {
        let bell = Arc::new(Bell::default());
        Arc::new(Self {
            waker: bell.clone().into(),
            bell,
            io: Mutex::new(Some(Io::new(lock, backend))),
            lock: lock.into(),
            began: Instant::now(),
            core: Mutex::new(Core {
                machine: Machine::new(session),
                touched: false,
                wake_at: None,
                waiting: SortedMap::new(),
                held: SortedMap::new(),
                releasing: SortedMap::new(),
                changing: SortedMap::new(),
                claims: 0,
                observers: 0,
                error: None,
                stopped: false,
                closed: false,
                leaving: Vec::new(),
            }),
            news: watch::Sender::new(0),
        })
    }

    /// Returns the local monotonic time.
    pub(super) fn now(&self) -> Duration {
        self.began.elapsed()
    }

    fn core(&self) -> MutexGuard<'_, Core> {
        // Nothing in here panics halfway through a change.
        self.core.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does the pending work, or asks the caller that is already doing it for another round.
    pub(super) fn pump(self: &Arc<Self>) {
        let mut context = Context::from_waker(&self.waker);
        self.bell.work(|| {
            let mut io = self.io.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(io) = &mut *io {
                io.poll(self, &mut context);
                let core = self.core();
                let (wake, is_for_one) = (core.wake_at, core.is_for_one());
                drop(core);
                self.bell.rest(wake, is_for_one);
            }
        });
    }

    /// Returns when the machine needs to be woken.
    pub(super) fn wake_at(&self) -> Option<Duration> {
        self.core().wake_at
    }

    /// Tells the machine that time has passed.
    pub(super) fn tick(&self) {
        let mut core = self.core();
        core.touched = true;
        core.machine.tick(self.now());
    }

    /// Adds a claim. The result is sent by the task; dropping the receiver does not end the claim.
    pub(super) fn acquire(self: &Arc<Self>, request: Request) -> (ClaimId, Told<Granted>) {
        let waits = match request.mode {
            Mode::Write | Mode::Permit(_) => Waits::Turn,
            Mode::Read => Waits::Entry,
        };
        let (teller, told) = Teller::new(self, waits);
        let mut core = self.core();
        core.claims += 1;
        let claim = ClaimId(core.claims);
        if !core.stopped {
            core.waiting.insert(claim, teller);
            core.touched = true;
            core.machine.acquire(self.now(), claim, request);
        }
        drop(core);
        (claim, told)
    }

    /// Ends a claim in the background.
    pub(super) fn drop_claim(self: &Arc<Self>, claim: ClaimId) {
        let mut core = self.core();
        let waiting = core.waiting.remove(&claim);
        let changing = core.changing.remove(&claim);
        let held = core.held.remove(&claim);
        let now = self.now();
        let until = core.machine.trusted_until(claim);
        core.touched = true;
        core.machine.release(now, claim);
        drop(core);
        drop((waiting, changing));
        if let Some(status) = held {
            let is_over = until.is_none_or(|until| now >= until);
            status.send_replace(Status::Lost(if is_over {
                LostReason::Lapsed
            } else {
                LostReason::Released
            }));
        }
        if platform::is_running() {
            self.pump(); // at once, because the program may be ending
        } else {
            self.bell.call_background();
        }
    }

    /// Ends all claims, because the client is about to be closed. The result arrives when they are out of
    /// the log.
    pub(super) fn close(self: &Arc<Self>) -> Told<()> {
        let (teller, told) = Teller::new(self, Waits::Answer);
        let mut core = self.core();
        if core.stopped {
            return told; // resolves without a result
        }
        core.closed = true;
        core.touched = true;
        core.leaving.push(teller);
        let waiting = mem::take(&mut core.waiting);
        let held = mem::take(&mut core.held);
        let changing = mem::take(&mut core.changing);
        let now = self.now();
        for claim in waiting.keys().chain(held.keys()) {
            core.machine.release(now, *claim);
        }
        drop(core);
        drop(changing);
        let closed = Arc::new(ServiceError::Closed);
        for waiting in waiting.into_values() {
            waiting.tell(Err(self.service_error(Some(&closed))));
        }
        for status in held.values() {
            status.send_replace(Status::Lost(LostReason::Closed));
        }
        self.pump();
        told
    }

    pub(super) fn is_closed(&self) -> bool {
        self.core().closed
    }

    /// Ends a held claim; the result arrives when it is out of the log. `None` if the claim was already
    /// over.
    pub(super) fn release(self: &Arc<Self>, claim: ClaimId) -> Option<Told<Answer>> {
        let mut core = self.core();
        if core
            .machine
            .trusted_until(claim)
            .is_none_or(|until| self.now() >= until)
        {
            return None;
        }
        let (teller, told) = Teller::new(self, Waits::Answer);
        core.releasing.insert(claim, teller);
        let changing = core.changing.remove(&claim);
        core.touched = true;
        core.machine.release(self.now(), claim);
        drop(core);
        drop(changing);
        Some(told)
    }

    /// Changes a held claim in place. `None` if it is over.
    pub(super) fn change(
        self: &Arc<Self>,
        claim: ClaimId,
        mode: Option<Mode>,
        data: Option<Arc<str>>,
    ) -> Option<Told<Answer>> {
        let mut core = self.core();
        core.machine.trusted_until(claim)?;
        let (teller, told) = Teller::new(self, Waits::Answer);
        // Nobody still waits for an earlier change: a caller that changes a hold has exclusive access to
        // it.
        let earlier = core.changing.insert(claim, teller);
        core.touched = true;
        core.machine.change(self.now(), claim, mode, data);
        drop(core);
        drop(earlier);
        Some(told)
    }

    pub(super) fn is_idle(&self) -> bool {
        let core = self.core();
        core.machine.is_idle() && core.observers == 0
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.core().stopped
    }

    /// Whether a caller has asked the machine for something that is not done yet.
    pub(super) fn is_touched(&self) -> bool {
        self.core().touched
    }

    /// Whether the machine should have been woken by now.
    pub(super) fn is_late(&self) -> bool {
        self.wake_at().is_some_and(|wake| wake <= self.now())
    }

    /// Lets the task feed the machine, and returns the actions that it must carry out.
    pub(super) fn drive(
        self: &Arc<Self>,
        feed: impl FnOnce(&mut Machine, Duration),
    ) -> Vec<Action> {
        let mut core = self.core();
        core.touched = false;
        feed(&mut core.machine, self.now());
        self.driven(core)
    }

    /// Apart from [`drive`](Self::drive), of which there is a copy for every kind of input.
    fn driven(self: &Arc<Self>, mut core: MutexGuard<'_, Core>) -> Vec<Action> {
        let mut tell = Vec::new();
        let mut actions = Vec::new();
        while let Some(notice) = core.machine.next_notice() {
            tell.extend(self.tell(&mut core, &notice));
        }
        while let Some(action) = core.machine.next_action() {
            actions.push(action);
        }
        core.wake_at = core.machine.wake_at();
        let mut left = Vec::new();
        if core.machine.is_idle() {
            left = mem::take(&mut core.leaving);
        }
        drop(core);
        for told in tell {
            told.tell();
        }
        for leaving in left {
            leaving.tell(());
        }
        actions
    }

    /// Translates a notice for a caller.
    fn tell(self: &Arc<Self>, core: &mut Core, notice: &Notice) -> Option<Tell> {
        match *notice {
            Notice::Granted {
                claim,
                token,
                until,
            } => {
                core.error = None;
                let (sender, status) = watch::channel(Status::Held { until });
                core.held.insert(claim, sender);
                let hold = Hold::new(self.clone(), claim, token, status);
                match core.waiting.remove(&claim) {
                    Some(waiting) => Some(Tell::Grant(waiting, Ok(Some(hold)))),
                    // It was granted just before its caller stopped waiting, and is released.
                    None => Some(Tell::Grant(
                        Teller::new(self, Waits::Entry).0,
                        Ok(Some(hold)),
                    )),
                }
            }
            Notice::Extended { claim, until } => {
                // Wakes nobody: those who wait are waiting for the loss, and a waker may use this lock.
                core.held.get(&claim)?.send_if_modified(|status| {
                    *status = Status::Held { until };
                    false
                });
                None
            }
            Notice::Changed { claim } => {
                let changing = core.changing.remove(&claim)?;
                Some(Tell::Answer(changing, Ok(())))
            }
            Notice::Lost { claim, why } => {
                let changing = core.changing.remove(&claim);
                Some(Tell::Lost(core.held.remove(&claim)?, why.into(), changing))
            }
            Notice::GaveUp { claim, why } => {
                let waiting = core.waiting.remove(&claim)?;
                let answer = match why {
                    GivenUp::WouldBlock => Ok(None),
                    GivenUp::Fatal | GivenUp::Unreachable => {
                        Err(self.service_error(core.error.as_ref()))
                    }
                };
                Some(Tell::Grant(waiting, answer))
            }
            Notice::Released { claim } => Some(Tell::Released(
                core.held.remove(&claim),
                core.releasing.remove(&claim),
                Ok(()),
            )),
            Notice::NotHeld { claim } => {
                let releasing = core.releasing.remove(&claim);
                let status = core.held.remove(&claim)?;
                Some(Tell::Lost(status, LostReason::Gone, releasing))
            }
            Notice::ReleaseFailed { claim } => Some(Tell::Released(
                core.held.remove(&claim),
                core.releasing.remove(&claim),
                Err(self.service_error(core.error.as_ref())),
            )),
        }
    }

    fn service_error(&self, error: Option<&Arc<ServiceError>>) -> LockError {
        let source = error.cloned().unwrap_or_else(|| {
            Arc::new(ServiceError::Disconnected {
                detail: "the watch of the lock could not be restored".into(),
            })
        });
        LockError::Service {
            lock: self.lock.to_string(),
            source,
        }
    }

    /// Keeps the service's error for callers that will give up.
    pub(super) fn set_error(&self, error: ServiceError) {
        self.core().error = Some(Arc::new(error));
    }

    /// Clears the last error.
    pub(super) fn clear_error(&self) {
        self.core().error = None;
    }

    /// Notifies observers of an event of the watch.
    pub(super) fn tell_observers(&self) {
        self.news.send_modify(|news| *news += 1);
    }

    /// Marks the task as ended, and tells the callers that still wait.
    pub(super) fn stop(&self) {
        let mut core = self.core();
        core.stopped = true;
        let waiting = mem::take(&mut core.waiting);
        let held = mem::take(&mut core.held);
        let releasing = mem::take(&mut core.releasing);
        let changing = mem::take(&mut core.changing);
        let leaving = mem::take(&mut core.leaving);
        drop(core);
        drop((waiting, releasing, changing, leaving));
        let io = self
            .io
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        drop(io);
        for status in held.values() {
            status.send_replace(Status::Lost(LostReason::Stopped));
        }
        self.tell_observers();
    }
}

impl Tell {
    fn tell(self) {
        match self {
            // If the receiver is gone, the hold comes back and is dropped, which releases it.
            Self::Grant(waiting, granted) => waiting.tell(granted),
            Self::Answer(waiting, answer) => waiting.tell(answer),
            Self::Released(sender, waiting, answer) => {
                if let Some(sender) = sender {
                    sender.send_replace(Status::Lost(LostReason::Released));
                }
                if let Some(waiting) = waiting {
                    waiting.tell(answer);
                }
            }
            Self::Lost(sender, reason, waiting) => {
                sender.send_replace(Status::Lost(reason));
                drop(waiting);
            }
        }
    }
}
