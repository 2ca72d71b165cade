//! Acquiring, releasing, and refused calls.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures::StreamExt;
use shizuku::kv::{
    BucketConfig, LimitMarkers,
    lock::LockOptions,
    rw_lock::{DistroRwLock, LockError},
};
use tokio::time::{sleep, timeout};

use crate::support::{MOMENT, Result, SOON, World, everywhere, nothing_left};

everywhere! {
    readers_share_and_a_waiting_writer_blocks_new_readers,
    writers_are_served_in_order,
    exclusion_holds_under_load,
    a_dropped_guard_releases,
    acquires_time_out_and_tries_fail_while_the_lock_is_taken,
    bad_input_is_refused_before_anything_is_sent,
    a_bucket_without_limit_markers_is_refused,
}

async fn readers_share_and_a_waiting_writer_blocks_new_readers(world: World) -> Result {
    let (a, b) = world.stores().await?;
    let (a, b) = (DistroRwLock::new(&a, "r")?, DistroRwLock::new(&b, "r")?);
    let (one, two) = (a.read().await?, b.read().await?);
    let writer = tokio::spawn({
        let a = a.clone();
        async move { a.write().await }
    });
    sleep(MOMENT).await;
    // While a writer waits, no new reader is admitted.
    assert!(b.try_read().await?.is_none());
    assert!(timeout(MOMENT, b.read()).await.is_err());
    let late = tokio::spawn({
        let b = b.clone();
        async move { b.read().await }
    });
    one.release().await?;
    sleep(MOMENT).await;
    assert!(!writer.is_finished());
    two.release().await?;
    let writer = timeout(SOON, writer).await???;
    sleep(MOMENT).await;
    assert!(!late.is_finished());
    let token = writer.token();
    writer.release().await?;
    let late = timeout(SOON, late).await???;
    assert!(late.token() > token);
    Ok(())
}

async fn writers_are_served_in_order(world: World) -> Result {
    let (a, b) = world.stores().await?;
    let locks = [DistroRwLock::new(&a, "r")?, DistroRwLock::new(&b, "r")?];
    let first = locks[0].write().await?;
    let order = Arc::new(std::sync::Mutex::new(Vec::new()));
    let mut tasks = Vec::new();
    let mut queue = Box::pin(locks[0].watch_holders()?);
    for number in 0..6 {
        let (lock, order) = (locks[number % 2].clone(), order.clone());
        tasks.push(tokio::spawn(async move {
            let guard = lock.write().await.unwrap();
            order.lock().unwrap().push((number, guard.token()));
            guard.release().await.unwrap();
        }));
        // The next writer starts once this one is in the queue.
        while timeout(SOON, queue.next()).await?.unwrap()?.len() < number + 2 {}
    }
    first.release().await?;
    for task in tasks {
        timeout(SOON, task).await??;
    }
    let order = order.lock().unwrap().clone();
    assert!(order.is_sorted(), "{order:?}");
    assert!(order.is_sorted_by_key(|(_, token)| *token), "{order:?}");
    Ok(())
}

async fn exclusion_holds_under_load(world: World) -> Result {
    let client = world.client().await?;
    client.create_bucket(world.bucket.as_str()).await?;
    let inside = Arc::new(AtomicUsize::new(0));
    let mut tasks = Vec::new();
    for number in 0..8 {
        let store = client.open_bucket(&world.bucket).await?;
        let inside = inside.clone();
        tasks.push(tokio::spawn(async move {
            let lock = DistroRwLock::new(&store, "r").unwrap();
            for round in 0..25 {
                if (number + round) % 3 == 0 {
                    let guard = lock.write().await.unwrap();
                    assert_eq!(inside.fetch_add(1000, Ordering::SeqCst), 0);
                    tokio::task::yield_now().await;
                    inside.fetch_sub(1000, Ordering::SeqCst);
                    guard.release().await.unwrap();
                } else {
                    let guard = lock.read().await.unwrap();
                    assert!(inside.fetch_add(1, Ordering::SeqCst) < 1000);
                    tokio::task::yield_now().await;
                    inside.fetch_sub(1, Ordering::SeqCst);
                    guard.release().await.unwrap();
                }
            }
        }));
    }
    for task in tasks {
        timeout(Duration::from_secs(60), task).await??;
    }
    nothing_left(&client.open_bucket(&world.bucket).await?).await
}

async fn a_dropped_guard_releases(world: World) -> Result {
    let (a, b) = world.stores().await?;
    let guard = DistroRwLock::new(&a, "r")?.write().await?;
    drop(guard);
    drop(timeout(SOON, DistroRwLock::new(&b, "r")?.write()).await??);
    nothing_left(&a).await
}

async fn acquires_time_out_and_tries_fail_while_the_lock_is_taken(world: World) -> Result {
    let (a, b) = world.stores().await?;
    let held = DistroRwLock::new(&a, "r")?.write().await?;
    let options = LockOptions::new().timeout(MOMENT);
    let hasty = DistroRwLock::with_options(&b, "r", options)?;
    for error in [
        hasty.write().await.map(drop).unwrap_err(),
        hasty.read().await.map(drop).unwrap_err(),
    ] {
        let LockError::Timeout { lock, after } = error else {
            panic!("{error:?}");
        };
        assert_eq!((lock.as_str(), after), ("r", MOMENT));
    }
    assert!(hasty.try_write().await?.is_none());
    assert!(hasty.try_read().await?.is_none());
    assert_eq!(hasty.holders().await?.len(), 1, "nobody waits any more");
    held.release().await?;
    // The other handle learns of the release a moment later.
    let one = loop {
        if let Some(guard) = hasty.try_read().await? {
            break guard;
        }
    };
    let two = hasty.try_read().await?.unwrap();
    assert!(hasty.try_write().await?.is_none());
    one.release().await?;
    two.release().await?;
    hasty.try_write().await?.unwrap().release().await?;
    Ok(())
}

async fn bad_input_is_refused_before_anything_is_sent(world: World) -> Result {
    let client = world.client().await?;
    let mut config = BucketConfig::new(world.bucket.as_str());
    config.history = 5;
    config.limit_markers = LimitMarkers::For(Duration::from_secs(5));
    let store = client.create_bucket(config).await?;
    for name in [
        "",
        ".",
        "a.",
        ".a",
        "a b",
        "a*",
        "a.>",
        "ä",
        &"a".repeat(2000),
    ] {
        let error = DistroRwLock::new(&store, name).unwrap_err();
        assert!(matches!(error, LockError::InvalidName(_)), "{error}");
        assert!(error.to_string().contains("lock name"), "{error}");
        assert!(DistroRwLock::acquire_read(&store, name).await.is_err());
    }
    for lease in [0, 999, 1000, 2000, 3500, 86_401_000] {
        let options = LockOptions::new().lease(Duration::from_millis(lease));
        let error = DistroRwLock::with_options(&store, "r", options).unwrap_err();
        assert!(matches!(error, LockError::InvalidOption(_)), "{error}");
    }
    let options = LockOptions::new().label("x".repeat(257));
    assert!(DistroRwLock::with_options(&store, "r", options).is_err());
    // The server would raise this lease to the lifetime of its markers.
    let options = LockOptions::new().lease(Duration::from_secs(3));
    let short = DistroRwLock::with_options(&store, "r", options)?;
    let error = short.write().await.unwrap_err();
    assert!(matches!(error, LockError::InvalidOption(_)), "{error}");
    assert_eq!(store.status().await?.last_revision, 0);
    // A name with several tokens and its prefix are two different locks.
    let outer = DistroRwLock::new(&store, "a.b")?.write().await?;
    let inner = DistroRwLock::new(&store, "a.b.c")?;
    timeout(SOON, inner.write()).await??.release().await?;
    outer.release().await?;
    Ok(())
}

async fn a_bucket_without_limit_markers_is_refused(world: World) -> Result {
    let mut config = BucketConfig::new(world.bucket.as_str());
    config.limit_markers = LimitMarkers::Off;
    let client = world.client().await?;
    let store = client.create_bucket(config.clone()).await?;
    let lock = DistroRwLock::new(&store, "r")?;
    let error = lock.write().await.unwrap_err();
    assert!(matches!(error, LockError::NotSupported { .. }));
    let text = error.to_string();
    assert!(
        text.contains(&world.bucket) && text.contains("limit_markers"),
        "{text}"
    );
    // The suggested remedy works.
    config.limit_markers = LimitMarkers::For(Duration::from_secs(1));
    client.create_or_update_bucket(config).await?;
    lock.write().await?.release().await?;
    Ok(())
}
