//! The native side of `js/test/native_locks.test.ts`: takes turns at a lock, and logs in the bucket when it
//! enters and leaves. The stream orders these notes, whatever the participants' clocks say.
//!
//! `lock_turns <server> <bucket> <lock> <turns> <name>` prints a fencing token for each turn.
#![allow(clippy::print_stdout, missing_docs)]

use std::{env, error::Error};

use shizuku::{
    Store,
    kv::{lock::LockOptions, rw_lock::DistroRwLock},
};

type Result<T = ()> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

#[tokio::main]
async fn main() -> Result {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [server, bucket, lock, turns, name] = &*arguments else {
        return Err("lock_turns <server> <bucket> <lock> <turns> <name>".into());
    };
    let store = shizuku::connect(server).await?.open_bucket(bucket).await?;
    let options = LockOptions::new().label(name.as_str());
    let lock = DistroRwLock::with_options(&store, lock, options)?;
    for turn in 0..turns.parse()? {
        // Every third turn is a reader's.
        let token = if turn % 3 == 2 {
            let guard = lock.read().await?;
            let token = guard.token();
            note(&store, name, turn, &format!("in read {token}")).await?;
            note(&store, name, turn, &format!("out read {token}")).await?;
            guard.release().await?;
            token
        } else {
            let guard = lock.write().await?;
            let token = guard.token();
            note(&store, name, turn, &format!("in write {token}")).await?;
            // A read-modify-write: without the lock, counts would be lost.
            let count = store.get("count").await?.unwrap_or_default();
            let count: u32 = std::str::from_utf8(&count)?.parse()?;
            store.put("count", (count + 1).to_string()).await?;
            note(&store, name, turn, &format!("out write {token}")).await?;
            guard.release().await?;
            token
        };
        println!("{token}");
    }
    Ok(())
}

async fn note(store: &Store, name: &str, turn: u32, what: &str) -> Result {
    let (direction, _) = what.split_once(' ').unwrap_or((what, ""));
    let key = format!("log.{name}.{turn}.{direction}");
    store.put(key, what.to_owned()).await?;
    Ok(())
}
