use bytes::Bytes;
use proptest::prelude::*;

use super::{ParseError, Parser, Pool, Reconnect, ServerOp, ServerUrl, fuzzing};
use crate::{message::Message, random::Random};

fn one(text: &str) -> Result<Option<ServerOp>, ParseError> {
    Parser::new().next(&mut Bytes::copy_from_slice(text.as_bytes()))
}

fn message(text: &str) -> Message {
    match one(text) {
        Ok(Some(ServerOp::Message { message, .. })) => message,
        other => panic!("{text:?} is {other:?}"),
    }
}

#[test]
fn reads_every_operation() {
    let info = Bytes::from_static(br#" {"a":1}"#);
    assert_eq!(one("INFO {\"a\":1}\r\n"), Ok(Some(ServerOp::Info(info))));
    assert_eq!(one("PING\r\n"), Ok(Some(ServerOp::Ping)));
    assert_eq!(one("pong\n"), Ok(Some(ServerOp::Pong)));
    assert_eq!(one("+OK\r\n"), Ok(Some(ServerOp::Ok)));
    let error = ServerOp::Err("Stale Connection".into());
    assert_eq!(one("-ERR 'Stale Connection'\r\n"), Ok(Some(error)));
    assert_eq!(one("PIN"), Ok(None));
}

#[test]
fn reads_messages() {
    let plain = message("MSG a.b 12 3\r\nabc\r\n");
    assert_eq!((&*plain.subject, &*plain.payload), ("a.b", &b"abc"[..]));
    assert_eq!(plain.reply, None);
    let reply = message("MSG\ta.b  12 c.d 0\r\n\r\n");
    assert_eq!(reply.reply.as_deref(), Some("c.d"));
}

#[test]
fn reads_headers_with_status_and_repeated_names() {
    let block = "NATS/1.0 100 FlowControl Request\r\nTag: a\r\nTag:b \r\nbroken\r\n\r\n";
    let text = format!(
        "HMSG a 1 b {0} {1}\r\n{block}xy\r\n",
        block.len(),
        block.len() + 2
    );
    let message = message(&text);
    assert_eq!(message.status, Some(100));
    assert_eq!(message.description.as_deref(), Some("FlowControl Request"));
    assert_eq!(
        message.headers.get_all("Tag").collect::<Vec<_>>(),
        ["a", "b"]
    );
    assert_eq!((message.headers.len(), &*message.payload), (2, &b"xy"[..]));
}

#[test]
fn refuses_invalid_input() {
    use ParseError::{BadArguments, BadEnd, UnknownOperation};
    for (text, error) in [
        ("HTTP/1.1 400\r\n", UnknownOperation),
        ("\r\n", UnknownOperation),
        ("MSG a 1\r\n", BadArguments),
        ("MSG a x 1\r\n", BadArguments),
        ("MSG a 1 -1\r\n", BadArguments),
        ("MSG a 1 b c 1\r\n", BadArguments),
        ("HMSG a 1 9 8\r\n", BadArguments),
        ("MSG a 1 99999999999999999999999\r\n", BadArguments),
        ("MSG a 1 1\r\nabc", BadEnd),
    ] {
        assert_eq!(one(text), Err(error), "{text:?}");
    }
    assert!(matches!(
        one("MSG a 1 99999999\r\n"),
        Err(ParseError::TooLarge { .. })
    ));
}

#[test]
fn refuses_an_endless_line() {
    let mut parser = Parser::new();
    let mut result = Ok(None);
    for _ in 0..100 {
        result = parser.next(&mut Bytes::from_static(&[b'x'; 1000]));
    }
    assert_eq!(result, Err(ParseError::LineTooLong));
    assert!(parser.buffered() < 256 * 1024);
}

#[test]
fn a_whole_message_is_not_copied() {
    let mut input = Bytes::from_static(b"MSG a.b 1 5\r\nhello\r\n");
    let from = input.as_ptr();
    let Ok(Some(ServerOp::Message { message, .. })) = Parser::new().next(&mut input) else {
        panic!("no message");
    };
    assert_eq!(message.payload.as_ptr() as usize - from as usize, 13);
    assert_eq!(
        message.subject.as_bytes().as_ptr() as usize - from as usize,
        4
    );
}

#[test]
fn an_announced_size_is_not_allocated_in_advance() {
    let mut parser = Parser::new();
    let mut input = Bytes::from_static(b"MSG a 1 2000000\r\nx");
    assert_eq!(parser.next(&mut input), Ok(None));
    assert!(parser.buffered() <= 64 * 1024);
}

/// Streams that are mostly the protocol: pure noise ends at its first line.
fn stream() -> impl Strategy<Value = Vec<u8>> {
    let body = prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..40),
        (0usize..9000).prop_map(|size| vec![b'v'; size]),
    ];
    let message = (body, any::<bool>(), "[a-z.\u{e9}]{1,9}").prop_map(|(body, reply, subject)| {
        let reply = if reply { "r.1 " } else { "" };
        let mut bytes = format!("MSG {subject} 3 {reply}{}\r\n", body.len()).into_bytes();
        bytes.extend(body);
        bytes.extend_from_slice(b"\r\n");
        bytes
    });
    let with_headers = "[A-Za-z]{0,4}(:| 503 No|\r\n){0,3}[a-z ]{0,4}\r\n".prop_map(|fields| {
        let block = format!("NATS/1.0 {fields}\r\n");
        format!("HMSG a 3 {0} {0}\r\n{block}\r\n", block.len()).into_bytes()
    });
    let small = proptest::sample::select(vec![
        "PING\r\n",
        "PONG\r\n",
        "+OK\r\n",
        "-ERR 'x y'\r\n",
        "INFO {}\r\n",
    ])
    .prop_map(|op| op.as_bytes().to_vec());
    let noise = proptest::collection::vec(any::<u8>(), 0..5);
    let op = prop_oneof![8 => message, 4 => with_headers, 4 => small, 1 => noise];
    proptest::collection::vec(op, 0..12).prop_map(|ops| ops.concat())
}

proptest! {
    #[test]
    fn any_split_parses_the_same(
        stream in stream(),
        splits in proptest::collection::vec(any::<u8>(), 1..6),
    ) {
        fuzzing::any_split_parses_the_same(&stream, &splits);
    }

    #[test]
    fn random_input_is_harmless(
        stream in proptest::collection::vec(any::<u8>(), 0..300),
        splits in proptest::collection::vec(any::<u8>(), 1..4),
    ) {
        fuzzing::any_split_parses_the_same(&stream, &splits);
    }

    #[test]
    fn encode_then_parse(
        subject in "[a-zA-Z$._ \u{fc}]{0,12}",
        reply in "[a-z.]{0,6}",
        headers in proptest::collection::vec(("[a-zA-Z:-]{0,8}", "[ -~\r\n\u{e4}]{0,12}"), 0..4),
        payload in proptest::collection::vec(any::<u8>(), 0..200),
    ) {
        fuzzing::encode_then_parse(&subject, &reply, &headers, &payload);
    }

    #[test]
    fn any_conversation(
        script in proptest::collection::vec(prop_oneof![4 => 0x80u8..=0x8f, 1 => any::<u8>()], 0..200),
    ) {
        fuzzing::any_conversation(&script);
    }

    #[test]
    fn any_text_is_an_address_or_an_error(text in "\\PC{0,24}", text2 in "(ws|wss|nats)://[a-z@:/0-9\\[\\]%]{0,16}") {
        for text in [text, text2] {
            if let Ok(url) = ServerUrl::parse(&text) {
                let again = ServerUrl::parse(&url.to_string()).unwrap();
                prop_assert!(again.same_place(&url));
            }
        }
    }
}

#[test]
fn addresses() {
    for (text, shown) in [
        ("h", "wss://h:443"),
        ("ws://h", "ws://h:80"),
        ("WSS://h/p/q?r=1", "wss://h:443/p/q?r=1"),
        ("ws://u:p@h:9", "ws://h:9"),
        ("ws://[::1]:9/x", "ws://[::1]:9/x"),
        ("nats://h", "nats://h:4222"),
    ] {
        assert_eq!(ServerUrl::parse(text).unwrap().to_string(), shown);
    }
    for text in [
        "", "ws://", "http://h", "ws://h:0", "ws://h:x", "ws://h h", "ws://h#f",
    ] {
        assert!(ServerUrl::parse(text).is_err(), "{text:?}");
    }
    let secret = ServerUrl::parse("ws://u:secret@h:x").unwrap_err();
    assert!(!secret.to_string().contains("secret"));
}

fn urls(texts: &[&str]) -> Vec<ServerUrl> {
    texts
        .iter()
        .map(|text| ServerUrl::parse(text).unwrap())
        .collect()
}

#[test]
fn discovered_servers_come_and_go_and_configured_ones_stay() {
    let mut random = Random::new(1);
    let mut pool = Pool::new(urls(&["wss://a/nats", "wss://b"]), &mut random);
    while pool.advance().unwrap().bare_host() != "a" {}
    pool.gossip(
        &[
            "c:1".into(),
            "10.0.0.1:2".into(),
            "[::1]:3".into(),
            "a:443".into(),
        ],
        &mut random,
    );
    let all = |pool: &mut Pool| {
        let mut all: Vec<_> = (0..6)
            .map(|_| pool.advance().unwrap().to_string())
            .collect();
        all.sort();
        all.dedup();
        all
    };
    assert_eq!(
        all(&mut pool),
        ["wss://a:443/nats", "wss://b:443", "wss://c:1/nats"]
    );
    while pool.advance().unwrap().bare_host() != "a" {}
    pool.gossip(&["d:1".into()], &mut random);
    assert_eq!(
        all(&mut pool),
        ["wss://a:443/nats", "wss://b:443", "wss://d:1/nats"]
    );
}

#[test]
fn delays_grow_are_bounded_and_have_jitter() {
    let policy = &super::Config::new(Vec::new(), String::new()).reconnect;
    let policy: &Reconnect = policy;
    let mut random = Random::new(2);
    let mut pool = Pool::new(urls(&["ws://a", "ws://b"]), &mut random);
    assert!(pool.delay(policy, &mut random) <= policy.first_delay);
    (0..40).for_each(|_| pool.failed());
    let (one, two) = (
        pool.delay(policy, &mut random),
        pool.delay(policy, &mut random),
    );
    assert!(one >= policy.longest_delay / 2 && one <= policy.longest_delay);
    assert_ne!(one, two);
}
