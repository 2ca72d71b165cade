//! The requests that a lock sends, and how it handles the replies.

use std::time::Duration;

use shizuku::kv::{
    KvWriteError, ServiceError,
    lock::LockOptions,
    rw_lock::{DistroRwLock, LockError},
};
use tokio::time::{sleep, timeout};

use crate::{
    noted::{Failure, noted},
    support::{MOMENT, Result, SOON},
};

enum Before {
    Nothing,
    /// Another client writes to the bucket, so that the end of the log is unknown.
    Write,
    /// The server may come back with another log.
    Reconnect,
}

#[tokio::test]
async fn snapshots_are_incremental_but_full_after_a_reconnect() -> Result {
    use Before::{Nothing, Reconnect, Write};
    let (service, client) = noted();
    let store = client.create_bucket("locks").await?;
    let lock = DistroRwLock::new(&store, "r")?;
    for (before, read, revision) in [
        (Nothing, Some(0), 1),
        (Nothing, None, 3),
        (Write, Some(4), 6),
        (Nothing, None, 8),
        (Reconnect, Some(0), 10),
        (Nothing, None, 12),
    ] {
        match before {
            Nothing => {}
            Write => _ = store.put("key", "").await?,
            Reconnect => {
                let mut now = service.connection.current();
                now.epoch += 1;
                service.connection.report(now);
            }
        }
        service.notes();
        lock.write().await?.release().await?;
        let mut asked = vec!["put for 15 s".to_owned()];
        asked.extend(read.map(|from| format!("read _lock.r.* from {from}")));
        asked.push(format!("Purge for 5 s if Revision({revision})"));
        assert_eq!(service.notes(), asked);
    }
    Ok(())
}

#[tokio::test]
async fn a_try_on_a_taken_lock_requests_a_watch_and_a_probe() -> Result {
    let (service, client) = noted();
    let store = client.create_bucket("locks").await?;
    let other = client.open_bucket("locks").await?;
    let held = DistroRwLock::new(&store, "r")?.write().await?;
    service.notes();
    let options = LockOptions::new().lease(Duration::from_secs(60));
    let lock = DistroRwLock::with_options(&other, "r", options)?;
    assert!(lock.try_write().await?.is_none());
    let asked = [
        "put for 60 s",
        "read _lock.r.* from 0",
        "watch _lock.r.*",
        // A probe.
        "put for 2 s",
        "Purge for 5 s",
    ];
    assert_eq!(service.notes(), asked);
    held.release().await?;
    Ok(())
}

/// An entry that is gone must not be recreated.
#[tokio::test]
async fn a_renewal_is_conditional_on_the_previous_revision() -> Result {
    let (service, client) = noted();
    let store = client.create_bucket("locks").await?;
    let options = LockOptions::new().lease(Duration::from_secs(3));
    let lock = DistroRwLock::with_options(&store, "r", options)?;
    let held = lock.write().await?;
    let mut asked = Vec::new();
    while asked.len() < 5 {
        sleep(MOMENT).await;
        asked.extend(service.notes());
    }
    let renewed = [
        "put for 3 s",
        "read _lock.r.* from 0",
        "watch _lock.r.*",
        "put for 3 s if Revision(1)",
        "put for 3 s if Revision(2)",
    ];
    assert_eq!(asked, renewed);
    held.release().await?;
    Ok(())
}

#[tokio::test]
async fn a_permanently_failing_write_is_reported_immediately() -> Result {
    let (service, client) = noted();
    let store = client.create_bucket("locks").await?;
    let lock = DistroRwLock::new(&store, "r")?;
    let failures: [(Failure, &str); 2] = [
        (
            |_| {
                let subject = "$KV.locks.x".into();
                KvWriteError::Service(ServiceError::PermissionDenied { subject })
            },
            "permission denied",
        ),
        (
            |key| KvWriteError::TooLarge {
                key,
                size: 11,
                limit: Some(10),
            },
            "the server refused",
        ),
    ];
    for (failure, says) in failures {
        service.failures.lock().unwrap().push_back(failure);
        let error = timeout(SOON, lock.write()).await?.unwrap_err();
        let LockError::Service { source, .. } = error else {
            panic!("{error:?}");
        };
        assert!(source.to_string().starts_with(says), "{source}");
        assert_eq!(service.notes(), ["put for 15 s"]);
        // The service works again by now.
        timeout(SOON, lock.write()).await??.release().await?;
        service.notes();
    }
    Ok(())
}

#[tokio::test]
async fn a_temporarily_failing_write_is_retried() -> Result {
    let failures: [Failure; 3] = [
        |_| {
            let (operation, after) = ("a put".into(), SOON);
            KvWriteError::Service(ServiceError::Timeout { operation, after })
        },
        // For example, during a leader election.
        |_| {
            let detail = "no responders".into();
            KvWriteError::Service(ServiceError::JetStreamUnavailable { detail })
        },
        |key| {
            let detail = "gone".into();
            let source = ServiceError::Disconnected { detail };
            KvWriteError::OutcomeUnknown { key, source }
        },
    ];
    for failure in failures {
        let (service, client) = noted();
        let store = client.create_bucket("locks").await?;
        service.failures.lock().unwrap().push_back(failure);
        let lock = DistroRwLock::new(&store, "r")?;
        let held = timeout(2 * SOON, lock.write()).await??;
        let puts = service.notes();
        let puts = puts.iter().filter(|note| *note == "put for 15 s").count();
        assert_eq!(puts, 2);
        held.release().await?;
    }
    Ok(())
}
