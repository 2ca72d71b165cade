//! The state of a connection, for all backends.

use std::sync::Arc;

/// The state of a connection.
///
/// ```
/// use shizuku::ConnectionState;
///
/// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let client = shizuku::connect("memory:").await?;
/// let mut connection = client.connection();
/// assert_eq!(connection.borrow().state, ConnectionState::Connected);
/// client.close().await?;
/// connection.wait_for(|now| now.state == ConnectionState::Closed).await?;
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConnectionStatus {
    /// What it is now.
    pub state: ConnectionState,
    /// How often the connection was made: 1 after the first connect, one more after each reconnect.
    /// While this stays the same, no message was missed.
    pub epoch: u64,
    /// Why it was lost or closed, as text for humans, if that is known.
    pub reason: Option<Arc<str>>,
}

impl ConnectionStatus {
    /// A state and how often the connection was made.
    pub const fn new(state: ConnectionState, epoch: u64) -> Self {
        Self {
            state,
            epoch,
            reason: None,
        }
    }

    /// The same with a reason.
    #[must_use]
    pub fn because(self, reason: impl Into<Arc<str>>) -> Self {
        Self {
            reason: Some(reason.into()),
            ..self
        }
    }
}

/// Whether there is a connection.
///
/// ```
/// use shizuku::{Client, ConnectionState};
///
/// /// For a readiness probe.
/// fn ready(client: &Client) -> Result<(), &'static str> {
///     match client.connection().borrow().state {
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
    /// Lost, and being made again.
    Disconnected,
    /// Closed for good.
    Closed,
}
