//! Every message that a consumer may receive, and the resulting action.

use super::*;
use crate::headers::Headers;

const BEAT: Duration = Duration::from_secs(5);

fn data(reply: &str) -> Message {
    Message {
        subject: "$KV.b.k".into(),
        reply: Some(reply.into()),
        ..Message::default()
    }
}

/// The n-th message, with `pending` more to follow.
fn nth(consumer_seq: u64, stream_seq: u64, pending: u64) -> Message {
    data(&format!(
        "$JS.ACK.KV_b.c.1.{stream_seq}.{consumer_seq}.99.{pending}"
    ))
}

fn control(status: u16, reply: Option<&str>, fields: &[(&str, &str)]) -> Message {
    Message {
        subject: "inbox".into(),
        reply: reply.map(Into::into),
        status: Some(status),
        headers: fields.iter().copied().collect::<Headers>(),
        ..Message::default()
    }
}

fn heartbeat(last: u64) -> Message {
    control(100, None, &[("Nats-Last-Consumer", &last.to_string())])
}

fn deliver(revision: u64, pending: u64) -> Action {
    Action::Deliver(Delivery {
        revision,
        stored: 99,
        pending,
    })
}

#[test]
fn each_message_leads_to_one_action() {
    let stalled = control(
        100,
        None,
        &[
            ("Nats-Last-Consumer", "1"),
            ("Nats-Consumer-Stalled", "$JS.FC.x"),
        ],
    );
    let stalled_and_stale = control(
        100,
        None,
        &[
            ("Nats-Last-Consumer", "2"),
            ("Nats-Consumer-Stalled", "$JS.FC.x"),
        ],
    );
    let cases: Vec<(&str, Vec<(Message, Action)>)> = vec![
        (
            "in order, with gaps in the stream",
            vec![
                (nth(1, 7, 1), deliver(7, 1)),
                (nth(2, 20, 0), deliver(20, 0)),
            ],
        ),
        (
            "a missing message",
            vec![
                (nth(1, 7, 2), deliver(7, 2)),
                (nth(3, 9, 0), Action::Reset(Why::Gap)),
            ],
        ),
        (
            "a first message that is not the first",
            vec![(nth(2, 8, 0), Action::Reset(Why::Gap))],
        ),
        (
            "a message twice",
            vec![
                (nth(1, 7, 1), deliver(7, 1)),
                (nth(1, 7, 1), Action::Reset(Why::Gap)),
            ],
        ),
        (
            "a heartbeat that agrees, before and after data",
            vec![
                (heartbeat(0), Action::CaughtUp),
                (nth(1, 7, 0), deliver(7, 0)),
                (heartbeat(1), Action::CaughtUp),
            ],
        ),
        (
            "a heartbeat that knows of more",
            vec![(heartbeat(1), Action::Reset(Why::StaleHeartbeat))],
        ),
        (
            "a heartbeat that knows of less: a consumer that was made again under the name",
            vec![
                (nth(1, 7, 0), deliver(7, 0)),
                (heartbeat(0), Action::Reset(Why::StaleHeartbeat)),
            ],
        ),
        (
            "flow control comes in its place among the messages",
            vec![
                (nth(1, 7, 1), deliver(7, 1)),
                (
                    control(100, Some("$JS.FC.1"), &[]),
                    Action::Answer("$JS.FC.1".into()),
                ),
                (nth(2, 8, 0), deliver(8, 0)),
            ],
        ),
        (
            "a stalled consumer is answered, and its data has not ended",
            vec![
                (nth(1, 7, 3), deliver(7, 3)),
                (stalled, Action::AnswerAgain("$JS.FC.x".into())),
            ],
        ),
        (
            "a stalled consumer whose messages were lost is made anew",
            vec![
                (nth(1, 7, 3), deliver(7, 3)),
                (stalled_and_stale, Action::Reset(Why::StaleHeartbeat)),
            ],
        ),
        (
            "a consumer that is gone",
            vec![(control(409, None, &[]), Action::Reset(Why::Gone))],
        ),
        (
            "what does not come from the consumer",
            vec![
                (data("somebody.else"), Action::Ignore),
                (data("$JS.ACK.KV_b.c.1.2"), Action::Ignore),
                (data("$JS.ACK.KV_b.c.1.x.1.99.0"), Action::Ignore),
                (
                    data("$JS.ACK.KV_b.c.1.99999999999999999999999.1.99.0"),
                    Action::Ignore,
                ),
                (Message::default(), Action::Ignore),
                (control(503, None, &[]), Action::Ignore),
                (nth(1, 7, 0), deliver(7, 0)),
            ],
        ),
    ];
    for (case, steps) in cases {
        let mut consumer = Consumer::new(BEAT, Instant::now());
        for (message, wanted) in steps {
            assert_eq!(consumer.message(&message), wanted, "{case}: {message:?}");
        }
    }
}

#[test]
fn both_kinds_of_reply_subjects_are_read() {
    for reply in [
        "$JS.ACK.KV_b.c.1.7.1.99.3",
        "$JS.ACK._.ACCHASH.KV_b.c.1.7.1.99.3",
        "$JS.ACK.hub.ACCHASH.KV_b.c.1.7.1.99.3.random",
        // A stream's name that is a number must not be read as one of the numbers.
        "$JS.ACK.hub.77.88.99.1.7.1.99.3.random",
    ] {
        let mut consumer = Consumer::new(BEAT, Instant::now());
        assert_eq!(consumer.message(&data(reply)), deliver(7, 3), "{reply}");
    }
    for reply in [
        "$JS.ACK.KV_b.c.1.7.1.99",
        "$JS.ACK.x.KV_b.c.1.7.1.99.3",
        "$JS.FC.KV_b.c.1.7.1.99.3",
    ] {
        let mut consumer = Consumer::new(BEAT, Instant::now());
        assert_eq!(consumer.message(&data(reply)), Action::Ignore, "{reply}");
    }
    // State of one prefix is not used for the other.
    let mut consumer = Consumer::new(BEAT, Instant::now());
    for (nth, start) in [(1, "$JS.ACK.KV_b.c"), (2, "$JS.ACK.hub.HASH.KV_b.c")] {
        let reply = format!("{start}.1.{nth}.{nth}.99.3");
        assert_eq!(consumer.message(&data(&reply)), deliver(nth, 3), "{reply}");
    }
}

#[test]
fn a_watch_is_silent_after_two_heartbeats() {
    let start = Instant::now();
    let mut consumer = Consumer::new(BEAT, start);
    assert_eq!(consumer.patience_left(start), Some(BEAT * 2));
    assert_eq!(consumer.patience_left(start + BEAT), Some(BEAT));
    assert_eq!(consumer.patience_left(start + BEAT * 2), None);

    // A message counts from when it was handled, and only once.
    consumer.message(&heartbeat(0));
    consumer.drained(start + BEAT);
    assert_eq!(consumer.patience_left(start + BEAT * 2), Some(BEAT));
    consumer.drained(start + BEAT * 2);
    assert_eq!(consumer.patience_left(start + BEAT * 3), None);
}
