//! A mock transport, for tests without a connection.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, UNIX_EPOCH},
};

use bytestring::ByteString;
use futures::{FutureExt, future, future::BoxFuture};
use tokio::sync::watch;

use super::{Api, bucket::Bucket, stream::StreamConfig};
use crate::{
    key::BucketName,
    message::{Message, Outbound, TransportError},
    platform,
    status::{ConnectionState, ConnectionStatus},
    transport::{Subscription, Transport},
};

/// Gives every request the same response, or none.
#[derive(Debug)]
pub(super) struct Says(pub(super) Option<&'static str>);

impl Transport for Says {
    fn request(
        &self,
        _: Outbound,
        timeout: Duration,
    ) -> BoxFuture<'_, Result<Message, TransportError>> {
        let answer = self.0.map(|answer| Message {
            payload: answer.into(),
            ..Message::default()
        });
        future::ready(answer.ok_or(TransportError::Timeout(timeout))).boxed()
    }

    fn publish(&self, _: Outbound) -> BoxFuture<'_, Result<(), TransportError>> {
        future::ok(()).boxed()
    }

    fn subscribe(&self, _: ByteString) -> BoxFuture<'_, Result<Subscription, TransportError>> {
        future::ok(Subscription::new(futures::stream::pending())).boxed()
    }

    fn new_inbox(&self) -> ByteString {
        "_INBOX.silent".into()
    }

    fn status(&self) -> watch::Receiver<ConnectionStatus> {
        watch::Sender::new(ConnectionStatus::new(ConnectionState::Connected, 1)).subscribe()
    }

    fn max_payload(&self) -> usize {
        1 << 20
    }

    fn close(&self) -> BoxFuture<'_, Result<(), TransportError>> {
        future::ok(()).boxed()
    }
}

/// Creates the bucket `b` of a server that gives every request the same response, or none.
pub(super) fn bucket(answer: Option<&'static str>) -> Arc<Bucket> {
    Arc::new(bucket_of(Says(answer), "$JS.API", &StreamConfig::default()))
}

/// Creates the bucket `b` on this transport.
pub(super) fn bucket_of(
    transport: impl Transport + 'static,
    prefix: &str,
    config: &StreamConfig,
) -> Bucket {
    let api = Api {
        transport: Arc::new(transport),
        prefix: prefix.into(),
        timeout: Duration::from_secs(5),
    };
    let Ok(name) = BucketName::new("b") else {
        unreachable!()
    };
    Bucket::new(api, name, config, UNIX_EPOCH)
}

/// Drops the first request, like a server without a leader.
#[derive(Debug)]
pub(super) struct DropsFirst {
    pub(super) came: AtomicBool,
    pub(super) then: Says,
}

impl Transport for DropsFirst {
    fn request(
        &self,
        message: Outbound,
        timeout: Duration,
    ) -> BoxFuture<'_, Result<Message, TransportError>> {
        if self.came.swap(true, Ordering::Relaxed) {
            return self.then.request(message, timeout);
        }
        platform::sleep(timeout)
            .map(move |()| Err(TransportError::Timeout(timeout)))
            .boxed()
    }

    fn publish(&self, message: Outbound) -> BoxFuture<'_, Result<(), TransportError>> {
        self.then.publish(message)
    }

    fn subscribe(
        &self,
        subject: ByteString,
    ) -> BoxFuture<'_, Result<Subscription, TransportError>> {
        self.then.subscribe(subject)
    }

    fn new_inbox(&self) -> ByteString {
        self.then.new_inbox()
    }

    fn status(&self) -> watch::Receiver<ConnectionStatus> {
        self.then.status()
    }

    fn max_payload(&self) -> usize {
        self.then.max_payload()
    }

    fn close(&self) -> BoxFuture<'_, Result<(), TransportError>> {
        self.then.close()
    }
}
