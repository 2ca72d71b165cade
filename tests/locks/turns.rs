//! A caller that retries without a pause, on a single-threaded runtime, does not starve the tasks
//! that deliver events; nor does a waiter that is not polled.

use std::{
    pin::pin,
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use futures::{
    StreamExt,
    future::{join, join_all},
};
use harness::NatsServer;
use shizuku::kv::{BoxError, rw_lock::DistroRwLock};
use tokio::time::{Instant, sleep, timeout};

use crate::support::{MOMENT, Result, SOON, World, everywhere};

everywhere! {
    a_loop_of_tries_does_not_starve_a_release,
    a_loop_of_listings_does_not_starve_a_release,
    a_waiter_that_is_not_polled_does_not_block_others,
    a_crowd_is_served_in_order_and_does_not_block_others,
}

/// Much longer than needed. A loop that starves all other tasks could not be stopped by a timer.
const LONG: Duration = Duration::from_secs(20);

async fn a_loop_of_tries_does_not_starve_a_release(world: World) -> Result {
    let (store, other) = world.stores().await?;
    let (lock, beside) = (
        DistroRwLock::new(&store, "r")?,
        DistroRwLock::new(&other, "r")?,
    );
    let held = beside.write().await?;
    // With an open watch, a try is answered locally.
    let mut seen = pin!(lock.watch_holders()?);
    while seen.next().await.ok_or("it goes on")??.is_empty() {}
    let releasing = tokio::spawn(async move {
        sleep(MOMENT).await;
        held.release().await
    });
    let began = Instant::now();
    while lock.try_read().await?.is_none() {
        assert!(began.elapsed() < LONG, "nobody else gets a turn");
    }
    releasing.await??;
    Ok(())
}

async fn a_waiter_that_is_not_polled_does_not_block_others(world: World) -> Result {
    let (store, other) = world.stores().await?;
    let (lock, beside) = (
        DistroRwLock::new(&store, "r")?,
        DistroRwLock::new(&other, "r")?,
    );
    let held = beside.write().await?;
    let reader = lock.clone();
    let reader = tokio::spawn(async move { reader.read().await });
    sleep(MOMENT).await;
    // Both wait in one handle, and the wake-up goes to the latest, which is not being polled.
    let mut busy = pin!(lock.read());
    assert!(timeout(MOMENT, &mut busy).await.is_err());
    held.release().await?;
    let guard = timeout(SOON, reader).await???;
    timeout(SOON, busy).await??.release().await?;
    guard.release().await?;
    Ok(())
}

async fn a_crowd_is_served_in_order_and_does_not_block_others(world: World) -> Result {
    const CROWD: usize = 300;
    /// The number of claims that one store may have waiting in the log.
    const WAITING: usize = 64;
    let (store, other) = world.stores().await?;
    let (lock, beside) = (
        DistroRwLock::new(&store, "r")?,
        DistroRwLock::new(&other, "r")?,
    );
    // A store's first acquire checks the bucket's features, and those behind it continue in any
    // order.
    lock.write().await?.release().await?;
    let held = beside.write().await?;
    let served = Arc::new(Mutex::new(Vec::new()));
    let crowd = join_all((0..CROWD).map(|number| {
        let (lock, served) = (lock.clone(), served.clone());
        tokio::spawn(async move {
            let guard = lock.write().await?;
            served.lock().unwrap().push(number);
            guard.release().await
        })
    }));
    let behind = async {
        let mut seen = pin!(beside.watch_holders()?);
        while seen.next().await.ok_or("it goes on")??.len() < 1 + WAITING {}
        let waiting = join(beside.write(), held.release());
        let (guard, released) = timeout(LONG, waiting).await?;
        released?;
        let before = served.lock().unwrap().len();
        guard?.release().await?;
        Ok::<_, BoxError>(before)
    };
    let (crowd, before) = timeout(LONG, join(crowd, behind)).await?;
    for member in crowd {
        member??;
    }
    assert!(before? <= 2 * WAITING);
    let served = served.lock().unwrap();
    assert_eq!(served.len(), CROWD);
    // The runtime may delay one caller's write for a moment, so that others overtake it.
    let mut places = served.iter().enumerate();
    assert!(
        places.all(|(place, number)| place.abs_diff(*number) <= WAITING),
        "{served:?}"
    );
    Ok(())
}

async fn a_loop_of_listings_does_not_starve_a_release(world: World) -> Result {
    let (store, other) = world.stores().await?;
    let (lock, beside) = (
        DistroRwLock::new(&store, "r")?,
        DistroRwLock::new(&other, "r")?,
    );
    let held = beside.write().await?;
    let _seen = lock.watch_holders()?;
    let releasing = tokio::spawn(async move {
        sleep(MOMENT).await;
        held.release().await
    });
    let began = Instant::now();
    while !lock.holders().await?.is_empty() {
        assert!(began.elapsed() < LONG, "nobody else gets a turn");
    }
    releasing.await??;
    Ok(())
}

#[tokio::test]
async fn a_loop_of_tries_does_not_starve_a_reconnect() -> Result {
    let server = NatsServer::start_default().await?;
    let client = shizuku::connect(server.url()).await?;
    let store = client.create_bucket("locks").await?;
    let lock = DistroRwLock::new(&store, "r")?;
    lock.write().await?.release().await?;
    let mut seen = pin!(lock.watch_holders()?);
    assert_eq!(seen.next().await.ok_or("it goes on")??, []);
    server.kill()?;
    // A try waits for an unreachable service, but not longer than this.
    sleep(Duration::from_secs(3)).await;
    let asked = Instant::now();
    assert!(lock.try_write().await.is_err() && asked.elapsed() < MOMENT);
    let restarting = thread::spawn({
        let server = server.clone();
        move || server.restart_blocking()
    });
    let began = Instant::now();
    while !matches!(lock.try_write().await, Ok(Some(_))) {
        assert!(began.elapsed() < LONG, "nobody else gets a turn");
    }
    assert!(restarting.join().is_ok_and(|restarted| restarted.is_ok()));
    Ok(())
}
