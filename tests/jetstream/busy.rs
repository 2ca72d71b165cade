//! Keys that are overwritten constantly while they are listed or a watch on them starts: the server
//! reports the end of the initial values early.

use std::collections::HashSet;

use harness::{LATEST, VERSIONS};
use shizuku::{
    Store,
    kv::{KeyValueRead, Operation, Watch, WatchEvent},
};
use tokio::task::JoinSet;

use crate::{client, event, keys, server};

const BUSY: usize = 4;
const QUIET: usize = 20;

/// Keeps overwriting some keys until the result is dropped.
async fn write(store: &Store) -> JoinSet<()> {
    for n in 0..QUIET {
        store.put(format!("quiet.{n}"), "1").await.unwrap();
    }
    for n in 0..BUSY {
        store.put(format!("busy.{n}"), "1").await.unwrap();
    }
    let mut writers = JoinSet::new();
    for _ in 0..BUSY {
        let store = store.clone();
        writers.spawn(async move {
            for n in (0..BUSY).cycle() {
                // The server may be unavailable.
                _ = store.put(format!("busy.{n}"), "2").await;
            }
        });
    }
    writers
}

/// The number of keys that a watch delivers before `Current`.
async fn shown(watch: &Watch) -> usize {
    let mut keys = HashSet::new();
    loop {
        match event(watch).await {
            WatchEvent::Entry(entry) => _ = keys.insert(entry.key),
            WatchEvent::Current => return keys.len(),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_overwritten_while_a_watch_starts_are_not_missing() {
    for version in VERSIONS {
        let store = client(version)
            .await
            .create_bucket("busy-keys")
            .await
            .unwrap();
        let writers = write(&store).await;
        for round in 0..40 {
            let listed = keys(&store).await.len();
            let watched = shown(&store.watch_all().await.unwrap()).await;
            let live = String::live_map(&store, ">").await.unwrap().len();
            let all = BUSY + QUIET;
            assert_eq!(
                (listed, watched, live),
                (all, all, all),
                "{version}, {round}"
            );
        }
        drop(writers);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_overwritten_during_an_interruption_do_not_vanish() {
    let server = server(LATEST).await;
    let client = shizuku::connect(server.url()).await.unwrap();
    let store = client.create_bucket("b").await.unwrap();
    let _writers = write(&store).await;
    let watch = store.watch_all().await.unwrap();
    shown(&watch).await;
    for _ in 0..10 {
        server.kill().unwrap();
        server.restart().await.unwrap();
        while !matches!(event(&watch).await, WatchEvent::Interrupted) {}
        loop {
            match event(&watch).await {
                WatchEvent::Entry(entry) => assert_ne!(entry.operation, Operation::Vanish),
                WatchEvent::Current => break,
                other => panic!("{other:?}"),
            }
        }
    }
}
