//! The cost of idle locks: messages and processor time.

use std::{
    env, fs,
    future::poll_fn,
    pin::pin,
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use harness::{LATEST, NatsServer};
use shizuku::{
    Store,
    kv::{
        lock::LockOptions,
        rw_lock::{DistroRwLock, WriteGuard},
    },
};
use tokio::time::{Instant, sleep};

use crate::support::{Result, World, everywhere, stand_there};

everywhere! {
    a_held_lock_is_written_once_per_third_of_its_lease,
    a_hand_off_wakes_only_the_next_writer,
}

async fn last_revision(store: &Store) -> Result<u64> {
    Ok(store.status().await?.last_revision)
}

async fn a_held_lock_is_written_once_per_third_of_its_lease(world: World) -> Result {
    let (store, other) = world.stores().await?;
    let lease = Duration::from_secs(3);
    let options = LockOptions::new().lease(lease);
    let lock = DistroRwLock::with_options(&store, "held", options.clone())?;
    // Locks that have been released or were never acquired cost nothing.
    DistroRwLock::new(&store, "warm")?
        .write()
        .await?
        .release()
        .await?;
    let _open = DistroRwLock::new(&store, "open")?;
    let start = Instant::now();
    let guard = lock.write().await?;
    // A waiter's entry is renewed like a holder's until it is granted.
    let waiting = DistroRwLock::with_options(&other, "held", options)?;
    let before = last_revision(&store).await?;
    sleep(3 * lease).await;
    let alone = last_revision(&store).await? - before;
    let most = |since: Instant| since.elapsed().as_millis() / (lease / 3).as_millis() + 1;
    assert!(u128::from(alone) <= most(start), "{alone} writes");
    assert!(
        alone >= 3,
        "{alone} writes do not keep a lease of {lease:?} for three times that"
    );
    let start = Instant::now();
    let queue = tokio::spawn(async move { waiting.write().await });
    sleep(2 * lease).await;
    let both = last_revision(&store).await? - before - alone;
    // The waiter's entry, and a probe or two to check the entries before it.
    assert!(u128::from(both) <= 2 * most(start) + 3, "{both} writes");
    assert!(guard.is_held());
    guard.release().await?;
    queue.await??.release().await?;
    Ok(())
}

async fn a_hand_off_wakes_only_the_next_writer(world: World) -> Result {
    let (store, other) = world.stores().await?;
    let first = DistroRwLock::new(&store, "queue")?.write().await?;
    let lock = DistroRwLock::new(&other, "queue")?;
    let mut queue = Vec::new();
    for number in 0..4 {
        let writer = lock.clone();
        let wakes = Arc::new(AtomicUsize::new(0));
        let counter = wakes.clone();
        let waiting = tokio::spawn(async move {
            let mut write = pin!(writer.write());
            poll_fn(|context| {
                counter.fetch_add(1, Ordering::Relaxed);
                write.as_mut().poll(context)
            })
            .await
        });
        stand_there(&lock, number + 2).await?;
        queue.push((waiting, wakes));
    }
    let wakes = |queue: &[(_, Arc<AtomicUsize>)]| -> Vec<usize> {
        let wakes = queue.iter().map(|(_, wakes)| wakes.load(Ordering::Relaxed));
        wakes.collect()
    };
    let mut guard = first;
    while !queue.is_empty() {
        let before = wakes(&queue[1..]);
        guard.release().await?;
        guard = queue.remove(0).0.await??;
        assert_eq!(wakes(&queue), before, "others were woken");
    }
    guard.release().await?;
    Ok(())
}

const OPEN: usize = 20;
const WARM: usize = 20;
const HELD: usize = 10;

/// How long a process is observed.
const WHILE: Duration = Duration::from_secs(8);

/// The processor time of this process so far, in ticks of the kernel's clock.
fn ticks() -> u64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap();
    // The second field is the program's name in parentheses; we need the fourteenth and fifteenth.
    let fields: Vec<_> = stat
        .rsplit(')')
        .next()
        .unwrap()
        .split_whitespace()
        .collect();
    fields[11..=12]
        .iter()
        .map(|ticks| ticks.parse::<u64>().unwrap())
        .sum()
}

/// Runs in a separate process, where nothing else takes processor time. Prints the observed time
/// and the processor time used, both in ms.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn idle_process() -> Result {
    let Ok(url) = env::var("SHIZUKU_IDLE_URL") else {
        return Ok(()); // only runs as a child process of the test below
    };
    let store = shizuku::connect(url).await?.create_bucket("idle").await?;
    let lock = |name: &str, number: usize| DistroRwLock::new(&store, &format!("{name}.{number}"));
    let open = (0..OPEN).map(|number| lock("open", number));
    let open = open.collect::<std::result::Result<Vec<_>, _>>()?;
    for number in 0..WARM {
        lock("warm", number)?.write().await?.release().await?;
    }
    let mut held: Vec<WriteGuard> = Vec::new();
    for number in 0..HELD {
        held.push(lock("held", number)?.write().await?);
    }
    let per_second = Command::new("getconf").arg("CLK_TCK").output()?.stdout;
    let per_second: u64 = String::from_utf8(per_second)?.trim().parse()?;
    let (start, before) = (Instant::now(), ticks());
    sleep(WHILE).await;
    let (time, used) = (start.elapsed(), ticks() - before);
    assert!(held.iter().all(WriteGuard::is_held));
    println!("idle {} {}", time.as_millis(), used * 1000 / per_second);
    drop(open);
    Ok(())
}

#[tokio::test]
async fn open_and_held_locks_use_hardly_any_processor_time() -> Result {
    let server = NatsServer::builder().version(LATEST).start().await?;
    let url = server.url();
    let child = tokio::task::spawn_blocking(move || {
        Command::new(env::current_exe()?)
            .args(["cost::idle_process", "--exact", "--nocapture"])
            .env("SHIZUKU_IDLE_URL", url)
            .stdin(Stdio::null())
            .stderr(Stdio::inherit())
            .output()
    })
    .await??;
    let text = String::from_utf8(child.stdout)?;
    let line = text.lines().find_map(|line| line.strip_prefix("idle "));
    let (time, used) = line
        .and_then(|line| line.split_once(' '))
        .ok_or(text.clone())?;
    let (time, used): (u64, u64) = (time.parse()?, used.parse()?);
    println!(
        "{used} ms of processor time in {time} ms, with {OPEN} open, {WARM} warm and {HELD} held locks"
    );
    // Less than one hundredth of a core in an unoptimised build.
    assert!(used * 100 < time, "{used} ms of {time} ms");
    Ok(())
}
