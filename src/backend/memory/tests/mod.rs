#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
//! The rules, one by one, on a clock that only moves when told to.

use std::time::Duration;

use super::*;
use crate::{
    backend::{RawWatch, WatchEvent, WatchRequest},
    key::{Key, KeyFilter},
    kv::{
        Deliver, Entry, Expect, KvReadError, KvWriteError, LimitMarkers, Operation, Placement,
        PutOptions, Read, RemoveOptions,
    },
};

mod model;
mod store;
mod watch;

const SECOND: Duration = Duration::from_secs(1);

/// Everything in this backend that is not a wait completes at once.
fn now<T>(future: impl Future<Output = T>) -> T {
    future.now_or_never().expect("it should not have to wait")
}

struct Fixture {
    clock: ManualClock,
    buckets: MemoryBuckets,
    bucket: Arc<dyn Backend>,
}

fn with(change: impl FnOnce(&mut BucketConfig)) -> Fixture {
    let clock = ManualClock::new();
    let buckets = MemoryBuckets::with_clock(Arc::new(clock.clone()));
    let mut config = BucketConfig::new("b");
    change(&mut config);
    let bucket = now(buckets.create(&config, CreateMode::Create)).unwrap();
    Fixture {
        clock,
        buckets,
        bucket,
    }
}

fn plain() -> Fixture {
    with(|_| {})
}

fn key(text: &str) -> Key {
    Key::new(text).unwrap()
}

impl Fixture {
    fn put(&self, name: &str, value: &'static str) -> u64 {
        self.put_with(name, value, PutOptions::new()).unwrap()
    }

    fn put_with(
        &self,
        name: &str,
        value: &'static str,
        options: PutOptions,
    ) -> Result<u64, KvWriteError> {
        now(self.bucket.put(&key(name), value.into(), options))
    }

    fn remove(&self, name: &str, options: RemoveOptions) -> Result<u64, KvWriteError> {
        now(self.bucket.remove(&key(name), options))
    }

    fn last(&self, name: &str) -> Option<Entry> {
        now(self.bucket.get(&key(name), None, Read::Any)).unwrap()
    }

    fn at(&self, name: &str, revision: u64) -> Option<Entry> {
        now(self.bucket.get(&key(name), Some(revision), Read::Any)).unwrap()
    }

    fn operation(&self, name: &str) -> Option<Operation> {
        self.last(name).map(|entry| entry.operation)
    }

    fn watch(&self, filters: &[&str], deliver: Deliver, once: bool) -> RawWatch {
        let filters: Vec<_> = filters
            .iter()
            .map(|filter| KeyFilter::new(*filter).unwrap())
            .collect();
        let request = WatchRequest {
            deliver,
            metadata_only: false,
            once,
            complete: true,
        };
        now(self.bucket.watch(&filters, request)).unwrap()
    }
}

/// Returns the pending events of a watch, as `key=value@revision+delta`, `key!@revision+delta` for a
/// removal, `|` for current, and the error or `end` where it ended.
fn drain(watch: &mut RawWatch) -> Vec<String> {
    let mut seen = Vec::new();
    while let Some(event) = watch.next().now_or_never() {
        seen.push(match event {
            Some(Ok(WatchEvent::Entry(entry))) => {
                let what = match &entry.value {
                    Some(value) => format!("={}", String::from_utf8_lossy(value)),
                    None => "!".into(),
                };
                format!("{}{what}@{}+{}", entry.key, entry.revision, entry.delta)
            }
            Some(Ok(event)) => {
                assert!(matches!(event, WatchEvent::Current));
                "|".into()
            }
            Some(Err(error)) => error.to_string(),
            None => {
                seen.push("end".into());
                return seen;
            }
        });
    }
    seen
}

fn ttl(seconds: u64) -> PutOptions {
    PutOptions::new().ttl(Duration::from_secs(seconds))
}
