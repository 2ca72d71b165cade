//! What a handle releases is immediately available to its other users.

use std::time::Duration;

use harness::NatsServer;
use shizuku::{
    Store,
    kv::{
        lock::LockOptions,
        rw_lock::{DistroRwLock, LockError, WriteGuard},
    },
};
use tokio::{
    task::JoinHandle,
    time::{sleep, timeout},
};

use crate::support::{MOMENT, Result, SOON, World, everywhere, stand_there};

everywhere! {
    a_try_succeeds_immediately_after_a_guard_is_dropped,
    a_dropped_hold_is_no_longer_listed,
}

fn lock(store: &Store) -> Result<DistroRwLock> {
    // Longer than any test: no acquire succeeds because of an expired lease.
    let options = LockOptions::new().lease(Duration::from_secs(60));
    Ok(DistroRwLock::with_options(store, "r", options)?)
}

/// A writer that waits behind another, and has had time to learn of it.
async fn waiting(lock: &DistroRwLock) -> Result<JoinHandle<Result<WriteGuard, LockError>>> {
    let writer = lock.clone();
    let waiting = tokio::spawn(async move { writer.write().await });
    stand_there(lock, 2).await?;
    sleep(MOMENT).await;
    Ok(waiting)
}

/// On the embedded backend there is no propagation delay.
#[tokio::test]
async fn a_try_succeeds_immediately_after_another_handles_release() -> Result {
    let (store, other) = World::memory().stores().await?;
    let (lock, beside) = (lock(&store)?, lock(&other)?);
    for _ in 0..20 {
        let held = beside.write().await?;
        assert!(lock.try_write().await?.is_none());
        held.release().await?;
        lock.try_write().await?.unwrap().release().await?;
    }
    Ok(())
}

async fn a_try_succeeds_immediately_after_a_guard_is_dropped(world: World) -> Result {
    let (store, other) = world.stores().await?;
    let (lock, beside) = (lock(&store)?, lock(&other)?);
    for _ in 0..20 {
        // Also while a watch is open that shows late what this handle already knows.
        let mut token = 0;
        let held = beside.write().await?;
        assert!(lock.try_write().await?.is_none());
        held.release().await?;
        for _ in 0..5 {
            let guard = lock.write().await?;
            assert!(guard.token() > token);
            token = guard.token();
            drop(guard);
            let guard = lock.try_write().await?.unwrap();
            assert!(guard.token() > token);
            token = guard.token();
            drop(guard);
            drop(lock.try_read().await?.unwrap());
        }
    }
    Ok(())
}

async fn a_dropped_hold_is_no_longer_listed(world: World) -> Result {
    let (store, _) = world.stores().await?;
    let lock = lock(&store)?;
    let guard = lock.write().await?;
    let waiting = waiting(&lock).await?;
    drop(guard);
    let next = timeout(SOON, waiting).await???;
    let holders = lock.holders().await?;
    let shown: Vec<_> = holders.iter().map(|one| (one.token, one.holds)).collect();
    assert_eq!(shown, [(Some(next.token()), true)]);
    next.release().await?;
    assert!(lock.holders().await?.is_empty());
    Ok(())
}

/// This needs no message: here the server hangs.
#[tokio::test]
async fn a_hand_off_within_one_handle_needs_no_server() -> Result {
    let server = NatsServer::start_default().await?;
    let client = shizuku::connect(server.url()).await?;
    let lock = lock(&client.create_bucket("locks").await?)?;
    let first = lock.write().await?;
    let waiting = waiting(&lock).await?;
    server.pause()?;
    let token = first.token();
    drop(first);
    let second = timeout(SOON, waiting).await???;
    assert!(second.is_held() && second.token() > token);
    server.resume()?;
    second.release().await?;
    Ok(())
}
