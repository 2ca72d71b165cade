//! Logging in: refusals, and credentials that fail or come late.

use super::*;

#[test]
fn two_refusals_in_a_row_are_the_end() {
    let mut talk = Talk::connected();
    let refuse = |talk: &mut Talk| {
        talk.pass_to_deadline();
        talk.client.opened();
        talk.hear(INFO);
        talk.client.login(Ok(Login::default()), talk.now);
        talk.hear("-ERR 'Authorization Violation'");
    };
    for _ in 0..2 {
        talk.client.lost("gone", talk.now);
        refuse(&mut talk);
        talk.pass_to_deadline();
        talk.handshake();
    }
    // What runs out was not refused before.
    talk.hear("-ERR 'User Authentication Expired'");
    assert!(talk.is(ConnectionState::Disconnected, 3));
    refuse(&mut talk);
    assert!(!talk.has(|o| matches!(o, Output::Closed(_))));
    refuse(&mut talk);
    assert!(talk.has(|o| matches!(o, Output::Closed(CloseReason::Unauthorized(_)))));
}

#[test]
fn a_failing_provider_is_not_a_refusal() {
    let mut talk = Talk::connected();
    talk.client.lost("gone", talk.now);
    for _ in 0..9 {
        talk.pass_to_deadline();
        talk.client.opened();
        talk.hear(INFO);
        talk.client.login(Err("sealed".into()), talk.now);
        talk.collect();
    }
    assert!(!talk.has(|o| matches!(o, Output::Closed(_))));
    talk.pass_to_deadline();
    talk.handshake();
    assert!(talk.is(ConnectionState::Connected, 2));
    // All those attempts make nobody wait longer now.
    talk.client.lost("gone", talk.now);
    let wait = talk.client.deadline().unwrap() - talk.now;
    assert!(wait <= Duration::from_millis(250), "{wait:?}");
}

/// Servers wait two seconds for credentials, and a provider may take longer.
#[test]
fn late_credentials_are_not_a_refusal() {
    let too_late = |talk: &mut Talk| {
        talk.client.opened();
        talk.hear(INFO);
        talk.hear("-ERR 'Authentication Timeout'");
    };
    let mut talk = Talk::connected();
    talk.client.lost("gone", talk.now);
    for _ in 0..3 {
        talk.pass_to_deadline();
        too_late(&mut talk);
    }
    assert!(!talk.has(|o| matches!(o, Output::Closed(_))));
    talk.pass_to_deadline();
    talk.handshake();
    assert!(talk.is(ConnectionState::Connected, 2));

    // As natively, where the first connect ends with it.
    let mut talk = Talk::new(&["ws://a"]);
    too_late(&mut talk);
    let expected = CloseReason::Unreachable("Authentication Timeout".into());
    assert!(talk.has(|o| matches!(o, Output::Closed(reason) if *reason == expected)));
}

#[test]
fn the_first_connect_fails_without_credentials() {
    let mut talk = Talk::new(&["ws://a", "ws://b"]);
    for is_last in [false, true] {
        talk.pass_to_deadline();
        talk.client.opened();
        talk.hear(INFO);
        talk.client.login(Err("sealed".into()), talk.now);
        talk.collect();
        let expected = CloseReason::Unauthorized("sealed".into());
        let is_over = talk.has(|o| matches!(o, Output::Closed(reason) if *reason == expected));
        assert_eq!(is_over, is_last);
    }
}
