//! Futures that are dropped at any point: before anything is sent; between a write and its
//! acknowledgement, snapshot, watch or grant; and while others release.

use std::{any::Any, pin::pin, time::Duration};

use futures::{
    FutureExt,
    future::{Either, LocalBoxFuture, join, select, try_join_all},
};
use shizuku::{
    Store,
    kv::{
        BoxError,
        election::Election,
        lock::{
            LockOptions, LostReason, Mode,
            entry::{LockEntry, Record},
        },
        mutex::DistroMutex,
        rw_lock::DistroRwLock,
        semaphore::DistroSemaphore,
    },
};
use tokio::{
    task::yield_now,
    time::{sleep, timeout},
};

use crate::support::{Result, SOON, World, everywhere, standing};

everywhere! {
    a_cancelled_acquire_withdraws,
    a_cancelled_release_continues,
    a_cancelled_downgrade_releases,
    a_cancelled_proclamation_keeps_the_leadership,
}

/// The numbers of scheduler turns after which a future is dropped. A message takes a few in memory,
/// and a few dozen on its way to a server.
fn turns() -> impl Iterator<Item = usize> {
    (0..12).chain((4..10).flat_map(|power| [1 << power, 3 << (power - 1)]))
}

async fn pass(turns: usize) {
    for _ in 0..turns {
        yield_now().await;
    }
}

/// Runs a future for this many turns, and drops it if it is not done by then.
async fn cut<T>(turns: usize, work: impl Future<Output = T>) -> Option<T> {
    match select(pin!(work), pin!(pass(turns))).await {
        Either::Left((done, _)) => Some(done),
        Either::Right(_) => None,
    }
}

/// The number of runs by outcome.
#[derive(Debug, Default)]
struct Seen {
    /// Dropped before its write was stored.
    before: usize,
    /// Dropped after its write was stored.
    after: usize,
    done: usize,
}

/// The maximum number of rounds until each outcome has been seen.
const ROUNDS: usize = 50;

impl Seen {
    fn is_whole(&self) -> bool {
        self.before > 0 && self.after > 0 && self.done > 0
    }

    fn count(&mut self, is_done: bool, is_stored: bool) {
        match (is_done, is_stored) {
            (true, _) => self.done += 1,
            (false, false) => self.before += 1,
            (false, true) => self.after += 1,
        }
    }
}

/// Checks that another participant soon acquires the lock, and that no entries remain.
async fn is_free(store: &Store, lock: &str) -> Result {
    let next = DistroRwLock::new(store, lock)?;
    timeout(SOON, next.write()).await??.release().await?;
    // Writes that were in flight are cleaned up, too.
    for _ in 0..100 {
        if standing(store, lock).await?.is_empty() {
            return Ok(());
        }
        sleep(Duration::from_millis(5)).await;
    }
    panic!("{:?}", standing(store, lock).await?);
}

/// Whether another participant blocks the acquire.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Others {
    Nobody,
    Hold,
    LetGo,
}

type Acquire = Box<dyn Fn() -> LocalBoxFuture<'static, Result<Box<dyn Any>>>>;

/// The entries of the participant under test.
async fn mine(eye: &Store, lock: &str) -> Result<Vec<LockEntry>> {
    let entries = standing(eye, lock).await?.into_iter();
    let known = entries.filter_map(|entry| match Record::decode(&entry.value?) {
        Record::Entry(entry) => Some(entry),
        _ => None,
    });
    Ok(known
        .filter(|entry| entry.label.as_deref() == Some("mine"))
        .collect())
}

async fn a_cancelled_acquire_withdraws(world: World) -> Result {
    const LOCK: &str = "r";
    // A store without pauses, to look at the log.
    let (eye, _) = world.stores().await?;
    let (a, b) = world.restless().stores().await?;
    let lock = DistroRwLock::with_options(&a, LOCK, options())?;
    let mutex = DistroMutex::with_options(&a, LOCK, options())?;
    let semaphore = DistroSemaphore::with_options(&a, LOCK, 1.try_into()?, options())?;
    let election = Election::with_options(&a, LOCK, options())?;
    macro_rules! acquire {
        ($from:ident, $acquire:ident($($argument:expr)?)) => {{
            let from = $from.clone();
            let acquire: Acquire = Box::new(move || {
                let from = from.clone();
                async move { Ok(Box::new(from.$acquire($($argument)?).await?) as _) }.boxed_local()
            });
            (stringify!($from.$acquire), acquire)
        }};
    }
    for (what, acquire) in [
        acquire!(lock, read()),
        acquire!(lock, write()),
        acquire!(lock, try_read()),
        acquire!(lock, try_write()),
        acquire!(mutex, lock()),
        acquire!(mutex, try_lock()),
        acquire!(semaphore, acquire()),
        acquire!(semaphore, try_acquire()),
        acquire!(election, campaign("me")),
    ] {
        let mut seen = Seen::default();
        for _ in 0..ROUNDS {
            for others in [Others::Nobody, Others::Hold, Others::LetGo] {
                for turns in turns() {
                    let other = match others {
                        Others::Nobody => None,
                        _ => Some(DistroRwLock::new(&b, LOCK)?.write().await?),
                    };
                    let (done, other) = if others == Others::LetGo {
                        let let_go = async {
                            pass(turns / 2).await;
                            drop(other);
                            None
                        };
                        join(cut(turns, acquire()), let_go).await
                    } else {
                        (cut(turns, acquire()).await, other)
                    };
                    seen.count(done.is_some(), !mine(&eye, LOCK).await?.is_empty());
                    drop((done.transpose()?, other));
                    is_free(&b, LOCK).await?;
                }
            }
            if seen.is_whole() {
                break;
            }
        }
        println!("{what}: {seen:?}");
        assert!(seen.is_whole(), "{what}: {seen:?}");
    }
    Ok(())
}

/// Cancels `work` after every number of turns, each on a lock of its own and all concurrently.
/// `work` returns whether it finished, and whether its write was stored.
async fn each<F: Future<Output = Result<(bool, bool)>>>(
    world: World,
    work: impl Fn(Tried) -> F,
) -> Result {
    let (eye, _) = world.stores().await?;
    let (a, b) = world.restless().stores().await?;
    let mut seen = Seen::default();
    for round in 0..ROUNDS {
        let runs = turns().map(|turns| {
            work(Tried {
                eye: eye.clone(),
                a: a.clone(),
                b: b.clone(),
                lock: format!("r{round}-{turns}"),
                turns,
            })
        });
        for (is_done, is_stored) in try_join_all(runs).await? {
            seen.count(is_done, is_stored);
        }
        if seen.is_whole() {
            break;
        }
    }
    println!("{seen:?}");
    assert!(seen.is_whole(), "{seen:?}");
    Ok(())
}

struct Tried {
    eye: Store,
    a: Store,
    b: Store,
    lock: String,
    turns: usize,
}

fn options() -> LockOptions {
    LockOptions::new().label("mine")
}

/// After this time an entry may be rewritten.
const GAP: Duration = Duration::from_millis(1200);

async fn a_cancelled_release_continues(world: World) -> Result {
    each(world, async |it| {
        let lock = DistroRwLock::with_options(&it.a, &it.lock, options())?;
        let guard = lock.write().await?;
        let lost = guard.lost();
        let done = cut(it.turns, guard.release()).await.transpose()?;
        let stored = mine(&it.eye, &it.lock).await?.is_empty();
        is_free(&it.b, &it.lock).await?;
        assert_eq!(timeout(SOON, lost).await?, LostReason::Released);
        Ok((done.is_some(), stored))
    })
    .await
}

async fn a_cancelled_downgrade_releases(world: World) -> Result {
    each(world, async |it| {
        let lock = DistroRwLock::with_options(&it.a, &it.lock, options())?;
        let guard = lock.write().await?;
        sleep(GAP).await;
        let done = cut(it.turns, guard.downgrade()).await.transpose()?;
        let is_writing = |entry: &LockEntry| entry.mode == Mode::Write;
        let stored = !mine(&it.eye, &it.lock).await?.iter().any(is_writing);
        let is_done = done.is_some();
        drop(done);
        is_free(&it.b, &it.lock).await?;
        Ok((is_done, stored))
    })
    .await
}

async fn a_cancelled_proclamation_keeps_the_leadership(world: World) -> Result {
    each(world, async |it| {
        let election = Election::with_options(&it.a, &it.lock, options())?;
        let mut office = election.campaign("old").await?;
        sleep(GAP).await;
        let done = cut(it.turns, office.proclaim("new")).await.transpose()?;
        let value = async || {
            let entries = mine(&it.eye, &it.lock).await?;
            Ok::<_, BoxError>(entries[0].data.clone())
        };
        let stored = value().await?.as_deref() == Some("new");
        timeout(SOON, office.proclaim("newer")).await??;
        assert_eq!(value().await?.as_deref(), Some("newer"));
        assert!(office.is_held());
        cut(it.turns, office.resign()).await.transpose()?;
        is_free(&it.b, &it.lock).await?;
        Ok((done.is_some(), stored))
    })
    .await
}
