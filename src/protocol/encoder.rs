//! Encodes the client's operations. Everything is appended to one buffer, so that small writes are sent
//! together.

use super::fields;
use crate::{headers::Headers, message::Outbound, words::Quoted};

/// Asks for a PONG.
pub(crate) const PING: &[u8] = b"PING\r\n";
/// Answers a PING.
pub(crate) const PONG: &[u8] = b"PONG\r\n";

/// A message that cannot be encoded without changing its meaning.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum Unencodable {
    /// Empty, or with white space or control characters.
    #[error("{} is not a subject", Quoted(.0))]
    Subject(String),
    /// A header name with anything but visible ASCII, or a value with a line break.
    #[error("header {} has a name or value that cannot be sent", Quoted(.0))]
    Header(String),
}

/// The size that counts against the server's limit: headers and body.
pub(crate) fn size(message: &Outbound) -> usize {
    message.headers.wire_size() + message.payload.len()
}

/// Checks whether a message can be sent.
pub(crate) fn check(message: &Outbound) -> Result<(), Unencodable> {
    check_subject(&message.subject)?;
    message.reply.as_deref().map_or(Ok(()), check_subject)?;
    check_headers(&message.headers)
}

/// Checks a subject: not empty, without white space.
pub(crate) fn check_subject(subject: &str) -> Result<(), Unencodable> {
    if subject.is_empty() || subject.bytes().any(|byte| byte <= b' ' || byte == 0x7f) {
        return Err(Unencodable::Subject(subject.to_owned()));
    }
    Ok(())
}

fn check_headers(headers: &Headers) -> Result<(), Unencodable> {
    match headers
        .iter()
        .find(|(name, value)| !fields::is_valid(name, value))
    {
        Some((name, _)) => Err(Unencodable::Header(name.to_owned())),
        None => Ok(()),
    }
}

/// Appends a message that has passed [`check`].
pub(crate) fn publish(out: &mut Vec<u8>, message: &Outbound) {
    let headers = message.headers.wire_size();
    let total = headers + message.payload.len();
    out.reserve(total + message.subject.len() + 64);
    out.extend_from_slice(if headers > 0 { b"HPUB " } else { b"PUB " });
    out.extend_from_slice(message.subject.as_bytes());
    if let Some(reply) = &message.reply {
        out.push(b' ');
        out.extend_from_slice(reply.as_bytes());
    }
    if headers > 0 {
        number(out, headers as u64);
    }
    number(out, total as u64);
    out.extend_from_slice(b"\r\n");
    fields::write(&message.headers, out);
    out.extend_from_slice(&message.payload);
    out.extend_from_slice(b"\r\n");
}

/// Appends a SUB.
pub(crate) fn subscribe(out: &mut Vec<u8>, subject: &str, sid: u64) {
    out.extend_from_slice(b"SUB ");
    out.extend_from_slice(subject.as_bytes());
    number(out, sid);
    out.extend_from_slice(b"\r\n");
}

/// Appends an UNSUB.
pub(crate) fn unsubscribe(out: &mut Vec<u8>, sid: u64) {
    out.extend_from_slice(b"UNSUB");
    number(out, sid);
    out.extend_from_slice(b"\r\n");
}

/// Appends the CONNECT line.
pub(crate) fn connect(out: &mut Vec<u8>, json: &[u8]) {
    out.extend_from_slice(b"CONNECT ");
    out.extend_from_slice(json);
    out.extend_from_slice(b"\r\n");
}

/// Appends a space and a number, without the code size of `std::fmt`.
fn number(out: &mut Vec<u8>, number: u64) {
    out.push(b' ');
    decimal(out, number);
}

/// Appends a number in decimal.
pub(super) fn decimal(out: &mut Vec<u8>, mut number: u64) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}
