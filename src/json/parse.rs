//! Parsing.

use std::borrow::Cow;

use super::{Error, Object, Place, Value};

/// The maximum nesting depth of lists and objects, to bound the stack.
const DEPTH: usize = 64;

/// Parses a complete text.
pub(crate) fn parse(json: &[u8]) -> Result<Value<'_>, Error> {
    let text = match str::from_utf8(json) {
        Ok(text) => text,
        Err(error) => {
            return Err(Error {
                expected: "UTF-8",
                place: Place::Byte(error.valid_up_to()),
            });
        }
    };
    let mut parser = Parser { text, at: 0 };
    let value = parser.value(DEPTH)?;
    match parser.next_token() {
        None => Ok(value),
        Some(_) => Err(parser.error("the end")),
    }
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Parser<'a> {
    fn error(&self, expected: &'static str) -> Error {
        Error {
            expected,
            place: Place::Byte(self.at),
        }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// Skips white space and peeks at the next byte.
    fn next_token(&mut self) -> Option<u8> {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.peek() {
            self.at += 1;
        }
        self.peek()
    }

    fn take(&mut self, byte: u8, expected: &'static str) -> Result<(), Error> {
        if self.next_token() != Some(byte) {
            return Err(self.error(expected));
        }
        self.at += 1;
        Ok(())
    }

    fn value(&mut self, depth: usize) -> Result<Value<'a>, Error> {
        match self.next_token() {
            Some(b'"') => Ok(Value::Text(self.text()?)),
            Some(b'{') => self.object(depth),
            Some(b'[') => self.list(depth),
            Some(b't') => self.word("true", Value::Bool(true)),
            Some(b'f') => self.word("false", Value::Bool(false)),
            Some(b'n') => self.word("null", Value::Null),
            _ => self.number(),
        }
    }

    fn word(&mut self, word: &str, value: Value<'a>) -> Result<Value<'a>, Error> {
        let rest = self.text.as_bytes().get(self.at..).unwrap_or_default();
        if !rest.starts_with(word.as_bytes()) {
            return Err(self.error("a value"));
        }
        self.at += word.len();
        Ok(value)
    }

    fn enter(&mut self, depth: usize) -> Result<usize, Error> {
        let deeper = depth.checked_sub(1).ok_or_else(|| self.error("less depth"));
        self.at += 1;
        deeper
    }

    /// Consumes a comma, or the end, for which it returns false.
    fn goes_on(&mut self, end: u8) -> Result<bool, Error> {
        match self.next_token() {
            Some(b',') => {
                self.at += 1;
                Ok(true)
            }
            Some(byte) if byte == end => {
                self.at += 1;
                Ok(false)
            }
            _ => Err(self.error("a comma or the end of a list or object")),
        }
    }

    fn object(&mut self, depth: usize) -> Result<Value<'a>, Error> {
        let depth = self.enter(depth)?;
        let mut fields = Vec::new();
        if self.next_token() == Some(b'}') {
            self.at += 1;
            return Ok(Value::Object(Object(fields)));
        }
        loop {
            if self.next_token() != Some(b'"') {
                return Err(self.error("a name"));
            }
            let name = self.text()?;
            self.take(b':', "a colon")?;
            fields.push((name, self.value(depth)?));
            if !self.goes_on(b'}')? {
                return Ok(Value::Object(Object(fields)));
            }
        }
    }

    fn list(&mut self, depth: usize) -> Result<Value<'a>, Error> {
        let depth = self.enter(depth)?;
        let mut values = Vec::new();
        if self.next_token() == Some(b']') {
            self.at += 1;
            return Ok(Value::List(values));
        }
        loop {
            values.push(self.value(depth)?);
            if !self.goes_on(b']')? {
                return Ok(Value::List(values));
            }
        }
    }

    fn digits(&mut self) -> Result<(), Error> {
        let start = self.at;
        while let Some(b'0'..=b'9') = self.peek() {
            self.at += 1;
        }
        match self.at > start {
            true => Ok(()),
            false => Err(self.error("a value")),
        }
    }

    fn number(&mut self) -> Result<Value<'a>, Error> {
        let start = self.at;
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        match self.peek() {
            Some(b'0') => self.at += 1,
            _ => self.digits()?,
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.at += 1;
            if let Some(b'+' | b'-') = self.peek() {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(Value::Number(self.slice(start)))
    }

    /// Returns the text from `start` to the current position, both of which are always character
    /// boundaries.
    fn slice(&self, start: usize) -> &'a str {
        self.text.get(start..self.at).unwrap_or_default()
    }

    /// Parses a quoted text, starting at its opening quote.
    fn text(&mut self) -> Result<Cow<'a, str>, Error> {
        self.at += 1;
        let mut text = Cow::Borrowed("");
        loop {
            let start = self.at;
            let end = loop {
                match self.peek() {
                    Some(end @ (b'"' | b'\\')) => break end,
                    Some(0..0x20) | None => return Err(self.error("the end of a text")),
                    Some(_) => self.at += 1,
                }
            };
            let part = self.slice(start);
            self.at += 1;
            if end == b'"' && text.is_empty() {
                return Ok(Cow::Borrowed(part));
            }
            let text = text.to_mut();
            text.push_str(part);
            if end == b'"' {
                return Ok(Cow::Owned(std::mem::take(text)));
            }
            text.push(self.escape()?);
        }
    }

    fn escape(&mut self) -> Result<char, Error> {
        let byte = self.peek();
        self.at += 1;
        Ok(match byte {
            Some(byte @ (b'"' | b'\\' | b'/')) => char::from(byte),
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => {
                let mut code = self.hex()?;
                // A surrogate pair makes one character.
                if let 0xd800..0xdc00 = code {
                    let rest = self.text.as_bytes().get(self.at..).unwrap_or_default();
                    if rest.starts_with(b"\\u") {
                        self.at += 2;
                        let low = self.hex()?;
                        if let 0xdc00..0xe000 = low {
                            code = 0x1_0000 + ((code - 0xd800) << 10) + (low - 0xdc00);
                        }
                    }
                }
                char::from_u32(code).ok_or_else(|| self.error("a character"))?
            }
            _ => return Err(self.error("an escape")),
        })
    }

    fn hex(&mut self) -> Result<u32, Error> {
        let mut code = 0;
        for _ in 0..4 {
            let digit = self.peek().and_then(|byte| char::from(byte).to_digit(16));
            code = code << 4 | digit.ok_or_else(|| self.error("four hex digits"))?;
            self.at += 1;
        }
        Ok(code)
    }
}
