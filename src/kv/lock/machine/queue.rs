//! Claims that have yet to come to the log: a participant lets only so many wait there at a time.
//!
//! A service may have thousands of callers wait for one lock. In the log, each of them costs every
//! participant memory, and the server a write in every third of a lease. So only the first of them stand
//! there, and the others here, in the order in which they came. The writers among them wait for writers
//! only, and the readers for readers, as waiting writers must be in the log to keep readers out.

use std::{collections::VecDeque, time::Duration};

use super::*;

/// How many claims of one kind wait in the log at a time.
pub(super) const CROWD: usize = 64;

/// A claim that has not come to the log yet.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Queued {
    claim: ClaimId,
    request: Request,
    began: Duration,
}

/// See the [module](self).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Queue {
    readers: VecDeque<Queued>,
    /// Those who want to hold alone, or permits.
    others: VecDeque<Queued>,
    pub(super) crowd: usize,
}

impl Default for Queue {
    fn default() -> Self {
        Self {
            readers: VecDeque::new(),
            others: VecDeque::new(),
            crowd: CROWD,
        }
    }
}

impl Queue {
    pub(super) fn len(&self) -> usize {
        self.readers.len() + self.others.len()
    }

    fn line(&mut self, reads: bool) -> &mut VecDeque<Queued> {
        match reads {
            true => &mut self.readers,
            false => &mut self.others,
        }
    }

    /// Returns whether it was there.
    pub(super) fn remove(&mut self, claim: ClaimId) -> bool {
        [true, false].into_iter().any(|reads| {
            let line = self.line(reads);
            // Numbers grow from claim to claim.
            let found = line.binary_search_by_key(&claim, |queued| queued.claim);
            found.is_ok_and(|at| line.remove(at).is_some())
        })
    }
}

impl Machine {
    /// A new claim: to the end of the queue, unless it is only to be tried.
    pub(super) fn queue(&mut self, now: Duration, claim: ClaimId, request: Request) {
        let reads = request.mode == Mode::Read;
        let queued = Queued {
            claim,
            request,
            began: now,
        };
        if queued.request.try_only {
            self.begin_claim(now, queued);
        } else {
            self.queue.line(reads).push_back(queued);
        }
    }

    /// Lets claims come to the log, as long as there are not too many. Returns whether there were any.
    pub(super) fn admit(&mut self, now: Duration) -> bool {
        let mut any = false;
        for reads in [false, true] {
            if self.queue.line(reads).is_empty() {
                continue;
            }
            let same = |state: &&Claim| (state.request.mode == Mode::Read) == reads;
            let waiting = self.waiting().filter(same).count();
            for _ in waiting..self.queue.crowd {
                let Some(queued) = self.queue.line(reads).pop_front() else {
                    break;
                };
                self.begin_claim(now, queued);
                any = true;
            }
        }
        any
    }

    fn begin_claim(&mut self, now: Duration, queued: Queued) {
        let claim = Claim {
            request: queued.request,
            phase: Phase::Outside,
            own: None,
            began: queued.began,
            watch_from: now + self.unwatched,
            stuck_since: None,
            retry_at: now,
        };
        self.claims.insert(queued.claim, Box::new(claim));
    }

    /// What made a claim give up holds for those who have waited behind it for long enough.
    pub(super) fn give_up_queue(&mut self, now: Duration, why: GivenUp) {
        for reads in [false, true] {
            while let Some(queued) = self.queue.line(reads).front() {
                let until = queued.began + patience(queued.request.lease);
                if why == GivenUp::Unreachable && now < until {
                    break;
                }
                let claim = queued.claim;
                self.queue.line(reads).pop_front();
                self.notices.push_back(Notice::GaveUp { claim, why });
            }
        }
    }
}
