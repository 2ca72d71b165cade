//! The invariants that must hold after every step.

use shizuku::kv::lock::{entry::Mode, machine::ClaimId};

use crate::stream::{Stream, is_exclusive};

#[derive(Clone, Debug)]
pub struct Hold {
    pub participant: usize,
    pub claim: ClaimId,
    pub token: u64,
    /// Its holder no longer trusts it.
    pub over: bool,
}

/// What a holder trusts now.
#[derive(Clone, Copy, Debug)]
pub struct Belief {
    pub mode: Mode,
    pub believes: bool,
}

#[derive(Default)]
pub struct Check {
    pub holds: Vec<Hold>,
    /// The largest tokens granted so far: exclusive and shared.
    alone: u64,
    shared: u64,
}

pub type Verdict = Result<(), String>;

impl Check {
    /// A claim was granted.
    pub fn granted(&mut self, stream: &Stream, mode: Mode, hold: Hold) -> Verdict {
        let token = hold.token;
        let ahead: Vec<_> = stream
            .live()
            .filter(|(id, _, ticket)| {
                *ticket < token && !stream.is_given_up_by(hold.participant, id)
            })
            .collect();
        let first = match mode {
            Mode::Read => ahead.iter().all(|(_, entry, _)| entry.mode == Mode::Read),
            Mode::Write => ahead.is_empty(),
            Mode::Permit(of) => ahead.len() < of as usize,
            _ => false,
        };
        // An entry whose lease had expired before the holder learnt of it is no hold: trust
        // decides.
        if !first {
            return Err(format!(
                "order: {hold:?} ({mode:?}) was granted while these stood before it: {ahead:?}"
            ));
        }
        let floor = match mode {
            Mode::Write => self.alone.max(self.shared),
            Mode::Read => self.alone,
            _ => 0,
        };
        if token <= floor {
            return Err(format!(
                "tokens: {hold:?} ({mode:?}) after a conflicting grant of {floor}"
            ));
        }
        match mode {
            Mode::Write => self.alone = token,
            Mode::Read => self.shared = self.shared.max(token),
            _ => {}
        }
        self.holds.push(hold);
        Ok(())
    }

    /// Checks what all holders trust.
    pub fn beliefs(&mut self, belief: impl Fn(&Hold) -> Option<Belief>) -> Verdict {
        let mut alone = 0;
        let mut shared = 0;
        let mut permits = 0;
        let mut of = u32::MAX;
        self.holds.retain(|hold| belief(hold).is_some());
        for hold in &mut self.holds {
            let Some(belief) = belief(hold) else { continue };
            if !belief.believes {
                hold.over = true;
                continue;
            }
            if hold.over {
                return Err(format!("revival: {hold:?} was over, and is believed again"));
            }
            match belief.mode {
                mode if is_exclusive(mode) => alone += 1,
                Mode::Permit(n) => {
                    permits += 1;
                    of = of.min(n);
                }
                _ => shared += 1,
            }
        }
        if alone > 1 || (alone == 1 && shared + permits > 0) || permits > of {
            return Err(format!(
                "exclusion: {alone} alone, {shared} shared, {permits} permits: {:?}",
                self.holds
                    .iter()
                    .filter(|hold| !hold.over)
                    .collect::<Vec<_>>()
            ));
        }
        Ok(())
    }
}
