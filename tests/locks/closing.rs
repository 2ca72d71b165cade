//! What a program leaves behind when it closes its client, or just exits.

use std::time::{Duration, Instant};

use futures::FutureExt;
use harness::NatsServer;
use shizuku::{
    Client, ConnectOptions, Store,
    kv::{
        ServiceError,
        lock::{LockOptions, LostReason},
        rw_lock::{DistroRwLock, LockError},
    },
};
use tokio::{
    runtime,
    time::{sleep, timeout},
};

use crate::support::{MOMENT, Result, SOON, World, stand_there};

/// A lease longer than any test: no acquire succeeds because of an expired lease.
fn lock(store: &Store, name: &str) -> Result<DistroRwLock> {
    let options = LockOptions::new().lease(Duration::from_secs(60));
    Ok(DistroRwLock::with_options(store, name, options)?)
}

/// Two programs with one handle each.
async fn programs(world: &World) -> Result<[(Client, Store); 2]> {
    let (one, other) = (world.client().await?, world.client().await?);
    let store = one.create_bucket(world.bucket.as_str()).await?;
    let beside = other.open_bucket(&world.bucket).await?;
    Ok([(one, store), (other, beside)])
}

#[tokio::test]
async fn closing_releases_all_holds_and_waiters() -> Result {
    let [(client, store), (_other, beside)] = programs(&World::server().await?).await?;
    let held = lock(&store, "held")?.write().await?;
    DistroRwLock::acquire_write(&store, "unguarded").await?;
    let job = lock(&beside, "job")?;
    let first = job.write().await?;
    let mine = lock(&store, "job")?;
    let waiting = tokio::spawn(async move { mine.write().await });
    stand_there(&job, 2).await?;
    let behind = job.clone();
    let behind = tokio::spawn(async move { behind.write().await?.release().await });
    stand_there(&job, 3).await?;

    client.close().await?;
    assert!(!held.is_held());
    assert_eq!(held.lost().await, LostReason::Closed);
    let error = waiting.await?.unwrap_err();
    let LockError::Service { source, .. } = &error else {
        panic!("{error}");
    };
    assert!(matches!(**source, ServiceError::Closed), "{error}");
    let error = held.release().await.unwrap_err();
    let is_closed = |error: &LockError| {
        matches!(
            error,
            LockError::Lost {
                reason: LostReason::Closed,
                ..
            }
        )
    };
    assert!(is_closed(&error), "{error}");

    for name in ["held", "unguarded"] {
        let guard = timeout(SOON, lock(&beside, name)?.write()).await??;
        guard.release().await?;
    }
    first.release().await?;
    timeout(SOON, behind).await???;
    // No further lock is granted.
    let refused = timeout(SOON, lock(&store, "held")?.write()).await?;
    assert!(refused.is_err());
    Ok(())
}

/// Even if closing takes time or was cancelled: nothing would release the lock.
#[tokio::test]
async fn no_lock_is_granted_once_closing_has_begun() -> Result {
    let [(client, store), (_other, beside)] = programs(&World::server().await?).await?;
    let untouched = client.open_bucket(store.bucket()).await?;
    let held = lock(&store, "held")?.write().await?;
    assert!(client.close().now_or_never().is_none());
    let later = client.open_bucket(store.bucket()).await?;
    for store in [store, untouched, later] {
        let refused = timeout(SOON, lock(&store, "job")?.write()).await?;
        let Err(LockError::Service { source, .. }) = refused else {
            panic!("not refused");
        };
        assert!(matches!(*source, ServiceError::Closed), "{source}");
    }
    assert_eq!(held.lost().await, LostReason::Closed);
    drop(timeout(SOON, lock(&beside, "held")?.write()).await??);
    client.close().await?;
    Ok(())
}

#[test]
fn a_guard_dropped_before_closing_is_released() -> Result {
    let one = runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let many = runtime::Builder::new_multi_thread().enable_all().build()?;
    for program in [&one, &many] {
        program.block_on(async {
            for _ in 0..10 {
                let [(client, store), (_other, beside)] = programs(&World::server().await?).await?;
                drop(lock(&store, "job")?.write().await?);
                client.close().await?;
                let guard = timeout(SOON, lock(&beside, "job")?.write()).await??;
                drop(guard);
            }
            Ok::<_, shizuku::kv::BoxError>(())
        })?;
    }
    Ok(())
}

#[tokio::test]
async fn no_task_outlives_the_client() -> Result {
    let world = World::server().await?;
    let client = world.client().await?;
    let store = client.create_bucket(world.bucket.as_str()).await?;
    let released = lock(&store, "released")?.write().await?;
    released.release().await?;
    let _held = lock(&store, "held")?.write().await?;
    sleep(Duration::from_millis(200)).await; // after this time it opens a watch
    client.close().await?;
    let tasks = || runtime::Handle::current().metrics().num_alive_tasks();
    let end = async {
        while tasks() > 0 {
            sleep(MOMENT).await;
        }
    };
    let ended = timeout(SOON, end).await;
    assert!(ended.is_ok(), "{} tasks", tasks());
    Ok(())
}

#[tokio::test]
async fn an_unresponsive_server_does_not_delay_closing() -> Result {
    let server = NatsServer::start_default().await?;
    let options = ConnectOptions::new().request_timeout(Duration::from_secs(1));
    let client = options.connect(server.url()).await?;
    let store = client.create_bucket("locks").await?;
    let held = lock(&store, "job")?.write().await?;
    server.pause()?;
    let begin = Instant::now();
    // Closing may or may not know whether everything was sent.
    _ = client.close().await;
    assert!(
        begin.elapsed() < Duration::from_secs(5),
        "{:?}",
        begin.elapsed()
    );
    assert!(!held.is_held());
    server.resume()?;
    Ok(())
}
