//! Every promise of the API, on the embedded backend and on a server.

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures::{FutureExt, StreamExt};
use shizuku::{
    Client, Processor, Store,
    kv::{
        BoxError, BucketConfig, LimitMarkers,
        election::Election,
        lock::{LockOptions, LostReason},
        mutex::DistroMutex,
        rw_lock::{
            DistroRwLock, DistroRwLockError, LockedResourceWriteProcessor, Mode,
            WithLockProcessError,
        },
        semaphore::DistroSemaphore,
    },
};
use tokio::time::{Instant, sleep, timeout};

type Result<T = (), E = BoxError> = std::result::Result<T, E>;

const SOON: Duration = Duration::from_secs(2);
const MOMENT: Duration = Duration::from_millis(50);

/// Where a test runs: a service, and a bucket of its own in it.
struct World {
    url: String,
    bucket: String,
}

impl World {
    fn memory() -> Self {
        Self {
            url: "memory:".into(),
            bucket: "locks".into(),
        }
    }

    async fn server() -> Result<Self> {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        Ok(Self {
            url: harness::shared(harness::LATEST).await?.url(),
            bucket: format!("locks-{number}"),
        })
    }

    async fn client(&self) -> Result<Client> {
        Ok(shizuku::connect(&self.url).await?)
    }

    /// Two handles on one bucket: two participants.
    async fn stores(&self) -> Result<(Store, Store)> {
        let client = self.client().await?;
        let one = client.create_bucket(self.bucket.as_str()).await?;
        Ok((one, client.open_bucket(&self.bucket).await?))
    }
}

/// Every test runs on the embedded backend and on a server.
macro_rules! everywhere {
    ($($test:ident),* $(,)?) => {
        mod memory {
            $(#[tokio::test]
            async fn $test() -> super::Result {
                super::$test(super::World::memory()).await
            })*
        }
        mod server {
            $(#[tokio::test]
            async fn $test() -> super::Result {
                super::$test(super::World::server().await?).await
            })*
        }
    };
}

everywhere! {
    readers_share_and_writers_go_first,
    writers_are_served_in_order,
    exclusion_under_load,
    a_dropped_guard_releases,
    a_dropped_acquire_withdraws_wherever_it_is_dropped,
    deadlines_and_tries,
    bad_input_is_refused_before_anything_is_sent,
    a_bucket_without_limit_markers_is_refused,
    a_removed_entry_is_a_lost_hold,
    a_hold_is_renewed_for_as_long_as_it_lasts,
    downgrading_lets_readers_in_and_no_writer_between,
    holders_are_listed_and_followed,
    a_processor_releases_however_it_ends,
    mutexes_and_read_write_locks_of_one_name_are_one,
    a_semaphore_counts,
    an_election_has_one_leader_at_a_time,
    a_dead_holder_is_waited_for_as_long_as_its_lease,
}

/// What is left in the log.
async fn entries(store: &Store) -> Result<usize> {
    Ok(store.get_many("_lock.>").await?.len())
}

/// Waits until the log is empty: probes expire by themselves.
async fn nothing_left(store: &Store) -> Result {
    for _ in 0..300 {
        if entries(store).await? == 0 {
            return Ok(());
        }
        sleep(Duration::from_millis(20)).await;
    }
    panic!("{:?}", store.get_many("_lock.>").await?);
}

async fn readers_share_and_writers_go_first(world: World) -> Result {
    let (a, b) = world.stores().await?;
    let (a, b) = (DistroRwLock::new(&a, "r")?, DistroRwLock::new(&b, "r")?);
    let (one, two) = (a.read().await?, b.read().await?);
    let writer = tokio::spawn({
        let a = a.clone();
        async move { a.write().await }
    });
    sleep(MOMENT).await;
    // A writer waits: nobody new gets in.
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
    for number in 0..6 {
        let (lock, order) = (locks[number % 2].clone(), order.clone());
        tasks.push(tokio::spawn(async move {
            let guard = lock.write().await.unwrap();
            order.lock().unwrap().push((number, guard.token()));
            guard.release().await.unwrap();
        }));
        sleep(MOMENT / 5).await;
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

async fn exclusion_under_load(world: World) -> Result {
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

async fn a_dropped_acquire_withdraws_wherever_it_is_dropped(world: World) -> Result {
    let (a, b) = world.stores().await?;
    let mine = DistroRwLock::new(&a, "r")?;
    // An idle lock, and one that is taken: drop after every number of polls there can be.
    for taken in [false, true] {
        let guard = if taken {
            Some(DistroRwLock::new(&b, "r")?.write().await?)
        } else {
            None
        };
        for polls in 0..12 {
            let mut acquire = Box::pin(mine.write());
            for _ in 0..polls {
                if (&mut acquire).now_or_never().is_some() {
                    break;
                }
                tokio::task::yield_now().await;
            }
            drop(acquire);
        }
        drop(guard);
        nothing_left(&a).await?;
    }
    drop(timeout(SOON, mine.write()).await??);
    Ok(())
}

async fn deadlines_and_tries(world: World) -> Result {
    let (a, b) = world.stores().await?;
    let held = DistroRwLock::new(&a, "r")?.write().await?;
    let options = LockOptions::new().timeout(MOMENT);
    let hasty = DistroRwLock::with_options(&b, "r", options)?;
    for error in [
        hasty.write().await.map(drop).unwrap_err(),
        hasty.read().await.map(drop).unwrap_err(),
    ] {
        let DistroRwLockError::Timeout { lock, after } = error else {
            panic!("{error:?}");
        };
        assert_eq!((lock.as_str(), after), ("r", MOMENT));
    }
    assert!(hasty.try_write().await?.is_none());
    assert!(hasty.try_read().await?.is_none());
    assert_eq!(hasty.holders().await?.len(), 1, "nobody waits any more");
    held.release().await?;
    // The other handle hears of it a moment later.
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
        assert!(
            matches!(error, DistroRwLockError::InvalidName(_)),
            "{error}"
        );
        assert!(error.to_string().contains("lock name"), "{error}");
        assert!(DistroRwLock::acquire_read(&store, name).await.is_err());
    }
    for lease in [0, 999, 1000, 2000, 3500, 86_401_000] {
        let options = LockOptions::new().lease(Duration::from_millis(lease));
        let error = DistroRwLock::with_options(&store, "r", options).unwrap_err();
        assert!(
            matches!(error, DistroRwLockError::InvalidOption(_)),
            "{error}"
        );
    }
    let options = LockOptions::new().label("x".repeat(257));
    assert!(DistroRwLock::with_options(&store, "r", options).is_err());
    // The server would raise this lease to the time of the markers.
    let options = LockOptions::new().lease(Duration::from_secs(3));
    let short = DistroRwLock::with_options(&store, "r", options)?;
    let error = short.write().await.unwrap_err();
    assert!(
        matches!(error, DistroRwLockError::InvalidOption(_)),
        "{error}"
    );
    assert_eq!(store.status().await?.last_revision, 0);
    // A name of several tokens, and one that begins like it, are two locks.
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
    assert!(matches!(error, DistroRwLockError::NotSupported { .. }));
    let text = error.to_string();
    assert!(
        text.contains(&world.bucket) && text.contains("limit_markers"),
        "{text}"
    );
    // The remedy works.
    config.limit_markers = LimitMarkers::For(Duration::from_secs(1));
    client.create_or_update_bucket(config).await?;
    lock.write().await?.release().await?;
    Ok(())
}

async fn a_removed_entry_is_a_lost_hold(world: World) -> Result {
    let (a, b) = world.stores().await?;
    let guard = DistroRwLock::new(&a, "r")?.write().await?;
    assert!(guard.lost().now_or_never().is_none());
    // An administrator takes the entry out.
    let key = entry_key(&b).await?;
    remove(&b, &key).await?;
    assert_eq!(timeout(SOON, guard.lost()).await?, LostReason::Gone);
    assert!(!guard.is_held());
    let token = guard.token();
    let error = guard.release().await.unwrap_err();
    let DistroRwLockError::Lost { token: lost, .. } = error else {
        panic!("{error:?}");
    };
    assert_eq!(lost, token);
    drop(timeout(SOON, DistroRwLock::new(&b, "r")?.write()).await??);
    Ok(())
}

/// The key of the one entry that is no probe.
async fn entry_key(store: &Store) -> Result<shizuku::kv::Key> {
    let mut entries = store.get_many("_lock.>").await?;
    entries.retain(|entry| {
        !entry
            .value
            .as_deref()
            .unwrap_or_default()
            .ends_with(b"probe\"}")
    });
    assert_eq!(entries.len(), 1, "{entries:?}");
    Ok(entries.remove(0).key)
}

/// A key of the library cannot be removed through the store, so a bucket of an own backend is
/// used.
async fn remove(store: &Store, key: &shizuku::kv::Key) -> Result {
    assert!(store.purge(key).await.is_err(), "lock keys are reserved");
    assert!(store.put(key, "x").await.is_err(), "lock keys are reserved");
    store
        .__backend()
        .remove(key, shizuku::kv::RemoveOptions::purge())
        .await?;
    Ok(())
}

async fn a_hold_is_renewed_for_as_long_as_it_lasts(world: World) -> Result {
    let (a, b) = world.stores().await?;
    let options = LockOptions::new().lease(Duration::from_secs(3));
    let guard = DistroRwLock::with_options(&a, "r", options)?
        .write()
        .await?;
    let before = a.status().await?.last_revision;
    sleep(Duration::from_millis(7200)).await;
    assert!(guard.is_held());
    assert!(DistroRwLock::new(&b, "r")?.try_write().await?.is_none());
    // The other's probes are counted too.
    let writes = a.status().await?.last_revision - before;
    assert!((5..=9).contains(&writes), "{writes} writes");
    guard.release().await?;
    Ok(())
}

async fn downgrading_lets_readers_in_and_no_writer_between(world: World) -> Result {
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

async fn holders_are_listed_and_followed(world: World) -> Result {
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
    assert!(seen[0].holds && seen[0].token == guard.token());
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

struct Work<F>(F);

impl<F, Fut, T, E> Processor<(), Result<T, E>> for Work<F>
where
    F: Fn() -> Fut,
    Fut: Future<Output = Result<T, E>> + Send,
{
    fn process(&self, (): ()) -> impl Future<Output = Result<T, E>> + Send {
        (self.0)()
    }
}

async fn a_processor_releases_however_it_ends(world: World) -> Result {
    let (a, b) = world.stores().await?;
    let other = DistroRwLock::new(&b, "r")?;

    let fails = Work(|| async { Err::<(), _>(std::fmt::Error) });
    let failed = LockedResourceWriteProcessor::new(Arc::new(fails), &a, "r");
    let error = failed.process(()).await.unwrap_err();
    assert!(matches!(
        error,
        WithLockProcessError::Process(std::fmt::Error)
    ));
    timeout(SOON, other.write()).await??.release().await?;

    let panics = Work(|| async { panic!("as it should") as Result<(), Infallible> });
    let panicked = LockedResourceWriteProcessor::new(Arc::new(panics), &a, "r");
    let join = tokio::spawn(async move { panicked.process(()).await }).await;
    assert!(join.unwrap_err().is_panic());
    timeout(SOON, other.write()).await??.release().await?;

    let hangs = Work(std::future::pending::<Result<(), Infallible>>);
    let hung = LockedResourceWriteProcessor::new(Arc::new(hangs), &a, "r");
    assert!(timeout(MOMENT, hung.process(())).await.is_err());
    timeout(SOON, other.write()).await??.release().await?;

    // The lock is lost under the work: its result stays, and the report tells.
    let store = b.clone();
    let robbed = Work(move || {
        let store = store.clone();
        async move {
            let key = entry_key(&store).await?;
            remove(&store, &key).await?;
            sleep(MOMENT).await;
            Ok::<_, BoxError>(5)
        }
    });
    let robbed = LockedResourceWriteProcessor::new(Arc::new(robbed), &a, "r");
    assert_eq!(robbed.process(()).await?, 5);
    let report = robbed.process_and_report(()).await?;
    assert_eq!(report.output?, 5);
    assert!(matches!(
        report.release,
        Err(DistroRwLockError::Lost { .. })
    ));

    let held = other.write().await?;
    let bad = LockedResourceWriteProcessor::new(
        Arc::new(Work(|| async { Ok::<_, Infallible>(()) })),
        &a,
        "a b",
    );
    assert!(matches!(
        bad.process(()).await,
        Err(WithLockProcessError::Lock(_))
    ));
    held.release().await?;
    Ok(())
}

async fn mutexes_and_read_write_locks_of_one_name_are_one(world: World) -> Result {
    let (a, b) = world.stores().await?;
    let guard = DistroMutex::new(&a, "r")?.lock().await?;
    assert!(DistroRwLock::new(&b, "r")?.try_read().await?.is_none());
    assert!(DistroMutex::new(&b, "r")?.try_lock().await?.is_none());
    guard.release().await?;
    Ok(())
}

async fn a_semaphore_counts(world: World) -> Result {
    let client = world.client().await?;
    client.create_bucket(world.bucket.as_str()).await?;
    let inside = Arc::new(AtomicUsize::new(0));
    let most = Arc::new(AtomicUsize::new(0));
    let mut tasks = Vec::new();
    for _ in 0..8 {
        let store = client.open_bucket(&world.bucket).await?;
        let (inside, most) = (inside.clone(), most.clone());
        tasks.push(tokio::spawn(async move {
            let semaphore = DistroSemaphore::new(&store, "s", 3.try_into().unwrap()).unwrap();
            for _ in 0..5 {
                let permit = semaphore.acquire().await.unwrap();
                most.fetch_max(inside.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                sleep(Duration::from_millis(3)).await;
                inside.fetch_sub(1, Ordering::SeqCst);
                permit.release().await.unwrap();
            }
        }));
    }
    for task in tasks {
        timeout(Duration::from_secs(30), task).await??;
    }
    assert_eq!(most.load(Ordering::SeqCst), 3);
    // Those who think that there are fewer keep to their number, and so do the others then.
    let store = client.open_bucket(&world.bucket).await?;
    let semaphore = |permits: u32| DistroSemaphore::new(&store, "s", permits.try_into().unwrap());
    let one = semaphore(1)?.try_acquire().await?.unwrap();
    assert!(semaphore(3)?.try_acquire().await?.is_none());
    one.release().await?;
    Ok(())
}

async fn an_election_has_one_leader_at_a_time(world: World) -> Result {
    let (a, b) = world.stores().await?;
    let (here, there) = (Election::new(&a, "e")?, Election::new(&b, "e")?);
    let mut seen = Box::pin(there.observe()?);
    assert_eq!(timeout(SOON, seen.next()).await?.unwrap()?, None);
    let mut office = here.campaign("here").await?;
    let leader = timeout(SOON, seen.next()).await?.unwrap()?.unwrap();
    assert_eq!(
        (leader.value.as_str(), leader.token),
        ("here", office.token())
    );
    let successor = tokio::spawn({
        let there = there.clone();
        async move { there.campaign("there").await }
    });
    timeout(SOON, office.proclaim("moved")).await??;
    let leader = timeout(SOON, seen.next()).await?.unwrap()?.unwrap();
    assert_eq!(
        (leader.value.as_str(), leader.token),
        ("moved", office.token())
    );
    assert_eq!(there.candidates().await?.len(), 2);
    office.resign().await?;
    let office = timeout(SOON, successor).await???;
    loop {
        let leader = timeout(SOON, seen.next()).await?.unwrap()?;
        if let Some(leader) = leader {
            assert_eq!(
                (leader.value.as_str(), leader.token),
                ("there", office.token())
            );
            break;
        }
    }
    assert_eq!(here.leader().await?.unwrap().value, "there");
    let too_long = here.campaign("x".repeat(70_000)).await;
    assert!(matches!(too_long, Err(DistroRwLockError::InvalidOption(_))));
    Ok(())
}

/// A runtime that ends under a lock: the hold says so, and the handle works on in another one.
#[test]
fn a_stopped_runtime_loses_its_holds() {
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
            assert!(guard.release().await.is_err());
            DistroRwLock::new(&store, "other")?
                .write()
                .await?
                .release()
                .await?;
            Ok::<_, BoxError>(())
        })
        .unwrap();
}

async fn a_dead_holder_is_waited_for_as_long_as_its_lease(world: World) -> Result {
    let (a, b) = world.stores().await?;
    let options = LockOptions::new().lease(Duration::from_secs(3));
    let lock = DistroRwLock::with_options(&a, "r", options)?;
    // Its runtime dies, and with it everything that would renew or release.
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
