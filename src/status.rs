//! Connection state, for all backends.

use std::sync::Arc;

use tokio::sync::watch;

/// A connection's state with details.
///
/// ```
/// use shizuku::ConnectionState;
///
/// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let client = shizuku::connect("memory:").await?;
/// let mut connection = client.connection();
/// assert_eq!(connection.current().state, ConnectionState::Connected);
/// client.close().await?;
/// let closed = connection.changed().await.expect("it has changed");
/// assert_eq!((closed.state, closed.epoch), (ConnectionState::Closed, 1));
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConnectionStatus {
    /// The state.
    pub state: ConnectionState,
    /// The number of connects so far: 1 after the first connect, one more after each reconnect. While it
    /// is unchanged, no message was missed.
    pub epoch: u64,
    /// Why the connection was lost or closed, as human-readable text, if known.
    pub reason: Option<Arc<str>>,
}

impl ConnectionStatus {
    /// Creates a status from a state and an epoch.
    pub const fn new(state: ConnectionState, epoch: u64) -> Self {
        Self {
            state,
            epoch,
            reason: None,
        }
    }

    /// Adds a reason.
    #[must_use]
    pub fn because(self, reason: impl Into<Arc<str>>) -> Self {
        Self {
            reason: Some(reason.into()),
            ..self
        }
    }
}

/// The state of a connection.
///
/// ```
/// use shizuku::{Client, ConnectionState};
///
/// /// For a readiness probe.
/// fn ready(client: &Client) -> Result<(), &'static str> {
///     match client.connection().current().state {
///         ConnectionState::Connected => Ok(()),
///         ConnectionState::Disconnected => Err("connecting again"),
///         _ => Err("closed"),
///     }
/// }
///
/// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let client = shizuku::connect("memory:").await?;
/// assert_eq!(ready(&client), Ok(()));
/// client.close().await?;
/// assert_eq!(ready(&client), Err("closed"));
/// # Ok(()) }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConnectionState {
    /// Connected.
    Connected,
    /// Lost; reconnecting.
    Disconnected,
    /// Permanently closed.
    Closed,
}

/// Follows the state of a connection; see [`Client::connection`](crate::Client::connection).
///
/// Only the latest state is kept, so several changes between two calls count as one. A clone starts from
/// what its original has seen.
///
/// ```
/// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let client = shizuku::connect("memory:").await?;
/// let mut connection = client.connection();
/// let told = tokio::spawn(async move {
///     let mut told = Vec::new();
///     while let Some(now) = connection.changed().await {
///         told.push(now.state);
///     }
///     told
/// });
/// client.close().await?;
/// assert_eq!(told.await?, [shizuku::ConnectionState::Closed]);
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct ConnectionWatch {
    receiver: watch::Receiver<ConnectionStatus>,
    /// The last state seen; `Closed` is final.
    seen: ConnectionState,
}

impl ConnectionWatch {
    /// Returns the current status, without marking it as seen by [`changed`](Self::changed).
    // Returns a clone rather than the channel's guard, which would block the connection task while it is
    // held.
    pub fn current(&self) -> ConnectionStatus {
        self.receiver.borrow().clone()
    }

    /// Waits until the status has changed since this handle was created or last waited, and returns the
    /// current one. Returns `None` once it can no longer change: the connection is closed, and this
    /// handle has seen that.
    ///
    /// The future may be dropped at any time without losing a change.
    pub async fn changed(&mut self) -> Option<ConnectionStatus> {
        if self.seen == ConnectionState::Closed {
            return None;
        }
        self.receiver.changed().await.ok()?;
        Some(self.see())
    }

    // A change between the notification and the copy is reported once more, so none is missed.
    fn see(&mut self) -> ConnectionStatus {
        let now = self.current();
        self.seen = now.state;
        now
    }

    /// Waits until `wanted` accepts the status, which may be the case already, and returns it. Returns
    /// `None` if the connection closes first.
    ///
    /// ```
    /// use std::time::Duration;
    /// use shizuku::ConnectionState;
    ///
    /// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let client = shizuku::connect("memory:").await?;
    /// let mut connection = client.connection();
    /// let connected = connection.wait_for(|now| now.state == ConnectionState::Connected);
    /// assert!(tokio::time::timeout(Duration::from_secs(10), connected).await?.is_some());
    /// # Ok(()) }
    /// ```
    pub async fn wait_for(
        &mut self,
        mut wanted: impl FnMut(&ConnectionStatus) -> bool,
    ) -> Option<ConnectionStatus> {
        self.receiver.mark_unchanged();
        let mut now = self.see();
        while !wanted(&now) {
            now = self.changed().await?;
        }
        Some(now)
    }

    pub(crate) fn of(mut receiver: watch::Receiver<ConnectionStatus>) -> Self {
        let seen = receiver.borrow_and_update().state;
        Self { receiver, seen }
    }

    /// Returns the state at creation or at the last wait.
    pub(crate) fn seen(&self) -> ConnectionState {
        self.seen
    }

    /// Returns whether the status has changed since the last call.
    pub(crate) fn take_change(&mut self) -> bool {
        let has_changed = self.receiver.has_changed().unwrap_or(false);
        if has_changed {
            self.receiver.mark_unchanged();
        }
        has_changed
    }
}

/// Reports the connection state of a custom backend. Cheap to clone; all clones report to the same
/// watches.
///
/// ```
/// use shizuku::{ConnectionState, ConnectionStatus, backend::ConnectionReporter};
///
/// # #[tokio::main] async fn main() {
/// let reporter = ConnectionReporter::new(ConnectionStatus::new(ConnectionState::Connected, 1));
/// let mut connection = reporter.watch();
/// let lost = ConnectionStatus::new(ConnectionState::Disconnected, 1).because("the server hung up");
/// reporter.report(lost.clone());
/// assert_eq!(connection.changed().await, Some(lost));
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct ConnectionReporter(watch::Sender<ConnectionStatus>);

impl ConnectionReporter {
    /// Creates a reporter with an initial status.
    pub fn new(status: ConnectionStatus) -> Self {
        Self(watch::Sender::new(status))
    }

    /// Reports a new status.
    pub fn report(&self, status: ConnectionStatus) {
        self.0.send_replace(status);
    }

    /// Returns the current status.
    pub fn current(&self) -> ConnectionStatus {
        self.0.borrow().clone()
    }

    /// Creates a watch, for [`Buckets::connection`](crate::backend::Buckets::connection).
    pub fn watch(&self) -> ConnectionWatch {
        ConnectionWatch::of(self.0.subscribe())
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[test]
    fn a_watch_reports_each_state_once_and_ends_with_the_last() {
        let status = |state| ConnectionStatus::new(state, 1);
        let reporter = ConnectionReporter::new(status(ConnectionState::Connected));
        let mut watch = reporter.watch();
        assert!(watch.changed().now_or_never().is_none());
        reporter.report(status(ConnectionState::Disconnected));
        reporter.report(status(ConnectionState::Closed));
        assert_eq!(watch.current(), status(ConnectionState::Closed));
        let mut other = watch.clone();
        let closed = Some(Some(status(ConnectionState::Closed)));
        assert_eq!(watch.changed().now_or_never(), closed);
        assert_eq!(watch.changed().now_or_never(), Some(None));
        let connected = |now: &ConnectionStatus| now.state == ConnectionState::Connected;
        assert_eq!(watch.wait_for(connected).now_or_never(), Some(None));
        // A status reported before the reporter was dropped is still delivered afterwards.
        drop(reporter);
        assert_eq!(other.changed().now_or_never(), closed);
        assert_eq!(other.changed().now_or_never(), Some(None));
    }
}
