//! The header block of a message: `NATS/1.0[ code[ description]]`, then one line for each value.

use crate::headers::Headers;

const VERSION: &str = "NATS/1.0";

/// A parsed header block.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Block {
    pub(super) status: Option<u16>,
    pub(super) description: Option<String>,
    pub(super) headers: Headers,
}

/// Parses a header block. Malformed parts are skipped: servers forward whatever a publisher wrote, and
/// another client's mistake must not end this connection.
pub(super) fn parse(block: &[u8]) -> Block {
    let mut lines = block
        .split(|&byte| byte == b'\n')
        .map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let mut read = Block::default();
    let status = String::from_utf8_lossy(lines.next().unwrap_or_default());
    if let Some(status) = status.strip_prefix(VERSION) {
        let status = status.trim();
        let (code, description) = status.split_once(' ').unwrap_or((status, ""));
        read.status = code.parse().ok();
        let description = description.trim();
        if read.status.is_some() && !description.is_empty() {
            read.description = Some(description.to_owned());
        }
    }
    for line in lines {
        let Some(colon) = memchr::memchr(b':', line) else {
            continue;
        };
        let name = String::from_utf8_lossy(&line[..colon]);
        let value = String::from_utf8_lossy(&line[colon + 1..]);
        if !name.is_empty() {
            read.headers.append(name, value.trim_matches([' ', '\t']));
        }
    }
    read
}

/// Writes the block; nothing if there are no headers.
pub(super) fn write(headers: &Headers, out: &mut Vec<u8>) {
    if headers.is_empty() {
        return;
    }
    out.extend_from_slice(VERSION.as_bytes());
    out.extend_from_slice(b"\r\n");
    for (name, value) in headers.iter() {
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(b": ");
        out.extend_from_slice(value.as_bytes());
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"\r\n");
}

/// Whether a name and a value can be encoded as one header. A value with a line break could inject another
/// header, or even another message.
pub(super) fn is_valid(name: &str, value: &str) -> bool {
    let name_ok = !name.is_empty() && name.bytes().all(|b| b.is_ascii_graphic() && b != b':');
    name_ok && !value.contains(['\r', '\n'])
}
