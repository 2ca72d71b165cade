//! Reading, writing and expiry, and buckets as a whole.

use super::*;

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
fn a_conflict_reports_the_last_revision() {
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
fn create_replaces_any_removal_and_keeps_its_ttl() {
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
fn delete_keeps_history_and_purge_removes_it() {
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
fn an_expiry_marker_expires_without_a_trace() {
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
    assert_eq!((status.first_revision, status.last_revision), (0, 2));
}

#[test]
fn a_later_write_without_a_ttl_does_not_expire() {
    let fixture = plain();
    fixture.put_with("a", "1", ttl(1)).unwrap();
    fixture.put("a", "2");
    fixture.clock.advance(SECOND * 100);
    assert_eq!(fixture.operation("a"), Some(Operation::Put));
}

#[test]
fn a_short_ttl_is_raised_if_there_is_history() {
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
fn expiry_of_the_last_revision_uncovers_the_previous_one() {
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
fn a_purge_marker_expires_without_another_marker() {
    let fixture = plain();
    fixture.put("a", "1");
    let purge = RemoveOptions::purge().marker_ttl(SECOND * 2);
    fixture.remove("a", purge).unwrap();
    fixture.clock.advance(SECOND * 2);
    assert_eq!(fixture.operation("a"), None);
    assert_eq!(now(fixture.bucket.status()).unwrap().last_revision, 2);
}

#[test]
fn a_ttl_requires_limit_markers() {
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
fn values_over_a_size_limit_are_refused() {
    let fixture = with(|config| config.max_value_size = Some(3));
    fixture.put("a", "123");
    let error = fixture
        .put_with("a", "1234", PutOptions::new())
        .unwrap_err();
    assert!(matches!(
        error,
        KvWriteError::TooLarge {
            size: 4,
            limit: Some(3),
            ..
        }
    ));
    // Checks of the client come before those of a server.
    let huge = vec![0; 1024 * 1024 + 1];
    for limit in [None, Some(1), Some(2 * 1024 * 1024)] {
        let fixture = with(|config| config.max_value_size = limit);
        let put = PutOptions::new().expect(Expect::Revision(7));
        let error = now(fixture.bucket.put(&key("a"), huge.clone().into(), put)).unwrap_err();
        assert!(matches!(
            error,
            KvWriteError::TooLarge {
                limit: Some(1_048_576),
                ..
            }
        ));
    }
}

#[test]
fn a_full_bucket_accepts_only_writes_that_free_enough_space() {
    // Two messages of 30 + 7 + 3 bytes fit.
    let fixture = with(|config| config.max_bytes = Some(80));
    fixture.put("a", "123");
    fixture.put("b", "123");
    let refused = |result: Result<u64, KvWriteError>| {
        assert!(matches!(
            result,
            Err(KvWriteError::Service(ServiceError::Refused {
                code: Some(10077),
                ..
            }))
        ));
    };
    refused(fixture.put_with("c", "", PutOptions::new()));
    refused(fixture.put_with("a", "1234", PutOptions::new()));
    refused(fixture.remove("a", RemoveOptions::delete()));
    fixture.put("a", "321");
    assert_eq!(now(fixture.bucket.status()).unwrap().bytes, 80);
    // Nothing drops out of a history that is not full.
    let fixture = with(|config| {
        config.max_bytes = Some(80);
        config.history = 2;
    });
    fixture.put("a", "123");
    fixture.put("b", "123");
    refused(fixture.put_with("a", "1", PutOptions::new()));
}

#[test]
fn compaction_keeps_later_revisions() {
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
fn a_snapshot_contains_the_last_revision_of_every_key_even_removals() {
    let fixture = plain();
    for key in ["l.a", "l.b", "l.a", "m.a"] {
        fixture.put(key, "x");
    }
    fixture.remove("l.b", RemoveOptions::purge()).unwrap();
    let filter = KeyFilter::new("l.*").unwrap();
    let shown = |from| -> Vec<_> {
        let shown = now(fixture.bucket.snapshot(&filter, from));
        let entries = shown.unwrap().unwrap().into_iter();
        entries.map(|e| (e.key.to_string(), e.revision)).collect()
    };
    let (a, b) = (("l.a".to_owned(), 3), ("l.b".to_owned(), 5));
    assert_eq!(shown(0), [a.clone(), b.clone()]);
    assert_eq!(shown(3), [a, b.clone()]);
    assert_eq!(shown(4), [b]);
}

#[test]
fn get_many_returns_each_key_once() {
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

    // Existing revisions follow the new age limit, not the old one.
    fixture.put("a", "4");
    config.max_age = Some(SECOND * 50);
    now(fixture.buckets.create(&config, CreateMode::CreateOrUpdate)).unwrap();
    fixture.clock.advance(SECOND * 49);
    assert_eq!(fixture.operation("a"), Some(Operation::Put));
    fixture.clock.advance(SECOND);
    assert_eq!(fixture.operation("a"), Some(Operation::Expire));

    config.limit_markers = LimitMarkers::Off;
    now(fixture.buckets.create(&config, CreateMode::CreateOrUpdate)).unwrap();
    let status = now(fixture.bucket.status()).unwrap();
    assert_eq!(status.config.limit_markers, LimitMarkers::Off);
    config.storage = crate::kv::Storage::Memory;
    let error = now(fixture.buckets.create(&config, CreateMode::CreateOrUpdate)).unwrap_err();
    assert!(matches!(
        error,
        BucketError::Service(ServiceError::Refused {
            code: Some(10052),
            ..
        })
    ));

    let placed = |placement| {
        let mut config = BucketConfig::new("c");
        config.placement = Some(placement);
        config
    };
    let mut many = BucketConfig::new("c");
    many.replicas = 2;
    let somewhere = placed(Placement::new().cluster("east"));
    let tagged = placed(Placement::new().tag("ssd"));
    for config in [many, somewhere, tagged] {
        let error = now(fixture.buckets.create(&config, CreateMode::Create)).unwrap_err();
        assert!(matches!(
            error,
            BucketError::Service(ServiceError::Unsupported { .. })
        ));
    }
    let names: Vec<_> = now(fixture.buckets.list().collect());
    assert_eq!(names.len(), 1);
}

#[test]
fn debug_output_contains_no_stored_values() {
    let fixture = plain();
    fixture.put("a", "hunter2");
    for printed in [
        format!("{:?}", fixture.buckets),
        format!("{:?}", fixture.bucket),
    ] {
        assert!(!printed.contains("hunter2"), "{printed}");
    }
}

#[tokio::test]
async fn a_polling_reader_lets_others_write() {
    let store = crate::Store::new(plain().bucket);
    let writer = store.clone();
    tokio::spawn(async move { writer.put("a", "1").await });
    let mut asked = 0;
    while store.get("a").await.unwrap().is_none() {
        asked += 1;
        assert!(asked < 1_000_000, "the writer never ran");
    }
}
