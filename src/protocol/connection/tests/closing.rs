//! How a connection is closed by whoever has it.

use super::*;

#[test]
fn closing_waits_until_the_server_has_everything() {
    let mut talk = Talk::connected();
    talk.client
        .publish(&Outbound::new("a", "x"), talk.now)
        .unwrap();
    let id = talk.request("b");
    talk.client.close(talk.now);
    assert!(talk.sent().ends_with("PING\r\n"));
    talk.hear("MSG _INBOX.x.1 1 0\r\n");
    assert!(!talk.has(|o| matches!(o, Output::Closed(_))));
    talk.hear("PONG");
    assert!(talk.has(|o| matches!(o, Output::Closed(CloseReason::Asked))));
    assert_eq!(talk.answers(), [(id, "b\"\"".to_owned())]);
    let error = talk
        .client
        .publish(&Outbound::new("a", ""), talk.now)
        .unwrap_err();
    assert!(matches!(error, TransportError::Closed));
}

#[test]
fn closing_waits_for_replies_that_follow_the_pong() {
    let mut talk = Talk::connected();
    let ids = ["a", "b"].map(|subject| talk.request(subject));
    talk.client.close(talk.now);
    talk.hear("PONG");
    talk.hear("MSG _INBOX.x.2 1 0\r\n");
    assert!(!talk.has(|o| matches!(o, Output::Closed(_))));
    talk.hear("MSG _INBOX.x.1 1 0\r\n");
    assert!(talk.has(|o| matches!(o, Output::Closed(CloseReason::Asked))));
    let nothing = || "b\"\"".to_owned();
    assert_eq!(talk.answers(), [(ids[1], nothing()), (ids[0], nothing())]);
}

#[test]
fn closing_does_not_wait_for_refused_or_expired_requests() {
    let mut talk = Talk::connected();
    let refused = talk.request("a");
    talk.client.close(talk.now);
    talk.hear("PONG");
    talk.hear("-ERR 'Permissions Violation for Publish to \"a\"'");
    assert!(talk.has(|o| matches!(o, Output::Closed(CloseReason::Asked))));
    assert_eq!(talk.answers()[0].0, refused);

    let mut talk = Talk::connected();
    let never = talk.request("a");
    talk.client.close(talk.now);
    talk.hear("PONG");
    talk.pass_to_deadline();
    assert!(talk.has(|o| matches!(o, Output::Closed(CloseReason::Asked))));
    assert_eq!(talk.answers()[0].0, never);
}

#[test]
fn closing_does_not_wait_forever() {
    let mut talk = Talk::connected();
    talk.client.close(talk.now);
    let late = talk.request("a");
    let closed = TransportError::Closed.to_string();
    assert_eq!(talk.answers(), [(late, closed)]);
    talk.pass(Duration::from_secs(4));
    assert!(talk.outputs.is_empty());
    talk.pass_to_deadline();
    assert!(talk.has(|o| matches!(o, Output::Closed(CloseReason::Asked))));
}

#[test]
fn losing_the_connection_while_closing_is_no_error() {
    let mut talk = Talk::connected();
    talk.client.close(talk.now);
    talk.client.lost("gone", talk.now);
    talk.collect();
    assert!(talk.has(|o| matches!(o, Output::Closed(CloseReason::Asked))));
}

#[test]
fn closing_reports_what_may_not_have_been_sent() {
    for is_lost in [true, false] {
        let mut talk = Talk::connected();
        let id = talk.request("a");
        talk.client.close(talk.now);
        match is_lost {
            true => talk.client.lost("gone", talk.now),
            false => talk.pass_to_deadline(),
        }
        talk.collect();
        assert!(talk.has(|o| matches!(o, Output::Closed(CloseReason::Unsent))));
        assert_eq!(talk.answers()[0].0, id);
    }
}

#[test]
fn closing_sends_what_waits_for_room() {
    let (mut talk, sent) = Talk::full();
    let waiting = talk.request("b");
    talk.client.close(talk.now);
    for _ in 0..sent {
        talk.hear("PONG");
    }
    assert!(talk.sent().contains("PUB b "));
    for id in 1..=waiting {
        assert!(!talk.has(|o| matches!(o, Output::Closed(_))));
        talk.hear(&format!("MSG _INBOX.x.{id} 1 0\r\n"));
    }
    assert!(talk.has(|o| matches!(o, Output::Closed(CloseReason::Asked))));

    // What had no room until the end was not sent.
    let (mut talk, sent) = Talk::full();
    let waiting = talk.request("b");
    talk.client.close(talk.now);
    talk.client.lost("gone", talk.now);
    let mut answers = talk.answers();
    answers.sort();
    assert_eq!(answers.len(), sent + 1);
    assert_eq!(answers.pop(), Some((waiting, "closed".to_owned())));
}
