//! Entries that the server should have expired but has not: here they are written without a time to
//! live.

use std::time::Duration;

use futures::{StreamExt, future::try_join_all};
use harness::NatsServer;
use shizuku::kv::{Key, lock::LockOptions, rw_lock::DistroRwLock};
use tokio::time::{sleep, timeout};

use crate::support::{
    MOMENT, Result, SOON, World, everywhere, nothing_left, stand_there, standing,
};

everywhere! {
    an_overdue_entry_blocks_no_acquire,
    waiters_without_an_entry_notice_overdue_entries,
    entries_that_may_still_be_valid_are_not_removed,
    hundreds_of_overdue_entries_are_removed,
}

/// An entry with a lease of 3 s. It is overdue after 5 s.
const DEAD: &str = r#"{"v":1,"m":"w","l":3,"w":0}"#;
const TO_BE_OVERDUE: Duration = Duration::from_millis(5300);

async fn leave(world: &World, lock: &str, id: &str, value: &'static str) -> Result {
    world
        .put(&Key::new(format!("_lock.{lock}.{id}"))?, value)
        .await
}

async fn an_overdue_entry_blocks_no_acquire(world: World) -> Result {
    let (store, _) = world.stores().await?;
    for lock in ["write", "read", "try_write", "try_read"] {
        leave(&world, lock, "dead-1", DEAD).await?;
    }
    sleep(TO_BE_OVERDUE).await;
    let lock = |name| DistroRwLock::new(&store, name);
    let write = timeout(SOON, lock("write")?.write()).await??;
    let read = timeout(SOON, lock("read")?.read()).await??;
    let try_write = timeout(SOON, lock("try_write")?.try_write()).await??;
    let try_read = timeout(SOON, lock("try_read")?.try_read()).await??;
    assert_eq!(standing(&store, "*").await?.len(), 4);
    write.release().await?;
    read.release().await?;
    try_write.unwrap().release().await?;
    try_read.unwrap().release().await?;
    nothing_left(&store).await
}

/// They have no entry in the log to compare ages with.
async fn waiters_without_an_entry_notice_overdue_entries(world: World) -> Result {
    let (store, other) = world.stores().await?;
    for lock in ["read", "try"] {
        leave(&world, lock, "dead-1", DEAD).await?;
    }
    sleep(TO_BE_OVERDUE).await;
    let (read, tried) = (
        DistroRwLock::new(&store, "read")?,
        DistroRwLock::new(&other, "try")?,
    );
    // An open watch already shows them.
    let (mut seen, mut seen_too) = (
        Box::pin(read.watch_holders()?),
        Box::pin(tried.watch_holders()?),
    );
    for seen in [&mut seen, &mut seen_too] {
        assert_eq!(seen.next().await.unwrap()?.len(), 1);
    }
    let guard = timeout(SOON, read.read()).await??;
    guard.release().await?;
    let guard = timeout(SOON, tried.try_write()).await??;
    guard.unwrap().release().await?;
    nothing_left(&store).await
}

async fn entries_that_may_still_be_valid_are_not_removed(world: World) -> Result {
    let (store, _) = world.stores().await?;
    let longer = r#"{"v":1,"m":"w","l":9,"w":0}"#;
    leave(&world, "longer", "alive-1", longer).await?;
    // An entry in an unknown format may still be valid.
    let unreadable = r#"{"v":2,"m":"w","l":3,"w":0}"#;
    leave(&world, "unreadable", "new-1", unreadable).await?;
    sleep(TO_BE_OVERDUE).await;
    for name in ["longer", "unreadable"] {
        let lock = DistroRwLock::new(&store, name)?;
        assert!(lock.try_write().await?.is_none(), "{name}");
        assert!(lock.try_read().await?.is_none(), "{name}");
        assert!(timeout(SOON, lock.write()).await.is_err(), "{name}");
        stand_there(&lock, 1).await?;
    }
    Ok(())
}

async fn hundreds_of_overdue_entries_are_removed(world: World) -> Result {
    let (store, _) = world.stores().await?;
    let ids: Vec<_> = (0..200).map(|number| format!("dead-{number}")).collect();
    try_join_all(ids.iter().map(|id| leave(&world, "r", id, DEAD))).await?;
    sleep(TO_BE_OVERDUE).await;
    let lock = DistroRwLock::new(&store, "r")?;
    timeout(SOON, lock.write()).await??.release().await?;
    nothing_left(&store).await
}

/// The way nats-server actually restores messages: purged and forgotten between an orderly stop and
/// a crash.
#[tokio::test]
async fn entries_that_a_crash_restored_are_removed() -> Result {
    let server = NatsServer::start_default().await?;
    let client = shizuku::connect(server.url()).await?;
    let store = client.create_bucket("locks").await?;
    let short = LockOptions::new().lease(Duration::from_secs(3));
    let lock = DistroRwLock::with_options(&store, "r", short)?;
    // They lie between other messages, so that their block of the file is kept.
    store.put("before", "").await?;
    for _ in 0..10 {
        lock.write().await?.release().await?;
    }
    store.put("behind", "").await?;
    server.stop().await?;
    server.restart().await?;
    while store.status().await?.values > 2 {
        sleep(MOMENT).await;
    }
    server.kill()?;
    server.restart().await?;
    let dead = standing(&store, "r").await?.len();
    assert_eq!(
        dead, 10,
        "this server does better: take this test to one that does not"
    );

    // A participant that has never used the lock.
    let other = shizuku::connect(server.url()).await?;
    let other = DistroRwLock::new(&other.open_bucket("locks").await?, "r")?;
    let tried = timeout(SOON, other.try_write()).await??;
    tried.unwrap().release().await?;
    timeout(SOON, lock.write()).await??.release().await?;
    nothing_left(&store).await
}
