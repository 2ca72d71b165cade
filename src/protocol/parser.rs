//! What a server sends, cut into operations.

use bytes::{Buf, Bytes};
use bytestring::ByteString;

use super::fields;
use crate::{headers::Headers, message::Message};

/// No control line is longer: subjects are bounded by the server's own 4 kB, and an INFO that lists
/// hundreds of servers still fits.
const MAX_LINE: usize = 64 * 1024;
/// Answers that servers make are larger than what they accept: the API wraps values in base64 and
/// adds headers. Twice the limit and this much more is what an honest server stays below.
const SLACK: usize = 64 * 1024;
const DEFAULT_MAX_PAYLOAD: usize = 1024 * 1024;
/// Memory is set aside for a body as it arrives, not as it is announced.
const FIRST_RESERVE: usize = 64 * 1024;

/// One operation of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ServerOp {
    /// What the server says of itself, as JSON.
    Info(Bytes),
    /// A message for a subscription.
    Message {
        /// The subscription, as the client numbered it.
        sid: u64,
        /// The message.
        message: Message,
    },
    /// Asks for a PONG.
    Ping,
    /// Answers a PING.
    Pong,
    /// Acknowledges, in verbose mode.
    Ok,
    /// Something is wrong; the text without its quotes.
    Err(String),
}

/// Bytes that are not the protocol. The connection they came from is of no further use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum ParseError {
    /// A control line that does not end.
    #[error("a control line is longer than {MAX_LINE} bytes")]
    LineTooLong,
    /// An operation that no server sends.
    #[error("an unknown operation")]
    UnknownOperation,
    /// An operation whose arguments do not make sense.
    #[error("malformed arguments")]
    BadArguments,
    /// A message larger than the server itself accepts.
    #[error("a message of {size} bytes is more than {limit}")]
    TooLarge {
        /// What was announced.
        size: usize,
        /// What is accepted.
        limit: usize,
    },
    /// A message whose body is not followed by the end of a line.
    #[error("a message does not end where it should")]
    BadEnd,
}

/// Cuts a stream of bytes into operations, however it was cut on the way.
///
/// Subjects, and the bodies of messages that are whole in one chunk, are slices of that chunk:
/// keep chunks small enough (tens of kilobytes) that holding on to one small message does not hold
/// on to megabytes.
#[derive(Debug)]
pub(crate) struct Parser {
    /// The beginning of a line or a body whose end has not arrived.
    partial: Vec<u8>,
    /// The message whose body comes next.
    head: Option<Head>,
    max_message: usize,
}

#[derive(Debug)]
struct Head {
    subject: ByteString,
    sid: u64,
    reply: Option<ByteString>,
    headers: usize,
    total: usize,
}

enum Line {
    Op(ServerOp),
    Head(Head),
}

impl Default for Parser {
    fn default() -> Self {
        Self::new()
    }
}

impl Parser {
    /// A parser for a new connection.
    pub(crate) fn new() -> Self {
        let mut parser = Self {
            partial: Vec::new(),
            head: None,
            max_message: 0,
        };
        parser.set_max_payload(DEFAULT_MAX_PAYLOAD);
        parser
    }

    /// Sets the bound for messages from the server's `max_payload`.
    pub(crate) fn set_max_payload(&mut self, max_payload: usize) {
        self.max_message = max_payload
            .max(DEFAULT_MAX_PAYLOAD)
            .saturating_mul(2)
            .saturating_add(SLACK);
    }

    /// How many bytes are kept for an operation whose end has not arrived.
    #[cfg(any(test, feature = "fuzzing"))]
    pub(crate) fn buffered(&self) -> usize {
        self.partial.capacity()
    }

    /// Takes the next operation off the front of `input`. `None` means that `input` is used up.
    /// After an error, neither the input nor the parser is of further use.
    pub(crate) fn next(&mut self, input: &mut Bytes) -> Result<Option<ServerOp>, ParseError> {
        loop {
            if let Some(head) = self.head.take() {
                let Some(body) = self.body(&head, input) else {
                    self.head = Some(head);
                    return Ok(None);
                };
                return finish(head, &body).map(Some);
            }
            let Some(line) = self.line(input)? else {
                return Ok(None);
            };
            match parse_line(&line)? {
                Line::Op(op) => return Ok(Some(op)),
                Line::Head(head) if head.total > self.max_message => {
                    return Err(ParseError::TooLarge {
                        size: head.total,
                        limit: self.max_message,
                    });
                }
                Line::Head(head) => self.head = Some(head),
            }
        }
    }

    /// The next line without its end.
    fn line(&mut self, input: &mut Bytes) -> Result<Option<Bytes>, ParseError> {
        let end = memchr::memchr(b'\n', input);
        let here = end.unwrap_or(input.len());
        if self.partial.len() + here > MAX_LINE {
            return Err(ParseError::LineTooLong);
        }
        let Some(end) = end else {
            self.partial.extend_from_slice(input);
            input.clear();
            return Ok(None);
        };
        let mut line = input.split_to(end);
        input.advance(1);
        if !self.partial.is_empty() {
            let mut whole = std::mem::take(&mut self.partial);
            whole.extend_from_slice(&line);
            line = Bytes::from(whole);
        }
        if line.last() == Some(&b'\r') {
            line.truncate(line.len() - 1);
        }
        Ok(Some(line))
    }

    /// The body of the message, with the end of its line.
    fn body(&mut self, head: &Head, input: &mut Bytes) -> Option<Bytes> {
        let need = head.total + 2;
        if self.partial.is_empty() && input.len() >= need {
            return Some(input.split_to(need));
        }
        let have = self.partial.len();
        let take = input.len().min(need - have);
        if have + take > self.partial.capacity() {
            let room = need.min((2 * (have + take)).max(FIRST_RESERVE));
            self.partial.reserve_exact(room - have);
        }
        self.partial.extend_from_slice(&input[..take]);
        input.advance(take);
        (self.partial.len() == need).then(|| Bytes::from(std::mem::take(&mut self.partial)))
    }
}

fn finish(head: Head, body: &Bytes) -> Result<ServerOp, ParseError> {
    if &body[head.total..] != b"\r\n" {
        return Err(ParseError::BadEnd);
    }
    let mut message = Message {
        subject: head.subject,
        reply: head.reply,
        headers: Headers::new(),
        status: None,
        description: None,
        payload: body.slice(head.headers..head.total),
    };
    if head.headers > 0 {
        let block = fields::parse(&body[..head.headers]);
        message.headers = block.headers;
        message.status = block.status;
        message.description = block.description;
    }
    Ok(ServerOp::Message {
        sid: head.sid,
        message,
    })
}

fn parse_line(line: &Bytes) -> Result<Line, ParseError> {
    let end = line.iter().position(|&byte| is_blank(byte));
    let (name, arguments) = match end {
        Some(end) => (&line[..end], end),
        None => (&line[..], line.len()),
    };
    let is = |op: &[u8]| name.eq_ignore_ascii_case(op);
    // The order is by how often they come.
    if is(b"MSG") {
        parse_head(line, arguments, false)
    } else if is(b"HMSG") {
        parse_head(line, arguments, true)
    } else if is(b"PING") {
        Ok(Line::Op(ServerOp::Ping))
    } else if is(b"PONG") {
        Ok(Line::Op(ServerOp::Pong))
    } else if is(b"+OK") {
        Ok(Line::Op(ServerOp::Ok))
    } else if is(b"INFO") {
        Ok(Line::Op(ServerOp::Info(line.slice(arguments..))))
    } else if is(b"-ERR") {
        let text = String::from_utf8_lossy(&line[arguments..]);
        let text = text.trim().trim_matches('\'');
        Ok(Line::Op(ServerOp::Err(text.to_owned())))
    } else {
        Err(ParseError::UnknownOperation)
    }
}

/// `MSG <subject> <sid> [reply] <total>` or `HMSG <subject> <sid> [reply] <headers> <total>`.
fn parse_head(line: &Bytes, arguments: usize, with_headers: bool) -> Result<Line, ParseError> {
    let mut words = Words {
        line,
        at: arguments,
    };
    let mut word = || words.next();
    let (Some(subject), Some(sid), Some(third)) = (word(), word(), word()) else {
        return Err(ParseError::BadArguments);
    };
    let (fourth, fifth, sixth) = (word(), word(), word());
    let (reply, headers, total) = match (with_headers, fourth, fifth, sixth) {
        (false, None, None, None) => (None, None, third),
        (false, Some(total), None, None) => (Some(third), None, total),
        (true, Some(total), None, None) => (None, Some(third), total),
        (true, Some(headers), Some(total), None) => (Some(third), Some(headers), total),
        _ => return Err(ParseError::BadArguments),
    };
    let size = |(from, to): Span| number(&line[from..to]);
    let headers = match headers {
        Some(span) => usize::try_from(size(span)?),
        None => Ok(0),
    };
    let (Ok(headers), Ok(total)) = (headers, usize::try_from(size(total)?)) else {
        return Err(ParseError::BadArguments);
    };
    if headers > total {
        return Err(ParseError::BadArguments);
    }
    Ok(Line::Head(Head {
        subject: text(line, subject),
        sid: size(sid)?,
        reply: reply.map(|span| text(line, span)),
        headers,
        total,
    }))
}

type Span = (usize, usize);

struct Words<'a> {
    line: &'a [u8],
    at: usize,
}

impl Words<'_> {
    fn next(&mut self) -> Option<Span> {
        let line = self.line;
        while line.get(self.at).copied().is_some_and(is_blank) {
            self.at += 1;
        }
        let from = self.at;
        while line.get(self.at).is_some_and(|&byte| !is_blank(byte)) {
            self.at += 1;
        }
        (from < self.at).then_some((from, self.at))
    }
}

fn is_blank(byte: u8) -> bool {
    byte == b' ' || byte == b'\t'
}

/// A slice of the line. Subjects are bytes to the server and text here; those that are not text
/// can be read, though not answered.
fn text(line: &Bytes, (from, to): Span) -> ByteString {
    let bytes = line.slice(from..to);
    ByteString::try_from(bytes)
        .unwrap_or_else(|_| String::from_utf8_lossy(&line[from..to]).as_ref().into())
}

fn number(digits: &[u8]) -> Result<u64, ParseError> {
    // Eighteen digits cannot overflow.
    if digits.is_empty() || digits.len() > 18 {
        return Err(ParseError::BadArguments);
    }
    digits.iter().try_fold(0, |number, &digit| {
        if digit.is_ascii_digit() {
            Ok(number * 10 + u64::from(digit - b'0'))
        } else {
            Err(ParseError::BadArguments)
        }
    })
}
