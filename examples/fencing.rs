//! A holder is paused for longer than its lease, another one gets the lock, and the first one continues
//! to write. The resource detects this by its fencing token.
//!
//! ```text
//! cargo run --example fencing                                  # embedded, needs nothing
//! cargo run --example fencing -- --url nats://127.0.0.1:4222   # on a server
//! ```
#![allow(clippy::print_stdout)]

use std::{
    error::Error,
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use shizuku::{
    WithCauses,
    kv::{lock::LockOptions, rw_lock::DistroRwLock},
};
use tokio::runtime;

/// The protected resource: it remembers the largest token it has seen, and rejects smaller ones. In a
/// database this is an additional condition in the `WHERE` of an update.
#[derive(Default)]
struct Account {
    state: Mutex<(u64, i64)>,
}

impl Account {
    fn set_balance(&self, token: u64, balance: i64) -> Result<(), String> {
        let mut state = self.state.lock().map_err(|error| error.to_string())?;
        let (largest, old) = *state;
        if token < largest {
            return Err(format!(
                "token {token} is older than {largest}: balance stays {old}"
            ));
        }
        *state = (token, balance);
        Ok(())
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let url = match (arguments.next().as_deref(), arguments.next()) {
        (None, _) => "memory:".to_owned(),
        (Some("--url"), Some(url)) => url,
        _ => return Err("usage: fencing [--url nats://host:4222]".into()),
    };
    let account = Arc::new(Account::default());
    let lease = Duration::from_secs(3);

    // The connections have their own runtime, which is never paused.
    let network = runtime::Builder::new_multi_thread().enable_all().build()?;
    let (client, first, second) = network.block_on(async {
        let client = shizuku::connect(&url).await?;
        client.create_bucket("fencing").await?;
        let options = || LockOptions::new().lease(lease);
        let first = client.open_bucket("fencing").await?;
        let second = client.open_bucket("fencing").await?;
        Ok::<_, Box<dyn Error>>((
            client,
            DistroRwLock::with_options(&first, "account", options().label("first"))?,
            DistroRwLock::with_options(&second, "account", options().label("second"))?,
        ))
    })?;

    // The first holder has its own thread, so that all of it can be paused.
    let paused = thread::spawn({
        let account = account.clone();
        move || -> Result<String, String> {
            let runtime = runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .map_err(|error| error.to_string())?;
            runtime.block_on(async {
                let guard = first.write().await;
                let guard = guard.map_err(|error| WithCauses(&error).to_string())?;
                println!("first:  holds, token {}", guard.token());
                account.set_balance(guard.token(), 100)?;
                println!("first:  looks: is_held() = {}", guard.is_held());

                // Garbage collection, a stopped virtual machine, a debugger: nothing runs here, not even
                // the task that renews the lease.
                thread::sleep(lease * 2);

                println!("first:  goes on, as if nothing had happened");
                let refused = match account.set_balance(guard.token(), 50) {
                    Ok(()) => return Err("the late write went through".into()),
                    Err(refused) => refused,
                };
                println!("first:  refused: {refused}");
                println!("first:  looks again: is_held() = {}", guard.is_held());
                match guard.release().await {
                    Ok(()) => Err("a lost lock was released".into()),
                    Err(error) => Ok(WithCauses(&error).to_string()),
                }
            })
        }
    });

    thread::sleep(Duration::from_millis(500));
    network.block_on(async {
        println!("second: waits");
        let guard = second.write().await?;
        println!("second: holds, token {}", guard.token());
        account.set_balance(guard.token(), 200)?;
        guard.release().await?;
        Ok::<_, Box<dyn Error>>(())
    })?;

    let lost = paused.join().map_err(|_| "the first holder panicked")??;
    println!("first:  its release says: {lost}");
    let balance = account.state.lock().map_err(|error| error.to_string())?.1;
    println!("the balance is {balance}, as the second holder left it");
    assert_eq!(balance, 200);
    network.block_on(async {
        client.delete_bucket("fencing").await?;
        Ok(client.close().await?)
    })
}
