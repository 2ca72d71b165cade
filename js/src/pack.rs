//! Batches of entries for JavaScript.
//!
//! One buffer holds a batch: crossing the boundary costs more than a small entry, and so does decoding each
//! string separately. `ts/batch.ts` reads it:
//!
//! ```text
//! f64 number of entries · f64 bytes of all keys
//! per entry, 6 × f64:  operation · revision · created (ms) · delta · UTF-16 length of key · bytes of value
//! all keys · all values
//! ```

use std::time::UNIX_EPOCH;

use js_sys::Uint8Array;
use shizuku::kv::{Entry, Operation};

use crate::error::number;

/// All initial values have been delivered.
const CURRENT: f64 = 8.0;
/// The connection was lost.
const INTERRUPTED: f64 = 9.0;

/// Large enough to make the crossing cheap, small enough to keep a page responsive.
const FULL: usize = 256 * 1024;
const MANY: usize = 4096;

/// A batch under construction.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    numbers: Vec<[f64; 6]>,
    keys: String,
    values: Vec<u8>,
}

impl Batch {
    pub(crate) fn is_empty(&self) -> bool {
        self.numbers.is_empty()
    }

    pub(crate) fn is_full(&self) -> bool {
        self.numbers.len() >= MANY || self.values.len() >= FULL
    }

    pub(crate) fn current(&mut self) {
        self.numbers.push([CURRENT, 0.0, 0.0, 0.0, 0.0, 0.0]);
    }

    pub(crate) fn interrupted(&mut self) {
        self.numbers.push([INTERRUPTED, 0.0, 0.0, 0.0, 0.0, 0.0]);
    }

    pub(crate) fn entry(&mut self, entry: &Entry) {
        let operation = match entry.operation {
            Operation::Put => 0.0,
            Operation::Delete => 1.0,
            Operation::Purge => 2.0,
            Operation::Expire => 3.0,
            _ => 4.0,
        };
        let created = entry.created.duration_since(UNIX_EPOCH);
        let key = entry.key.as_str();
        let units = if key.is_ascii() {
            key.len()
        } else {
            key.encode_utf16().count()
        };
        let value = entry.value.as_deref().unwrap_or_default();
        self.numbers.push([
            operation,
            number(entry.revision),
            created.unwrap_or_default().as_secs_f64() * 1000.0,
            number(entry.delta),
            size(units),
            size(value.len()),
        ]);
        self.keys.push_str(key);
        self.values.extend_from_slice(value);
    }

    pub(crate) fn into_js(self) -> Uint8Array {
        let fixed = 16 + 48 * self.numbers.len();
        let mut bytes = Vec::with_capacity(fixed + self.keys.len() + self.values.len());
        bytes.extend_from_slice(&size(self.numbers.len()).to_le_bytes());
        bytes.extend_from_slice(&size(self.keys.len()).to_le_bytes());
        for field in self.numbers.as_flattened() {
            bytes.extend_from_slice(&field.to_le_bytes());
        }
        bytes.extend_from_slice(self.keys.as_bytes());
        bytes.extend_from_slice(&self.values);
        Uint8Array::from(bytes.as_slice())
    }
}

#[allow(clippy::cast_precision_loss)]
fn size(len: usize) -> f64 {
    len as f64
}

/// A batch of one.
pub(crate) fn one(entry: &Entry) -> Uint8Array {
    let mut batch = Batch::default();
    batch.entry(entry);
    batch.into_js()
}
