//! Whether the replica that a consumer reads has everything that the stream's leader has.
//!
//! In a cluster a consumer is on any server that has a replica. One that was restarted, or has just
//! received the stream, offers what it has, which may be nothing, and claims that this is all. So the
//! leader is asked for the next message, unless the last one has already arrived.

use std::{sync::Arc, time::Duration};

use futures::{StreamExt, future::BoxFuture, stream};

use super::start::Plan;
use crate::{error::ServiceError, kv::Deliver, platform};

/// How long a replica may take to deliver what the leader has: most lag only briefly. Doubled each time.
const PAUSE: Duration = Duration::from_millis(20);

/// How often it is given this time.
const PATIENCE: u32 = 4;

/// How many filters to ask about concurrently.
const QUESTIONS: usize = 64;

/// What must be proved of one consumer.
#[derive(Debug, Default)]
pub(super) struct Proof {
    /// The last revision of the stream when the consumer was created; 0 if nothing must be proved.
    known: u64,
    /// How often something was missing.
    missed: u32,
}

impl Proof {
    pub(super) fn new(plan: &Plan, known: u64) -> Self {
        // A watch for updates may read any replica, and locks have proofs of their own.
        let wanted = plan.request.complete
            && plan.request.deliver != Deliver::Updates
            && plan.bucket.has_copies()
            && plan.bucket.proofs.may_work();
        Self {
            known: if wanted { known } else { 0 },
            missed: 0,
        }
    }

    /// Whether more may be missing than has arrived.
    pub(super) fn is_due(&self, last: u64) -> bool {
        last < self.known
    }

    /// Asks for the next revision, and gives it time to arrive before the future resolves.
    pub(super) fn ask(&self, plan: &Arc<Plan>, last: u64) -> BoxFuture<'static, Option<u64>> {
        let (plan, known, missed) = (Arc::clone(plan), self.known, self.missed);
        Box::pin(async move {
            let next = next_after(&plan, last).await;
            let next = next.filter(|next| *next <= known);
            if next.is_some() {
                platform::sleep(PAUSE * (1 << missed)).await;
            }
            next
        })
    }

    /// Handles the response. Returns whether the replica is too far behind to be waited for.
    pub(super) fn answered(&mut self, next: Option<u64>) -> bool {
        match next {
            Some(_) => self.missed += 1,
            None => self.known = 0,
        }
        self.missed > PATIENCE
    }
}

/// Returns the first revision after `last` that concerns the watch, according to the leader; `None` if the
/// leader may not be asked, or does not respond.
async fn next_after(plan: &Plan, last: u64) -> Option<u64> {
    let bucket = &plan.bucket;
    let subjects = plan.subjects.iter();
    let questions: Vec<_> = subjects
        .map(|subject| bucket.next_revision(subject, last + 1))
        .collect();
    let mut answers = stream::iter(questions).buffer_unordered(QUESTIONS);
    let mut first = None;
    while let Some(answer) = answers.next().await {
        let next = match answer {
            Ok(next) => next,
            Err(error) => {
                // Each attempt would log another violation on the server.
                if matches!(error, ServiceError::PermissionDenied { .. }) {
                    bucket.proofs.do_not_work();
                }
                None
            }
        };
        first = first.into_iter().chain(next).min();
    }
    first
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lagging_replica_is_awaited_for_a_while() {
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
