//! A server that takes writes in and answers none, while its watch looks well.

use std::time::Duration;

use shizuku::kv::lock::{
    entry::Mode,
    machine::{Action, ClaimId, Event, GivenUp, Machine, Mutant, Outcome, Request},
};

#[test]
fn an_acquire_none_of_whose_writes_are_answered_gives_up() {
    for lease in [5, 15, 60] {
        let mut machine = Machine::new("s", Mutant::None);
        let mut now = Duration::from_millis(1);
        let request = Request {
            mode: Mode::Write,
            lease,
            label: None,
            data: None,
            try_only: false,
        };
        machine.acquire(now, ClaimId(1), request);
        let (mut writes, mut why) = (0, None);
        while why.is_none() {
            while let Some(action) = machine.next_action() {
                match action {
                    Action::Watch => machine.event(now, Event::Current),
                    Action::Write { id, entry, .. } => {
                        writes += 1;
                        machine.written(now, &id, entry.write, Outcome::Unknown);
                    }
                    Action::Probe { id } => machine.probed(now, &id, Outcome::Unknown),
                    Action::Purge { id, .. } => machine.purged(now, &id, Outcome::Unknown),
                    Action::Read { .. } => machine.read(now, Some(&[])),
                    Action::GaveUp { why: given, .. } => why = Some(given),
                    _ => {}
                }
            }
            if why.is_none() {
                now = machine.wake_at().expect("something is due");
                machine.tick(now);
            }
        }
        assert_eq!(why, Some(GivenUp::Unreachable));
        // It tried again meanwhile.
        assert!(writes > 1, "{writes}");
        let patience = Duration::from_secs(u64::from(lease).max(20) + 5);
        assert!(now < patience, "{lease}: {now:?}");
    }
}
