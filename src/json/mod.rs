//! The JSON that servers and clients say to each other: read into a small tree that borrows, and
//! written field by field.
//!
//! Derived code for each type would be a fifth of what a page downloads. This is one reader and one
//! writer for all of them, without floating point: no field that is used has it.

mod parse;
mod write;

#[cfg(test)]
mod tests;

use std::{borrow::Cow, fmt};

pub(crate) use parse::parse;
pub(crate) use write::Writer;

/// Any JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Value<'a> {
    Null,
    Bool(bool),
    /// As it was written, so that none loses digits.
    Number(&'a str),
    Text(Cow<'a, str>),
    List(Vec<Value<'a>>),
    Object(Object<'a>),
}

/// Names and values, in the order that they came in. Of two with one name the last counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Object<'a>(pub(crate) Vec<(Cow<'a, str>, Value<'a>)>);

/// What a type is read from.
pub(crate) trait FromJson<'a>: Sized {
    fn from_json(object: &Object<'a>) -> Result<Self, Error>;
}

/// Reads an object.
pub(crate) fn read<'a, T: FromJson<'a>>(json: &'a [u8]) -> Result<T, Error> {
    T::from_json(&object(json)?)
}

/// An object, without looking into it.
pub(crate) fn object(json: &[u8]) -> Result<Object<'_>, Error> {
    match parse(json)? {
        Value::Object(object) => Ok(object),
        _ => Err(Error::expected("an object", "the whole")),
    }
}

/// What a field that is missing is, and one that is not set.
static NULL: Value<'static> = Value::Null;

impl<'a> Object<'a> {
    /// A field; `Null` where there is none.
    pub(crate) fn get(&self, name: &str) -> &Value<'a> {
        let found = self.0.iter().rev().find(|(found, _)| found == name);
        found.map_or(&NULL, |(_, value)| value)
    }

    /// A number that is not negative.
    pub(crate) fn number<T: TryFrom<u64>>(&self, name: &'static str) -> Result<Option<T>, Error> {
        match self.digits(name)?.map(str::parse::<u64>) {
            None => Ok(None),
            Some(Ok(number)) => match number.try_into() {
                Ok(number) => Ok(Some(number)),
                Err(_) => Err(Error::expected("a smaller number", name)),
            },
            Some(Err(_)) => Err(Error::expected("a whole number", name)),
        }
    }

    /// A number that may be negative.
    pub(crate) fn signed(&self, name: &'static str) -> Result<Option<i64>, Error> {
        match self.digits(name)?.map(str::parse) {
            None => Ok(None),
            Some(Ok(number)) => Ok(Some(number)),
            Some(Err(_)) => Err(Error::expected("a whole number", name)),
        }
    }

    fn digits(&self, name: &'static str) -> Result<Option<&'a str>, Error> {
        match self.get(name) {
            Value::Null => Ok(None),
            Value::Number(digits) => Ok(Some(digits)),
            _ => Err(Error::expected("a number", name)),
        }
    }

    /// False where it is missing.
    pub(crate) fn flag(&self, name: &'static str) -> Result<bool, Error> {
        match self.get(name) {
            Value::Null => Ok(false),
            Value::Bool(flag) => Ok(*flag),
            _ => Err(Error::expected("true or false", name)),
        }
    }

    pub(crate) fn text(&self, name: &'static str) -> Result<Option<&Cow<'a, str>>, Error> {
        match self.get(name) {
            Value::Null => Ok(None),
            Value::Text(text) => Ok(Some(text)),
            _ => Err(Error::expected("text", name)),
        }
    }

    /// A text of its own.
    pub(crate) fn owned(&self, name: &'static str) -> Result<Option<String>, Error> {
        Ok(self.text(name)?.map(|text| String::from(&**text)))
    }

    /// Empty where it is missing.
    pub(crate) fn list(&self, name: &'static str) -> Result<&[Value<'a>], Error> {
        match self.get(name) {
            Value::Null => Ok(&[]),
            Value::List(list) => Ok(list),
            _ => Err(Error::expected("a list", name)),
        }
    }

    /// A list of texts; empty where it is missing.
    pub(crate) fn texts(&self, name: &'static str) -> Result<Vec<String>, Error> {
        let mut texts = Vec::new();
        for value in self.list(name)? {
            match value {
                Value::Text(text) => texts.push(String::from(&**text)),
                _ => return Err(Error::expected("texts", name)),
            }
        }
        Ok(texts)
    }

    pub(crate) fn object(&self, name: &'static str) -> Result<Option<&Object<'a>>, Error> {
        match self.get(name) {
            Value::Null => Ok(None),
            Value::Object(object) => Ok(Some(object)),
            _ => Err(Error::expected("an object", name)),
        }
    }
}

/// Why it could not be read.
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

impl Error {
    pub(crate) fn expected(what: &'static str, field: &'static str) -> Self {
        Self {
            expected: what,
            place: Place::Field(field),
        }
    }

    /// For a field that must be there.
    pub(crate) fn missing(field: &'static str) -> Self {
        Self::expected("something", field)
    }
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
