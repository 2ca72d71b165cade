//! Holds: how long they last, how they are lost, and who sees them.

use std::{
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    task::{Context, Wake},
    time::{Duration, UNIX_EPOCH},
};

use futures::{FutureExt, StreamExt};
use shizuku::kv::{
    BoxError, Key,
    lock::{LockOptions, LostReason},
    rw_lock::{DistroRwLock, LockError, Mode},
};
use tokio::time::{Instant, sleep, timeout};

use crate::support::{MOMENT, Result, SOON, World, entry_key, everywhere};

everywhere! {
    a_removed_entry_is_a_lost_hold,
    changing_a_lost_hold_reports_the_reason,
    a_pending_lost_future_resolves_when_the_hold_is_released,
    a_hold_is_renewed_beyond_its_lease,
    a_hold_is_renewed_while_the_lock_is_watched,
    downgrading_admits_readers_but_no_writer_in_between,
    holders_are_listed_and_watched,
    an_entry_of_another_library_with_unusual_values_is_listed,
    a_dead_holder_blocks_others_for_its_lease,
}

async fn a_removed_entry_is_a_lost_hold(world: World) -> Result {
    let (a, b) = world.stores().await?;
    let guard = DistroRwLock::new(&a, "r")?.write().await?;
    assert!(guard.lost().now_or_never().is_none());
    // An administrator removes the entry.
    let key = entry_key(&b).await?;
    world.remove(&key).await?;
    assert_eq!(timeout(SOON, guard.lost()).await?, LostReason::Gone);
    assert!(!guard.is_held());
    let token = guard.token();
    let error = guard.release().await.unwrap_err();
    let LockError::Lost { token: lost, .. } = error else {
        panic!("{error:?}");
    };
    assert_eq!(lost, token);
    drop(timeout(SOON, DistroRwLock::new(&b, "r")?.write()).await??);
    Ok(())
}

async fn changing_a_lost_hold_reports_the_reason(world: World) -> Result {
    let (a, b) = world.stores().await?;
    let guard = DistroRwLock::new(&a, "r")?.write().await?;
    let key = entry_key(&b).await?;
    // The downgrade waits until the entry may be rewritten.
    let downgrade = tokio::spawn(guard.downgrade());
    sleep(MOMENT).await;
    world.remove(&key).await?;
    let error = timeout(SOON, downgrade).await??.unwrap_err();
    let LockError::Lost { reason, .. } = error else {
        panic!("{error:?}");
    };
    assert_eq!(reason, LostReason::Gone);
    Ok(())
}

async fn a_pending_lost_future_resolves_when_the_hold_is_released(world: World) -> Result {
    let (store, _) = world.stores().await?;
    let lock = DistroRwLock::new(&store, "r")?;
    let guard = lock.write().await?;
    let lost = guard.lost();
    guard.release().await?;
    assert_eq!(lost.now_or_never(), Some(LostReason::Released));
    let guard = lock.read().await?;
    let lost = guard.lost();
    drop(guard);
    assert_eq!(lost.now_or_never(), Some(LostReason::Released));
    Ok(())
}

async fn a_hold_is_renewed_beyond_its_lease(world: World) -> Result {
    let (a, b) = world.stores().await?;
    let options = LockOptions::new().lease(Duration::from_secs(3));
    let guard = DistroRwLock::with_options(&a, "r", options)?
        .write()
        .await?;
    let before = a.status().await?.last_revision;
    sleep(Duration::from_millis(7200)).await;
    assert!(guard.is_held());
    assert!(DistroRwLock::new(&b, "r")?.try_write().await?.is_none());
    // The other handle's probes are counted, too.
    let writes = a.status().await?.last_revision - before;
    assert!((5..=9).contains(&writes), "{writes} writes");
    guard.release().await?;
    Ok(())
}

async fn downgrading_admits_readers_but_no_writer_in_between(world: World) -> Result {
    let (a, b) = world.stores().await?;
    let writer = DistroRwLock::new(&a, "r")?.write().await?;
    let token = writer.token();
    let other = DistroRwLock::new(&b, "r")?;
    let reader = tokio::spawn({
        let other = other.clone();
        async move { other.read().await }
    });
    let kept = timeout(Duration::from_secs(3), writer.downgrade()).await??;
    assert_eq!(kept.token(), token);
    let reader = timeout(SOON, reader).await???;
    assert!(kept.is_held() && reader.is_held());
    assert!(other.try_write().await?.is_none());
    kept.release().await?;
    reader.release().await?;
    drop(timeout(SOON, other.write()).await??);
    Ok(())
}

async fn holders_are_listed_and_watched(world: World) -> Result {
    let (a, b) = world.stores().await?;
    let named = |store, label: &str| {
        DistroRwLock::with_options(store, "r", LockOptions::new().label(label.to_owned()))
    };
    let (mine, theirs) = (named(&a, "mine")?, named(&b, "theirs")?);
    let mut changes = Box::pin(theirs.watch_holders()?);
    assert_eq!(timeout(SOON, changes.next()).await?.unwrap()?, []);
    let guard = mine.write().await?;
    let seen = timeout(SOON, changes.next()).await?.unwrap()?;
    assert_eq!(seen.len(), 1);
    assert_eq!(seen[0].label.as_deref(), Some("mine"));
    assert_eq!(seen[0].mode, Some(Mode::Write));
    assert_eq!(seen[0].lease, Duration::from_secs(15));
    assert!(seen[0].holds && seen[0].token == Some(guard.token()));
    let age = seen[0].since.elapsed()?;
    assert!(age < Duration::from_secs(5), "{age:?}");

    let waiting = tokio::spawn({
        let theirs = theirs.clone();
        async move { theirs.write().await }
    });
    let seen = timeout(SOON, changes.next()).await?.unwrap()?;
    assert_eq!(seen.len(), 2);
    assert!(!seen[1].holds && seen[1].label.as_deref() == Some("theirs"));
    assert_eq!(mine.holders().await?, seen);
    guard.release().await?;
    let seen = timeout(SOON, changes.next()).await?.unwrap()?;
    assert!(seen.len() == 1 && seen[0].holds);
    waiting.await??.release().await?;
    assert_eq!(timeout(SOON, changes.next()).await?.unwrap()?, []);
    Ok(())
}

/// A field may have any value of its type, for example the beginning of 1970.
async fn an_entry_of_another_library_with_unusual_values_is_listed(world: World) -> Result {
    let (store, _) = world.stores().await?;
    let lock = DistroRwLock::new(&store, "r")?;
    let value = r#"{"v":1,"m":"w","l":3,"w":0,"s":0}"#;
    world.put(&Key::new("_lock.r.theirs")?, value).await?;
    let holders = timeout(SOON, lock.holders()).await??;
    assert_eq!(holders.len(), 1);
    assert_eq!(holders[0].since, UNIX_EPOCH);
    Ok(())
}

/// If the runtime ends while a lock is held, the hold is lost, and the handle still works in
/// another runtime.
#[test]
fn holds_are_lost_when_their_runtime_ends() {
    let runtime = || {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap()
    };
    let first = runtime();
    let (store, guard) = first
        .block_on(async {
            let (store, _) = World::memory().stores().await?;
            let guard = DistroRwLock::new(&store, "r")?.write().await?;
            Ok::<_, BoxError>((store, guard))
        })
        .unwrap();
    drop(first);
    assert!(!guard.is_held());
    let second = runtime();
    second
        .block_on(async {
            assert_eq!(guard.lost().await, LostReason::Stopped);
            let LockError::Lost { reason, .. } = guard.release().await.unwrap_err() else {
                panic!("it was lost");
            };
            assert_eq!(reason, LostReason::Stopped);
            DistroRwLock::new(&store, "other")?
                .write()
                .await?
                .release()
                .await?;
            Ok::<_, BoxError>(())
        })
        .unwrap();
}

/// Uses the lock from within `wake`, as an executor may that polls woken tasks at once.
struct AtOnce(DistroRwLock, AtomicUsize);

impl Wake for AtOnce {
    fn wake(self: Arc<Self>) {
        self.1.fetch_add(1, Ordering::Relaxed);
        _ = self.0.holders().now_or_never();
    }
}

#[test]
fn a_renewal_does_not_wake_who_waits_for_the_loss() {
    let (done, is_done) = mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let (store, _) = World::memory().stores().await.unwrap();
            let options = LockOptions::new().lease(Duration::from_secs(3));
            let lock = DistroRwLock::with_options(&store, "r", options).unwrap();
            let guard = lock.write().await.unwrap();
            let woken = Arc::new(AtOnce(lock, AtomicUsize::new(0)));
            let mut lost = pin!(guard.lost());
            let waker = woken.clone().into();
            let mut context = Context::from_waker(&waker);
            assert!(lost.poll_unpin(&mut context).is_pending());
            sleep(Duration::from_secs(4)).await;
            assert!(guard.is_held());
            assert_eq!(woken.1.load(Ordering::Relaxed), 0);
            guard.release().await.unwrap();
            assert_eq!(woken.1.load(Ordering::Relaxed), 1);
            assert_eq!(lost.await, LostReason::Released);
        });
        done.send(()).unwrap();
    });
    is_done.recv_timeout(10 * SOON).unwrap();
}

async fn a_dead_holder_blocks_others_for_its_lease(world: World) -> Result {
    let (a, b) = world.stores().await?;
    let options = LockOptions::new().lease(Duration::from_secs(3));
    let lock = DistroRwLock::with_options(&a, "r", options)?;
    // Its runtime ends, and with it all tasks that would renew or release.
    let died = tokio::task::spawn_blocking(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let guard = runtime.block_on(lock.write()).unwrap();
        let died = Instant::now();
        drop(runtime);
        std::mem::forget(guard);
        died
    })
    .await?;
    drop(timeout(Duration::from_secs(10), DistroRwLock::new(&b, "r")?.write()).await??);
    let waited = died.elapsed();
    assert!(
        waited > Duration::from_millis(2500) && waited < Duration::from_secs(5),
        "{waited:?}"
    );
    Ok(())
}

/// A watch keeps the lock's task alive while nothing is due. Later renewals must not be forgotten.
async fn a_hold_is_renewed_while_the_lock_is_watched(world: World) -> Result {
    let (store, _) = world.stores().await?;
    let lease = Duration::from_secs(3);
    let lock = DistroRwLock::with_options(&store, "r", LockOptions::new().lease(lease))?;
    let mut seen = pin!(lock.watch_holders()?);
    assert_eq!(seen.next().await.ok_or("it goes on")??, []);
    lock.write().await?.release().await?;
    // All timers of that hold have fired.
    sleep(lease).await;
    let guard = lock.write().await?;
    sleep(lease * 2).await;
    assert!(guard.is_held());
    guard.release().await?;
    Ok(())
}
