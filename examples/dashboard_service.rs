//! A small fleet for the dashboard to show: it keeps configuration that others may change, reports its
//! state, and takes turns at locks.
//!
//! ```text
//! cargo xtask dashboard                                                 # starts this too
//! cargo run --example dashboard_service -- nats://127.0.0.1:4222 fleet  # on a server of yours
//! ```
#![allow(clippy::print_stdout)] // printing is what an example is for

use std::{env, error::Error, time::Duration};

use serde::{Deserialize, Serialize};
use shizuku::{
    JsonByteDes, JsonByteSer, Store, WithCauses,
    kv::{
        BucketConfig, KeyIndexedValue, KeyValue, KeyValueRead, KvWriteError, StaticKeyIndexedValue,
        lock::LockOptions, rw_lock::DistroRwLock,
    },
};

type Result<T = ()> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// The settings that operators change in the dashboard.
#[derive(Debug, Serialize, Deserialize, JsonByteSer, JsonByteDes)]
struct Limits {
    max_connections: u32,
    requests_per_second: u32,
    maintenance: bool,
}

impl StaticKeyIndexedValue for Limits {
    fn key() -> String {
        "app.limits".to_owned()
    }
}

/// A host's report about itself.
#[derive(Debug, Serialize, Deserialize, JsonByteSer, JsonByteDes)]
struct Report {
    host: String,
    load: f64,
    connections: u32,
    limit: u32,
}

impl KeyIndexedValue for Report {
    fn indexed_key(&self) -> String {
        format!("hosts.{}", self.host)
    }
}

#[tokio::main]
async fn main() -> Result {
    let mut arguments = env::args().skip(1);
    let url = arguments
        .next()
        .unwrap_or_else(|| "nats://127.0.0.1:4222".to_owned());
    let bucket = arguments.next().unwrap_or_else(|| "fleet".to_owned());
    let client = shizuku::connect(&url).await?;
    let mut config = BucketConfig::new(bucket);
    config.history = 16;
    let store = client.create_bucket(config).await?;
    settings(&store).await?;
    println!("{} hosts are at work in {}", HOSTS.len(), store.bucket());

    let mut tasks = tokio::task::JoinSet::new();
    for (number, host) in HOSTS.iter().enumerate() {
        let (one, other) = (store.clone(), store.clone());
        tasks.spawn(again(move || report(one.clone(), host, number)));
        tasks.spawn(again(move || work(other.clone(), host, number)));
    }
    tasks.join_all().await;
    Ok(())
}

/// Continues after errors: a lost server comes back.
async fn again<F: Future<Output = Result>>(task: impl Fn() -> F) {
    loop {
        if let Err(error) = task().await {
            println!("{}", WithCauses(&*error));
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

const HOSTS: &[&str] = &["amber", "birch", "cedar", "dahlia"];

/// Writes the initial settings, if there are none yet.
async fn settings(store: &Store) -> Result {
    let limits = Limits {
        max_connections: 200,
        requests_per_second: 1500,
        maintenance: false,
    };
    unless_there(limits.create_in(store).await)?;
    let first = [
        ("app.banner", r#""Welcome back""#),
        ("app.features.checkout", "true"),
        ("app.features.search", r#"{"rollout":25}"#),
        ("mail.sender", r#""hello@example.com""#),
    ];
    for (key, value) in first {
        unless_there(store.create(key, value).await)?;
    }
    Ok(())
}

/// Keeps an existing value. A read before the write would leave a gap in which another client's write
/// could be lost.
fn unless_there(created: std::result::Result<u64, KvWriteError>) -> Result {
    match created {
        Ok(_) | Err(KvWriteError::Conflict(_)) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Reports every few seconds, and follows the limits without any request.
async fn report(store: Store, host: &'static str, number: usize) -> Result {
    let limits = Limits::live(&store, Limits::key()).await?;
    let mut round = number as u32 * 7;
    loop {
        round = round.wrapping_add(1);
        let limit = limits.get().map_or(0, |limits| limits.max_connections);
        let busy = f64::from(round % 20) / 20.0;
        let report = Report {
            host: host.to_owned(),
            load: (busy * 100.0).round() / 100.0,
            connections: (f64::from(limit) * busy) as u32,
            limit,
        };
        report.write_to_anyway(&store).await?;
        tokio::time::sleep(Duration::from_millis(1500 + 400 * number as u64)).await;
    }
}

/// Takes turns: one host bills, any number may read the catalogue.
async fn work(store: Store, host: &'static str, number: usize) -> Result {
    let options = LockOptions::new()
        .lease(Duration::from_secs(5))
        .label(format!("{host}.example"));
    let billing = DistroRwLock::with_options(&store, "billing", options.clone())?;
    let catalogue = DistroRwLock::with_options(&store, "catalogue", options)?;
    loop {
        let guard = billing.write().await?;
        tokio::time::sleep(Duration::from_millis(2500)).await;
        guard.release().await?;
        let guard = catalogue.read().await?;
        tokio::time::sleep(Duration::from_millis(4000 + 500 * number as u64)).await;
        guard.release().await?;
    }
}
