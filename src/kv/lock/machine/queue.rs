//! Claims that have yet to come to the log: a participant lets only so many wait there at a time.
//!
//! A service may have thousands of callers wait for one lock. In the log, each of them costs every
//! participant memory, and the server a write in every third of a lease. So only the first of them stand
//! there, and the others here, in the order in which they came. The writers among them wait for writers
//! only, and the readers for readers, as waiting writers must be in the log to keep readers out.

use std::time::Duration;

use super::*;

/// How many claims of one kind wait in the log at a time.
pub(super) const CROWD: usize = 64;

/// See the [module](self).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Queue {
    readers: SortedMap<ClaimId, Box<Claim>>,
    /// Claims for a writer's hold, or for permits.
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

    /// Returns whether it was there.
    pub(super) fn remove(&mut self, claim: ClaimId) -> bool {
        self.others.remove(&claim).is_some() || self.readers.remove(&claim).is_some()
    }
}

impl Machine {
    /// A new claim: at the end of the queue, unless it is only a try.
    pub(super) fn queue(&mut self, now: Duration, claim: ClaimId, request: Request) {
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

    /// Moves claims out of the queue while few enough wait in the log. Returns whether it moved any.
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

    /// A claim gave up: queued ones that have waited as long do so too, or all of them if the reason is final.
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
