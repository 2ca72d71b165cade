//! Removes consumers that this client no longer listens to from the server.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use futures::future::select;

use super::{
    api::code,
    bucket::Bucket,
    call::{Api, Failure},
    start::{INACTIVE, connected},
};
use crate::{error::ServiceError, platform};

/// The delays before looking again for a consumer that was not found.
///
/// A server may handle the removal before it has finished the creation, even on one connection, because it
/// handles the two in parallel. If the response to the creation is lost, it is unknown when the creation
/// finished.
const LATE: [Duration; 3] = [
    Duration::from_millis(200),
    Duration::from_secs(1),
    Duration::from_secs(5),
];

/// The delay between unanswered attempts.
const PAUSE: Duration = Duration::from_millis(200);

/// A consumer on the server, which is removed there when this is dropped.
#[derive(Debug)]
pub(super) struct OnServer {
    api: Api,
    path: String,
    /// Whether the server has confirmed that the consumer exists.
    confirmed: bool,
}

impl OnServer {
    /// Represents a consumer that is about to be requested.
    pub(super) fn new(bucket: &Bucket, name: &str) -> Self {
        Self {
            api: bucket.api.clone(),
            path: format!("{}.{name}", bucket.stream),
            confirmed: false,
        }
    }

    /// Records that the server has confirmed the consumer.
    pub(super) fn confirm(&mut self) {
        self.confirmed = true;
    }
}

impl Drop for OnServer {
    fn drop(&mut self) {
        let path = std::mem::take(&mut self.path);
        let removal = Box::pin(remove(self.api.clone(), path, self.confirmed));
        // Best effort, also outside a runtime: if the removal never reaches the server, it eventually
        // removes the consumer by itself, because no client listens.
        _ = platform::spawn(async move {
            select(removal, platform::sleep(INACTIVE)).await;
        });
    }
}

async fn remove(mut api: Api, path: String, confirmed: bool) {
    let mut late = LATE.into_iter();
    loop {
        // May be requested more than once, because the name is unique.
        let pause = match api.call("CONSUMER.DELETE", &path, Bytes::new()).await {
            Ok(_) => return,
            Err(failure) if failure.code() == code::NO_CONSUMER && !confirmed => late.next(),
            Err(Failure::Service(
                ServiceError::Timeout { .. } | ServiceError::Disconnected { .. },
            )) => Some(PAUSE),
            Err(_) => return,
        };
        let Some(pause) = pause else { return };
        // This does not keep a dropped client alive.
        let mut status = api.transport.status();
        let transport = Arc::downgrade(&api.transport);
        let Api {
            prefix, timeout, ..
        } = api;
        platform::sleep(pause).await;
        let (Ok(()), Some(transport)) = (connected(&mut status).await, transport.upgrade()) else {
            return;
        };
        api = Api {
            transport,
            prefix,
            timeout,
        };
    }
}
