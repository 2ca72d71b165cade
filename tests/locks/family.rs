//! Primitives built on the read-write lock: processors, mutexes, semaphores, elections.

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
    Processor,
    kv::{
        BoxError,
        election::Election,
        lock::Mode,
        mutex::DistroMutex,
        rw_lock::{DistroRwLock, LockError, LockedResourceWriteProcessor, WithLockProcessError},
        semaphore::DistroSemaphore,
    },
};
use tokio::time::{sleep, timeout};

use crate::support::{MOMENT, Result, SOON, World, entry_key, everywhere};

everywhere! {
    a_processor_releases_its_lock_however_it_ends,
    a_mutex_and_a_read_write_lock_of_one_name_are_the_same_lock,
    a_semaphore_limits_concurrent_permits,
    a_handle_sees_its_own_changes,
    a_cancelled_proclamation_does_not_complete_a_later_one,
    an_election_has_one_leader_at_a_time,
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

async fn a_processor_releases_its_lock_however_it_ends(world: World) -> Result {
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

    // The lock is lost during the work: its result is kept, and the report says so.
    let store = b.clone();
    let robbed = Work(move || {
        let (store, world) = (store.clone(), world.clone());
        async move {
            let key = entry_key(&store).await?;
            world.remove(&key).await?;
            sleep(MOMENT).await;
            Ok::<_, BoxError>(5)
        }
    });
    let robbed = LockedResourceWriteProcessor::new(Arc::new(robbed), &a, "r");
    assert_eq!(robbed.process(()).await?, 5);
    let report = robbed.process_and_report(()).await?;
    assert_eq!(report.output?, 5);
    assert!(matches!(report.release, Err(LockError::Lost { .. })));

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

async fn a_mutex_and_a_read_write_lock_of_one_name_are_the_same_lock(world: World) -> Result {
    let (a, b) = world.stores().await?;
    let guard = DistroMutex::new(&a, "r")?.lock().await?;
    assert!(DistroRwLock::new(&b, "r")?.try_read().await?.is_none());
    assert!(DistroMutex::new(&b, "r")?.try_lock().await?.is_none());
    guard.release().await?;
    let tried = DistroMutex::new(&a, "r")?.try_lock().await?;
    assert!(tried.is_some_and(|guard| guard.token() > 0));
    Ok(())
}

async fn a_semaphore_limits_concurrent_permits(world: World) -> Result {
    let client = world.client().await?;
    client.create_bucket(world.bucket.as_str()).await?;
    let inside = Arc::new(AtomicUsize::new(0));
    let most = Arc::new(AtomicUsize::new(0));
    let mut tasks = Vec::new();
    for _ in 0..8 {
        let store = client.open_bucket(&world.bucket).await?;
        let (inside, most) = (inside.clone(), most.clone());
        tasks.push(tokio::spawn(async move {
            let semaphore = DistroSemaphore::new(&store, "s", 3).unwrap();
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
    // A participant with a smaller limit keeps to it, and so do the others meanwhile.
    let store = client.open_bucket(&world.bucket).await?;
    let semaphore = |permits: u32| DistroSemaphore::new(&store, "s", permits);
    let one = semaphore(1)?.try_acquire().await?.unwrap();
    assert!(semaphore(3)?.try_acquire().await?.is_none());
    one.release().await?;
    assert!(matches!(semaphore(0), Err(LockError::InvalidOption(_))));
    Ok(())
}

async fn a_handle_sees_its_own_changes(world: World) -> Result {
    let (store, _) = world.stores().await?;
    let election = Election::new(&store, "own")?;
    let mut office = election.campaign("0").await?;
    assert_eq!(election.leader().await?.unwrap().value, "0");
    for term in 1..4 {
        office.proclaim(term.to_string()).await?;
        assert_eq!(election.leader().await?.unwrap().value, term.to_string());
    }
    office.resign().await?;
    assert!(election.leader().await?.is_none());
    let lock = DistroRwLock::new(&store, "own-lock")?;
    let reading = lock.write().await?.downgrade().await?;
    assert_eq!(lock.holders().await?[0].mode, Some(Mode::Read));
    reading.release().await?;
    assert!(lock.holders().await?.is_empty());
    Ok(())
}

async fn a_cancelled_proclamation_does_not_complete_a_later_one(world: World) -> Result {
    let (store, other) = world.stores().await?;
    let election = Election::new(&store, "e")?;
    let mut office = election.campaign("0").await?;
    // By then the entry may be rewritten, so the first proclamation is sent immediately (and in
    // memory acknowledged immediately).
    sleep(Duration::from_millis(1200)).await;
    drop(office.proclaim("a").now_or_never());
    timeout(SOON, office.proclaim("b")).await??;
    let stored = other.get(entry_key(&other).await?).await?.unwrap();
    assert!(stored.ends_with(br#""d":"b"}"#), "{stored:?}");
    assert_eq!(election.leader().await?.unwrap().value, "b");
    // A cancelled proclamation does not delay the end of the hold.
    sleep(Duration::from_millis(1200)).await;
    drop(office.proclaim("c").now_or_never());
    timeout(SOON, office.resign()).await??;
    assert!(election.leader().await?.is_none());
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
        ("here", Some(office.token()))
    );
    assert!(there.try_campaign("there").await?.is_none());
    let successor = tokio::spawn({
        let there = there.clone();
        async move { there.campaign("there").await }
    });
    // A new candidate does not change the leader, so the stream stays silent.
    while there.candidates().await?.len() < 2 {
        tokio::task::yield_now().await;
    }
    timeout(SOON, office.proclaim("moved")).await??;
    let leader = timeout(SOON, seen.next()).await?.unwrap()?.unwrap();
    assert_eq!(
        (leader.value.as_str(), leader.token),
        ("moved", Some(office.token()))
    );
    assert_eq!(there.candidates().await?.len(), 2);
    office.resign().await?;
    let office = timeout(SOON, successor).await???;
    loop {
        let leader = timeout(SOON, seen.next()).await?.unwrap()?;
        if let Some(leader) = leader {
            assert_eq!(
                (leader.value.as_str(), leader.token),
                ("there", Some(office.token()))
            );
            break;
        }
    }
    assert_eq!(here.leader().await?.unwrap().value, "there");
    office.resign().await?;
    let tried = async {
        loop {
            // It fails until the handle has learnt that there is no leader.
            if let Some(office) = here.try_campaign("again").await? {
                return Ok::<_, LockError>(office);
            }
            sleep(MOMENT).await;
        }
    };
    let office = timeout(SOON, tried).await??;
    assert_eq!(here.leader().await?.unwrap().value, "again");
    office.resign().await?;
    let too_long = here.campaign("x".repeat(70_000)).await;
    assert!(matches!(too_long, Err(LockError::InvalidOption(_))));
    Ok(())
}
