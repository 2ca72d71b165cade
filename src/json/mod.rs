//! The JSON of the NATS protocol and the JetStream API: parsed into a small borrowing tree, and written
//! field by field.
//!
//! Derived code for each type would be a fifth of a page's download size. This is one reader and one
//! writer for all types, without floating point, which no field needs.

mod parse;
mod write;

#[cfg(all(test, any(feature = "native", feature = "web")))]
mod tests;

use std::{borrow::Cow, collections::BTreeMap, fmt, mem, str::FromStr};

pub(crate) use parse::parse;
pub(crate) use write::Writer;

/// A JSON value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Value<'a> {
    Null,
    Bool(bool),
    /// The original digits, so that no precision is lost.
    Number(&'a str),
    Text(Cow<'a, str>),
    List(Vec<Value<'a>>),
    Object(Object<'a>),
}

/// Names and values in their original order. Of duplicate names the last one counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Object<'a>(pub(crate) Vec<(Cow<'a, str>, Value<'a>)>);

impl<'a> Object<'a> {
    /// Returns a field; `Null` if it is missing.
    pub(crate) fn get(&self, name: &str) -> &Value<'a> {
        let found = self.0.iter().rev().find(|(found, _)| found == name);
        found.map_or(&Value::Null, |(_, value)| value)
    }
}

/// A type that can be read from an object.
pub(crate) trait FromJson<'a> {
    fn from_json(fields: &mut Fields<'a>) -> Self;
}

/// Reads an object.
pub(crate) fn read<'a, T: FromJson<'a>>(json: &'a [u8]) -> Result<T, Error> {
    let mut fields = Fields {
        object: object(json)?,
        error: None,
    };
    let read = T::from_json(&mut fields);
    match fields.error {
        Some(error) => Err(error),
        None => Ok(read),
    }
}

/// Parses an object without reading its fields.
pub(crate) fn object(json: &[u8]) -> Result<Object<'_>, Error> {
    match parse(json)? {
        Value::Object(object) => Ok(object),
        _ => Err(Error {
            expected: "an object",
            place: Place::Byte(0),
        }),
    }
}

/// The fields of an object, each of which can be taken once. `null` counts as missing.
///
/// A field of the wrong type reads as missing, and makes the whole read fail at the end: code that need
/// not return early after every field is that much smaller.
#[derive(Debug)]
pub(crate) struct Fields<'a> {
    object: Object<'a>,
    /// The first error.
    error: Option<Error>,
}

impl<'a> Fields<'a> {
    fn take(&mut self, name: &str) -> Value<'a> {
        let fields = self.object.0.iter_mut().rev();
        match fields.into_iter().find(|(found, _)| found == name) {
            Some((_, value)) => mem::replace(value, Value::Null),
            None => Value::Null,
        }
    }

    fn wrong(&mut self, expected: &'static str, name: &'static str) {
        let place = Place::Field(name);
        self.error.get_or_insert(Error { expected, place });
    }

    fn digits<T: FromStr>(&mut self, name: &'static str) -> Option<T> {
        match self.take(name) {
            Value::Null => return None,
            Value::Number(digits) => {
                if let Ok(number) = digits.parse() {
                    return Some(number);
                }
            }
            _ => {}
        }
        self.wrong("a whole number in its range", name);
        None
    }

    pub(crate) fn maybe_number(&mut self, name: &'static str) -> Option<u64> {
        self.digits(name)
    }

    /// Takes a number; 0 if missing.
    pub(crate) fn number(&mut self, name: &'static str) -> u64 {
        self.maybe_number(name).unwrap_or_default()
    }

    /// Takes a number of a smaller type.
    pub(crate) fn maybe_small<T: TryFrom<u64>>(&mut self, name: &'static str) -> Option<T> {
        let small = T::try_from(self.maybe_number(name)?).ok();
        if small.is_none() {
            self.wrong("a smaller number", name);
        }
        small
    }

    /// Takes a number of a smaller type; 0 if missing.
    pub(crate) fn small<T: TryFrom<u64> + Default>(&mut self, name: &'static str) -> T {
        self.maybe_small(name).unwrap_or_default()
    }

    /// Takes a signed number; 0 if missing.
    pub(crate) fn signed(&mut self, name: &'static str) -> i64 {
        self.digits(name).unwrap_or_default()
    }

    /// Takes a Boolean; false if missing.
    pub(crate) fn flag(&mut self, name: &'static str) -> bool {
        match self.take(name) {
            Value::Null => false,
            Value::Bool(flag) => flag,
            _ => {
                self.wrong("true or false", name);
                false
            }
        }
    }

    pub(crate) fn maybe_text(&mut self, name: &'static str) -> Option<Cow<'a, str>> {
        match self.take(name) {
            Value::Null => None,
            Value::Text(text) => Some(text),
            _ => {
                self.wrong("a text", name);
                None
            }
        }
    }

    /// Takes a required text.
    pub(crate) fn text(&mut self, name: &'static str) -> Cow<'a, str> {
        match self.take(name) {
            Value::Text(text) => text,
            _ => {
                self.wrong("a text", name);
                Cow::Borrowed("")
            }
        }
    }

    pub(crate) fn maybe_string(&mut self, name: &'static str) -> Option<String> {
        self.maybe_text(name).map(Cow::into_owned)
    }

    /// Takes a string; empty if missing.
    pub(crate) fn string(&mut self, name: &'static str) -> String {
        self.maybe_string(name).unwrap_or_default()
    }

    fn list(&mut self, name: &'static str) -> Option<Vec<Value<'a>>> {
        match self.take(name) {
            Value::Null => None,
            Value::List(list) => Some(list),
            _ => {
                self.wrong("a list", name);
                None
            }
        }
    }

    pub(crate) fn maybe_strings(&mut self, name: &'static str) -> Option<Vec<String>> {
        let mut strings = Vec::new();
        for value in self.list(name)? {
            match value {
                Value::Text(text) => strings.push(text.into_owned()),
                _ => self.wrong("texts", name),
            }
        }
        Some(strings)
    }

    /// Takes a list of strings; empty if missing.
    pub(crate) fn strings(&mut self, name: &'static str) -> Vec<String> {
        self.maybe_strings(name).unwrap_or_default()
    }

    /// Takes an object without reading its fields.
    pub(crate) fn maybe_object(&mut self, name: &'static str) -> Option<Object<'a>> {
        match self.take(name) {
            Value::Null => None,
            Value::Object(object) => Some(object),
            _ => {
                self.wrong("an object", name);
                None
            }
        }
    }

    fn read<T: FromJson<'a>>(&mut self, object: Object<'a>) -> T {
        let outer = mem::replace(&mut self.object, object);
        let read = T::from_json(self);
        self.object = outer;
        read
    }

    pub(crate) fn maybe<T: FromJson<'a>>(&mut self, name: &'static str) -> Option<T> {
        let object = self.maybe_object(name)?;
        Some(self.read(object))
    }

    /// Takes a required object.
    pub(crate) fn need<T: FromJson<'a>>(&mut self, name: &'static str) -> T {
        let object = self.maybe_object(name);
        if object.is_none() {
            self.wrong("an object", name);
        }
        self.read(object.unwrap_or_default())
    }

    pub(crate) fn all<T: FromJson<'a>>(&mut self, name: &'static str) -> Option<Vec<T>> {
        let mut all = Vec::new();
        for value in self.list(name)? {
            match value {
                Value::Object(object) => all.push(self.read(object)),
                _ => self.wrong("objects", name),
            }
        }
        Some(all)
    }

    /// Takes an object of texts, without those whose names begin with `but`.
    pub(crate) fn string_map(
        &mut self,
        name: &'static str,
        but: &str,
    ) -> Option<BTreeMap<String, String>> {
        let mut map = BTreeMap::new();
        for (key, value) in self.maybe_object(name)?.0 {
            match value {
                _ if key.starts_with(but) => {}
                Value::Text(text) => _ = map.insert(key.into_owned(), text.into_owned()),
                _ => self.wrong("texts", name),
            }
        }
        Some(map)
    }
}

/// The error of a read.
#[derive(Debug)]
pub(crate) struct Error {
    expected: &'static str,
    place: Place,
}

#[derive(Debug)]
enum Place {
    Byte(usize),
    Field(&'static str),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let expected = self.expected;
        match self.place {
            Place::Byte(at) => write!(f, "invalid JSON: {expected} expected at byte {at}"),
            Place::Field(name) => write!(f, "{expected} expected as `{name}`"),
        }
    }
}

impl std::error::Error for Error {}
