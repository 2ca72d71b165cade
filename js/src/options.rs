//! Options from JavaScript.

use std::time::Duration;

use js_sys::Reflect;
use wasm_bindgen::JsValue;

use crate::error::{Fault, Result};

/// The expected type of `metadata`.
pub(crate) const STRINGS: &str = "an object of strings";

/// An options object. Properties that are `undefined` or `null` count as missing.
#[derive(Debug)]
pub(crate) struct Options(pub(crate) JsValue);

impl Options {
    pub(crate) fn value(&self, name: &str) -> Option<JsValue> {
        // Fails if this is not an object; then there are no options.
        let value = Reflect::get(&self.0, &name.into()).ok()?;
        (!value.is_undefined() && !value.is_null()).then_some(value)
    }

    fn read<T>(
        &self,
        name: &'static str,
        wanted: &str,
        read: impl FnOnce(&JsValue) -> Option<T>,
    ) -> Result<Option<T>> {
        let Some(value) = self.value(name) else {
            return Ok(None);
        };
        let read = read(&value).map(Some);
        read.ok_or_else(|| Fault::option(name, wanted))
    }

    pub(crate) fn text(&self, name: &'static str) -> Result<Option<String>> {
        self.read(name, "a string", JsValue::as_string)
    }

    pub(crate) fn flag(&self, name: &'static str) -> Result<Option<bool>> {
        self.read(name, "true or false", JsValue::as_bool)
    }

    /// A size; -1 means no limit, as in the server's API.
    pub(crate) fn limit<T: TryFrom<u64>>(&self, name: &'static str) -> Result<Option<Option<T>>> {
        match self.value(name).and_then(|value| value.as_f64()) {
            Some(-1.0) => Ok(Some(None)),
            _ => Ok(self.whole(name)?.map(Some)),
        }
    }

    pub(crate) fn whole<T: TryFrom<u64>>(&self, name: &'static str) -> Result<Option<T>> {
        self.read(name, "a whole number in range", |value| {
            whole(value.as_f64()?)?.try_into().ok()
        })
    }

    pub(crate) fn millis(&self, name: &'static str) -> Result<Option<Duration>> {
        self.read(name, "a number of milliseconds", |value| {
            millis(value.as_f64()?)
        })
    }

    pub(crate) fn options(&self, name: &'static str) -> Result<Option<Self>> {
        self.read(name, STRINGS, |value| {
            value.is_object().then(|| Self(value.clone()))
        })
    }
}

/// A whole number that JavaScript represents exactly.
fn whole(number: f64) -> Option<u64> {
    let is_exact = (0.0..=9_007_199_254_740_991.0).contains(&number) && number.fract() == 0.0;
    is_exact.then_some(exact(number))
}

/// A number that `ts/given.ts` has checked to be whole.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
pub(crate) fn exact(number: f64) -> u64 {
    number as u64
}

/// A duration from JavaScript's milliseconds.
pub(crate) fn millis(number: f64) -> Option<Duration> {
    Duration::try_from_secs_f64(number / 1000.0).ok()
}
