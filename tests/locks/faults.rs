//! Servers that are too old, refuse, or become unreachable.

use std::time::Duration;

use futures::{FutureExt, StreamExt, future::join};
use harness::{NatsServer, V2_10};
use shizuku::{
    ConnectOptions, WithCauses,
    kv::{
        BoxError, BucketConfig, ServiceError,
        election::Election,
        lock::{LockOptions, LostReason},
        rw_lock::{DistroRwLock, LockError},
    },
};
use tokio::time::{Instant, sleep, timeout};

type Result<T = (), E = BoxError> = std::result::Result<T, E>;

const LEASE: Duration = Duration::from_secs(3);

fn short() -> LockOptions {
    LockOptions::new().lease(LEASE)
}

async fn lock(server: &NatsServer, options: LockOptions) -> Result<DistroRwLock> {
    let client = shizuku::connect(server.url()).await?;
    let store = client.create_bucket("locks").await?;
    Ok(DistroRwLock::with_options(&store, "r", options)?)
}

#[tokio::test]
async fn a_server_below_2_11_is_refused() -> Result {
    let server = NatsServer::builder().version(V2_10).start().await?;
    let lock = lock(&server, short()).await?;
    for _ in 0..2 {
        let error = lock.write().await.unwrap_err();
        assert!(matches!(error, LockError::NotSupported { .. }), "{error}");
        assert!(error.to_string().contains("2.11"), "{error}");
    }
    Ok(())
}

#[tokio::test]
async fn a_bucket_whose_value_limit_is_below_an_entry_is_refused() -> Result {
    let server = NatsServer::start_default().await?;
    for url in [server.url(), "memory:".to_owned()] {
        let mut small = BucketConfig::new("small");
        small.max_value_size = Some(50);
        let store = shizuku::connect(&url).await?.create_bucket(small).await?;
        let error = DistroRwLock::new(&store, "r")?.write().await.unwrap_err();
        let error = WithCauses(&error).to_string();
        assert!(error.contains("too large"), "{url}: {error}");
    }
    Ok(())
}

#[tokio::test]
async fn a_missing_permission_is_reported_immediately() -> Result {
    for denied in ["$KV.locks._lock.>", "$JS.API.CONSUMER.>"] {
        let users = format!(
            r#"authorization {{ users = [
                {{ user: all, password: all }}
                {{ user: less, password: less, permissions: {{ publish: {{ deny: ["{denied}"] }} }} }}
            ] }}"#
        );
        let server = NatsServer::builder().config(users).start().await?;
        let all = ConnectOptions::new().user_and_password("all", "all");
        let client = all.connect(server.url()).await?;
        client.create_bucket("locks").await?;
        let less = ConnectOptions::new().user_and_password("less", "less");
        let store = less
            .connect(server.url())
            .await?
            .open_bucket("locks")
            .await?;
        // Waiting for others requires a watch; acquiring a free lock does not.
        let held = DistroRwLock::new(&client.open_bucket("locks").await?, "r")?;
        let _held = held.write().await?;
        let lock = DistroRwLock::new(&store, "r")?;
        let error = timeout(Duration::from_secs(5), lock.write()).await?;
        let LockError::Service { source, lock } = error.unwrap_err() else {
            panic!("not a service error");
        };
        assert_eq!(lock, "r");
        assert!(
            matches!(&*source, ServiceError::PermissionDenied { .. }),
            "{denied}: {source}"
        );
    }
    Ok(())
}

/// A try has less patience than a waiting acquire.
#[tokio::test]
async fn a_try_does_not_wait_for_an_unreachable_server() -> Result {
    let server = NatsServer::start_default().await?;
    let options = ConnectOptions::new().request_timeout(Duration::from_secs(1));
    let client = options.connect(server.url()).await?;
    let store = client.create_bucket("locks").await?;
    let lock = DistroRwLock::new(&store, "r")?;
    lock.write().await?.release().await?;
    server.kill()?;
    for _ in 0..2 {
        let tried = timeout(Duration::from_secs(5), lock.try_write()).await?;
        let error = tried.map(drop).unwrap_err();
        assert!(matches!(error, LockError::Service { .. }), "{error}");
    }
    server.restart().await?;
    let again = timeout(Duration::from_secs(10), lock.write()).await??;
    again.release().await?;
    Ok(())
}

#[tokio::test]
async fn holds_lapse_and_waiters_fail_when_the_server_dies() -> Result {
    let server = NatsServer::start_default().await?;
    let (mine, theirs) = (lock(&server, short()).await?, lock(&server, short()).await?);
    let guard = mine.write().await?;
    let waiting = tokio::spawn(async move { theirs.write().await.map(drop) });
    sleep(Duration::from_millis(300)).await;
    let gone = Instant::now();
    server.kill()?;
    let reason = timeout(LEASE + Duration::from_secs(1), guard.lost()).await?;
    assert_eq!(reason, LostReason::Lapsed);
    assert!(!guard.is_held());
    assert!(gone.elapsed() < LEASE, "{:?}", gone.elapsed());
    let error = guard.release().await.unwrap_err();
    assert!(matches!(error, LockError::Lost { .. }), "{error}");
    // A waiter gives up after a while, with an error that says why.
    let error = timeout(Duration::from_secs(25), waiting)
        .await??
        .unwrap_err();
    assert!(matches!(error, LockError::Service { .. }), "{error}");
    Ok(())
}

#[tokio::test]
async fn a_release_reports_an_unresponsive_server() -> Result {
    let server = NatsServer::start_default().await?;
    let lock = lock(&server, LockOptions::new()).await?;
    let guard = lock.write().await?;
    server.pause()?;
    let released = timeout(Duration::from_secs(20), guard.release()).await?;
    let error = released.unwrap_err();
    assert!(matches!(error, LockError::Service { .. }), "{error}");
    server.resume()?;
    // It is released in the background as soon as possible.
    drop(timeout(Duration::from_secs(20), lock.write()).await??);
    Ok(())
}

#[tokio::test]
async fn listing_holders_reports_an_unreachable_server() -> Result {
    let server = NatsServer::start_default().await?;
    let client = shizuku::connect(server.url()).await?;
    let store = client.create_bucket("locks").await?;
    let lock = DistroRwLock::with_options(&store, "r", short())?;
    let election = Election::with_options(&store, "e", short())?;
    let mut seen = Box::pin(lock.watch_holders()?);
    assert_eq!(seen.next().await.unwrap()?, []);
    server.kill()?;
    sleep(Duration::from_millis(300)).await;
    // The lock has an open watch; the election has none.
    let both = async { join(lock.holders(), election.leader()).await };
    let (holders, leader) = timeout(Duration::from_secs(12), both).await?;
    for error in [holders.unwrap_err(), leader.unwrap_err()] {
        assert!(matches!(error, LockError::Service { .. }), "{error}");
    }
    // The stream was silent meanwhile, and continues.
    assert!(seen.next().now_or_never().is_none());
    server.restart().await?;
    let guard = loop {
        match lock.write().await {
            Ok(guard) => break guard,
            Err(_) => sleep(Duration::from_millis(100)).await,
        }
    };
    let holders = timeout(Duration::from_secs(20), seen.next()).await?;
    assert_eq!(holders.unwrap()?[0].token, Some(guard.token()));
    guard.release().await?;
    Ok(())
}

/// However long the lease: a lost write is sent again.
#[tokio::test]
async fn a_lost_acquire_is_sent_again() -> Result {
    let server = NatsServer::start_default().await?;
    let an_hour = LockOptions::new().lease(Duration::from_secs(3600));
    let lock = lock(&server, an_hour).await?;
    lock.write().await?.release().await?;
    server.pause()?;
    let acquiring = tokio::spawn(async move { lock.write().await });
    sleep(Duration::from_millis(200)).await;
    server.kill()?;
    server.restart().await?;
    let guard = timeout(Duration::from_secs(20), acquiring).await???;
    guard.release().await?;
    Ok(())
}

#[tokio::test]
async fn a_hold_and_a_waiter_survive_a_restart_of_the_server() -> Result {
    let server = NatsServer::start_default().await?;
    let options = || LockOptions::new().lease(Duration::from_secs(10));
    let (mine, theirs) = (
        lock(&server, options()).await?,
        lock(&server, options()).await?,
    );
    let guard = mine.write().await?;
    let token = guard.token();
    let waiting = tokio::spawn(async move { theirs.write().await });
    sleep(Duration::from_millis(300)).await;
    server.kill()?;
    sleep(Duration::from_secs(1)).await;
    server.restart().await?;
    sleep(Duration::from_secs(5)).await;
    assert!(guard.is_held());
    assert!(!waiting.is_finished());
    guard.release().await?;
    let guard = timeout(Duration::from_secs(15), waiting).await???;
    assert!(guard.token() > token);
    guard.release().await?;
    Ok(())
}
