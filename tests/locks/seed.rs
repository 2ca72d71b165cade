//! The seed's snippets about locks, with only the imports that they show.

use shizuku::{
    Processor, Store,
    kv::{BoxError, lock::DEFAULT_LEASE},
};
use std::{sync::Arc, time::Duration};
use tokio::time::{sleep, timeout};

type Result<T = (), E = BoxError> = std::result::Result<T, E>;

async fn store() -> Result<Store> {
    let client = shizuku::connect("memory:").await?;
    Ok(client.create_bucket("seed").await?)
}

#[tokio::test]
async fn basic_lock_usage() -> Result {
    let store = store().await?;
    {
        use shizuku::kv::rw_lock::DistroRwLock;
        // Acquire read lock
        DistroRwLock::acquire_read(&store, "my-resource").await?;
        // ... perform read operations ...
        DistroRwLock::release_read(&store, "my-resource").await?;
        // Acquire write lock
        DistroRwLock::acquire_write(&store, "my-resource").await?;
        // ... perform write operations ...
        DistroRwLock::release_write(&store, "my-resource").await?;
    }
    Ok(())
}

/// The bugs of the published original.
#[tokio::test]
async fn a_second_write_works_and_handles_release_only_their_own_holds() -> Result {
    use shizuku::kv::rw_lock::{DistroRwLock, DistroRwLockError};
    let client = shizuku::connect("memory:").await?;
    let mine = client.create_bucket("seed").await?;
    let theirs = client.open_bucket("seed").await?;
    for _ in 0..3 {
        DistroRwLock::acquire_write(&mine, "r").await?;
        let stolen = DistroRwLock::release_write(&theirs, "r").await;
        assert!(matches!(stolen, Err(DistroRwLockError::NotHeld { .. })));
        let as_reader = DistroRwLock::release_read(&mine, "r").await;
        assert!(matches!(as_reader, Err(DistroRwLockError::NotHeld { .. })));
        let read = DistroRwLock::acquire_read(&theirs, "r");
        assert!(timeout(Duration::from_millis(50), read).await.is_err());
        DistroRwLock::release_write(&mine.clone(), "r").await?;
        assert!(DistroRwLock::release_write(&mine, "r").await.is_err());
    }
    // Readers leave one by one.
    DistroRwLock::acquire_read(&mine, "r").await?;
    DistroRwLock::acquire_read(&mine, "r").await?;
    DistroRwLock::acquire_read(&theirs, "r").await?;
    DistroRwLock::release_read(&mine, "r").await?;
    let write = DistroRwLock::acquire_write(&theirs, "r");
    assert!(timeout(Duration::from_millis(50), write).await.is_err());
    DistroRwLock::release_read(&mine, "r").await?;
    DistroRwLock::release_read(&theirs, "r").await?;
    DistroRwLock::acquire_write(&mine, "r").await?;
    // Dropping the last handle releases what it holds.
    drop(mine);
    timeout(
        Duration::from_secs(2),
        DistroRwLock::acquire_write(&theirs, "r"),
    )
    .await??;
    Ok(())
}

/// For longer than its lease, which is 15 s by default.
#[tokio::test]
async fn a_hold_without_a_guard_is_renewed() -> Result {
    use shizuku::kv::rw_lock::DistroRwLock;
    let url = harness::shared(harness::LATEST).await?.url();
    let client = shizuku::connect(url).await?;
    let mine = client.create_bucket("seed-locks").await?;
    let theirs = client.open_bucket("seed-locks").await?;
    DistroRwLock::acquire_write(&mine, "r").await?;
    DistroRwLock::acquire_read(&mine, "s").await?;
    sleep(DEFAULT_LEASE + Duration::from_secs(3)).await;
    for name in ["r", "s"] {
        let lock = DistroRwLock::new(&theirs, name)?;
        assert!(lock.try_write().await?.is_none(), "{name}");
    }
    DistroRwLock::release_write(&mine, "r").await?;
    DistroRwLock::release_read(&mine, "s").await?;
    for name in ["r", "s"] {
        let next = DistroRwLock::acquire_write(&theirs, name);
        timeout(Duration::from_secs(2), next).await??;
    }
    Ok(())
}

struct MyProcessor;

impl Processor<u32, Result<u32, std::num::TryFromIntError>> for MyProcessor {
    async fn process(&self, input: u32) -> Result<u32, std::num::TryFromIntError> {
        u8::try_from(input).map(u32::from)
    }
}

#[tokio::test]
async fn processors() -> Result {
    let store = store().await?;
    let my_processor = MyProcessor;
    let input = 7;
    let read = {
        use shizuku::kv::rw_lock::LockedResourceReadProcessor;
        // Create read-locked processor on the fly
        let result =
            LockedResourceReadProcessor::new(Arc::new(my_processor), &store, "my-resource")
                .process(input)
                .await?;
        result
    };
    let my_processor = MyProcessor;
    let written = {
        use shizuku::kv::rw_lock::LockedResourceWriteProcessor;
        // Create write-locked processor on the fly
        let result =
            LockedResourceWriteProcessor::new(Arc::new(my_processor), &store, "my-resource")
                .process(input)
                .await?;
        result
    };
    assert_eq!((read, written), (7, 7));
    Ok(())
}
