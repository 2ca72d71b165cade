//! The way in: a client holds a connection and makes and opens buckets.

/// The state of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConnectionStatus {
    /// What it is now.
    pub state: ConnectionState,
    /// How often it was made: 1 at the first connect, one more after each reconnect. While this
    /// stays the same, no message was missed.
    pub epoch: u64,
}

/// Whether there is a connection.
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
