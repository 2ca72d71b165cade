//! A hold: the inside of every guard.

use std::{sync::Arc, time::Duration};

use tokio::sync::watch;

use super::{
    entry::Mode,
    error::{LockError, LostReason},
    machine::ClaimId,
    participant::Participant,
};

#[derive(Clone, Copy, Debug)]
pub(super) enum Status {
    /// Trusted until this time of the participant's clock.
    Held {
        until: Duration,
    },
    Lost(LostReason),
}

/// A hold. Dropping it releases it in the background.
#[derive(Debug)]
pub(crate) struct Hold {
    participant: Arc<Participant>,
    claim: ClaimId,
    token: u64,
    status: watch::Receiver<Status>,
    released: bool,
}

impl Hold {
    pub(super) fn new(
        participant: Arc<Participant>,
        claim: ClaimId,
        token: u64,
        status: watch::Receiver<Status>,
    ) -> Self {
        Self {
            participant,
            claim,
            token,
            status,
            released: false,
        }
    }

    pub(crate) fn token(&self) -> u64 {
        self.token
    }

    pub(crate) fn lock(&self) -> &str {
        &self.participant.lock
    }

    pub(crate) fn is_held(&self) -> bool {
        match *self.status.borrow() {
            // Checks the clock, not only the task's status, because the whole process may have been paused.
            Status::Held { until } => self.participant.now() < until,
            Status::Lost(_) => false,
        }
    }

    /// Waits until the hold is lost.
    pub(crate) fn lost(&self) -> impl Future<Output = LostReason> + Send + 'static + use<> {
        let mut status = self.status.clone();
        async move {
            let lost = status
                .wait_for(|status| matches!(status, Status::Lost(_)))
                .await;
            match lost.as_deref() {
                Ok(Status::Lost(reason)) => *reason,
                // The sender is dropped without a final status only if the task is gone.
                _ => LostReason::Stopped,
            }
        }
    }

    fn lost_error(&self) -> LockError {
        let reason = match *self.status.borrow() {
            Status::Lost(reason) => reason,
            Status::Held { .. } if self.status.has_changed().is_err() => LostReason::Stopped,
            Status::Held { .. } => LostReason::Lapsed,
        };
        LockError::Lost {
            lock: self.lock().to_owned(),
            token: self.token,
            reason,
        }
    }

    /// Removes the entry from the log. Dropping the future does not stop the removal.
    pub(crate) async fn release(mut self) -> Result<(), LockError> {
        if !self.is_held() {
            return Err(self.lost_error());
        }
        let Some(answer) = self.participant.release(self.claim) else {
            return Err(self.lost_error());
        };
        self.released = true;
        // No answer: the task is gone, and the lease with it.
        answer.await.unwrap_or_else(|| Err(self.lost_error()))
    }

    /// Changes the entry in place.
    pub(crate) async fn change(
        &mut self,
        mode: Option<Mode>,
        data: Option<Arc<str>>,
    ) -> Result<(), LockError> {
        if !self.is_held() {
            return Err(self.lost_error());
        }
        let Some(answer) = self.participant.change(self.claim, mode, data) else {
            return Err(self.lost_error());
        };
        answer.await.unwrap_or_else(|| Err(self.lost_error()))
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        if !self.released {
            self.participant.drop_claim(self.claim);
        }
    }
}
