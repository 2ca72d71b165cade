//! Watches.

use super::*;

#[test]
fn a_watch_delivers_values_then_current_then_changes() {
    let fixture = with(|config| config.history = 3);
    fixture.put("a", "1");
    fixture.put("b", "2");
    fixture.put("a", "3");
    let mut latest = fixture.watch(&[">"], Deliver::Latest, false);
    let mut one = fixture.watch(&["a"], Deliver::Latest, true);
    assert_eq!(drain(&mut one), ["a=3@3+0", "|", "end"]);
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
fn a_slow_watch_skips_superseded_revisions() {
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
fn revisions_superseded_during_a_read_are_not_counted() {
    let fixture = plain();
    for key in ["a", "b", "c"] {
        fixture.put(key, "1");
    }
    let mut watch = fixture.watch(&[">"], Deliver::Latest, false);
    let first = now(watch.next()).unwrap().unwrap();
    assert!(matches!(first, WatchEvent::Entry(entry) if entry.delta == 2));
    fixture.remove("c", RemoveOptions::purge()).unwrap();
    assert_eq!(drain(&mut watch), ["b=1@2+1", "c!@4+0", "|"]);
}

#[test]
fn a_long_scan_is_split_into_several_polls() {
    let fixture = plain();
    let pass_over = || {
        for number in 0..5000 {
            fixture.put(&format!("other.{number}"), "1");
        }
        fixture.put("a.b", "1")
    };
    pass_over();
    let mut watch = fixture.watch(&["a.*"], Deliver::Latest, false);
    assert_eq!(drain(&mut watch), ["a.b=1@5001+0", "|"]);
    assert_eq!(pass_over(), 10_002);
    assert_eq!(drain(&mut watch), ["a.b=1@10002+0"]);
    let mut watch = fixture.watch(&["none.*"], Deliver::Latest, true);
    assert_eq!(drain(&mut watch), ["|", "end"]);
}

#[test]
fn expiry_wakes_a_waiting_watch() {
    let fixture = plain();
    fixture.put_with("a", "1", ttl(2)).unwrap();
    fixture.put_with("later", "1", ttl(60)).unwrap();
    let mut watch = fixture.watch(&["a"], Deliver::Latest, false);
    assert_eq!(drain(&mut watch), ["a=1@1+0", "|"]);
    fixture.clock.advance(SECOND);
    assert_eq!(drain(&mut watch), [""; 0]);
    fixture.clock.advance(SECOND);
    assert_eq!(drain(&mut watch), ["a!@3+0"]);
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
fn a_waiting_watch_learns_of_an_earlier_deadline() {
    let fixture = plain();
    fixture.put("a", "1");
    let mut watch = fixture.watch(&["a"], Deliver::Latest, false);
    assert_eq!(drain(&mut watch), ["a=1@1+0", "|"]);
    let mut config = BucketConfig::new("b");
    config.max_age = Some(SECOND * 5);
    now(fixture.buckets.create(&config, CreateMode::CreateOrUpdate)).unwrap();
    assert_eq!(drain(&mut watch), [""; 0]);
    fixture.clock.advance(SECOND * 5);
    assert_eq!(drain(&mut watch), ["a!@2+0"]);
}

#[test]
fn a_watch_reports_the_first_reason_for_its_end() {
    let fixture = plain();
    let mut watch = fixture.watch(&[">"], Deliver::Updates, false);
    now(fixture.buckets.delete(fixture.bucket.bucket())).unwrap();
    now(fixture.buckets.close()).unwrap();
    drop(fixture);
    assert_eq!(drain(&mut watch), ["bucket b does not exist", "end"]);

    let fixture = plain();
    let mut watch = fixture.watch(&[">"], Deliver::Updates, false);
    fixture.put_with("a", "1", ttl(1)).unwrap();
    now(fixture.buckets.close()).unwrap();
    drop(fixture);
    assert_eq!(drain(&mut watch), ["the client is closed", "end"]);
}

#[test]
fn deleting_closing_and_abandoning_end_watches() {
    let fixture = plain();
    let mut watch = fixture.watch(&[">"], Deliver::Latest, false);
    assert_eq!(drain(&mut watch), ["|"]);
    now(fixture.buckets.delete(fixture.bucket.bucket())).unwrap();
    assert_eq!(drain(&mut watch), ["bucket b does not exist", "end"]);
    let error = now(fixture.bucket.get(&key("a"), None, Read::Any)).unwrap_err();
    assert!(matches!(
        error,
        KvReadError::Service(ServiceError::BucketNotFound { .. })
    ));
    // A handle refers to a bucket by name, so it also refers to a recreated one.
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
fn an_unpolled_watch_still_delivers_expiries() {
    let fixture = plain();
    fixture.put_with("a", "1", ttl(1)).unwrap();
    fixture.put_with("b", "1", ttl(1)).unwrap();
    let mut behind = fixture.watch(&["*"], Deliver::Latest, false);
    let mut unread = fixture.watch(&["a"], Deliver::Latest, false);
    assert_eq!(drain(&mut behind), ["a=1@1+1", "b=1@2+0", "|"]);
    // The values expire, and after another second their markers.
    fixture.clock.advance(SECOND * 60);
    assert_eq!(now(fixture.bucket.status()).unwrap().values, 0);
    fixture.put("b", "2");
    let mut late = fixture.watch(&[">"], Deliver::Latest, false);
    assert_eq!(drain(&mut late), ["b=2@5+0", "|"]);
    assert_eq!(drain(&mut behind), ["a!@3+1", "b=2@5+0"]);
    // Removals of keys that were never shown are reported too: they cost nothing and hide nothing.
    assert_eq!(drain(&mut unread), ["|", "a!@3+0"]);
}

#[test]
fn an_unread_watch_holds_only_what_it_has_delivered() {
    let fixture = plain();
    let kept = || {
        let bucket = fixture.buckets.registry.find(fixture.bucket.bucket());
        let bucket = bucket.unwrap();
        bucket.look(|log, _| log.ghosts.len()).unwrap()
    };
    fixture.put_with("shown", "1", ttl(1)).unwrap();
    let mut unread = fixture.watch(&[">"], Deliver::Latest, false);
    let mut behind = fixture.watch(&[">"], Deliver::Latest, false);
    for round in 0..100 {
        fixture
            .put_with(&format!("k.{round}"), "1", ttl(1))
            .unwrap();
        drain(&mut behind);
        // The values expire, and after another second their markers.
        fixture.clock.advance(SECOND * 60);
        // The key that both were shown, and that of this round.
        assert_eq!(kept(), 2, "{round}");
    }
    // It is written again, and expires again, while no watch reads.
    fixture.put_with("shown", "2", ttl(1)).unwrap();
    fixture.clock.advance(SECOND * 60);
    drain(&mut behind);
    assert_eq!(kept(), 1);
    let last = now(fixture.bucket.status()).unwrap().last_revision;
    assert_eq!(
        drain(&mut unread),
        ["|".to_owned(), format!("shown!@{last}+0")]
    );
    assert_eq!(kept(), 0);
    // A watch that has ended needs no more reports, nor does any watch of a key that it was not shown.
    fixture.put_with("shown", "3", ttl(1)).unwrap();
    drain(&mut unread);
    drain(&mut behind);
    fixture.clock.advance(SECOND * 60);
    assert_eq!(kept(), 1);
    drop(unread);
    assert_eq!(kept(), 1);
    drop(behind);
    assert_eq!(kept(), 0);
    fixture.put_with("shown", "4", ttl(1)).unwrap();
    fixture.clock.advance(SECOND * 60);
    assert_eq!(kept(), 0);
}
