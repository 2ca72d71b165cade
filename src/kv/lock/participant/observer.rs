//! An outside observer of a lock, which keeps the lock's watch open.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use tokio::sync::watch;

use super::Participant;
use crate::kv::lock::{error::LockError, holders::Holder};

/// Observes the holders and waiters.
#[derive(Debug)]
pub(crate) struct Observer {
    participant: Arc<Participant>,
    news: watch::Receiver<u64>,
}

impl Participant {
    /// Keeps the watch open while the observer exists.
    pub(in crate::kv::lock) fn observe(self: &Arc<Self>) -> Observer {
        let mut core = self.core();
        core.observers += 1;
        core.touched = true;
        core.machine.observe(self.now(), true);
        drop(core);
        self.bell.call_background();
        Observer {
            news: self.news.subscribe(),
            participant: self.clone(),
        }
    }
}

impl Observer {
    /// Returns the holders and waiters; `None` while they are not known.
    pub(in crate::kv::lock) fn holders(&mut self) -> Result<Option<Vec<Holder>>, LockError> {
        self.news.mark_unchanged();
        let core = self.participant.core();
        if core.stopped || core.machine.is_refused() {
            return Err(self.participant.service_error(core.error.as_ref()));
        }
        if !core.machine.is_synced() {
            return Ok(None);
        }
        // `None` while an entry is known only from its acknowledgement: the watch is about to show it with
        // its time.
        let holders = core
            .machine
            .fold()
            .queue()
            .into_iter()
            .map(|(id, entry, holds)| {
                let since = Duration::from_millis(entry.since?);
                Some(Holder {
                    id: id.to_string(),
                    mode: entry.mode,
                    token: (entry.ticket > 0).then_some(entry.ticket),
                    holds,
                    // Any client may write an entry, and not every number is a valid time on every
                    // platform.
                    since: SystemTime::UNIX_EPOCH
                        .checked_add(since)
                        .unwrap_or(SystemTime::UNIX_EPOCH),
                    lease: entry.lease,
                    label: entry.label.clone(),
                    data: entry.data.clone(),
                })
            });
        Ok(holders.collect())
    }

    /// Returns why the holders are not known.
    pub(in crate::kv::lock) fn error(&self) -> LockError {
        let error = self.participant.core().error.clone();
        self.participant.service_error(error.as_ref())
    }

    /// Waits for a possible change.
    pub(in crate::kv::lock) async fn changed(&mut self) {
        // The sender lives in the participant, which lives here.
        let _ = self.news.changed().await;
    }
}

impl Drop for Observer {
    fn drop(&mut self) {
        let mut core = self.participant.core();
        core.observers -= 1;
        if core.observers == 0 {
            core.touched = true;
            core.machine.observe(self.participant.now(), false);
        }
        drop(core);
        self.participant.bell.call_background();
    }
}
