//! `cargo xtask bench locks`: compares locks with one JetStream publish-and-ack, with 64
//! compare-and-set loops on one key, and with the bare messages that a lock consists of,
//! alternately on one server. A word after `--` selects the cases whose names begin with it. etcd
//! and others are in `benches/peers`.
#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]

mod by_hand;

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use futures::{StreamExt, future::join_all, stream::FuturesUnordered};
use harness::{
    NatsServer,
    bench::{Better, Report, interleave},
};
use shizuku::{
    Client, Store,
    kv::{
        WatchEvent,
        rw_lock::{DistroRwLock, ReadGuard},
    },
};
use tokio::{sync::Mutex, time::sleep};

use crate::by_hand::ByHand;

const ROUNDS: usize = 21;
const CALLS: u32 = 100;
const COLD: u32 = 20;
/// The number of claims that one handle may have waiting in the log.
const QUEUE: u32 = 64;
const READERS: usize = 64;

/// A lock is warm while the last proof of its watch is fresh, so nothing here pauses for long.
const SETTLE: Duration = Duration::from_millis(3);

struct Bench {
    report: Report,
    client: Client,
    store: Store,
    other: Store,
    peer: async_nats::jetstream::Context,
}

fn wanted(case: &str) -> bool {
    let mut words = std::env::args()
        .skip(1)
        .filter(|word| !word.starts_with("--"))
        .peekable();
    words.peek().is_none() || words.any(|word| case.starts_with(&word))
}

#[tokio::main]
async fn main() {
    // In a task, as in a service: a program's main task has its own thread, which would have to be
    // woken for every reply.
    tokio::spawn(all()).await.unwrap();
}

async fn all() {
    let server = NatsServer::start_default().await.unwrap();
    let client = shizuku::connect(server.url()).await.unwrap();
    let store = client.create_bucket("bench").await.unwrap();
    let second = shizuku::connect(server.url()).await.unwrap();
    let other = second.open_bucket("bench").await.unwrap();
    let nats = async_nats::connect(server.url()).await.unwrap();
    let mut bench = Bench {
        report: Report::new("locks"),
        client,
        store,
        other,
        peer: async_nats::jetstream::new(nats),
    };
    if wanted("put") {
        bench.put().await;
    }
    bench.alone().await;
    for (case, other) in [
        ("hand-off", &bench.other.clone()),
        ("hand-off in one handle", &bench.store.clone()),
    ] {
        if wanted(case) {
            bench.hand_off(case, other).await;
        }
    }
    bench
        .floor(&server, &["acquire", "release", "hand-off"])
        .await;
    bench.readers().await;
    // Last: each cold lock leaves a consumer for a while, and each consumer slows purges down.
    bench.cold().await;
    bench.floor(&server, &["cold acquire"]).await;
    let path = bench.report.finish().unwrap();
    println!("{}", path.display());
}

fn micros(time: Duration, calls: u32) -> f64 {
    time.as_secs_f64() * 1e6 / f64::from(calls)
}

/// The time of one publish-and-ack of a value the size of an entry.
async fn publish(peer: &async_nats::jetstream::Context, calls: u32) -> f64 {
    let start = Instant::now();
    for _ in 0..calls {
        let ack = peer
            .publish("$KV.bench.peer", vec![b'x'; 40].into())
            .await
            .unwrap();
        ack.await.unwrap();
    }
    micros(start.elapsed(), calls)
}

/// A lock name that was never used before.
fn new_name() -> String {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    format!("cold-{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

impl Bench {
    /// The cost of one publish-and-ack through this library, for comparison.
    async fn put(&mut self) {
        let (store, peer) = (&self.store, &self.peer);
        let (ours, theirs) = interleave(
            ROUNDS,
            || async {
                let start = Instant::now();
                for _ in 0..CALLS {
                    store.put("ours", vec![b'x'; 40]).await.unwrap();
                }
                micros(start.elapsed(), CALLS)
            },
            || publish(peer, CALLS),
        )
        .await;
        self.report.add("put", "us", Better::Lower, &ours, &theirs);
    }

    async fn alone(&mut self) {
        let lock = DistroRwLock::new(&self.store, "warm").unwrap();
        let peer = &self.peer;
        for (case, of_release) in [("warm acquire", false), ("release", true)] {
            if !wanted(case) {
                continue;
            }
            let (ours, theirs) = interleave(
                ROUNDS,
                || async {
                    lock.write().await.unwrap().release().await.unwrap();
                    let mut total = Duration::ZERO;
                    for _ in 0..CALLS {
                        let start = Instant::now();
                        let guard = lock.write().await.unwrap();
                        let acquired = start.elapsed();
                        let start = Instant::now();
                        guard.release().await.unwrap();
                        total += if of_release {
                            start.elapsed()
                        } else {
                            acquired
                        };
                    }
                    micros(total, CALLS)
                },
                || publish(peer, CALLS),
            )
            .await;
            self.report.add(case, "us", Better::Lower, &ours, &theirs);
        }
    }

    /// The bare messages.
    async fn floor(&mut self, server: &NatsServer, cases: &[&str]) {
        let peer = &self.peer;
        let hand = &Mutex::new(ByHand::new(server, "hand").await);
        let other = &Mutex::new(ByHand::new(server, "hand").await);
        for &case in cases {
            let name = format!("floor: {case} by hand");
            if !wanted(&name) {
                continue;
            }
            let (ours, theirs) = interleave(
                ROUNDS,
                || async {
                    let (mut hand, mut other) = (hand.lock().await, other.lock().await);
                    if case == "hand-off" {
                        return micros(ByHand::hand_off(&mut hand, &mut other, QUEUE).await, QUEUE);
                    }
                    let mut total = Duration::ZERO;
                    let calls = if case == "cold acquire" { COLD } else { CALLS };
                    for _ in 0..calls {
                        total += match case {
                            "acquire" => hand.turn().await.0,
                            "release" => hand.turn().await.1,
                            _ => hand.cold(&new_name()).await,
                        };
                    }
                    micros(total, calls)
                },
                || publish(peer, CALLS),
            )
            .await;
            self.report.add(&name, "us", Better::Lower, &ours, &theirs);
        }
    }

    async fn cold(&mut self) {
        if wanted("cold acquire") {
            self.first_acquire().await;
        }
        if wanted("opening a watch") {
            self.opening().await;
        }
    }

    async fn first_acquire(&mut self) {
        let (store, peer) = (&self.store, &self.peer);
        let (ours, theirs) = interleave(
            ROUNDS,
            || async {
                let mut total = Duration::ZERO;
                for _ in 0..COLD {
                    let lock = DistroRwLock::new(store, &new_name()).unwrap();
                    let start = Instant::now();
                    let guard = lock.write().await.unwrap();
                    total += start.elapsed();
                    guard.release().await.unwrap();
                }
                micros(total, COLD)
            },
            || publish(peer, CALLS),
        )
        .await;
        self.report
            .add("cold acquire", "us", Better::Lower, &ours, &theirs);
    }

    /// The part of a first acquire in which the server creates a consumer.
    async fn opening(&mut self) {
        let (store, peer) = (&self.store, &self.peer);
        let (ours, theirs) = interleave(
            ROUNDS,
            || async {
                let mut total = Duration::ZERO;
                for _ in 0..COLD {
                    let filter = format!("{}.*", new_name());
                    let start = Instant::now();
                    let watch = store.watch(filter).await.unwrap();
                    assert!(matches!(
                        watch.next_event().await,
                        Some(Ok(WatchEvent::Current))
                    ));
                    total += start.elapsed();
                }
                micros(total, COLD)
            },
            || publish(peer, CALLS),
        )
        .await;
        self.report
            .add("opening a watch", "us", Better::Lower, &ours, &theirs);
    }

    /// A queue of writers, alternately on one store and the other, each of which releases
    /// immediately after its grant: the time from one grant to the next.
    async fn hand_off(&mut self, case: &str, other: &Store) {
        let mine = DistroRwLock::new(&self.store, "hand").unwrap();
        let theirs = DistroRwLock::new(other, "hand").unwrap();
        let peer = &self.peer;
        let (ours, peers) = interleave(
            ROUNDS,
            || async {
                let first = mine.write().await.unwrap();
                let mut waiting = Vec::new();
                for number in 0..QUEUE {
                    let lock = if number % 2 == 0 { &theirs } else { &mine }.clone();
                    waiting.push(tokio::spawn(async move {
                        lock.write().await.unwrap().release().await.unwrap();
                    }));
                    // It is settled once it is in the queue.
                    while mine.holders().await.unwrap().len() < number as usize + 2 {
                        sleep(SETTLE).await;
                    }
                }
                sleep(SETTLE).await;
                let start = Instant::now();
                first.release().await.unwrap();
                for writer in waiting {
                    writer.await.unwrap();
                }
                micros(start.elapsed(), QUEUE)
            },
            || publish(peer, CALLS),
        )
        .await;
        self.report.add(case, "us", Better::Lower, &ours, &peers);
    }

    async fn readers(&mut self) {
        if !wanted("64 readers") {
            return;
        }
        let (store, client, peer) = (&self.store, &self.client, &self.peer);
        let bucket = peer.get_key_value("bench").await.unwrap();
        bucket.put("count", "0".into()).await.unwrap();
        let compare_and_set = || async {
            let start = Instant::now();
            join_all((0..READERS).map(|_| async {
                loop {
                    let entry = bucket.entry("count").await.unwrap().unwrap();
                    let count: u64 = std::str::from_utf8(&entry.value).unwrap().parse().unwrap();
                    let next = (count + 1).to_string().into();
                    if bucket.update("count", next, entry.revision).await.is_ok() {
                        break;
                    }
                }
            }))
            .await;
            micros(start.elapsed(), 1)
        };
        let lock = &DistroRwLock::new(store, "readers").unwrap();
        let enter = async |locks: &[DistroRwLock]| {
            // Warm, like a lock in use.
            for lock in locks {
                lock.read().await.unwrap().release().await.unwrap();
            }
            let start = Instant::now();
            let entering: FuturesUnordered<_> = locks.iter().map(DistroRwLock::read).collect();
            let guards: Vec<_> = entering.collect().await;
            let time = micros(start.elapsed(), 1);
            let releases = guards
                .into_iter()
                .map(|guard| ReadGuard::release(guard.unwrap()));
            for released in join_all(releases).await {
                released.unwrap();
            }
            time
        };
        let one = vec![lock.clone(); READERS];
        let (ours, theirs) = interleave(ROUNDS, || enter(&one), compare_and_set).await;
        self.report
            .add("64 readers", "us", Better::Lower, &ours, &theirs);

        let mut many = Vec::new();
        for _ in 0..READERS {
            let store = client.open_bucket("bench").await.unwrap();
            many.push(DistroRwLock::new(&store, "apart").unwrap());
        }
        let (ours, theirs) = interleave(ROUNDS, || enter(&many), compare_and_set).await;
        self.report
            .add("64 readers apart", "us", Better::Lower, &ours, &theirs);
    }
}
