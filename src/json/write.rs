//! Writing.

use bytes::Bytes;

use super::Value;

/// Writes an object, without white space, with fields in the order of the calls.
#[derive(Debug)]
pub(crate) struct Writer(String);

impl Writer {
    pub(crate) fn new() -> Self {
        Self("{".to_owned())
    }

    pub(crate) fn finish(mut self) -> Bytes {
        self.0.push('}');
        self.0.into()
    }

    fn comma(&mut self) {
        if !self.0.ends_with(['{', '[']) {
            self.0.push(',');
        }
    }

    fn name(&mut self, name: &str) {
        self.comma();
        self.quote(name);
        self.0.push(':');
    }

    fn quote(&mut self, text: &str) {
        self.0.push('"');
        let mut rest = text;
        while let Some(at) = rest.find(|c| matches!(c, '"' | '\\' | '\0'..' ')) {
            let (plain, special) = rest.split_at(at);
            self.0.push_str(plain);
            let mut special = special.chars();
            if let Some(c) = special.next() {
                self.escape(c);
            }
            rest = special.as_str();
        }
        self.0.push_str(rest);
        self.0.push('"');
    }

    fn escape(&mut self, c: char) {
        self.0.push('\\');
        match c {
            '\0'..' ' => {
                self.0.push_str(match c {
                    '\0'..'\u{10}' => "u000",
                    _ => "u001",
                });
                self.0.extend(char::from_digit(c as u32 & 15, 16));
            }
            _ => self.0.push(c),
        }
    }

    pub(crate) fn text(&mut self, name: &str, text: &str) {
        self.name(name);
        self.quote(text);
    }

    /// Omits the field if it is `None`.
    pub(crate) fn maybe_text(&mut self, name: &str, text: Option<&str>) {
        if let Some(text) = text {
            self.text(name, text);
        }
    }

    pub(crate) fn text_or_null(&mut self, name: &str, text: Option<&str>) {
        match text {
            Some(text) => self.text(name, text),
            None => self.null(name),
        }
    }

    pub(crate) fn number(&mut self, name: &str, number: u64) {
        self.name(name);
        self.0.push_str(&number.to_string());
    }

    /// Omits the field if it is `None`.
    pub(crate) fn maybe_number(&mut self, name: &str, number: Option<u64>) {
        if let Some(number) = number {
            self.number(name, number);
        }
    }

    pub(crate) fn signed(&mut self, name: &str, number: i64) {
        self.name(name);
        self.0.push_str(&number.to_string());
    }

    pub(crate) fn flag(&mut self, name: &str, flag: bool) {
        self.name(name);
        self.0.push_str(if flag { "true" } else { "false" });
    }

    pub(crate) fn null(&mut self, name: &str) {
        self.name(name);
        self.0.push_str("null");
    }

    pub(crate) fn texts(&mut self, name: &str, texts: &[String]) {
        self.open_list(name);
        for text in texts {
            self.comma();
            self.quote(text);
        }
        self.close_list();
    }

    /// Begins a nested object.
    pub(crate) fn open(&mut self, name: &str) {
        self.name(name);
        self.0.push('{');
    }

    /// Ends the object begun by [`open`](Self::open).
    pub(crate) fn close(&mut self) {
        self.0.push('}');
    }

    /// Begins a list of objects.
    pub(crate) fn open_list(&mut self, name: &str) {
        self.name(name);
        self.0.push('[');
    }

    /// Begins an object in a list.
    pub(crate) fn open_item(&mut self) {
        self.comma();
        self.0.push('{');
    }

    /// Ends the list begun by [`open_list`](Self::open_list).
    pub(crate) fn close_list(&mut self) {
        self.0.push(']');
    }

    /// Writes a field with any value.
    pub(crate) fn field(&mut self, name: &str, value: &Value<'_>) {
        self.name(name);
        self.value(value);
    }

    fn value(&mut self, value: &Value<'_>) {
        match value {
            Value::Null => self.0.push_str("null"),
            Value::Bool(flag) => self.0.push_str(if *flag { "true" } else { "false" }),
            Value::Number(digits) => self.0.push_str(digits),
            Value::Text(text) => self.quote(text),
            Value::List(values) => {
                self.0.push('[');
                for value in values {
                    self.comma();
                    self.value(value);
                }
                self.0.push(']');
            }
            Value::Object(object) => {
                self.0.push('{');
                for (name, value) in &object.0 {
                    self.field(name, value);
                }
                self.0.push('}');
            }
        }
    }
}
