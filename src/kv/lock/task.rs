//! The background task of one participant: keeps time for the state machine, and does the work while no
//! caller waits. It sleeps while there is nothing to do, and ends some time after the last use.

use std::{
    future::poll_fn,
    sync::{Arc, Weak},
    task::{Context, Poll},
    time::Duration,
};

use futures::{FutureExt, future::BoxFuture};

use super::{participant::Participant, registry::Registry};
use crate::platform;

/// How long an unused lock stays warm: its watch stays open, so that the next acquire costs one message.
const LINGER: Duration = Duration::from_secs(10);

pub(super) struct Task {
    participant: Arc<Participant>,
    /// Dropped once no store handle is left: then a warm lock cannot be used again.
    registry: Weak<Registry>,
    timer: Option<(Duration, BoxFuture<'static, ()>)>,
    /// Since when the lock has been unused.
    idle_since: Option<Duration>,
}

impl Task {
    pub(super) fn new(participant: Arc<Participant>, registry: Weak<Registry>) -> Self {
        Self {
            participant,
            registry,
            timer: None,
            idle_since: None,
        }
    }

    pub(super) async fn run(mut self) {
        poll_fn(|context| self.poll(context)).await;
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        self.participant.bell.set_background(context.waker());
        self.help();
        loop {
            let now = self.participant.now();
            let mut wake = self.participant.wake_at();
            if let Some(left) = self.participant.bell.look_again_in() {
                wake = Some(wake.map_or(now + left, |wake| wake.min(now + left)));
            }
            if self.participant.is_idle() {
                let until = *self.idle_since.get_or_insert(now) + LINGER;
                match self.registry.upgrade() {
                    Some(registry) if now < until && !self.participant.is_closed() => {
                        drop(registry);
                    }
                    Some(registry) => {
                        if registry.forget(&self.participant) {
                            return Poll::Ready(());
                        }
                        // A caller has just used the lock again, and has rung the bell.
                        self.idle_since = None;
                        return Poll::Pending;
                    }
                    None => return Poll::Ready(()),
                }
                wake = Some(wake.map_or(until, |wake| wake.min(until)));
            } else {
                self.idle_since = None;
            }
            let Some(at) = wake else {
                // A timer that has fired must not stay set, or nothing would wake this task for later
                // deadlines.
                if self.timer.take().is_some() {
                    self.participant.bell.set_alarm(None);
                    continue; // something may be due by now
                }
                return Poll::Pending;
            };
            if self.timer.as_ref().is_none_or(|(set, _)| *set > at) {
                let sleep = platform::sleep(at.saturating_sub(now));
                self.timer = Some((at, sleep));
            }
            let Some((at, sleep)) = &mut self.timer else {
                return Poll::Pending;
            };
            self.participant.bell.set_alarm(Some(*at));
            if sleep.poll_unpin(context).is_pending() {
                return Poll::Pending;
            }
            self.timer = None;
            self.participant.bell.set_alarm(None);
            self.participant.tick();
            self.help();
        }
    }

    /// Does the pending work, unless a caller was just woken to do it.
    fn help(&self) {
        match self.participant.bell.patience_left() {
            Some(left) if !left.is_zero() => return,
            Some(_) => self.participant.bell.pass_over(),
            None => {}
        }
        self.participant.pump();
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        if let Some(registry) = self.registry.upgrade() {
            registry.remove(&self.participant);
        }
        self.participant.stop();
    }
}
