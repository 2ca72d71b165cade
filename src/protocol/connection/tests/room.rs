//! What finds no room, because the server has not confirmed enough of what was sent before.

use super::*;

#[test]
fn messages_wait_for_room() {
    let (mut talk, sent) = Talk::full();
    assert_eq!(sent, 7);
    let waiting = talk.request("b");
    assert!(talk.client.has_room(), "a deadline is to be kept");
    assert_eq!(talk.sent(), "");
    talk.hear("PONG");
    assert_eq!(talk.sent(), format!("PUB b _INBOX.x.{waiting} 1\r\n?\r\n"));
    // Only so much waits.
    let (mut talk, _) = Talk::full();
    for _ in 0..1024 {
        assert!(talk.client.has_room());
        talk.request("b");
    }
    assert!(!talk.client.has_room());
    assert_eq!(talk.answers(), []);
}

#[test]
fn a_message_without_room_in_time_was_not_sent() {
    let (mut talk, sent) = Talk::full();
    let waiting = talk.request("b");
    talk.pass(Duration::from_secs(5));
    let mut answers = talk.answers();
    answers.sort();
    let slow = "not connected: it is too slow to send this in time".to_owned();
    assert_eq!(answers.pop(), Some((waiting, slow)));
    assert_eq!(answers.len(), sent);
    for (_, answer) in answers {
        assert_eq!(answer, "no answer within 5s");
    }
}

#[test]
fn the_window_is_respected_after_a_reconnect() {
    let (mut talk, sent) = Talk::full();
    talk.client.lost("gone", talk.now);
    for _ in 0..2 * sent {
        talk.request_of(300_000);
    }
    talk.pass_to_deadline();
    talk.client.opened();
    talk.hear(LARGE_INFO);
    talk.client.login(Ok(Login::default()), talk.now);
    talk.sent();
    talk.hear("PONG");
    assert_eq!(talk.sent().matches("PUB ").count(), sent);
}
