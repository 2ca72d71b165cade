#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
//! The rules, one by one, on a clock that only moves when told to.

use std::time::Duration;

use super::*;
use crate::{
    backend::{RawWatch, WatchEvent, WatchRequest},
    kv::{
        Deliver, Entry, Expect, Key, KeyFilter, KvReadError, KvWriteError, LimitMarkers, Operation,
        PutOptions, Read, RemoveOptions,
    },
};

const SECOND: Duration = Duration::from_secs(1);

/// Everything in this backend that is not a wait is done at once.
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
        };
        now(self.bucket.watch(&filters, request)).unwrap()
    }
}

/// What a watch has to say now, as `key=value@revision+delta`, `key!@revision+delta` for a
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

#[test]
fn revisions_grow_bucket_wide_and_history_drops_the_oldest() {
    let fixture = with(|config| config.history = 2);
    assert_eq!(fixture.put("a", "1"), 1);
    assert_eq!(fixture.put("b", "1"), 2);
    assert_eq!(fixture.put("a", "2"), 3);
    assert_eq!(fixture.put("a", "3"), 4);
    assert!(fixture.at("a", 1).is_none());
    assert_eq!(fixture.at("a", 3).unwrap().value.unwrap(), "2");
    assert!(fixture.at("a", 2).is_none(), "that is b's");
    assert_eq!(fixture.last("a").unwrap().revision, 4);
    let status = now(fixture.bucket.status()).unwrap();
    assert_eq!((status.values, status.keys), (3, 2));
    assert_eq!((status.first_revision, status.last_revision), (2, 4));
}

#[test]
fn a_conflict_says_the_last_revision() {
    let fixture = plain();
    let conflict = |name: &str, expect| {
        let error = fixture
            .put_with(name, "x", PutOptions::new().expect(expect))
            .unwrap_err();
        let conflict = error.conflict().unwrap().clone();
        assert_eq!((conflict.key.as_str(), conflict.expected), (name, expect));
        conflict.actual
    };
    assert_eq!(conflict("a", Expect::Revision(3)), Some(0));
    fixture.put("a", "1");
    assert_eq!(conflict("a", Expect::Absent), Some(1));
    assert_eq!(conflict("a", Expect::Revision(0)), Some(1));
    fixture.remove("a", RemoveOptions::delete()).unwrap();
    assert_eq!(conflict("a", Expect::Revision(0)), Some(2));
    let at_1 = RemoveOptions::purge().expect(Expect::Revision(1));
    let error = fixture.remove("a", at_1).unwrap_err();
    assert_eq!(error.conflict().unwrap().actual, Some(2));
}

#[test]
fn a_key_can_be_made_anew_over_any_removal_and_keeps_its_time_to_live() {
    let fixture = plain();
    let create = || fixture.put_with("a", "new", ttl(5).expect(Expect::Absent));
    create().unwrap();
    fixture.remove("a", RemoveOptions::delete()).unwrap();
    create().unwrap();
    fixture.remove("a", RemoveOptions::purge()).unwrap();
    create().unwrap();
    fixture.clock.advance(SECOND * 5);
    assert_eq!(fixture.operation("a"), Some(Operation::Expire));
    create().unwrap();
    fixture.clock.advance(SECOND * 5);
    assert_eq!(fixture.operation("a"), Some(Operation::Expire));
}

#[test]
fn delete_keeps_history_and_purge_takes_it() {
    let fixture = with(|config| config.history = 5);
    fixture.put("a", "1");
    fixture.remove("a", RemoveOptions::delete()).unwrap();
    assert_eq!(fixture.operation("a"), Some(Operation::Delete));
    assert!(fixture.at("a", 1).is_some());
    fixture.remove("a", RemoveOptions::purge()).unwrap();
    assert_eq!(fixture.operation("a"), Some(Operation::Purge));
    assert!(fixture.at("a", 1).is_none());
    assert!(fixture.at("a", 2).is_none());
}

#[test]
fn expiry_leaves_a_marker_which_leaves_nothing() {
    let fixture = with(|config| config.limit_markers = LimitMarkers::For(SECOND * 3));
    fixture.put_with("a", "1", ttl(10)).unwrap();
    fixture.clock.advance(SECOND * 10 - Duration::from_nanos(1));
    assert_eq!(fixture.operation("a"), Some(Operation::Put));
    fixture.clock.advance(Duration::from_nanos(1));
    assert_eq!(fixture.operation("a"), Some(Operation::Expire));
    assert_eq!(fixture.last("a").unwrap().revision, 2);
    fixture.clock.advance(SECOND * 3);
    assert_eq!(fixture.operation("a"), None);
    let status = now(fixture.bucket.status()).unwrap();
    assert_eq!((status.values, status.keys, status.bytes), (0, 0, 0));
    assert_eq!((status.first_revision, status.last_revision), (3, 2));
}

#[test]
fn a_later_write_without_a_time_to_live_stays() {
    let fixture = plain();
    fixture.put_with("a", "1", ttl(1)).unwrap();
    fixture.put("a", "2");
    fixture.clock.advance(SECOND * 100);
    assert_eq!(fixture.operation("a"), Some(Operation::Put));
}

#[test]
fn a_short_time_to_live_is_raised_where_there_is_history() {
    for (history, lives) in [(1, 1), (2, 5)] {
        let fixture = with(|config| {
            config.history = history;
            config.limit_markers = LimitMarkers::For(SECOND * 5);
        });
        fixture.put_with("a", "1", ttl(1)).unwrap();
        fixture
            .clock
            .advance(SECOND * lives - Duration::from_nanos(1));
        assert_eq!(fixture.operation("a"), Some(Operation::Put));
        fixture.clock.advance(Duration::from_nanos(1));
        assert_eq!(fixture.operation("a"), Some(Operation::Expire));
    }
}

#[test]
fn what_expires_above_an_older_revision_uncovers_it() {
    let fixture = with(|config| config.history = 2);
    fixture.put("a", "old");
    fixture.put_with("a", "new", ttl(1)).unwrap();
    fixture.clock.advance(SECOND);
    assert_eq!(fixture.last("a").unwrap().revision, 1);
}

#[test]
fn age_expires_with_or_without_a_marker() {
    for markers in [LimitMarkers::Off, LimitMarkers::For(SECOND * 9)] {
        let fixture = with(|config| {
            config.max_age = Some(SECOND * 2);
            config.limit_markers = markers;
            config.history = 3;
        });
        fixture.put("a", "1");
        fixture.put("a", "2");
        fixture.clock.advance(SECOND * 2);
        let marker = markers.duration().map(|_| Operation::Expire);
        assert_eq!(fixture.operation("a"), marker);
        // The bucket's age is shorter than the marker's own time.
        fixture.clock.advance(SECOND * 2);
        assert_eq!(fixture.operation("a"), None);
    }
}

#[test]
fn a_purge_marker_goes_by_itself_and_leaves_no_other() {
    let fixture = plain();
    fixture.put("a", "1");
    let purge = RemoveOptions::purge().marker_ttl(SECOND * 2);
    fixture.remove("a", purge).unwrap();
    fixture.clock.advance(SECOND * 2);
    assert_eq!(fixture.operation("a"), None);
    assert_eq!(now(fixture.bucket.status()).unwrap().last_revision, 2);
}

#[test]
fn time_to_live_needs_markers() {
    let fixture = with(|config| config.limit_markers = LimitMarkers::Off);
    let purge = RemoveOptions::purge().marker_ttl(SECOND);
    for result in [
        fixture.put_with("a", "1", ttl(1)),
        fixture.remove("a", purge),
    ] {
        let error = result.unwrap_err();
        assert!(matches!(
            &error,
            KvWriteError::Service(ServiceError::Unsupported { remedy, .. })
                if remedy.contains("bucket b ")
        ));
    }
}

#[test]
fn limits_on_size_refuse() {
    let fixture = with(|config| config.max_value_size = Some(3));
    fixture.put("a", "123");
    let error = fixture
        .put_with("a", "1234", PutOptions::new())
        .unwrap_err();
    assert!(matches!(
        error,
        KvWriteError::TooLarge {
            size: 4,
            limit: 3,
            ..
        }
    ));
    let huge = vec![0; 1024 * 1024 + 1];
    let put = plain();
    let error = now(put.bucket.put(&key("a"), huge.into(), PutOptions::new())).unwrap_err();
    assert!(matches!(error, KvWriteError::TooLarge { .. }));
}

#[test]
fn a_full_bucket_refuses_all_but_what_makes_its_own_room() {
    // Two messages of 30 + 7 + 3 bytes fit.
    let fixture = with(|config| config.max_bytes = Some(80));
    fixture.put("a", "123");
    fixture.put("b", "123");
    let refused = |result: Result<u64, KvWriteError>| {
        assert!(matches!(
            result,
            Err(KvWriteError::Service(ServiceError::Refused {
                code: 10077,
                ..
            }))
        ));
    };
    refused(fixture.put_with("c", "", PutOptions::new()));
    refused(fixture.put_with("a", "1234", PutOptions::new()));
    refused(fixture.remove("a", RemoveOptions::delete()));
    fixture.put("a", "321");
    assert_eq!(now(fixture.bucket.status()).unwrap().bytes, 80);
}

#[test]
fn compaction_spares_what_is_not_older() {
    let fixture = with(|config| config.history = 9);
    for value in ["1", "2", "3"] {
        fixture.put("a", value);
    }
    now(fixture.bucket.compact(&key("a"), 3)).unwrap();
    assert!(fixture.at("a", 2).is_none());
    assert_eq!(fixture.last("a").unwrap().revision, 3);
    assert_eq!(now(fixture.bucket.status()).unwrap().values, 1);
}

#[test]
fn get_many_answers_each_key_once() {
    let fixture = plain();
    for name in ["a.x", "a.y", "b.x"] {
        fixture.put(name, "1");
    }
    fixture.remove("a.y", RemoveOptions::delete()).unwrap();
    let filters = ["a.*", "a.x", "a.>", "missing", "*.x"].map(|text| KeyFilter::new(text).unwrap());
    let entries: Vec<_> = now(fixture.bucket.get_many(&filters).collect());
    let keys: Vec<_> = entries
        .into_iter()
        .map(|entry| entry.unwrap().key.to_string())
        .collect();
    assert_eq!(keys, ["a.x", "b.x", "a.y"]);
}

#[test]
fn a_watch_tells_values_then_current_then_changes() {
    let fixture = with(|config| config.history = 3);
    fixture.put("a", "1");
    fixture.put("b", "2");
    fixture.put("a", "3");
    let mut latest = fixture.watch(&[">"], Deliver::Latest, false);
    let mut history = fixture.watch(&[">"], Deliver::History, false);
    let mut updates = fixture.watch(&[">"], Deliver::Updates, false);
    let mut from = fixture.watch(&[">"], Deliver::From(2), false);
    let mut listing = fixture.watch(&["a", ">"], Deliver::Latest, true);
    assert_eq!(drain(&mut latest), ["b=2@2+1", "a=3@3+0", "|"]);
    assert_eq!(drain(&mut history), ["a=1@1+2", "b=2@2+1", "a=3@3+0", "|"]);
    assert_eq!(drain(&mut updates), ["|"]);
    assert_eq!(drain(&mut from), ["b=2@2+1", "a=3@3+0", "|"]);
    assert_eq!(drain(&mut listing), ["b=2@2+1", "a=3@3+0", "|", "end"]);
    fixture.put("c", "4");
    fixture.remove("b", RemoveOptions::delete()).unwrap();
    for watch in [&mut latest, &mut history, &mut updates, &mut from] {
        assert_eq!(drain(watch), ["c=4@4+1", "b!@5+0"]);
    }
}

#[test]
fn an_empty_watch_is_current_exactly_once() {
    let fixture = plain();
    fixture.put("other", "1");
    for deliver in [
        Deliver::Latest,
        Deliver::History,
        Deliver::Updates,
        Deliver::From(9),
    ] {
        for filters in [&["none"][..], &["none.*"], &["none", "no.>"]] {
            let mut watch = fixture.watch(filters, deliver, false);
            assert_eq!(drain(&mut watch), ["|"]);
            assert_eq!(drain(&mut watch), [""; 0]);
        }
    }
}

#[test]
fn overlapping_filters_deliver_once() {
    let fixture = plain();
    fixture.put("a.x", "1");
    let mut watch = fixture.watch(&["a.>", "a.*", "a.x"], Deliver::Latest, false);
    assert_eq!(drain(&mut watch), ["a.x=1@1+0", "|"]);
    fixture.put("a.x", "2");
    assert_eq!(drain(&mut watch), ["a.x=2@2+0"]);
}

#[test]
fn a_slow_watcher_skips_what_was_superseded() {
    let fixture = plain();
    let mut all = fixture.watch(&[">"], Deliver::Latest, false);
    let mut one = fixture.watch(&["a"], Deliver::Latest, false);
    for value in ["1", "2", "3"] {
        fixture.put("a", value);
        fixture.put("b", value);
    }
    assert_eq!(drain(&mut all), ["|", "a=3@5+1", "b=3@6+0"]);
    assert_eq!(drain(&mut one), ["|", "a=3@5+0"]);
}

#[test]
fn expiry_reaches_a_watch_that_waits() {
    let fixture = plain();
    fixture.put_with("a", "1", ttl(2)).unwrap();
    let mut watch = fixture.watch(&["a"], Deliver::Latest, false);
    assert_eq!(drain(&mut watch), ["a=1@1+0", "|"]);
    fixture.clock.advance(SECOND);
    assert_eq!(drain(&mut watch), [""; 0]);
    fixture.clock.advance(SECOND);
    assert_eq!(drain(&mut watch), ["a!@2+0"]);
    fixture.clock.advance(SECOND);
    assert_eq!(drain(&mut watch), [""; 0]);
}

#[tokio::test]
async fn a_sleeping_watch_is_woken_by_a_write_and_by_the_clock() {
    let fixture = plain();
    let mut watch = fixture.watch(&["a"], Deliver::Updates, false);
    assert_eq!(drain(&mut watch), ["|"]);
    let task = tokio::spawn(async move {
        let mut seen = Vec::new();
        for _ in 0..2 {
            if let Some(Ok(WatchEvent::Entry(entry))) = watch.next().await {
                seen.push(entry.operation);
            }
        }
        seen
    });
    tokio::task::yield_now().await;
    fixture.put_with("a", "1", ttl(60)).unwrap();
    tokio::task::yield_now().await;
    fixture.clock.advance(SECOND * 60);
    assert_eq!(task.await.unwrap(), [Operation::Put, Operation::Expire]);
}

#[test]
fn deleting_closing_and_abandoning_end_watches() {
    let fixture = plain();
    let mut watch = fixture.watch(&[">"], Deliver::Latest, false);
    assert_eq!(drain(&mut watch), ["|"]);
    now(fixture.buckets.delete(fixture.bucket.bucket())).unwrap();
    assert_eq!(drain(&mut watch), ["there is no bucket b", "end"]);
    let error = now(fixture.bucket.get(&key("a"), None, Read::Any)).unwrap_err();
    assert!(matches!(
        error,
        KvReadError::Service(ServiceError::BucketNotFound { .. })
    ));
    // A handle names a bucket, so one that is made anew is its bucket again.
    now(fixture
        .buckets
        .create(&BucketConfig::new("b"), CreateMode::Create))
    .unwrap();
    assert_eq!(fixture.put("a", "1"), 1);

    let mut watch = fixture.watch(&[">"], Deliver::Latest, false);
    now(fixture.buckets.close()).unwrap();
    assert_eq!(drain(&mut watch), ["the client is closed", "end"]);
    assert!(matches!(
        fixture.put_with("a", "1", PutOptions::new()),
        Err(KvWriteError::Service(ServiceError::Closed))
    ));

    let fixture = plain();
    fixture.put_with("a", "1", ttl(1)).unwrap();
    let mut watch = fixture.watch(&[">"], Deliver::Latest, false);
    let clock = fixture.clock.clone();
    drop(fixture);
    assert_eq!(drain(&mut watch), ["a=1@1+0", "|"]);
    clock.advance(SECOND);
    assert_eq!(drain(&mut watch), ["a!@2+0"]);
    clock.advance(SECOND);
    assert_eq!(drain(&mut watch), ["the client is closed", "end"]);
}

#[test]
fn buckets_are_compared_changed_listed_and_refused() {
    let fixture = with(|config| config.history = 3);
    for value in ["1", "2", "3"] {
        fixture.put("a", value);
    }
    let mut config = BucketConfig::new("b");
    config.description = "new".into();
    let error = now(fixture.buckets.create(&config, CreateMode::Create)).unwrap_err();
    let BucketError::Mismatch { differences, .. } = error else {
        panic!("{error}");
    };
    let settings: Vec<_> = differences.iter().map(|found| found.setting).collect();
    assert_eq!(settings, ["description", "history"]);

    now(fixture.buckets.create(&config, CreateMode::CreateOrUpdate)).unwrap();
    assert!(fixture.at("a", 2).is_none());
    assert!(fixture.at("a", 3).is_some());
    let status = now(fixture.bucket.status()).unwrap();
    assert_eq!(status.config.limit_markers, LimitMarkers::For(SECOND));

    config.max_age = Some(SECOND * 5);
    now(fixture.buckets.create(&config, CreateMode::CreateOrUpdate)).unwrap();
    fixture.clock.advance(SECOND * 5);
    assert_eq!(fixture.operation("a"), Some(Operation::Expire));

    config.limit_markers = LimitMarkers::Off;
    let error = now(fixture.buckets.create(&config, CreateMode::CreateOrUpdate)).unwrap_err();
    assert!(matches!(
        error,
        BucketError::Service(ServiceError::Refused { code: 10052, .. })
    ));

    let mut many = BucketConfig::new("c");
    many.replicas = 3;
    let error = now(fixture.buckets.create(&many, CreateMode::Create)).unwrap_err();
    assert!(matches!(
        error,
        BucketError::Service(ServiceError::Unsupported { .. })
    ));
    let names: Vec<_> = now(fixture.buckets.list().collect());
    assert_eq!(names.len(), 1);
}
