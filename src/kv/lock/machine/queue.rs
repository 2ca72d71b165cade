//! Claims not yet in the log: a participant lets only a limited number wait there at a time.
//!
//! A service may have thousands of callers waiting for one lock. In the log, each of them costs every
//! participant memory, and the server a write every third of a lease. So only the first of them have
//! entries, and the others wait here, in order of arrival. The queue for writers is separate from that for
//! readers, because waiting writers must be in the log to keep readers out.

use std::time::Duration;

use super::*;

/// How many claims of one kind may wait in the log at a time.
const CROWD: usize = 64;

/// See the [module documentation](self).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Queue {
    readers: SortedMap<ClaimId, Box<Claim>>,
    /// Writers, and claims for permits.
    others: SortedMap<ClaimId, Box<Claim>>,
    pub(super) crowd: usize,
}

impl Default for Queue {
    fn default() -> Self {
        Self {
            readers: SortedMap::new(),
            others: SortedMap::new(),
            crowd: CROWD,
        }
    }
}

impl Queue {
    pub(super) fn len(&self) -> usize {
        self.readers.len() + self.others.len()
    }

    fn line(&mut self, reads: bool) -> &mut SortedMap<ClaimId, Box<Claim>> {
        match reads {
            true => &mut self.readers,
            false => &mut self.others,
        }
    }

    /// Removes a claim. Returns whether it was queued.
    pub(super) fn remove(&mut self, claim: ClaimId) -> bool {
        self.others.remove(&claim).is_some() || self.readers.remove(&claim).is_some()
    }
}

impl Machine {
    /// Adds a new claim to the end of the queue. A try skips the queue.
    pub(super) fn enqueue(&mut self, now: Duration, claim: ClaimId, request: Request) {
        let line = match request.try_only {
            true => &mut self.claims,
            false => self.queue.line(request.mode == Mode::Read),
        };
        let state = Claim {
            request,
            phase: Phase::Outside,
            own: None,
            began: now,
            watch_from: now + self.unwatched,
            stuck_since: None,
            retry_at: now,
        };
        line.insert(claim, Box::new(state));
    }

    /// Admits claims to the log up to the limit. Returns whether there were any.
    pub(super) fn admit(&mut self, now: Duration) -> bool {
        let mut any = false;
        for reads in [false, true] {
            if self.queue.line(reads).is_empty() {
                continue;
            }
            let same = |state: &&Claim| (state.request.mode == Mode::Read) == reads;
            let waiting = self.waiting().filter(same).count();
            for _ in waiting..self.queue.crowd {
                let line = self.queue.line(reads);
                let Some(claim) = line.keys().next().copied() else {
                    break;
                };
                if let Some(mut state) = line.remove(&claim) {
                    state.watch_from = now + self.unwatched;
                    self.claims.insert(claim, state);
                    any = true;
                }
            }
        }
        any
    }

    /// Gives up queued claims for the same reason: if the service is unreachable, only those that have
    /// waited long enough.
    pub(super) fn give_up_queue(&mut self, now: Duration, why: GivenUp) {
        for line in [&mut self.queue.others, &mut self.queue.readers] {
            line.retain(|claim, state| {
                let until = state.began + patience(state.request.lease);
                let stays = why == GivenUp::Unreachable && now < until;
                if !stays {
                    let claim = *claim;
                    self.notices.push_back(Notice::GaveUp { claim, why });
                }
                stays
            });
        }
    }
}
