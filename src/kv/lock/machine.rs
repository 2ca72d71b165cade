//! The state machine of one participant in one lock, with all its holds and waiting claims.
//!
//! Inputs are methods that take the local monotonic time. [`Machine::next_notice`] returns what to tell
//! callers, [`Machine::next_action`] what to send, and [`Machine::wake_at`] when [`Machine::tick`] is due.
//! The time passed with an event must be read after the event has arrived, and the request of an action
//! must be sent after the action was taken.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use super::{
    TRUST_WINDOW, TRY_PATIENCE, UNWATCHED,
    entry::{EntryId, LockEntry, Mode, Record},
    fold::Fold,
    log::{Anchor, Log},
    own::Own,
    patience,
    trust::{Sent, Trust},
};
use crate::sorted::{SortedMap, SortedSet};

mod claim;
mod messages;
mod news;
mod overdue;
mod queue;
mod settle;
mod simulation;

use claim::{Claim, Phase};
use overdue::Shown;
use queue::Queue;

pub use messages::{Action, ClaimId, Event, GivenUp, LostWhy, Notice, Outcome, Request};
pub use simulation::Mutant;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Watch {
    Closed,
    Open {
        /// Whether the initial entries have all arrived.
        synced: bool,
        /// When it reached this state.
        since: Duration,
    },
    Broken {
        retry_at: Duration,
    },
    Refused,
}

/// Who wants to know when an entry is out of the log.
#[derive(Clone, Copy, Debug)]
enum Report {
    Nobody,
    /// The caller that released it. Purges only this revision: another one would be a hold that was lost.
    Caller {
        expect: Option<u64>,
    },
}

/// An entry that is being removed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Leaving {
    /// The claim whose caller wants to know.
    report: Option<ClaimId>,
    /// The last known revision at which it was stored after it had been given up.
    stored: u64,
    /// The only revision to purge, used if no watch would report that the entry is gone.
    expect: Option<u64>,
    /// Whether a purge is in flight.
    purging: bool,
    /// The revision that the purge is conditional on.
    proves: Option<u64>,
    retry_at: Duration,
    /// When the server has removed it in any case, whatever became of the purges.
    until: Duration,
}

/// A snapshot in flight.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Reading {
    /// The largest ticket that it must decide.
    ticket: u64,
    /// What a partial snapshot must contain to be valid.
    anchor: Option<Anchor>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Probe {
    id: EntryId,
    sent: Sent,
}

/// See the [module documentation](self).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Machine {
    session: Arc<str>,
    mutant: Mutant,
    ids: u64,
    step: u64,
    now: Duration,
    fold: Fold,
    watch: Watch,
    failures: u32,
    opened: Duration,
    /// How long a claim goes without a watch: for a short uncontended hold, a watch costs the server more
    /// than everything else.
    unwatched: Duration,
    trust: Trust,
    log: Log,
    /// The last revision shown by a watch that has not yet shown all initial entries.
    catching_up: u64,
    reading: Option<Reading>,
    /// Boxed, because removing an element of a map moves all later ones.
    claims: SortedMap<ClaimId, Box<Claim>>,
    queue: Queue,
    owners: SortedMap<EntryId, ClaimId>,
    leaving: SortedMap<EntryId, Leaving>,
    /// The latest own message that the current watch or a snapshot has shown.
    shown: Option<Shown>,
    probe: Option<Probe>,
    probe_retry_at: Duration,
    observed: bool,
    actions: VecDeque<Action>,
    notices: VecDeque<Notice>,
}

impl Machine {
    /// Creates a participant. `session` must be unique among all participants that ever existed: entry ids
    /// are `<session>-<number>`.
    pub fn new(session: &str) -> Self {
        Self {
            session: session.into(),
            mutant: Mutant::None,
            ids: 0,
            step: 0,
            now: Duration::ZERO,
            fold: Fold::default(),
            watch: Watch::Closed,
            failures: 0,
            opened: Duration::ZERO,
            unwatched: UNWATCHED,
            trust: Trust::default(),
            log: Log::default(),
            catching_up: 0,
            reading: None,
            claims: SortedMap::new(),
            queue: Queue::default(),
            owners: SortedMap::new(),
            leaving: SortedMap::new(),
            shown: None,
            probe: None,
            probe_retry_at: Duration::ZERO,
            observed: false,
            actions: VecDeque::new(),
            notices: VecDeque::new(),
        }
    }

    /// Returns the next notice for a caller.
    pub fn next_notice(&mut self) -> Option<Notice> {
        self.notices.pop_front()
    }

    /// Returns the next action to carry out.
    pub fn next_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// The holders and waiters shown by the watch so far.
    pub(super) fn fold(&self) -> &Fold {
        &self.fold
    }

    /// Whether the watch has shown everything that existed when it began.
    pub fn is_synced(&self) -> bool {
        matches!(self.watch, Watch::Open { synced: true, .. })
    }

    /// Whether the service permanently refuses the watch.
    pub fn is_refused(&self) -> bool {
        self.watch == Watch::Refused
    }

    /// Whether nothing is held, awaited or being removed.
    pub fn is_idle(&self) -> bool {
        self.claims.is_empty() && self.leaving.is_empty()
    }

    /// Whether at most one entry is held, awaited or being removed.
    pub(super) fn is_simple(&self) -> bool {
        self.claims.len() + self.queue.len() + self.leaving.len() <= 1
    }

    /// Until when the claim may trust its hold; `None` if it does not hold.
    pub fn trusted_until(&self, claim: ClaimId) -> Option<Duration> {
        let claim = self.claims.get(&claim)?;
        match (&claim.phase, &claim.own) {
            (Phase::Held, Some(own)) => Some(own.trusted_until(claim.request.lease())),
            _ => None,
        }
    }

    /// Sets whether to keep the watch open even without claims.
    pub fn observe(&mut self, now: Duration, observed: bool) {
        self.begin(now);
        self.observed = observed;
        if observed {
            self.ask_again();
        }
        self.settle(now);
    }

    /// Adds a claim.
    pub fn acquire(&mut self, now: Duration, claim: ClaimId, request: Request) {
        self.begin(now);
        self.ask_again();
        self.enqueue(now, claim, request);
        self.settle(now);
    }

    /// Ends a claim, held or waiting. Always results in `Released`, `NotHeld` or `ReleaseFailed`, unless the
    /// claim was already over.
    pub fn release(&mut self, now: Duration, claim: ClaimId) {
        self.begin(now);
        if let Some(state) = self.claims.get(&claim) {
            if let Some(own) = &state.own {
                let revision = own.settled_revision();
                let expect = revision.filter(|_| state.phase == Phase::Held && !self.is_synced());
                self.leave(now, claim, Report::Caller { expect });
            } else {
                self.notices.push_back(Notice::Released { claim });
            }
            self.claims.remove(&claim);
        } else if self.queue.remove(claim) {
            self.notices.push_back(Notice::Released { claim });
        }
        self.settle(now);
    }

    /// Changes a held claim in place: its mode from write to read, or its data.
    pub fn change(
        &mut self,
        now: Duration,
        claim: ClaimId,
        mode: Option<Mode>,
        data: Option<Arc<str>>,
    ) {
        self.begin(now);
        if let Some(state) = self.claims.get_mut(&claim)
            && let Some(own) = &mut state.own
        {
            if let Some(mode) = mode {
                state.request.mode = mode;
            }
            if data.is_some() {
                state.request.data = data;
            }
            own.changed = true;
            if self.mutant.is(Mutant::ChangeLeaves) {
                let id = own.id.clone();
                self.given_up(&id);
            }
        }
        self.settle(now);
    }

    /// Handles an event of the watch.
    pub fn event(&mut self, now: Duration, event: Event) {
        self.begin(now);
        match event {
            Event::Put {
                id,
                revision,
                stored,
                record,
            } => {
                self.delivered(revision);
                self.fold.put(&id, revision, Some(stored), &record, now);
                self.echo(now, &id, revision, stored, &record);
            }
            Event::Gone { id, revision } => {
                self.delivered(revision);
                self.removed(&id, revision);
            }
            Event::Vanished { id } if self.mutant.is(Mutant::VanishedIsGone) => {
                self.fold.gone(&id, u64::MAX);
                self.entry_gone(&id);
            }
            Event::Vanished { id } => self.fold.doubt(Some(&id)),
            Event::Current => {
                if let Watch::Open { synced, since } = &mut self.watch {
                    *synced = true;
                    *since = now;
                    self.failures = 0;
                    self.log.delivered(self.catching_up, self.step);
                    if self.mutant.is(Mutant::CreationProves) {
                        self.trust.creation(self.opened, now, self.step);
                    }
                }
            }
            Event::Interrupted => {
                self.trust.forget();
                self.shown = None;
                self.log.forget();
                self.catching_up = 0;
                self.probe = None;
                if let Watch::Open { synced, since } = &mut self.watch {
                    *synced = false;
                    *since = now;
                }
            }
            Event::Ended { fatal } => self.watch_ended(now, fatal),
        }
        self.settle(now);
    }

    /// Handles the outcome of an [`Action::Write`].
    pub fn written(&mut self, now: Duration, id: &EntryId, number: u32, outcome: Outcome) {
        self.begin(now);
        self.write_outcome(now, id, number, outcome);
        self.settle(now);
    }

    /// Handles the outcome of an [`Action::Probe`].
    pub fn probed(&mut self, now: Duration, id: &EntryId, outcome: Outcome) {
        self.begin(now);
        if let Outcome::Stored(revision) = outcome {
            self.log.acknowledged(revision);
        }
        if let Outcome::Failed { fatal } = outcome
            && self.probe.as_ref().is_some_and(|probe| probe.id == *id)
        {
            self.probe = None;
            self.probe_retry_at = now + TRUST_WINDOW / 2;
            if fatal {
                self.give_up_waiting(now, GivenUp::Fatal);
            }
        }
        self.settle(now);
    }

    /// Handles the outcome of an [`Action::Read`]: the events that a watch would show, smallest revision
    /// first; `None` if the service could not provide them.
    pub fn read(&mut self, now: Duration, messages: Option<&[Event]>) {
        let Some(Reading { ticket, anchor }) = self.reading.take() else {
            return;
        };
        self.begin(now);
        let whole = anchor.is_none();
        let anchored = |messages: &&[Event]| match anchor {
            Some(Anchor { id, seq, .. }) if !self.mutant.is(Mutant::ShortSnapshot) => {
                messages.contains(&Event::Gone { id, revision: seq })
            }
            _ => true,
        };
        match messages.filter(anchored) {
            Some(messages) if self.watch == Watch::Closed => self.snapshot(now, messages, whole),
            Some(_) => {}
            None if whole => self.unwatched = Duration::ZERO,
            None => {
                // It is from another log, or too large: read everything.
                self.log.lose_anchor();
                self.settle(now);
                return;
            }
        }
        // A claim that should have been decided, but was not, needs a watch.
        for state in self.claims.values_mut() {
            if state
                .undecided()
                .is_some_and(|undecided| undecided <= ticket)
            {
                state.watch_from = now;
            }
        }
        self.settle(now);
    }

    /// The connection to the service was lost or re-established.
    pub fn disconnected(&mut self) {
        self.log.forget();
    }

    /// Handles the outcome of an [`Action::Purge`].
    pub fn purged(&mut self, now: Duration, id: &EntryId, outcome: Outcome) {
        self.begin(now);
        if !self.is_of_this_session(id) {
            self.removal_ended(id, outcome);
        } else if let Outcome::Stored(revision) = outcome {
            // Recorded before the watch shows it, so that the caller that released can acquire again at
            // once.
            let expect = self.leaving.get(id).and_then(|leaving| leaving.proves);
            self.log.removed(id, revision, expect, now);
            let later = |leaving: &Leaving| leaving.stored > revision;
            if (self.leaving.get(id).is_some_and(later) || !self.removed(id, revision))
                && let Some(leaving) = self.leaving.get_mut(id)
            {
                // A write that had been in flight for long arrived after the purge.
                leaving.purging = false;
                leaving.retry_at = now;
            }
        } else if outcome == Outcome::Conflict {
            // Another client has removed it, or its lease is over. Or the server still saw an earlier write
            // to it (10164), so the purge is repeated without a condition.
            if let Some(leaving) = self.leaving.get_mut(id) {
                leaving.purging = false;
                if let Some(claim) = leaving.report.take() {
                    self.notices.push_back(Notice::NotHeld { claim });
                }
            }
        } else if let Some(leaving) = self.leaving.get_mut(id) {
            leaving.purging = false;
            leaving.retry_at = now + TRUST_WINDOW;
            if let Some(claim) = leaving.report.take() {
                self.notices.push_back(Notice::ReleaseFailed { claim });
            }
            if outcome == (Outcome::Failed { fatal: true }) {
                self.leaving.remove(id);
            }
        }
        self.settle(now);
    }

    /// Advances the time.
    pub fn tick(&mut self, now: Duration) {
        self.begin(now);
        self.settle(now);
    }

    /// Allows a new watch: what was refused may be permitted by now.
    fn ask_again(&mut self) {
        if self.watch == Watch::Refused {
            self.watch = Watch::Closed;
        }
    }

    fn begin(&mut self, now: Duration) {
        self.now = now;
        self.step += 1;
    }

    fn delivered(&mut self, revision: u64) {
        if self.is_synced() {
            self.log.delivered(revision, self.step);
        } else {
            self.catching_up = self.catching_up.max(revision);
        }
    }

    fn sent(&self, now: Duration) -> Sent {
        Sent {
            at: now,
            step: self.step,
        }
    }

    fn new_id(&mut self) -> EntryId {
        self.ids += 1;
        EntryId::new(&format!("{}-{}", self.session, self.ids))
    }

    fn is_of_this_session(&self, id: &EntryId) -> bool {
        id.strip_prefix(&*self.session)
            .is_some_and(|rest| rest.starts_with('-'))
    }
}
