//! All the buckets of one embedded service, by name.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::SystemTime,
};

use super::{
    bucket::{Bucket, Life},
    clock::Clock,
    settings,
};
use crate::{
    backend::CreateMode,
    error::ServiceError,
    key::BucketName,
    kv::{BucketConfig, BucketError},
    status::{ConnectionReporter, ConnectionState, ConnectionStatus, ConnectionWatch},
};

pub(super) struct Registry {
    clock: Arc<dyn Clock>,
    buckets: Mutex<BTreeMap<BucketName, Arc<Bucket>>>,
    status: ConnectionReporter,
}

// Logging a client must not print the stored data.
impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registry").finish_non_exhaustive()
    }
}

impl Registry {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            buckets: Mutex::new(BTreeMap::new()),
            status: ConnectionReporter::new(ConnectionStatus::new(ConnectionState::Connected, 1)),
        }
    }

    pub(super) fn create(
        &self,
        config: &BucketConfig,
        mode: CreateMode,
    ) -> Result<BucketName, BucketError> {
        let name = config.bucket()?;
        let mut buckets = self.lock()?;
        let Some(bucket) = buckets.get(&name) else {
            let config = settings::accept(config)?;
            let bucket = Bucket::new(name.clone(), config, self.clock.clone());
            buckets.insert(name.clone(), Arc::new(bucket));
            return Ok(name);
        };
        let actual = bucket.look(|log, _| log.config().clone())?;
        match mode {
            CreateMode::Create => {
                let differences = config.differences(&actual);
                if !differences.is_empty() {
                    return Err(BucketError::Mismatch {
                        bucket: name,
                        differences,
                    });
                }
            }
            CreateMode::CreateOrUpdate => bucket.configure(settings::change(config, &actual)?)?,
        }
        Ok(name)
    }

    pub(super) fn find(&self, name: &BucketName) -> Result<Arc<Bucket>, ServiceError> {
        let bucket = self.lock()?.get(name).cloned();
        bucket.ok_or_else(|| ServiceError::BucketNotFound {
            bucket: name.clone(),
        })
    }

    pub(super) fn delete(&self, name: &BucketName) -> Result<(), ServiceError> {
        let bucket = self.lock()?.remove(name);
        let bucket = bucket.ok_or_else(|| ServiceError::BucketNotFound {
            bucket: name.clone(),
        })?;
        bucket.end(Life::Deleted);
        Ok(())
    }

    pub(super) fn names(&self) -> Result<Vec<BucketName>, ServiceError> {
        Ok(self.lock()?.keys().cloned().collect())
    }

    pub(super) fn now(&self) -> SystemTime {
        self.clock.now()
    }

    pub(super) fn connection(&self) -> ConnectionWatch {
        self.status.watch()
    }

    pub(super) fn close(&self) {
        let buckets = self.lock_any();
        let mut status = self.status.current();
        status.state = ConnectionState::Closed;
        self.status.report(status);
        for bucket in buckets.values() {
            bucket.end(Life::Closed);
        }
    }

    fn lock(&self) -> Result<MutexGuard<'_, BTreeMap<BucketName, Arc<Bucket>>>, ServiceError> {
        let buckets = self.lock_any();
        if self.status.current().state == ConnectionState::Closed {
            return Err(ServiceError::Closed);
        }
        Ok(buckets)
    }

    fn lock_any(&self) -> MutexGuard<'_, BTreeMap<BucketName, Arc<Bucket>>> {
        self.buckets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Registry {
    /// Called when the client and every store are gone. Watches may still exist, and must not wait forever.
    fn drop(&mut self) {
        for bucket in self.lock_any().values() {
            bucket.end(Life::Abandoned);
        }
    }
}
