//! JetStream: the KV rules of ADR-8, implemented once on top of core NATS.
//!
//! A bucket `b` is the stream `KV_b`, and its key `k` is the subject `$KV.b.k`. This module defines how
//! reads, writes and watches are encoded, and interprets the server's responses; the connection belongs to
//! the transport, and everything above to [`crate::kv`].

mod admin;
mod api;
mod bucket;
mod call;
mod config;
mod connection;
mod consumer;
mod consumer_removal;
mod entry;
mod filters;
mod get_many;
mod loading;
mod mailbox;
mod proof;
mod read;
mod start;
mod stream;
mod sweep;
#[cfg(test)]
mod testing;
mod tracker;
mod watch;
mod write;

use std::{sync::Arc, time::SystemTime};

use bytes::Bytes;
use futures::{FutureExt, future::BoxFuture, stream::BoxStream};

use self::{
    bucket::Bucket,
    call::{Api, not_answered},
    filters::Filters,
    start::Plan,
    watch::Watch,
};
use super::{Backend, Buckets, CreateMode, RawWatch, WatchRequest};
use crate::{
    error::{InvalidOption, ServiceError},
    key::{BucketName, Key, KeyFilter},
    kv::{
        BucketConfig, BucketError, BucketStatus, Entry, KvReadError, KvWriteError, PutOptions,
        Read, RemoveOptions,
    },
    options::ConnectOptions,
    platform,
    status::ConnectionWatch,
    transport::Transport,
};

/// The buckets of a JetStream account.
#[derive(Debug)]
pub(crate) struct JetStream {
    api: Api,
}

impl JetStream {
    /// Creates a client on a connection; only the options for requests are used.
    pub(crate) fn new(transport: Arc<dyn Transport>, options: &ConnectOptions) -> Self {
        Self {
            api: Api {
                transport,
                prefix: options.api_prefix.as_str().into(),
                timeout: options.request_timeout,
            },
        }
    }
}

impl Buckets for JetStream {
    fn create<'a>(
        &'a self,
        config: &'a BucketConfig,
        mode: CreateMode,
    ) -> BoxFuture<'a, Result<Arc<dyn Backend>, BucketError>> {
        async move { Ok(Arc::new(JetStreamBucket(self.make(config, mode).await?)) as _) }.boxed()
    }

    fn open<'a>(
        &'a self,
        bucket: &'a BucketName,
    ) -> BoxFuture<'a, Result<Arc<dyn Backend>, BucketError>> {
        async move {
            let (bucket, _) = self.look(bucket).await?;
            Ok(Arc::new(JetStreamBucket(bucket)) as _)
        }
        .boxed()
    }

    fn delete<'a>(&'a self, bucket: &'a BucketName) -> BoxFuture<'a, Result<(), BucketError>> {
        self.drop_bucket(bucket).boxed()
    }

    fn list(&self) -> BoxStream<'_, Result<BucketName, BucketError>> {
        self.names()
    }

    fn connection(&self) -> ConnectionWatch {
        ConnectionWatch::of(self.api.transport.status())
    }

    fn close(&self) -> BoxFuture<'_, Result<(), ServiceError>> {
        async {
            let closed = self.api.transport.close().await;
            closed.map_err(|error| not_answered(error, "close"))
        }
        .boxed()
    }
}

/// A bucket.
#[derive(Debug)]
struct JetStreamBucket(Arc<Bucket>);

impl Backend for JetStreamBucket {
    fn bucket(&self) -> &BucketName {
        &self.0.name
    }

    fn get<'a>(
        &'a self,
        key: &'a Key,
        revision: Option<u64>,
        read: Read,
    ) -> BoxFuture<'a, Result<Option<Entry>, KvReadError>> {
        async move { Ok(self.0.get(key, revision, read).await?) }.boxed()
    }

    fn get_many<'a>(&'a self, keys: &'a [KeyFilter]) -> BoxStream<'a, Result<Entry, KvReadError>> {
        Arc::clone(&self.0).get_many(keys)
    }

    fn snapshot<'a>(
        &'a self,
        filter: &'a KeyFilter,
        from: u64,
    ) -> BoxFuture<'a, Result<Option<Vec<Entry>>, KvReadError>> {
        async move { Ok(self.0.snapshot(filter, from).await?) }.boxed()
    }

    fn put<'a>(
        &'a self,
        key: &'a Key,
        value: Bytes,
        options: PutOptions,
    ) -> BoxFuture<'a, Result<u64, KvWriteError>> {
        self.0.put(key, value, options).boxed()
    }

    fn remove<'a>(
        &'a self,
        key: &'a Key,
        options: RemoveOptions,
    ) -> BoxFuture<'a, Result<u64, KvWriteError>> {
        self.0.remove(key, options).boxed()
    }

    fn watch<'a>(
        &'a self,
        filters: &'a [KeyFilter],
        request: WatchRequest,
    ) -> BoxFuture<'a, Result<RawWatch, KvReadError>> {
        async move {
            if filters.is_empty() {
                // To a server, an empty list of filters means everything.
                return Err(InvalidOption::new("filters", "there is none").into());
            }
            let plan = Plan::new(Arc::clone(&self.0), Filters::new(filters), request);
            let watch = Watch::begin(plan).await?;
            Ok(Box::pin(watch) as RawWatch)
        }
        .boxed()
    }

    fn compact<'a>(&'a self, key: &'a Key, before: u64) -> BoxFuture<'a, Result<(), KvWriteError>> {
        self.0.compact(key, before).boxed()
    }

    fn status(&self) -> BoxFuture<'_, Result<BucketStatus, BucketError>> {
        async { Ok(self.0.status().await?) }.boxed()
    }

    fn now(&self) -> SystemTime {
        platform::wall_clock()
    }

    fn connection(&self) -> ConnectionWatch {
        ConnectionWatch::of(self.0.api.transport.status())
    }
}
