//! The state machine of one participant in one lock: all its holds and all its waiting claims.
//!
//! Inputs are methods that take the local monotonic time. [`Machine::next_notice`] returns what
//! callers are to be told, [`Machine::next_action`] what is to be sent, and [`Machine::wake_at`] when
//! [`Machine::tick`] is due. The time passed with an event must be read after the event has arrived,
//! and the request of an action must be sent after the action was taken.

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
        /// Whether it has shown all that was there.
        synced: bool,
        /// Since when.
        since: Duration,
    },
    Broken {
        retry_at: Duration,
    },
    Refused,
}

/// The callers that want to know when an entry is out of the log.
#[derive(Clone, Copy, Debug)]
enum Report {
    Nobody,
    /// The caller that released it. Only this revision is to be purged: another is a hold that was lost.
    Caller {
        expect: Option<u64>,
    },
}

/// An entry that is being removed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Leaving {
    /// The callers that want to know.
    report: Option<ClaimId>,
    /// The last revision that it is known to be stored at, if it was stored after it was given up.
    stored: u64,
    /// The only revision that is to be purged, if no watch would tell that it is gone.
    expect: Option<u64>,
    /// Whether a purge is under way.
    purging: bool,
    /// The revision that it is conditional on.
    proves: Option<u64>,
    retry_at: Duration,
    /// The server has removed it by then, whatever became of the purges.
    until: Duration,
}

/// A snapshot under way.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Reading {
    /// The largest ticket that it is for.
    ticket: u64,
    /// What it must show if it does not show all.
    anchor: Option<Anchor>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Probe {
    id: EntryId,
    sent: Sent,
}

/// See the [module](self).
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
    /// How long a claim does without a watch: for a short hold without contention, a server spends more
    /// on a watch than on everything else.
    unwatched: Duration,
    trust: Trust,
    log: Log,
    /// The last revision shown by a watch that has not shown all initial entries yet.
    catching_up: u64,
    reading: Option<Reading>,
    /// Boxed, as a map moves all that come after one that is removed.
    claims: SortedMap<ClaimId, Box<Claim>>,
    queue: Queue,
    owners: SortedMap<EntryId, ClaimId>,
    leaving: SortedMap<EntryId, Leaving>,
    /// The latest own message that the present watch or a snapshot has shown.
    shown: Option<Shown>,
    probe: Option<Probe>,
    probe_retry_at: Duration,
    observed: bool,
    actions: VecDeque<Action>,
    notices: VecDeque<Notice>,
}

impl Machine {
    /// A participant. `session` must be unique among all participants there ever were: entries are
    /// called `<session>-<number>`.
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

    /// What a caller is to be told next.
    pub fn next_notice(&mut self) -> Option<Notice> {
        self.notices.pop_front()
    }

    /// What is to be sent next.
    pub fn next_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// The holders and waiters, as far as the watch has shown.
    pub(super) fn fold(&self) -> &Fold {
        &self.fold
    }

    /// Whether the watch has shown everything that was there when it began.
    pub fn is_synced(&self) -> bool {
        matches!(self.watch, Watch::Open { synced: true, .. })
    }

    /// Whether the service refuses the watch for good.
    pub fn is_refused(&self) -> bool {
        self.watch == Watch::Refused
    }

    /// Whether nothing is held, wanted or being removed.
    pub fn is_idle(&self) -> bool {
        self.claims.is_empty() && self.leaving.is_empty()
    }

    /// Whether no more than one entry is held, wanted or being removed.
    pub(super) fn is_simple(&self) -> bool {
        self.claims.len() + self.queue.len() + self.leaving.len() <= 1
    }

    /// Until when the claim may believe that it holds; `None` if it does not hold.
    pub fn trusted_until(&self, claim: ClaimId) -> Option<Duration> {
        let claim = self.claims.get(&claim)?;
        match (&claim.phase, &claim.own) {
            (Phase::Held, Some(own)) => Some(own.trusted_until(claim.request.lease())),
            _ => None,
        }
    }

    /// Keeps the watch open without claims, or no longer.
    pub fn observe(&mut self, now: Duration, observed: bool) {
        self.begin(now);
        self.observed = observed;
        if observed {
            self.ask_again();
        }
        self.settle(now);
    }

    /// A new claim.
    pub fn acquire(&mut self, now: Duration, claim: ClaimId, request: Request) {
        self.begin(now);
        self.ask_again();
        self.queue(now, claim, request);
        self.settle(now);
    }

    /// Ends a claim: a hold, or the wish for one. Always answered by `Released` or
    /// `ReleaseFailed`, unless the claim was over already.
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

    /// The watch has delivered an event.
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

    /// The outcome of an [`Action::Write`].
    pub fn written(&mut self, now: Duration, id: &EntryId, number: u32, outcome: Outcome) {
        self.begin(now);
        self.write_outcome(now, id, number, outcome);
        self.settle(now);
    }

    /// The outcome of an [`Action::Probe`].
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

    /// The outcome of an [`Action::Read`]: the events that a watch would show, smallest revision
    /// first; `None` if the service could not tell.
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
                // It is of another log, or too large: everything is to be read.
                self.log.lose_anchor();
                self.settle(now);
                return;
            }
        }
        // A claim that it should have decided, and did not, needs a watch.
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

    /// The connection to the service was lost, or came back.
    pub fn disconnected(&mut self) {
        self.log.forget();
    }

    /// The outcome of an [`Action::Purge`].
    pub fn purged(&mut self, now: Duration, id: &EntryId, outcome: Outcome) {
        self.begin(now);
        if !self.is_of_this_session(id) {
            self.removal_ended(id, outcome);
        } else if let Outcome::Stored(revision) = outcome {
            // Known before the watch tells, so that the caller that released can try again at once.
            let expect = self.leaving.get(id).and_then(|leaving| leaving.proves);
            self.log.removed(id, revision, expect, now);
            let later = |leaving: &Leaving| leaving.stored > revision;
            if (self.leaving.get(id).is_some_and(later) || !self.removed(id, revision))
                && let Some(leaving) = self.leaving.get_mut(id)
            {
                // A write that was long under way came after the purge.
                leaving.purging = false;
                leaving.retry_at = now;
            }
        } else if outcome == Outcome::Conflict {
            // Others have removed it, or its lease was over. Or the server was still at an earlier
            // write to it (10164), so it is purged all the same, without a condition.
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

    /// Time has passed.
    pub fn tick(&mut self, now: Duration) {
        self.begin(now);
        self.settle(now);
    }

    /// What was refused before may be allowed by now.
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
