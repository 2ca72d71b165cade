//! `cargo xtask bench native`: compares shizuku with async-nats' own `kv::Store`, alternately on
//! one server.
//!
//! Each side has its own connection; both use the same bucket, and so the same data. A word after
//! `--` selects the cases whose names begin with it.
#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]

use std::{
    future::ready,
    hint::black_box,
    time::{Duration, Instant},
};

use futures::{StreamExt, TryStreamExt, stream};
use harness::{
    NatsServer,
    bench::{Better, Report, interleave, seconds},
};
use shizuku::{
    Bytes, Store,
    kv::{BucketConfig, Key, KeyValueRead, WatchEvent},
};

const KEYS: usize = 50_000;
const ROUNDS: usize = 21;
/// For single calls: many short rounds, as the machine's speed varies more than the two sides
/// differ.
const CALL_ROUNDS: usize = 81;
const ONE_BY_ONE: usize = 100;
const IN_FLIGHT: usize = 64;
const BURST: usize = 1_600;
const LIVE_READS: u32 = 1_000_000;

type Peer = async_nats::jetstream::kv::Store;

struct Both {
    report: Report,
    ours: Store,
    peer: Peer,
    /// The connection of both sides.
    connection: async_nats::Client,
}

#[tokio::main]
async fn main() {
    let server = NatsServer::start_default().await.unwrap();
    let client = shizuku::connect(server.url()).await.unwrap();
    let ours = client
        .create_bucket(BucketConfig::new("bench"))
        .await
        .unwrap();
    let nats = async_nats::connect(server.url()).await.unwrap();
    let context = async_nats::jetstream::new(nats.clone());
    let peer = context.get_key_value("bench").await.unwrap();

    let mut both = Both {
        report: Report::new("native"),
        ours,
        peer,
        connection: nats,
    };
    both.writes_and_reads().await;
    both.many_keys().await;
    both.live_read().await;
    let path = both.report.finish().unwrap();
    println!("{}", path.display());
}

fn value() -> Bytes {
    Bytes::from_static(&[b'v'; 128])
}

/// The time per call, in microseconds, with `width` calls in flight.
async fn per_call<F: Future<Output = ()>>(
    calls: usize,
    width: usize,
    call: impl FnMut(usize) -> F,
) -> f64 {
    let all = stream::iter(0..calls)
        .map(call)
        .buffer_unordered(width)
        .collect::<()>();
    seconds(all).await * 1e6 / calls as f64
}

/// Measures the same call on both sides, with 1 and with 64 in flight.
macro_rules! call {
    ($both:ident, $name:literal, |$i:ident| $ours:expr, $peer:expr) => {
        for (how, calls, width) in [
            ("one by one", ONE_BY_ONE, 1),
            ("64 in flight", BURST, IN_FLIGHT),
        ] {
            if !wanted($name) {
                break;
            }
            let (ours, peer) = interleave(
                CALL_ROUNDS,
                || {
                    per_call(calls, width, |$i| async move {
                        _ = black_box($ours.await.unwrap())
                    })
                },
                || {
                    per_call(calls, width, |$i| async move {
                        _ = black_box($peer.await.unwrap())
                    })
                },
            )
            .await;
            let case = format!("{} {how}", $name);
            $both.report.add(&case, "us", Better::Lower, &ours, &peer);
        }
    };
}

impl Both {
    async fn writes_and_reads(&mut self) {
        let (ours, peer) = (&self.ours.clone(), &self.peer.clone());
        // Each round overwrites the same keys: the bucket keeps one revision per key.
        call!(
            self,
            "put",
            |i| ours.put(key("put", i), value()),
            peer.put(key("put", i), value())
        );
        call!(
            self,
            "get",
            |i| ours.get(key("put", i)),
            peer.get(key("put", i))
        );
        self.updates().await;
    }

    /// An update needs the previous revision, so each of the 64 updates its own key.
    async fn updates(&mut self) {
        if !wanted("update") {
            return;
        }
        let (ours, peer) = (&self.ours.clone(), &self.peer.clone());
        for (how, rounds, width) in [
            ("one by one", ONE_BY_ONE, 1),
            ("64 in flight", BURST / IN_FLIGHT, IN_FLIGHT),
        ] {
            let per_update = |time: f64| time / rounds as f64;
            let (a, b) = interleave(
                CALL_ROUNDS,
                || async {
                    let chain = |i| async move {
                        let key = key("update", i);
                        let mut revision = ours.put(&key, value()).await.unwrap();
                        for _ in 0..rounds {
                            revision = ours.update(&key, value(), revision).await.unwrap();
                        }
                    };
                    per_update(per_call(width, width, chain).await)
                },
                || async {
                    let chain = |i| async move {
                        let key = key("update", i);
                        let mut revision = peer.put(&key, value()).await.unwrap();
                        for _ in 0..rounds {
                            revision = peer.update(&key, value(), revision).await.unwrap();
                        }
                    };
                    per_update(per_call(width, width, chain).await)
                },
            )
            .await;
            let case = format!("update {how}");
            self.report.add(&case, "us", Better::Lower, &a, &b);
        }
    }

    async fn many_keys(&mut self) {
        if !["keys", "first load", "get_many"].into_iter().any(wanted) {
            return;
        }
        let ours = &self.ours.clone();
        for name in ["put", "update"] {
            purge(ours, name).await;
        }
        stream::iter(0..KEYS)
            .for_each_concurrent(256, |i| async move {
                ours.put(key("load", i), value()).await.unwrap();
            })
            .await;
        if wanted("keys") {
            self.keys().await;
        }
        if wanted("first load") {
            self.first_load().await;
        }
        if wanted("get_many") {
            self.get_many().await;
        }
    }

    async fn keys(&mut self) {
        let (ours, peer) = (&self.ours.clone(), &self.peer.clone());
        let (a, b) = interleave(
            ROUNDS,
            || {
                seconds(async {
                    let keys: Vec<Key> = ours.keys().await.unwrap().try_collect().await.unwrap();
                    assert_eq!(keys.len(), KEYS);
                })
            },
            || {
                seconds(async {
                    let keys: Vec<String> = peer.keys().await.unwrap().try_collect().await.unwrap();
                    assert_eq!(keys.len(), KEYS);
                })
            },
        )
        .await;
        self.add_seconds("keys of 50000", &a, &b);
    }

    async fn first_load(&mut self) {
        let (ours, peer) = (&self.ours.clone(), &self.peer.clone());
        let (a, b) = interleave(
            ROUNDS,
            || {
                seconds(async {
                    let watch = ours.watch("load.>").await.unwrap();
                    let mut count = 0;
                    while let Some(event) = watch.next_event().await {
                        match event.unwrap() {
                            WatchEvent::Entry(entry) => {
                                black_box(entry);
                                count += 1;
                            }
                            _ => break,
                        }
                    }
                    assert_eq!(count, KEYS);
                })
            },
            || {
                seconds(async {
                    let mut watch = peer.watch_with_history("load.>").await.unwrap();
                    let mut count = 0;
                    while let Some(entry) = watch.next().await {
                        count += 1;
                        if entry.unwrap().delta == 0 {
                            break;
                        }
                    }
                    assert_eq!(count, KEYS);
                })
            },
        )
        .await;
        self.add_seconds("first load of 50000", &a, &b);
    }

    async fn get_many(&mut self) {
        let (ours, peer) = (&self.ours.clone(), &self.peer.clone());
        let names: Vec<String> = (0..1000).map(|i| key("load", i * 50)).collect();
        let names = &names;
        let get_many = || {
            seconds(async {
                let entries = ours.get_many(&names[..]).await.unwrap();
                assert_eq!(entries.len(), names.len());
            })
        };
        let (a, b) = interleave(ROUNDS, get_many, || {
            seconds(async {
                let entries: Vec<_> = stream::iter(names)
                    .map(|key| peer.get(key))
                    .buffer_unordered(names.len())
                    .try_collect()
                    .await
                    .unwrap();
                assert!(entries.iter().all(Option::is_some));
                assert_eq!(entries.len(), names.len());
            })
        })
        .await;
        self.add_seconds("get_many of 1000", &a, &b);

        // The lower bound: async-nats sends the same request, and its replies are only counted.
        let connection = &self.connection.clone();
        let subjects: Vec<String> = names.iter().map(|key| format!("$KV.bench.{key}")).collect();
        let request = &Bytes::from(serde_json::json!({ "multi_last": subjects }).to_string());
        let (a, b) = interleave(ROUNDS, get_many, || {
            seconds(async {
                let inbox = connection.new_inbox();
                let answers = connection.subscribe(inbox.clone()).await.unwrap();
                connection
                    .publish_with_reply("$JS.API.DIRECT.GET.KV_bench", inbox, request.clone())
                    .await
                    .unwrap();
                let answers = answers.take_while(|answer| ready(answer.status.is_none()));
                assert_eq!(answers.count().await, names.len());
            })
        })
        .await;
        self.add_seconds("get_many of 1000, limit of async-nats", &a, &b);
    }

    /// The peer has no live values: a program that uses it must ask the server each time.
    async fn live_read(&mut self) {
        if !wanted("live read") {
            return;
        }
        let (ours, peer) = (&self.ours.clone(), &self.peer.clone());
        ours.put("live", "on").await.unwrap();
        let live = &String::live(ours, "live").await.unwrap();
        let (a, b) = interleave(
            ROUNDS,
            || async {
                let start = Instant::now();
                for _ in 0..LIVE_READS {
                    black_box(live.get());
                }
                nanos(start.elapsed()) / f64::from(LIVE_READS)
            },
            || async {
                let start = Instant::now();
                for _ in 0..100 {
                    black_box(peer.get("live").await.unwrap());
                }
                nanos(start.elapsed()) / 100.0
            },
        )
        .await;
        self.report.add("live read", "ns", Better::Lower, &a, &b);
    }

    fn add_seconds(&mut self, case: &str, ours: &[f64], peer: &[f64]) {
        let millis = |samples: &[f64]| samples.iter().map(|s| s * 1e3).collect::<Vec<_>>();
        self.report
            .add(case, "ms", Better::Lower, &millis(ours), &millis(peer));
    }
}

/// Whether the command line asks for a case.
fn wanted(case: &str) -> bool {
    let mut words = std::env::args()
        .skip(1)
        .filter(|word| !word.starts_with("--"))
        .peekable();
    words.peek().is_none() || words.any(|word| case.starts_with(&word))
}

fn key(name: &str, i: usize) -> String {
    format!("{name}.{i}")
}

fn nanos(time: Duration) -> f64 {
    time.as_secs_f64() * 1e9
}

/// Purges the keys of an earlier case, including markers.
async fn purge(store: &Store, name: &str) {
    let keys: Vec<Key> = store
        .keys_matching(format!("{name}.>"))
        .await
        .unwrap()
        .try_collect()
        .await
        .unwrap();
    stream::iter(&keys)
        .for_each_concurrent(256, |key| async move {
            store.purge(key).await.unwrap();
        })
        .await;
    store.purge_deletes(Duration::ZERO).await.unwrap();
}
