//! Properties that hold for any input, shared by the fuzz targets and the property tests.
#![allow(clippy::panic, clippy::expect_used, clippy::unwrap_used)] // this is how they report

use std::time::Duration;

use bytes::Bytes;

use super::{
    Config, Connection, Output, ParseError, Parser, ServerOp, ServerUrl, auth::Login, encoder,
};
use crate::{
    message::{Message, Outbound},
    platform::Instant,
};

type Parsed = (Vec<ServerOp>, Option<ParseError>);

fn parse<'a>(chunks: impl IntoIterator<Item = &'a [u8]>) -> Parsed {
    let mut parser = Parser::new();
    let mut ops = Vec::new();
    for chunk in chunks {
        let mut input = Bytes::copy_from_slice(chunk);
        loop {
            match parser.next(&mut input) {
                Ok(Some(op)) => ops.push(op),
                Ok(None) => break,
                Err(error) => return (ops, Some(error)),
            }
        }
        assert!(input.is_empty(), "all input is used");
        assert!(
            parser.buffered() <= 3 * 1024 * 1024,
            "the buffer is bounded"
        );
    }
    (ops, None)
}

/// Any stream gives the same operations and the same error however it is split; `splits` are the sizes of
/// the pieces, repeated.
pub fn any_split_parses_the_same(stream: &[u8], splits: &[u8]) {
    let whole = parse([stream]);
    let mut sizes = splits.iter().map(|&size| usize::from(size).max(1)).cycle();
    let mut rest = stream;
    let pieces = std::iter::from_fn(|| {
        let size = sizes.next().unwrap_or(1).min(rest.len());
        let (piece, after) = rest.split_at(size);
        rest = after;
        (!piece.is_empty()).then_some(piece)
    });
    let (ops, error) = parse(pieces);
    assert_eq!(ops, whole.0);
    assert_eq!(error, whole.1);
}

/// A message survives encoding by a client, forwarding by a server, and parsing. The encoder rejects invalid
/// subjects and headers.
pub fn encode_then_parse(subject: &str, reply: &str, headers: &[(String, String)], payload: &[u8]) {
    let sent = Outbound {
        subject: subject.into(),
        reply: (!reply.is_empty()).then(|| reply.into()),
        headers: headers
            .iter()
            .map(|(name, value)| (name.clone(), value.trim_matches([' ', '\t']).to_owned()))
            .collect(),
        payload: Bytes::copy_from_slice(payload),
    };
    if encoder::check(&sent).is_err() {
        return;
    }
    let mut bytes = Vec::new();
    encoder::publish(&mut bytes, &sent);
    // `HPUB a b 3 4` becomes `HMSG a 7 b 3 4`.
    let at = bytes.iter().position(|&byte| byte == b' ').unwrap();
    let rest = &bytes[at + 1..];
    let at = rest.iter().position(|&byte| byte == b' ').unwrap();
    let name = if sent.headers.is_empty() {
        "MSG"
    } else {
        "HMSG"
    };
    let mut stream = format!("{name} {} 7", sent.subject).into_bytes();
    stream.extend_from_slice(&rest[at..]);

    let expected = ServerOp::Message {
        sid: 7,
        message: Message {
            subject: sent.subject,
            reply: sent.reply,
            headers: sent.headers,
            payload: sent.payload,
            ..Message::default()
        },
    };
    let (ops, error) = parse([stream.as_slice()]);
    assert_eq!((ops, error), (vec![expected], None));
    any_split_parses_the_same(&stream, &[1, 3, 64]);
}

/// A client that receives any bytes at any time does not panic, buffers only bounded data, and completes
/// every request exactly once.
pub fn any_conversation(script: &[u8]) {
    let mut now = Instant::now();
    let servers = vec![
        ServerUrl::parse("ws://a").unwrap(),
        ServerUrl::parse("ws://b").unwrap(),
    ];
    let mut client = Connection::new(Config::new(servers, "_INBOX.x".into()), 7, now);
    let (mut asked, mut answered) = (Vec::new(), Vec::new());
    let mut sid = None;
    let mut heard = Vec::new();
    let drain = |client: &mut Connection, answered: &mut Vec<u64>, now| {
        let mut acts = 0;
        while let Some(output) = client.next_output() {
            acts += 1;
            assert!(acts < 10_000, "it comes to rest");
            match output {
                Output::Answer(id, _) => answered.push(id),
                Output::Dial(_) => client.opened(),
                Output::Authenticate(..) => client.login(Ok(Login::default()), now),
                _ => {}
            }
        }
        client.transmit();
    };
    for &byte in script {
        drain(&mut client, &mut answered, now);
        match byte {
            0x80 => asked.push(client.request(
                Outbound::new("a", "b"),
                Duration::from_secs(u64::from(byte)),
                now,
            )),
            0x81 => sid = client.subscribe("a.>".into(), now).ok().or(sid),
            0x82 => client.unsubscribe(sid.take().unwrap_or(1), now),
            0x83 => client.lost("gone", now),
            0x84 => client.wake(now),
            0x85 => now += Duration::from_millis(200),
            0x86 => now += Duration::from_secs(20),
            0x87 => heard.extend_from_slice(b"INFO {\"headers\":true,\"max_payload\":9}\r\n"),
            0x88 => heard.extend_from_slice(b"PONG\r\n"),
            0x89 => heard.extend_from_slice(b"MSG _INBOX.x.1 1 0\r\n\r\n"),
            0x8a => heard.extend_from_slice(b"INFO {\"ldm\":true,\"connect_urls\":[\"c:1\"]}\r\n"),
            0x8b => {
                heard.extend_from_slice(b"-ERR 'Permissions Violation for Publish to \"a\"'\r\n");
            }
            0x8c => heard.extend_from_slice(b"-ERR 'Authorization Violation'\r\n"),
            0x8d => _ = client.publish(&Outbound::new("a", vec![0; 9]), now),
            0x8e => {
                let mut input = Bytes::from(std::mem::take(&mut heard));
                loop {
                    match client.receive(&mut input, now) {
                        Some(Output::Answer(id, _)) => answered.push(id),
                        Some(_) => {}
                        None => break,
                    }
                    drain(&mut client, &mut answered, now);
                }
            }
            0x8f => client.tick(now),
            other => heard.push(other),
        }
    }
    client.close(now);
    client.tick(now + Duration::from_secs(60));
    client.tick(now + Duration::from_secs(600));
    drain(&mut client, &mut answered, now);
    answered.sort_unstable();
    assert_eq!(answered, asked, "every request has one result");
    assert_eq!(client.deadline(), None, "it is over");
}
