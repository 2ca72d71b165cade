//! The effects of incoming information: echoes, acknowledgements, removed entries, a watch that ended.

use std::time::Duration;

use super::*;
use crate::kv::lock::own::Stored;

/// How long past its lease the machine keeps trying to remove an entry that was stored after it was given
/// up.
const AFTERCARE: Duration = Duration::from_secs(10);

impl Machine {
    /// Handles a message of the watch that may be an own one.
    pub(super) fn echo(
        &mut self,
        now: Duration,
        id: &EntryId,
        revision: u64,
        stored: u64,
        record: &Record,
    ) {
        if !self.is_of_this_session(id) {
            return;
        }
        self.shown(revision, stored);
        let sent = match record {
            Record::Probe => {
                let Some(probe) = self.probe.take_if(|probe| probe.id == *id) else {
                    return;
                };
                Some(probe.sent)
            }
            Record::Entry(entry) => {
                let Some(claim) = self.owners.get(id).copied() else {
                    self.ghost(now, id, revision);
                    return;
                };
                self.own_entry_seen(now, claim, entry, revision, stored)
            }
            Record::Unknown => None,
        };
        let Some(sent) = sent else { return };
        let decides = self.trust.echo(sent, now, self.step);
        if self.is_synced() && (decides || self.mutant.is(Mutant::NoTrustRule)) {
            for gone in self.fold.drop_doubted() {
                self.entry_gone(&gone);
            }
            // All live entries before it are in the fold.
            decide(&mut self.claims, &self.fold, |own, _| own.echoed);
        }
    }

    /// Returns when that write was sent.
    fn own_entry_seen(
        &mut self,
        now: Duration,
        claim: ClaimId,
        entry: &LockEntry,
        revision: u64,
        stored: u64,
    ) -> Option<Sent> {
        let state = self.claims.get_mut(&claim)?;
        let own = state.own.as_mut()?;
        own.set_since(entry.write, stored);
        let sent = own.echo(entry.write);
        self.stored(now, claim, entry.write, revision);
        sent
    }

    /// Handles an entry of this session that no claim owns: it was abandoned, and stored late.
    fn ghost(&mut self, now: Duration, id: &EntryId, revision: u64) {
        self.given_up(id);
        match self.leaving.get_mut(id) {
            Some(leaving) => {
                leaving.stored = leaving.stored.max(revision);
                // The purge in flight will most likely arrive after it.
                if !leaving.purging {
                    leaving.retry_at = now;
                }
            }
            None => {
                let lease = self.fold.get(id).map_or(AFTERCARE, |live| live.lease);
                self.leaving.insert(
                    id.clone(),
                    Leaving {
                        report: None,
                        stored: revision,
                        expect: None,
                        purging: false,
                        proves: None,
                        retry_at: now,
                        until: now + lease + AFTERCARE,
                    },
                );
            }
        }
    }

    /// Decides the claims for which the whole log before their entries is known.
    pub(super) fn decide_by_log(&mut self) {
        let any = self.mutant.is(Mutant::AckDecides);
        let late = self.mutant.is(Mutant::LatePassing);
        let log = &self.log;
        decide(&mut self.claims, &self.fold, |own, ticket| {
            let known = ticket > own.behind && log.decides(ticket, own.first_sent);
            known || any || (late && log.decides_late(ticket))
        });
    }

    /// Handles a snapshot: all live entries as of one moment (`whole`), or only the part after the known
    /// log. It decides the entries that it shows, because it also shows what is alive before them.
    pub(super) fn snapshot(&mut self, now: Duration, messages: &[Event], whole: bool) {
        let mut seen = SortedSet::new();
        let mut last = 0;
        let mut shown = Vec::new();
        let mut own = None;
        for message in messages {
            match message {
                Event::Put {
                    id,
                    revision,
                    stored,
                    record,
                } => {
                    last = last.max(*revision);
                    seen.insert(id.clone(), ());
                    self.fold.put(id, *revision, Some(*stored), record, now);
                    match (record, self.owners.get(id)) {
                        (Record::Entry(entry), Some(claim)) => {
                            own = own.max(Some((*revision, *stored)));
                            shown.push((*claim, entry.write, *revision));
                        }
                        (Record::Entry(_), None) if self.is_of_this_session(id) => {
                            self.ghost(now, id, *revision);
                        }
                        _ => {}
                    }
                }
                Event::Gone { id, revision } => {
                    last = last.max(*revision);
                    self.removed(id, *revision);
                }
                _ => {}
            }
        }
        if whole {
            for gone in self.fold.drop_unseen(last, &seen) {
                self.entry_gone(&gone);
            }
        }
        if let Some((revision, stored)) = own {
            self.shown(revision, stored);
        }
        self.log.snapshot(last);
        for (claim, write, revision) in shown {
            self.stored(now, claim, write, revision);
        }
        let any = self.mutant.is(Mutant::AnySnapshot);
        decide(&mut self.claims, &self.fold, |own, _| {
            any || seen.contains(&own.id)
        });
    }

    /// Records that a write of an own entry is known to be stored.
    fn stored(&mut self, now: Duration, claim: ClaimId, number: u32, revision: u64) {
        let revives = self.mutant.is(Mutant::LateAckRevives);
        let Some(state) = self.claims.get_mut(&claim) else {
            return;
        };
        let Some(own) = &mut state.own else { return };
        let lease = state.request.lease();
        match own.stored(number, revision, now, lease, revives) {
            Stored::Old => {}
            Stored::Late => self.lapse(now, claim),
            Stored::Extended(entry) => {
                state.stuck_since = None;
                let until = own.trusted_until(lease);
                let changed = own.take_change();
                if state.phase == Phase::Held {
                    self.notices.push_back(Notice::Extended { claim, until });
                }
                let id = own.id.clone();
                if changed {
                    self.notices.push_back(Notice::Changed { claim });
                }
                // Recorded before the watch shows it, so that no own entry is overlooked.
                let entry = Record::Entry(entry);
                self.fold.put(&id, revision, None, &entry, now);
                if revision <= own.behind {
                    // The bucket was recreated, or has lost data.
                    self.log.forget();
                }
                self.log.acknowledged(revision);
            }
        }
    }

    pub(super) fn write_outcome(
        &mut self,
        now: Duration,
        id: &EntryId,
        number: u32,
        outcome: Outcome,
    ) {
        let Some(claim) = self.owners.get(id).copied() else {
            if let Outcome::Stored(revision) = outcome {
                self.ghost(now, id, revision);
            }
            return;
        };
        if let Outcome::Stored(revision) = outcome {
            self.stored(now, claim, number, revision);
            return;
        }
        let Some(state) = self.claims.get_mut(&claim) else {
            return;
        };
        let Some(own) = &mut state.own else { return };
        match outcome {
            // The echo will tell, or the lease will end.
            Outcome::Unknown => {
                own.unanswered(now);
                if !own.is_stored() {
                    state.stuck_since.get_or_insert(now);
                }
            }
            Outcome::Stored(_) => {}
            Outcome::Conflict if own.is_stored() => {
                if own.refused(number) {
                    self.lose(now, claim, LostWhy::Refused);
                }
            }
            Outcome::Conflict => self.start_again(now, claim),
            Outcome::Failed { fatal } => {
                own.failed(number);
                // A stored entry can be retried for the length of its lease.
                if !own.is_stored() && !own.is_pending() {
                    self.forget_entry(claim);
                    if fatal {
                        self.give_up(now, claim, GivenUp::Fatal);
                    } else if let Some(state) = self.claims.get_mut(&claim) {
                        state.stuck_since.get_or_insert(now);
                        state.retry_at = now + TRUST_WINDOW / 4;
                    }
                }
            }
        }
    }

    /// Handles a delete, purge or expiry. Returns whether the entry is gone; it is not if it was written
    /// later.
    pub(super) fn removed(&mut self, id: &EntryId, revision: u64) -> bool {
        self.fold.gone(id, revision);
        let gone = self.fold.get(id).is_none();
        if gone {
            self.entry_gone(id);
        }
        gone
    }

    /// Handles an entry that is gone for good: it no longer blocks any claim, and if it was an own one,
    /// that hold is lost.
    pub(super) fn entry_gone(&mut self, id: &EntryId) {
        self.unblock(id);
        self.entry_left(id);
        let Some(claim) = self.owners.get(id).copied() else {
            return;
        };
        self.forget_entry(claim);
        if let Some(state) = self.claims.get_mut(&claim) {
            if state.phase == Phase::Held {
                self.claims.remove(&claim);
                let why = LostWhy::Gone;
                self.notices.push_back(Notice::Lost { claim, why });
            } else {
                state.phase = Phase::Outside;
            }
        }
    }

    /// Stops this entry from blocking claims.
    fn unblock(&mut self, id: &EntryId) {
        for claim in self.claims.values_mut() {
            if let Phase::Inside {
                blockers: Some(blockers),
            } = &mut claim.phase
            {
                blockers.remove(id);
            }
        }
    }

    /// Handles an own entry that is no longer trusted, and never will be: to the other claims it is gone.
    pub(super) fn given_up(&mut self, id: &EntryId) {
        self.fold.leave(id);
        self.unblock(id);
    }

    /// Handles an entry that was being purged and is now out of the log.
    pub(super) fn entry_left(&mut self, id: &EntryId) {
        if let Some(leaving) = self.leaving.remove(id)
            && let Some(claim) = leaving.report
        {
            self.notices.push_back(Notice::Released { claim });
        }
    }

    fn forget_entry(&mut self, claim: ClaimId) -> Option<Own> {
        let state = self.claims.get_mut(&claim)?;
        let own = state.own.take()?;
        if state.phase != Phase::Held {
            state.phase = Phase::Outside;
        }
        self.owners.remove(&own.id);
        Some(own)
    }

    /// Removes the claim's entry from the log.
    pub(super) fn leave(&mut self, now: Duration, claim: ClaimId, report: Report) {
        let Some(lease) = self.claims.get(&claim).map(|state| state.request.lease()) else {
            return;
        };
        let (report, expect) = match report {
            Report::Nobody => (None, None),
            Report::Caller { expect } => (Some(claim), expect),
        };
        if let Some(own) = self.forget_entry(claim) {
            self.given_up(&own.id);
            self.leaving.insert(
                own.id.clone(),
                Leaving {
                    report,
                    stored: 0,
                    expect,
                    purging: false,
                    proves: None,
                    retry_at: now,
                    until: own.certainly_expired(lease).max(now),
                },
            );
        }
    }

    /// Abandons the entry; the claim continues with a new one.
    pub(super) fn start_again(&mut self, now: Duration, claim: ClaimId) {
        self.leave(now, claim, Report::Nobody);
    }

    pub(super) fn lose(&mut self, now: Duration, claim: ClaimId, why: LostWhy) {
        let held = self
            .claims
            .get(&claim)
            .is_some_and(|state| state.phase == Phase::Held);
        self.leave(now, claim, Report::Nobody);
        if held {
            self.claims.remove(&claim);
            self.notices.push_back(Notice::Lost { claim, why });
        }
    }

    pub(super) fn lapse(&mut self, now: Duration, claim: ClaimId) {
        self.lose(now, claim, LostWhy::Lapsed);
    }

    pub(super) fn give_up(&mut self, now: Duration, claim: ClaimId, why: GivenUp) {
        self.leave(now, claim, Report::Nobody);
        self.claims.remove(&claim);
        self.notices.push_back(Notice::GaveUp { claim, why });
        if why == GivenUp::Unreachable {
            self.give_up_queue(now, why);
        }
    }

    pub(super) fn give_up_waiting(&mut self, now: Duration, why: GivenUp) {
        let waiting: Vec<_> = self
            .claims
            .iter()
            .filter(|(_, state)| state.phase != Phase::Held)
            .map(|(claim, _)| *claim)
            .collect();
        for claim in waiting {
            self.give_up(now, claim, why);
        }
        self.give_up_queue(now, why);
    }

    pub(super) fn watch_ended(&mut self, now: Duration, fatal: bool) {
        self.trust.forget();
        self.log.forget();
        self.probe = None;
        if fatal {
            self.watch = Watch::Refused;
            self.give_up_waiting(now, GivenUp::Fatal);
            return;
        }
        let pause = Duration::from_millis(50 << self.failures.min(6));
        self.failures += 1;
        for state in self.claims.values_mut() {
            state.stuck_since.get_or_insert(now);
        }
        self.watch = Watch::Broken {
            retry_at: now + pause,
        };
    }
}

/// Decides the claims for which all live entries before their own are in the fold.
fn decide(
    claims: &mut SortedMap<ClaimId, Box<Claim>>,
    fold: &Fold,
    known: impl Fn(&Own, u64) -> bool,
) {
    for state in claims.values_mut() {
        if let Some(ticket) = state.undecided()
            && state.own.as_ref().is_some_and(|own| known(own, ticket))
        {
            let blockers = Some(fold.blockers(state.request.mode, ticket));
            state.phase = Phase::Inside { blockers };
        }
    }
}
