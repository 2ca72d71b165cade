//! Live configuration, end to end: a typed value is written, a service follows it, two operators change
//! it concurrently without losing an update, and the history shows what happened.
//!
//! ```text
//! cargo run --example live_config                                  # embedded, needs nothing
//! cargo run --example live_config -- --url nats://127.0.0.1:4222   # the same on a real server
//! ```
#![allow(clippy::print_stdout)] // printing is what an example is for

use std::error::Error;

use serde::{Deserialize, Serialize};
use shizuku::{
    JsonByteDes, JsonByteSer, Store, WithCauses,
    kv::{BucketConfig, KeyValue, KeyValueRead, Live, StaticKeyIndexedValue},
};
use tokio::sync::watch;

#[derive(Clone, Debug, Serialize, Deserialize, JsonByteSer, JsonByteDes)]
struct Limits {
    max_connections: u32,
    maintenance: bool,
}

impl StaticKeyIndexedValue for Limits {
    fn key() -> String {
        "app.limits".to_string()
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let url = url_from_arguments()?;
    println!("connecting to {url}");
    let client = shizuku::connect(&url).await?;

    let mut config = BucketConfig::new("live-config-example");
    config.history = 20;
    let store = client.create_bucket(config).await?;

    println!("\n1. write a typed value");
    let first = Limits {
        max_connections: 100,
        maintenance: false,
    };
    let revision = first.write_to_anyway(&store).await?;
    println!("   revision {revision}: {first:?}");

    println!("\n2. a service follows it: reading is a look into memory");
    let live = Limits::live(&store, Limits::key()).await?;
    let limits = live.get().ok_or("the value was just written")?;
    println!("   the service starts with {limits:?}");
    let (seen, mut seen_by_service) = watch::channel(limits.max_connections);
    let service = tokio::spawn(serve(live, seen));

    println!("\n3. two operators hold the same revision, and both write");
    let (two, three) = (with_connections(200), with_connections(300));
    let (alice, bob) = tokio::join!(
        two.write_to_atomically(&store, revision),
        three.write_to_atomically(&store, revision),
    );
    for (name, outcome) in [("alice", alice), ("bob", bob)] {
        match outcome {
            Ok(revision) => println!("   {name} wrote revision {revision}"),
            Err(error) => println!("   {name} was refused: {}", WithCauses(&error)),
        }
    }
    seen_by_service.changed().await?;
    let connections = *seen_by_service.borrow_and_update();

    println!("\n4. both count up at the same time; whoever loses a race tries again");
    println!("   (changes that come faster than the service looks fall together)");
    tokio::try_join!(count_up(&store, "alice"), count_up(&store, "bob"))?;
    seen_by_service
        .wait_for(|seen| *seen == connections + 6)
        .await?;

    println!("\n5. somebody writes nonsense: the service is told, and keeps the last good value");
    store
        .put(Limits::key(), "{ max_connections: lots }")
        .await?;
    seen_by_service.changed().await?;
    with_connections(250).write_to_anyway(&store).await?;

    println!("\n6. maintenance: the service sees it and stops");
    Limits::update_in(&store, Limits::key(), |limits| {
        limits.map(|limits| Limits {
            maintenance: true,
            ..limits
        })
    })
    .await?;
    service.await??;

    println!("\n7. the history");
    for entry in Limits::history_from(&store, Limits::key()).await? {
        let entry = match entry {
            Ok(entry) => entry,
            Err(error) => {
                println!("   {}", WithCauses(&error));
                continue;
            }
        };
        match &entry.value {
            Some(limits) => println!("   revision {:>2}: {limits:?}", entry.revision),
            None => println!("   revision {:>2}: {:?}", entry.revision, entry.operation),
        }
    }

    client.delete_bucket("live-config-example").await?;
    client.close().await?;
    Ok(())
}

/// A service that follows its limits until maintenance starts.
async fn serve(mut live: Live<Limits>, seen: watch::Sender<u32>) -> Result<(), String> {
    loop {
        let changed = live.changed().await;
        let limits = changed.map_err(|error| WithCauses(&*error).to_string())?;
        if let Some(error) = live.last_error() {
            println!("   service: {}", WithCauses(&*error));
            seen.send_replace(0);
            continue;
        }
        match limits.as_deref() {
            Some(limits) if limits.maintenance => {
                println!("   service: maintenance, bye");
                return Ok(());
            }
            Some(limits) => {
                println!("   service: now {} connections", limits.max_connections);
                seen.send_replace(limits.max_connections);
            }
            None => println!("   service: the limits are gone"),
        }
    }
}

async fn count_up(store: &Store, name: &str) -> Result<(), Box<dyn Error>> {
    for _ in 0..3 {
        Limits::update_in(store, Limits::key(), |limits| {
            limits.map(|limits| with_connections(limits.max_connections + 1))
        })
        .await?;
    }
    println!("   {name} added 3");
    Ok(())
}

fn with_connections(max_connections: u32) -> Limits {
    Limits {
        max_connections,
        maintenance: false,
    }
}

fn url_from_arguments() -> Result<String, String> {
    let mut arguments = std::env::args().skip(1);
    match (arguments.next().as_deref(), arguments.next()) {
        (None, _) => Ok("memory:".to_string()),
        (Some("--url"), Some(url)) => Ok(url),
        _ => Err("usage: live_config [--url nats://host:4222]".to_string()),
    }
}
