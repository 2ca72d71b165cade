//! One bucket behind its mutex, and the handle through which a store uses it.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::SystemTime,
};

use bytes::Bytes;
use futures::{FutureExt, StreamExt, future, future::BoxFuture, stream, stream::BoxStream};
use tokio::sync::watch;

use super::{
    clock::Clock,
    log::{Full, Log, Stored, Write},
    registry::Registry,
    size, watch as follow,
};
use crate::{
    backend::{Backend, RawWatch, WatchRequest},
    error::ServiceError,
    headers::Headers,
    key::{BucketName, Key, KeyFilter},
    kv::{
        BucketConfig, BucketError, BucketStatus, Conflict, Entry, Expect, KvReadError,
        KvWriteError, LimitMarkers, Operation, PutOptions, Read, Removal, RemoveOptions,
    },
    platform,
    status::ConnectionWatch,
};

/// Whether a bucket still exists.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Life {
    #[default]
    Open,
    /// No handle is left that could write to it.
    Abandoned,
    /// The bucket was deleted.
    Deleted,
    /// The client was closed.
    Closed,
}

/// A bucket, shared by its handles and watches.
#[derive(Debug)]
pub(super) struct Bucket {
    pub(super) name: BucketName,
    pub(super) clock: Arc<dyn Clock>,
    created: SystemTime,
    state: Mutex<State>,
    /// Signals watches that the log or the life has changed.
    changed: watch::Sender<()>,
}

#[derive(Debug)]
struct State {
    life: Life,
    log: Log,
}

impl Bucket {
    pub(super) fn new(name: BucketName, config: BucketConfig, clock: Arc<dyn Clock>) -> Self {
        Self {
            created: clock.now(),
            clock,
            changed: watch::Sender::new(()),
            state: Mutex::new(State {
                life: Life::Open,
                log: Log::new(name.clone(), config),
            }),
            name,
        }
    }

    /// Calls `look` with the current log, after removing expired revisions.
    pub(super) fn look<T>(
        &self,
        look: impl FnOnce(&mut Log, Life) -> T,
    ) -> Result<T, ServiceError> {
        let mut state = self.lock();
        match state.life {
            Life::Deleted => {
                return Err(ServiceError::BucketNotFound {
                    bucket: self.name.clone(),
                });
            }
            Life::Closed => return Err(ServiceError::Closed),
            Life::Open | Life::Abandoned => {}
        }
        let before = state.log.last();
        state.log.advance(self.clock.now());
        let life = state.life;
        let result = look(&mut state.log, life);
        let grown = state.log.last() != before;
        drop(state);
        // Watches only care about appended revisions: they do not report silent removals.
        if grown {
            self.changed.send_replace(());
        }
        Ok(result)
    }

    /// Ends the bucket for all its users, who are told the first reason.
    pub(super) fn end(&self, life: Life) {
        let mut state = self.lock();
        if matches!(state.life, Life::Open | Life::Abandoned) {
            state.life = life;
        }
        drop(state);
        self.changed.send_replace(());
    }

    /// Applies new settings. Watches look again, because a deadline may be nearer now.
    pub(super) fn configure(&self, config: BucketConfig) -> Result<(), ServiceError> {
        self.look(|log, _| log.configure(config))?;
        self.changed.send_replace(());
        Ok(())
    }

    pub(super) fn changes(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    pub(super) fn entry(&self, revision: u64, stored: &Stored, delta: u64) -> Entry {
        Entry {
            bucket: self.name.clone(),
            key: stored.key.clone(),
            value: (stored.operation == Operation::Put).then(|| stored.value.clone()),
            revision,
            created: stored.created,
            operation: stored.operation,
            delta,
            headers: stored.headers.clone(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while holding the mutex; if it did, the log would still be intact.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn get(&self, key: &Key, revision: Option<u64>) -> Result<Option<Entry>, ServiceError> {
        self.look(|log, _| {
            let revision = revision.unwrap_or_else(|| log.last_of(key));
            let stored = log.get(revision).filter(|stored| stored.key == *key)?;
            Some(self.entry(revision, stored, 0))
        })
    }

    fn get_many(&self, filters: &[KeyFilter]) -> Result<Vec<Entry>, ServiceError> {
        self.look(|log, _| {
            let mut revisions: Vec<u64> = filters
                .iter()
                .flat_map(|filter| log.last_matching(filter))
                .collect();
            // A key that passes two filters appears once.
            revisions.sort_unstable();
            revisions.dedup();
            revisions
                .into_iter()
                .filter_map(|revision| Some(self.entry(revision, log.get(revision)?, 0)))
                .collect()
        })
    }

    /// Writes, after the same checks as a server, in the same order.
    fn write(&self, write: Write, expect: Expect) -> Result<u64, KvWriteError> {
        self.look(|log, _| {
            let config = log.config();
            let last = log.last_of(&write.key);
            let holds = match expect {
                Expect::Any => true,
                Expect::Revision(revision) => revision == last,
                Expect::Absent => log
                    .get(last)
                    .is_none_or(|stored| stored.operation.is_removal()),
            };
            let expected = size::expected_revision(expect, last);
            let header_block =
                size::header_block(&write.headers, write.operation, expected, write.ttl);
            let size = header_block + write.value.len();
            let limit = config
                .max_value_size
                .map_or(size::MAX_PAYLOAD, |limit| limit as usize);
            // A client rejects messages beyond `max_payload` before sending them.
            let too_large = |limit| KvWriteError::TooLarge {
                key: write.key.clone(),
                size,
                limit: Some(limit),
            };
            if size > size::MAX_PAYLOAD {
                return Err(too_large(size::MAX_PAYLOAD));
            }
            if write.ttl.is_some() && config.limit_markers == LimitMarkers::Off {
                return Err(ServiceError::no_ttl(&self.name).into());
            }
            if !holds {
                return Err(KvWriteError::Conflict(Conflict {
                    key: write.key,
                    expected: expect,
                    actual: Some(last),
                }));
            }
            if size > limit {
                return Err(too_large(limit));
            }
            let write = Write {
                header_block,
                ..write
            };
            log.append(write).map_err(|Full| {
                KvWriteError::Service(ServiceError::Refused {
                    status: 503,
                    code: Some(10077),
                    description: "maximum bytes exceeded".into(),
                })
            })
        })?
    }

    fn status(&self) -> Result<BucketStatus, ServiceError> {
        self.look(|log, _| BucketStatus {
            bucket: self.name.clone(),
            config: log.config().clone(),
            values: log.len(),
            keys: log.keys(),
            bytes: log.bytes(),
            first_revision: log.first(),
            last_revision: log.last(),
            created: self.created,
        })
    }
}

/// A handle that refers to a bucket by name, like a subject: if the bucket is deleted and recreated, the
/// handle refers to the new one.
#[derive(Debug)]
pub(super) struct Handle {
    pub(super) name: BucketName,
    pub(super) registry: Arc<Registry>,
}

/// Results are ready at once, but a caller in a loop must let other tasks run, as with a server.
fn answer<'a, T>(answer: impl FnOnce() -> T + Send + 'a) -> BoxFuture<'a, T> {
    Box::pin(async move {
        platform::count().await;
        answer()
    })
}

impl Handle {
    fn bucket(&self) -> Result<Arc<Bucket>, ServiceError> {
        self.registry.find(&self.name)
    }
}

impl Backend for Handle {
    fn bucket(&self) -> &BucketName {
        &self.name
    }

    fn get<'a>(
        &'a self,
        key: &'a Key,
        revision: Option<u64>,
        _read: Read,
    ) -> BoxFuture<'a, Result<Option<Entry>, KvReadError>> {
        let get = move || Ok(self.bucket()?.get(key, revision)?);
        answer(get)
    }

    fn get_many<'a>(&'a self, keys: &'a [KeyFilter]) -> BoxStream<'a, Result<Entry, KvReadError>> {
        let get = move || Ok(self.bucket()?.get_many(keys)?);
        let entries = future::lazy(move |_| match get() {
            Ok(entries) => stream::iter(entries).map(Ok).left_stream(),
            Err(error) => stream::once(future::ready(Err(error))).right_stream(),
        });
        entries.flatten_stream().boxed()
    }

    fn snapshot<'a>(
        &'a self,
        filter: &'a KeyFilter,
        from: u64,
    ) -> BoxFuture<'a, Result<Option<Vec<Entry>>, KvReadError>> {
        let get = move || {
            let mut entries = self.bucket()?.get_many(std::slice::from_ref(filter))?;
            entries.retain(|entry| entry.revision >= from);
            Ok(Some(entries))
        };
        answer(get)
    }

    fn put<'a>(
        &'a self,
        key: &'a Key,
        value: Bytes,
        options: PutOptions,
    ) -> BoxFuture<'a, Result<u64, KvWriteError>> {
        let write = Write {
            // A stored key must not keep a caller's larger text alive.
            key: key.detached(),
            value,
            headers: options.headers,
            operation: Operation::Put,
            ttl: options.ttl,
            header_block: 0,
        };
        answer(move || self.bucket()?.write(write, options.expect))
    }

    fn remove<'a>(
        &'a self,
        key: &'a Key,
        options: RemoveOptions,
    ) -> BoxFuture<'a, Result<u64, KvWriteError>> {
        let write = Write {
            key: key.detached(),
            value: Bytes::new(),
            headers: Headers::new(),
            operation: match options.removal {
                Removal::Delete => Operation::Delete,
                Removal::Purge => Operation::Purge,
            },
            ttl: options.marker_ttl,
            header_block: 0,
        };
        answer(move || self.bucket()?.write(write, options.expect))
    }

    fn watch<'a>(
        &'a self,
        filters: &'a [KeyFilter],
        request: WatchRequest,
    ) -> BoxFuture<'a, Result<RawWatch, KvReadError>> {
        let start = move || follow::start(self.bucket()?, filters, request);
        answer(start)
    }

    fn compact<'a>(&'a self, key: &'a Key, before: u64) -> BoxFuture<'a, Result<(), KvWriteError>> {
        let compact = move || Ok(self.bucket()?.look(|log, _| log.compact(key, before))?);
        answer(compact)
    }

    fn status(&self) -> BoxFuture<'_, Result<BucketStatus, BucketError>> {
        let status = move || Ok(self.bucket()?.status()?);
        answer(status)
    }

    fn now(&self) -> SystemTime {
        self.registry.now()
    }

    fn connection(&self) -> ConnectionWatch {
        self.registry.connection()
    }
}
