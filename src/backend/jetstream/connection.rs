//! The connection state, for code that is polled by hand.

use std::task::{Context, Poll};

use futures::{FutureExt, future::BoxFuture};
use tokio::sync::watch;

use crate::status::{ConnectionState, ConnectionStatus};

/// The underlying connection, without a future per check.
pub(super) struct Connection {
    status: ConnectionStatus,
    changed: Option<BoxFuture<'static, Option<watch::Receiver<ConnectionStatus>>>>,
}

impl Connection {
    pub(super) fn new(mut receiver: watch::Receiver<ConnectionStatus>) -> Self {
        let status = receiver.borrow_and_update().clone();
        Self {
            status,
            changed: Some(Self::change(receiver)),
        }
    }

    fn change(
        mut receiver: watch::Receiver<ConnectionStatus>,
    ) -> BoxFuture<'static, Option<watch::Receiver<ConnectionStatus>>> {
        Box::pin(async move { receiver.changed().await.ok().map(|()| receiver) })
    }

    /// Returns the current state; the task is woken when it changes.
    pub(super) fn poll(&mut self, context: &mut Context<'_>) -> &ConnectionStatus {
        while let Some(changed) = &mut self.changed {
            let Poll::Ready(receiver) = changed.poll_unpin(context) else {
                break;
            };
            self.changed = receiver.map(|mut receiver| {
                self.status = receiver.borrow_and_update().clone();
                Self::change(receiver)
            });
            if self.changed.is_none() {
                // The transport is gone.
                self.status.state = ConnectionState::Closed;
            }
        }
        &self.status
    }
}
