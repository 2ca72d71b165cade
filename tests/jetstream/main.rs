//! Behaviour of the JetStream backend that only real servers show: faults, restarts, and
//! differences between server versions. Everything common to all backends is in the conformance
//! suite.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod basics;
mod buckets;
mod busy;
mod cluster;
mod consumers;
mod log;
mod permissions;
mod prefix;
mod proxy;
mod restarts;
mod service;

#[path = "../support/refused.rs"]
mod refused;

use std::time::Duration;

use futures::TryStreamExt;
use harness::NatsServer;
use shizuku::{
    Client, ConnectOptions, Store,
    kv::{Entry, KvReadError, Watch, WatchEvent},
};

/// Enough for everything, even on a machine that is busy compiling.
const PATIENCE: Duration = Duration::from_secs(45);

/// Starts a private server for a test.
async fn server(version: &str) -> NatsServer {
    let builder = NatsServer::builder().version(version);
    builder.start().await.unwrap()
}

/// Connects as a user whose password equals their name.
async fn sign_in(server: &NatsServer, user: &str) -> Client {
    let options = ConnectOptions::new().user_and_password(user, user);
    options.connect(server.url()).await.unwrap()
}

/// Connects to the shared server of this version.
async fn client(version: &str) -> Client {
    let server = harness::shared(version).await.unwrap();
    shizuku::connect(server.url()).await.unwrap()
}

async fn next(watch: &Watch) -> Result<WatchEvent, KvReadError> {
    let event = tokio::time::timeout(PATIENCE, watch.next_event()).await;
    event.expect("an event in time").expect("a watch goes on")
}

async fn event(watch: &Watch) -> WatchEvent {
    next(watch).await.unwrap()
}

async fn entry(watch: &Watch) -> Entry {
    match event(watch).await {
        WatchEvent::Entry(entry) => entry,
        other => panic!("{other:?} instead of an entry"),
    }
}

async fn current(watch: &Watch) {
    let event = event(watch).await;
    assert!(matches!(event, WatchEvent::Current), "{event:?}");
}

async fn interrupted(watch: &Watch) {
    let event = event(watch).await;
    assert!(matches!(event, WatchEvent::Interrupted), "{event:?}");
}

/// The keys that have a value, sorted.
async fn keys(store: &Store) -> Vec<String> {
    let keys: Vec<_> = store.keys().await.unwrap().try_collect().await.unwrap();
    let mut keys: Vec<_> = keys.iter().map(ToString::to_string).collect();
    keys.sort();
    keys
}

/// The server's own API, to check behind the library's back.
async fn admin(url: &str) -> async_nats::jetstream::Context {
    async_nats::jetstream::new(async_nats::connect(url).await.unwrap())
}

/// Changes a stream's settings, as an administrator would.
async fn change(
    admin: &async_nats::jetstream::Context,
    stream: &str,
    change: impl FnOnce(&mut async_nats::jetstream::stream::Config),
) -> Result<(), async_nats::jetstream::context::UpdateStreamError> {
    let stream = admin.get_stream(stream).await.unwrap();
    let mut config = stream.cached_info().config.clone();
    change(&mut config);
    admin.update_stream(&config).await.map(drop)
}

/// The names of a bucket's consumers.
async fn consumers(admin: &async_nats::jetstream::Context, bucket: &str) -> Vec<String> {
    let stream = admin.get_stream(format!("KV_{bucket}")).await.unwrap();
    stream.consumer_names().try_collect().await.unwrap()
}

/// Waits until a condition holds.
async fn until<F: Future<Output = bool>>(what: &str, mut is_so: impl FnMut() -> F) {
    let wait = async {
        while !is_so().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let so = tokio::time::timeout(PATIENCE, wait).await;
    so.unwrap_or_else(|_| panic!("never came: {what}"));
}
