//! The rules of entering, holding and leaving, applied to the current knowledge.

use std::time::Duration;

use super::*;

/// How long past its lease an entry may be silent before the watch is suspected of having missed its
/// marker.
const SILENCE: Duration = Duration::from_secs(2);

impl Machine {
    fn open_watch(&mut self, now: Duration) {
        self.trust.forget();
        self.catching_up = 0;
        self.probe = None;
        self.shown = None;
        self.fold.doubt(None);
        self.opened = now;
        self.watch = Watch::Open {
            synced: false,
            since: now,
        };
        self.actions.push_back(Action::Watch);
    }

    /// Draws all conclusions from the current state.
    pub(super) fn settle(&mut self, now: Duration) {
        if self
            .probe
            .as_ref()
            .is_some_and(|probe| now >= probe.sent.at + 2 * TRUST_WINDOW)
        {
            // Lost, or too late to be useful.
            self.probe = None;
        }
        // Before the watch, because a new watch discards the evidence for these conclusions.
        self.settle_overdue();
        self.admit(now);
        self.settle_watch(now);
        self.decide_by_log();
        loop {
            let claims = self.claims.iter().filter(|(_, state)| state.is_due(now));
            let claims: Vec<_> = claims.map(|(claim, _)| *claim).collect();
            for claim in claims {
                self.settle_claim(now, claim);
            }
            if !self.admit(now) {
                break;
            }
        }
        self.settle_read();
        self.settle_probe(now);
        self.settle_leaving(now);
    }

    fn settle_watch(&mut self, now: Duration) {
        let wanted = self.observed || !self.claims.is_empty();
        let due = |state: &Claim| now >= state.watch_from;
        let open = match self.watch {
            Watch::Closed => {
                wanted && (self.observed || self.is_contended() || self.claims().any(due))
            }
            Watch::Broken { retry_at } => wanted && now >= retry_at,
            Watch::Open { synced, .. } => {
                synced && self.suspicion().is_some_and(|moment| now >= moment)
            }
            Watch::Refused => false,
        };
        if open {
            self.open_watch(now);
            // Sent along with the request for the watch; its echo is the first proof. The end of the
            // initial entries would not suffice: the replica that the watch reads may lag behind the one
            // that acknowledged the entries of others.
            if self.waiting().next().is_some()
                && self.is_contended()
                && !self.mutant.is(Mutant::CreationProves)
            {
                self.send_probe(now);
            }
        }
    }

    /// Whether other participants are known to have entries in the log.
    fn is_contended(&self) -> bool {
        let mut ids = self.fold.iter().map(|(id, _)| id);
        ids.any(|id| !self.is_of_this_session(id))
    }

    /// Whether enough is known to write an entry: either the other entries, or that there are hardly any.
    /// What precedes the entry is determined once it is in the log.
    fn may_enter(&self) -> bool {
        match self.watch {
            Watch::Closed => true,
            Watch::Open { synced, .. } => synced || !self.is_contended(),
            Watch::Broken { .. } | Watch::Refused => false,
        }
    }

    fn claims(&self) -> impl Iterator<Item = &Claim> {
        self.claims.values().map(Box::as_ref)
    }

    pub(super) fn waiting(&self) -> impl Iterator<Item = &Claim> {
        self.claims().filter(|state| state.phase != Phase::Held)
    }

    /// When the silence of a blocking entry becomes suspicious: its marker may have expired before a slow
    /// watch reached it. A new watch then shows the current state.
    fn suspicion(&self) -> Option<Duration> {
        self.waiting().next()?;
        self.fold
            .iter()
            .map(|(_, live)| live.heard.max(self.opened) + live.lease + SILENCE)
            .min()
    }

    fn settle_claim(&mut self, now: Duration, claim: ClaimId) {
        let Some(state) = self.claims.get(&claim) else {
            return;
        };
        let lease = state.request.lease();
        if state.phase != Phase::Held
            && let Some(moment) = self.patience(state)
            && now >= moment
        {
            self.give_up(now, claim, GivenUp::Unreachable);
            return;
        }
        match (&state.phase, &state.own) {
            (Phase::Outside, _) => self.enter(now, claim),
            (_, None) => {}
            (phase, Some(own)) => {
                if now >= own.trusted_until(lease) {
                    let revivable = *phase == Phase::Held
                        && self.mutant.is(Mutant::LateAckRevives)
                        && own.is_pending();
                    if !revivable {
                        if let Some(state) = self.claims.get_mut(&claim)
                            && state.phase != Phase::Held
                        {
                            state.stuck_since.get_or_insert(now);
                            state.retry_at = now;
                        }
                        self.lapse(now, claim);
                        self.enter(now, claim);
                    }
                    return;
                }
                if own.due(lease).is_some_and(|due| now >= due) {
                    self.write(now, claim);
                }
                self.advance(now, claim);
            }
        }
    }

    /// When to give up on an unreachable service.
    fn patience(&self, state: &Claim) -> Option<Duration> {
        let unsynced = match self.watch {
            Watch::Open {
                synced: false,
                since,
            } => Some(since),
            _ => None,
        };
        // A waiting claim gives the service time from its own start; a try counts from the start of the
        // watch.
        let (unsynced, patience) = match state.request.try_only {
            true => (unsynced, TRY_PATIENCE),
            false => (
                unsynced.map(|since| since.max(state.began)),
                patience(state.request.lease),
            ),
        };
        let since = [state.stuck_since, unsynced].into_iter().flatten().min()?;
        Some(since + patience)
    }

    /// Handles a claim without an entry.
    fn enter(&mut self, now: Duration, claim: ClaimId) {
        let Some(state) = self.claims.get(&claim) else {
            return;
        };
        if state.phase != Phase::Outside || !self.may_enter() || now < state.retry_at {
            return;
        }
        let mode = state.request.mode;
        let try_only = state.request.try_only;
        let waits_outside = try_only || mode == Mode::Read;
        if waits_outside && !self.fold.admits(mode, &self.fold.blockers(mode, u64::MAX)) {
            let late = now >= state.began + TRY_PATIENCE;
            let certain = self.fold.is_confirmed() && !self.is_age_unknown();
            if !try_only {
                if let Some(state) = self.claims.get_mut(&claim) {
                    // Not stuck: there is a writer.
                    state.stuck_since = None;
                }
            } else if late || (certain && !self.fold.will_admit(mode, u64::MAX)) {
                self.give_up(now, claim, GivenUp::WouldBlock);
            }
            return;
        }
        if self.is_synced() && self.probe.is_some() && !self.trust.is_fresh(now) {
            // The probe's echo will soon allow this entry's echo to decide.
            return;
        }
        let id = self.new_id();
        let sent = self.sent(now);
        if let Some(state) = self.claims.get_mut(&claim) {
            state.own = Some(Own::new(id.clone(), sent, self.log.through()));
            state.phase = Phase::Inside { blockers: None };
            self.owners.insert(id, claim);
            self.write(now, claim);
        }
    }

    fn write(&mut self, now: Duration, claim: ClaimId) {
        let sent = self.sent(now);
        if let Some(state) = self.claims.get_mut(&claim)
            && let Some(own) = &mut state.own
        {
            let (entry, expect) = own.write(&state.request, sent);
            let unconditional = self.mutant.is(Mutant::UnconditionalRefresh);
            self.actions.push_back(Action::Write {
                id: own.id.clone(),
                entry,
                expect: expect.filter(|_| !unconditional),
            });
        }
    }

    /// Handles a claim whose entry does not hold yet.
    fn advance(&mut self, now: Duration, claim: ClaimId) {
        let Some(state) = self.claims.get(&claim) else {
            return;
        };
        let (Phase::Inside { blockers }, Some(own)) = (&state.phase, &state.own) else {
            return;
        };
        let mode = state.request.mode;
        let try_only = state.request.try_only;
        let Some(ticket) = own.ticket else { return };
        match blockers {
            Some(blockers) if self.fold.admits(mode, blockers) => {
                let until = own.trusted_until(state.request.lease());
                if let Some(state) = self.claims.get_mut(&claim) {
                    state.phase = Phase::Held;
                    state.watch_from = now + self.unwatched;
                    state.stuck_since = None;
                }
                self.notices.push_back(Notice::Granted {
                    claim,
                    token: ticket,
                    until,
                });
                return;
            }
            // It waits its turn.
            _ if !try_only && mode != Mode::Read => return,
            // Presence needs no proof: every entry seen before this one blocks it.
            None if !own.echoed => return,
            _ => {}
        }
        if self.fold.will_admit(mode, ticket) {
            return;
        }
        if try_only {
            self.give_up(now, claim, GivenUp::WouldBlock);
        } else {
            // A reader does not wait in the queue: the writers before it go first, and it returns when they
            // are gone.
            self.start_again(now, claim);
        }
    }

    /// The largest ticket for which the preceding entries are not known.
    fn undecided(&self) -> Option<u64> {
        self.waiting().filter_map(Claim::undecided).max()
    }

    /// Requests a snapshot, but only without a watch: a snapshot could be older than what the watch has
    /// shown.
    fn settle_read(&mut self) {
        if self.reading.is_none() && self.watch == Watch::Closed {
            let Some(ticket) = self.undecided() else {
                return;
            };
            let (from, anchor) = match self.log.unknown_from(self.now) {
                Some((_, anchor)) if self.mutant.is(Mutant::ShortSnapshot) => {
                    (ticket, Some(anchor))
                }
                Some((from, anchor)) => (from, Some(anchor)),
                None => (0, None),
            };
            self.reading = Some(Reading { ticket, anchor });
            self.actions.push_back(Action::Read { from });
        }
    }

    fn needs_probe(&self) -> bool {
        let undecided = self
            .waiting()
            .any(|state| state.undecided().is_some() && state.has_echoed());
        undecided
            || (self.waiting().next().is_some()
                && self.fold.iter().any(|(_, live)| !live.confirmed))
            // A claim with an entry already has an own message to compare with.
            || (self.waiting().any(|state| state.own.is_none()) && self.is_age_unknown())
    }

    fn settle_probe(&mut self, now: Duration) {
        if self.probe.is_none()
            && self.is_synced()
            && now >= self.probe_retry_at
            && self.needs_probe()
        {
            self.send_probe(now);
        }
    }

    fn send_probe(&mut self, now: Duration) {
        let id = self.new_id();
        self.probe = Some(Probe {
            id: id.clone(),
            sent: self.sent(now),
        });
        self.actions.push_back(Action::Probe { id });
    }

    fn settle_leaving(&mut self, now: Duration) {
        let mut released = Vec::new();
        self.leaving.retain(|id, leaving| {
            if now >= leaving.until {
                released.extend(leaving.report);
                return false;
            }
            if !leaving.purging && now >= leaving.retry_at {
                leaving.purging = true;
                // Used only once: after an unanswered purge, a refusal of the next one would not tell
                // whether the first succeeded.
                let (id, expect) = (id.clone(), leaving.expect.take());
                leaving.proves = expect;
                self.actions.push_back(Action::Purge { id, expect });
            }
            true
        });
        for claim in released {
            self.notices.push_back(Notice::Released { claim });
        }
    }

    /// When [`Machine::tick`] is due if nothing else happens before.
    pub fn wake_at(&self) -> Option<Duration> {
        let mut wake: Option<Duration> = None;
        // Anything due by now has been done, or waits for something other than time.
        let mut at = |moment: Duration| {
            if moment > self.now {
                wake = Some(wake.map_or(moment, |wake| wake.min(moment)));
            }
        };
        match self.watch {
            Watch::Broken { retry_at } if self.observed || !self.claims.is_empty() => at(retry_at),
            Watch::Closed => self.claims.values().for_each(|state| at(state.watch_from)),
            _ => {}
        }
        if self.is_synced() {
            self.suspicion().into_iter().for_each(&mut at);
            if self.needs_probe() && self.probe.is_none() {
                at(self.probe_retry_at);
            }
        }
        if let Some(probe) = &self.probe {
            at(probe.sent.at + 2 * TRUST_WINDOW);
        }
        for state in self.claims.values() {
            let lease = state.request.lease();
            if state.phase != Phase::Held {
                self.patience(state).into_iter().for_each(&mut at);
            }
            match &state.own {
                Some(own) => {
                    at(own.trusted_until(lease));
                    own.due(lease).into_iter().for_each(&mut at);
                }
                None if self.may_enter() => {
                    at(state.retry_at);
                    if state.request.try_only {
                        at(state.began + TRY_PATIENCE);
                    }
                }
                None => {}
            }
        }
        for leaving in self.leaving.values() {
            at(if leaving.purging {
                leaving.until
            } else {
                leaving.retry_at.min(leaving.until)
            });
        }
        wake
    }
}
