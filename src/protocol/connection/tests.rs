use bytes::Bytes;

use super::*;
use crate::status::ConnectionState;

mod closing;
mod credentials;
mod room;

const INFO: &str = r#"INFO {"headers":true,"max_payload":100,"nonce":"n"}"#;

const LARGE_INFO: &str = r#"INFO {"headers":true,"max_payload":1048576}"#;

/// A client, and what it did so far.
struct Talk {
    client: Connection,
    now: Instant,
    outputs: Vec<Output>,
}

impl Talk {
    fn new(servers: &[&str]) -> Self {
        let servers = servers
            .iter()
            .map(|url| ServerUrl::parse(url).unwrap())
            .collect();
        let now = Instant::now();
        let config = Config::new(servers, "_INBOX.x".into());
        let client = Connection::new(config, 1, now);
        Self {
            client,
            now,
            outputs: Vec::new(),
        }
    }

    fn connected() -> Self {
        let mut talk = Self::new(&["ws://a"]);
        talk.handshake();
        talk.sent();
        talk.outputs.clear();
        talk
    }

    /// One that has sent as much as it may, and how many requests that were.
    fn full() -> (Self, usize) {
        let mut talk = Self::connected();
        talk.hear(LARGE_INFO);
        let mut sent = 0;
        while talk.client.liveness.has_room() {
            talk.request_of(300_000);
            sent += 1;
        }
        talk.client.transmit();
        (talk, sent)
    }

    /// Everything up to the connection, from a fresh dial.
    fn handshake(&mut self) {
        self.collect();
        self.client.opened();
        self.hear(INFO);
        self.client.login(Ok(Login::default()), self.now);
        let sent = self.sent();
        assert!(
            sent.starts_with("CONNECT {") && sent.ends_with("PING\r\n"),
            "{sent}"
        );
        // What the server is to do from now on, rather than who we are.
        for says in [r#""protocol":1"#, r#""echo":true"#, r#""pedantic":false"#] {
            assert!(sent.contains(says), "{sent}");
        }
        self.hear("PONG");
    }

    fn hear(&mut self, line: &str) {
        let mut input = Bytes::from(format!("{line}\r\n"));
        while let Some(output) = self.client.receive(&mut input, self.now) {
            self.outputs.push(output);
        }
        self.collect();
    }

    fn collect(&mut self) {
        while let Some(output) = self.client.next_output() {
            self.outputs.push(output);
        }
    }

    fn sent(&mut self) -> String {
        let bytes = self.client.transmit().unwrap_or_default();
        String::from_utf8(bytes.to_vec()).unwrap()
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
        self.client.tick(self.now);
        self.collect();
    }

    /// Until it does something by itself.
    fn pass_to_deadline(&mut self) {
        self.now = self.client.deadline().unwrap();
        self.pass(Duration::ZERO);
    }

    fn request(&mut self, subject: &str) -> RequestId {
        let message = Outbound::new(subject.to_owned(), "?");
        self.client
            .request(message, Duration::from_secs(5), self.now)
    }

    fn request_of(&mut self, size: usize) -> RequestId {
        let message = Outbound::new("a", vec![b'x'; size]);
        self.client
            .request(message, Duration::from_secs(5), self.now)
    }

    fn answers(&mut self) -> Vec<(RequestId, String)> {
        self.collect();
        let outputs = std::mem::take(&mut self.outputs);
        let answers = outputs.into_iter().filter_map(|output| match output {
            Output::Answer(id, Ok(message)) => Some((id, format!("{:?}", message.payload))),
            Output::Answer(id, Err(error)) => Some((id, error.to_string())),
            _ => None,
        });
        answers.collect()
    }

    /// Whether it was told that the connection is so.
    fn is(&self, state: ConnectionState, epoch: u64) -> bool {
        self.has(|output| {
            matches!(output, Output::State(now) if (now.state, now.epoch) == (state, epoch))
        })
    }

    fn has(&self, is: impl Fn(&Output) -> bool) -> bool {
        self.outputs.iter().any(is)
    }
}

#[test]
fn shakes_hands() {
    let mut talk = Talk::new(&["ws://a"]);
    talk.handshake();
    assert!(talk.is(ConnectionState::Connected, 1));
    assert_eq!(talk.sent(), "SUB _INBOX.x.* 1\r\n");
    let nonce = |o: &Output| matches!(o, Output::Authenticate(Some(nonce), _) if nonce == "n");
    assert!(talk.has(nonce));
}

#[test]
fn one_deadline_for_the_whole_handshake() {
    let mut talk = Talk::new(&["ws://a", "ws://b"]);
    talk.collect();
    talk.pass(Duration::from_secs(6));
    talk.client.opened();
    talk.hear(INFO);
    talk.pass(Duration::from_secs(4));
    assert!(talk.has(|o| matches!(o, Output::Hangup)));
    talk.pass_to_deadline();
    let dials = talk.outputs.iter().filter(|o| matches!(o, Output::Dial(_)));
    assert_eq!(dials.count(), 2);
}

#[test]
fn replies_are_matched_to_requests() {
    let mut talk = Talk::connected();
    let (one, two) = (talk.request("a"), talk.request("b"));
    let expected = "PUB a _INBOX.x.1 1\r\n?\r\nPUB b _INBOX.x.2 1\r\n?\r\n";
    assert_eq!(talk.sent(), expected);
    talk.hear("MSG _INBOX.x.2 1 1\r\n2");
    talk.hear("MSG _INBOX.x.2 1 1\r\n3");
    talk.hear("HMSG _INBOX.x.1 1 16 16\r\nNATS/1.0 503\r\n\r\n");
    let expected = [
        (two, "b\"2\"".to_owned()),
        (one, "no responders".to_owned()),
    ];
    assert_eq!(talk.answers(), expected);
}

#[test]
fn each_request_has_its_own_deadline() {
    let mut talk = Talk::connected();
    let one = talk.request("a");
    talk.pass(Duration::from_secs(3));
    let two = talk.request("a");
    talk.pass(Duration::from_secs(2));
    assert_eq!(talk.answers(), [(one, "no answer within 5s".to_owned())]);
    talk.pass(Duration::from_secs(3));
    assert_eq!(talk.answers(), [(two, "no answer within 5s".to_owned())]);
}

#[test]
fn requests_are_lost_with_the_connection_and_never_resent() {
    let mut talk = Talk::connected();
    let sent = talk.request("a");
    talk.sent();
    talk.client.lost("gone", talk.now);
    let waiting = talk.request("b");
    assert_eq!(
        talk.answers(),
        [(
            sent,
            "the connection was lost before the response".to_owned()
        )]
    );
    talk.pass_to_deadline();
    talk.handshake();
    assert_eq!(
        talk.sent(),
        "SUB _INBOX.x.* 1\r\nPUB b _INBOX.x.2 1\r\n?\r\n"
    );
    talk.hear("MSG _INBOX.x.2 1 0\r\n");
    assert_eq!(talk.answers(), [(waiting, "b\"\"".to_owned())]);
}

#[test]
fn a_request_without_a_connection_is_reported_as_unsent() {
    let mut talk = Talk::connected();
    talk.client.lost("gone", talk.now);
    let id = talk.request("a");
    talk.pass(Duration::from_secs(5));
    assert_eq!(talk.answers(), [(id, "not connected: gone".to_owned())]);
}

#[test]
fn subscriptions_survive() {
    let mut talk = Talk::connected();
    let sid = talk.client.subscribe("a.*".into(), talk.now).unwrap();
    let other = talk.client.subscribe("b".into(), talk.now).unwrap();
    talk.client.unsubscribe(other, talk.now);
    assert_eq!(
        talk.sent(),
        format!("SUB a.* {sid}\r\nSUB b {other}\r\nUNSUB {other}\r\n")
    );
    talk.client.lost("gone", talk.now);
    talk.pass_to_deadline();
    talk.handshake();
    assert_eq!(
        talk.sent(),
        format!("SUB _INBOX.x.* 1\r\nSUB a.* {sid}\r\n")
    );
    talk.hear(&format!("MSG a.b {sid} 1\r\nx"));
    assert!(talk.has(|o| matches!(o, Output::Message(s, m) if *s == sid && m.payload == "x")));
    assert!(talk.is(ConnectionState::Connected, 2));
    let malformed = talk.client.subscribe("a b".into(), talk.now);
    assert!(matches!(malformed, Err(TransportError::Invalid(_))));
}

#[test]
fn a_refused_subject_fails_its_requests_at_once() {
    let mut talk = Talk::connected();
    let (refused, other) = (talk.request("a"), talk.request("b"));
    let sid = talk.client.subscribe("c".into(), talk.now).unwrap();
    talk.hear("-ERR 'Permissions Violation for Publish to \"a\"'");
    talk.hear("-ERR 'Permissions Violation for Subscription to \"c\"'");
    assert!(talk.has(|o| matches!(o, Output::Refused(s, _) if *s == sid)));
    let answers = talk.answers();
    assert_eq!(answers.len(), 1);
    assert!(answers[0].0 == refused && answers[0].1.ends_with("no permission: a"));
    talk.hear("MSG _INBOX.x.2 1 0\r\n");
    assert_eq!(talk.answers(), [(other, "b\"\"".to_owned())]);
}

#[test]
fn requests_fail_without_permission_for_the_inbox() {
    let mut talk = Talk::connected();
    let before = talk.request("a");
    talk.hear("-ERR 'Permissions Violation for Subscription to \"_INBOX.x.*\"'");
    let after = talk.request("a");
    let [unknown, denied] = ["no permission to receive the response", "no permission"]
        .map(|why| format!("{why}: _INBOX.x.*"));
    assert_eq!(talk.answers(), [(before, unknown), (after, denied)]);
    assert!(!talk.sent().contains("_INBOX.x.2"));
    // The next connection may be one with permission.
    talk.client.lost("gone", talk.now);
    talk.pass_to_deadline();
    talk.handshake();
    talk.request("a");
    assert!(talk.sent().ends_with("PUB a _INBOX.x.3 1\r\n?\r\n"));
}

#[test]
fn a_message_that_is_too_large_or_malformed_is_not_sent() {
    let mut talk = Talk::connected();
    let large = Outbound::new("a", vec![0; 80]).header("Name", "value that is long");
    let error = talk.client.publish(&large, talk.now).unwrap_err();
    assert!(
        matches!(error, TransportError::TooLarge { limit: 100, .. }),
        "{error}"
    );
    for message in [
        Outbound::new("a b", ""),
        Outbound::new("", ""),
        Outbound::new("a\r\nPUB b 0\r\n", ""),
        Outbound::new("a", "").header("A", "x\r\n\r\n"),
        Outbound::new("a", "").header("A B", "x"),
    ] {
        let error = talk.client.publish(&message, talk.now).unwrap_err();
        assert!(matches!(error, TransportError::Invalid(_)), "{error}");
    }
    assert_eq!(talk.sent(), "");
}

#[test]
fn a_silent_server_is_pinged_and_then_dropped() {
    let mut talk = Talk::connected();
    talk.pass_to_deadline();
    assert_eq!(talk.sent(), "PING\r\n");
    talk.pass(Duration::from_secs(9));
    assert!(talk.outputs.is_empty());
    talk.pass(Duration::from_secs(1));
    assert!(talk.is(ConnectionState::Disconnected, 1));
}

#[test]
fn pongs_keep_the_connection_alive() {
    let mut talk = Talk::connected();
    for _ in 0..20 {
        talk.pass_to_deadline();
        assert_eq!(talk.sent(), "PING\r\n");
        talk.hear("PONG");
        talk.hear("PING");
        assert_eq!(talk.sent(), "PONG\r\n");
    }
    assert!(talk.outputs.is_empty());
}

#[test]
fn after_a_suspend_the_server_is_pinged_first() {
    let mut talk = Talk::connected();
    // However often it sleeps.
    for _ in 0..3 {
        talk.pass_to_deadline();
        talk.sent();
        talk.pass(Duration::from_secs(3600));
        assert_eq!(talk.sent(), "PING\r\n");
        talk.hear("PONG\r\nPONG");
        talk.pass(Duration::from_secs(5));
        assert!(talk.outputs.is_empty());
    }
    talk.client.wake(talk.now);
    assert_eq!(talk.sent(), "PING\r\n");
    talk.pass_to_deadline();
    assert!(talk.has(|o| matches!(o, Output::Hangup)));
}

#[test]
fn a_second_suspend_without_a_pong_ends_the_connection() {
    let mut talk = Talk::connected();
    talk.pass_to_deadline();
    talk.pass(Duration::from_secs(3600));
    assert!(talk.outputs.is_empty());
    talk.pass(Duration::from_secs(3600));
    assert!(talk.is(ConnectionState::Disconnected, 1));
}

#[test]
fn an_error_before_the_socket_closes_is_the_reason() {
    for (says, ends) in [
        ("Stale Connection", true),
        ("Maximum Payload Violation", true),
        ("maximum connections exceeded", true),
        ("Parser Error", true),
        ("Unknown Protocol Operation", true),
        ("Something new", false),
    ] {
        let mut talk = Talk::connected();
        talk.hear(&format!("-ERR '{says}'"));
        let is_over = talk.is(ConnectionState::Disconnected, 1);
        assert_eq!(is_over, ends, "{says}");
    }
    // Whoever is not in yet cannot go on after any of them.
    let mut talk = Talk::new(&["ws://a"]);
    talk.client.opened();
    talk.hear("-ERR 'Something new'");
    assert!(talk.has(|o| matches!(o, Output::Hangup)));
}

#[test]
fn waking_up_reconnects_at_once() {
    let mut talk = Talk::connected();
    talk.client.lost("gone", talk.now);
    talk.client.wake(talk.now);
    talk.collect();
    assert!(talk.has(|o| matches!(o, Output::Dial(_))));
}

#[test]
fn the_first_connect_tries_every_server_once() {
    let mut talk = Talk::new(&["ws://a", "ws://b"]);
    talk.client.lost("no", talk.now);
    talk.pass_to_deadline();
    assert!(!talk.has(|o| matches!(o, Output::Closed(_))));
    talk.client.lost("no", talk.now);
    talk.collect();
    let expected = CloseReason::Unreachable("no".into());
    assert!(talk.has(|o| matches!(o, Output::Closed(reason) if *reason == expected)));
    assert_eq!(talk.client.deadline(), None);
    assert!(!talk.is(ConnectionState::Disconnected, 0));
}

#[test]
fn a_lame_duck_server_is_left_after_its_last_reply() {
    let mut talk = Talk::connected();
    let id = talk.request("a");
    talk.sent();
    talk.hear(r#"INFO {"headers":true,"max_payload":100,"ldm":true,"connect_urls":["b:1"]}"#);
    let later = talk.request("b");
    assert_eq!(talk.sent(), "", "nothing new goes to a server that leaves");
    talk.hear("MSG _INBOX.x.1 1 0\r\n");
    talk.pass(Duration::ZERO);
    assert!(talk.has(|o| matches!(o, Output::LameDuck)));
    let to_b = |o: &Output| matches!(o, Output::Dial(url) if url.to_string() == "ws://b:1");
    assert!(talk.has(to_b));
    assert_eq!(talk.answers(), [(id, "b\"\"".to_owned())]);
    talk.handshake();
    assert!(talk.sent().contains(&format!("PUB b _INBOX.x.{later} ")));
}

#[test]
fn invalid_input_ends_the_connection_but_not_the_client() {
    let mut talk = Talk::connected();
    talk.hear("HTTP/1.1 400 Bad Request");
    assert!(talk.has(|o| matches!(o, Output::Hangup)));
    talk.pass_to_deadline();
    talk.handshake();
}
