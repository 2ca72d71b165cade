//! Whether the copy of a stream that a consumer reads has all that the stream's leader has.
//!
//! In a cluster a consumer lies on any server that has a copy. One that was restarted, or has just got the
//! stream, offers what it has, which may be nothing, and says that this is all. So the leader is asked for the next
//! message, unless the last one has come.

use std::{sync::Arc, time::Duration};

use futures::future::BoxFuture;

use super::start::Plan;
use crate::{kv::Deliver, platform};

/// For how long a copy is given to bring what the leader has: most are a moment behind. Doubled each time.
const PAUSE: Duration = Duration::from_millis(20);

/// How often it is given that.
const PATIENCE: u32 = 4;

/// What is to be proved of one consumer.
#[derive(Debug, Default)]
pub(super) struct Proof {
    /// The last revision of the stream when the consumer was made; 0 where nothing is to be proved.
    known: u64,
    /// How often something was missing.
    missed: u32,
}

impl Proof {
    pub(super) fn new(plan: &Plan, known: u64) -> Self {
        // Who wants news gets them from any copy, and locks have proofs of their own.
        let wanted = plan.request.complete
            && plan.request.deliver != Deliver::Updates
            && plan.bucket.has_copies();
        Self {
            known: if wanted { known } else { 0 },
            missed: 0,
        }
    }

    /// Whether more may be missing than has come.
    pub(super) fn is_due(&self, last: u64) -> bool {
        last < self.known
    }

    /// Asks for what comes next; there is time for it to come before this answers.
    pub(super) fn ask(&self, plan: &Arc<Plan>, last: u64) -> BoxFuture<'static, Option<u64>> {
        let (plan, known, missed) = (Arc::clone(plan), self.known, self.missed);
        Box::pin(async move {
            let next = plan.next_after(last).await;
            let next = next.filter(|next| *next <= known);
            if next.is_some() {
                platform::sleep(PAUSE * (1 << missed)).await;
            }
            next
        })
    }

    /// Takes in the answer. Answers whether the copy is too far behind to be waited for.
    pub(super) fn answered(&mut self, next: Option<u64>) -> bool {
        match next {
            Some(_) => self.missed += 1,
            None => self.known = 0,
        }
        self.missed > PATIENCE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_that_is_behind_is_waited_for_for_a_while() {
        let mut proof = Proof {
            known: 9,
            missed: 0,
        };
        assert!(proof.is_due(8) && !proof.is_due(9));
        for next in 1..=u64::from(PATIENCE) {
            assert!(!proof.answered(Some(next)));
        }
        assert!(proof.answered(Some(8)));
        let mut proof = Proof {
            known: 9,
            missed: 0,
        };
        assert!(!proof.answered(None) && !proof.is_due(0));
    }
}
