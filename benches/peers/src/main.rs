//! The second half of `cargo xtask bench locks`: compares this crate's lock with etcd's, with Redis
//! through rslock, and with the crate that this one began as, alternately. It adds to the report
//! that the first half wrote.
//!
//! All are measured alike: one writer that acquires and releases without contention, and a queue of
//! writers that are all waiting before the first of them acquires.
#![allow(clippy::unwrap_used)]

mod etcd;
mod redis;
mod server;

use std::{
    future::Future,
    sync::Arc,
    time::{Duration, Instant},
};

use harness::{
    NatsServer,
    bench::{Better, Report, interleave},
};
use original::kv::rw_lock::DistroRwLock as Original;
use shizuku::{Store, kv::rw_lock::DistroRwLock};
use tokio::{sync::Barrier, time::sleep};

use crate::{etcd::Etcd, redis::Redis};

const ROUNDS: usize = 11;
const CALLS: u32 = 50;
const WRITERS: u32 = 10;

/// The time limit for the original to acquire a lock that was used before: it never does.
const BOUND: Duration = Duration::from_millis(500);

/// The time for a queue to form: nothing else is going on.
const SETTLE: Duration = Duration::from_millis(60);

/// A kind of lock, with two participants.
trait Lock: Clone + Send + Sync + 'static {
    type Held: Send;
    fn acquire(&self, participant: usize) -> impl Future<Output = Self::Held> + Send;
    fn release(&self, participant: usize, held: Self::Held) -> impl Future<Output = ()> + Send;
}

/// This crate's lock, on two connections.
#[derive(Clone)]
struct Ours([DistroRwLock; 2]);

impl Lock for Ours {
    type Held = shizuku::kv::rw_lock::WriteGuard;

    async fn acquire(&self, participant: usize) -> Self::Held {
        self.0[participant].write().await.unwrap()
    }

    async fn release(&self, _: usize, held: Self::Held) {
        held.release().await.unwrap();
    }
}

/// The time of one acquire and release, in microseconds.
async fn alone(lock: impl Lock) -> f64 {
    let held = lock.acquire(0).await;
    lock.release(0, held).await;
    let start = Instant::now();
    for _ in 0..CALLS {
        let held = lock.acquire(0).await;
        lock.release(0, held).await;
    }
    micros(start.elapsed(), CALLS)
}

/// The time from one grant to the next, in microseconds, in a queue of writers that belong
/// alternately to the two participants, and release immediately after their grant.
async fn queue(lock: impl Lock) -> f64 {
    let first = lock.acquire(0).await;
    let began = Arc::new(Barrier::new(WRITERS as usize + 1));
    let mut waiting = Vec::new();
    for number in 0..WRITERS as usize {
        let (lock, began) = (lock.clone(), began.clone());
        waiting.push(tokio::spawn(async move {
            began.wait().await;
            let participant = (number + 1) % 2;
            let held = lock.acquire(participant).await;
            lock.release(participant, held).await;
        }));
    }
    began.wait().await;
    sleep(SETTLE).await;
    let start = Instant::now();
    lock.release(0, first).await;
    for writer in waiting {
        writer.await.unwrap();
    }
    micros(start.elapsed(), WRITERS)
}

fn micros(time: Duration, calls: u32) -> f64 {
    time.as_secs_f64() * 1e6 / f64::from(calls)
}

/// Runs in a task, as services do: a program's main task has its own thread.
async fn in_task(measure: impl Future<Output = f64> + Send + 'static) -> f64 {
    tokio::spawn(measure).await.unwrap()
}

async fn beside(report: &mut Report, ours: &Ours, peer: &impl Lock, name: &str) {
    let (mine, theirs) = interleave(
        ROUNDS,
        || in_task(alone(ours.clone())),
        || in_task(alone(peer.clone())),
    )
    .await;
    let case = format!("warm acquire + release vs {name}");
    report.add(&case, "us", Better::Lower, &mine, &theirs);
    let (mine, theirs) = interleave(
        ROUNDS,
        || in_task(queue(ours.clone())),
        || in_task(queue(peer.clone())),
    )
    .await;
    let case = format!("hand-off vs {name}");
    report.add(&case, "us", Better::Lower, &mine, &theirs);
}

#[tokio::main]
async fn main() {
    let mut report = Report::resume("locks").unwrap();
    let nats = NatsServer::start_default().await.unwrap();
    let one = shizuku::connect(nats.url()).await.unwrap();
    let store = one.create_bucket("peers").await.unwrap();
    let two = shizuku::connect(nats.url()).await.unwrap();
    let other = two.open_bucket("peers").await.unwrap();
    let ours = Ours([&store, &other].map(|store| DistroRwLock::new(store, "lock").unwrap()));

    let etcd = Etcd::start(&server::disk("etcd")).await;
    beside(&mut report, &ours, &etcd, "etcd").await;
    drop(etcd);
    if let Some(memory) = server::memory("etcd") {
        let etcd = Etcd::start(&memory).await;
        beside(&mut report, &ours, &etcd, "etcd on tmpfs").await;
    }
    let redis = Redis::start().await;
    beside(&mut report, &ours, &redis, "rslock on Redis").await;
    drop(redis);
    original(&mut report, &nats, &store).await;
    report.finish().unwrap();
}

/// The original can be measured only where it works: as a reader, and as the very first writer.
async fn original(report: &mut Report, nats: &NatsServer, store: &Store) {
    let client = async_nats::connect(nats.url()).await.unwrap();
    let peer = async_nats::jetstream::new(client);
    let peer = &peer.get_key_value("peers").await.unwrap();
    let lock = &DistroRwLock::new(store, "read").unwrap();
    let (mine, theirs) = interleave(
        ROUNDS,
        || async {
            lock.read().await.unwrap().release().await.unwrap();
            let start = Instant::now();
            for _ in 0..CALLS {
                lock.read().await.unwrap().release().await.unwrap();
            }
            micros(start.elapsed(), CALLS)
        },
        || async {
            let start = Instant::now();
            for _ in 0..CALLS {
                Original::acquire_read(peer, "original-read").await.unwrap();
                Original::release_read(peer, "original-read").await.unwrap();
            }
            micros(start.elapsed(), CALLS)
        },
    )
    .await;
    let case = "warm acquire + release vs shizuku 0.1.3, readers";
    report.add(case, "us", Better::Lower, &mine, &theirs);

    // The second writer of a key waits for a flag that is never set. The report has the timeout, or
    // no number if the writer acquires after all.
    let lock = &DistroRwLock::new(store, "write").unwrap();
    let (mine, theirs) = interleave(
        3,
        || async {
            let start = Instant::now();
            lock.write().await.unwrap().release().await.unwrap();
            micros(start.elapsed(), 1)
        },
        || async {
            let start = Instant::now();
            let acquire = async {
                Original::acquire_write(peer, "original").await.unwrap();
                Original::release_write(peer, "original").await.unwrap();
                Original::acquire_write(peer, "original").await.unwrap();
            };
            match tokio::time::timeout(BOUND, acquire).await {
                Ok(()) => f64::NAN,
                Err(_) => micros(start.elapsed(), 1),
            }
        },
    )
    .await;
    let case = "warm acquire + release vs shizuku 0.1.3, which hangs: bound";
    report.add(case, "us", Better::Lower, &mine, &theirs);
}
