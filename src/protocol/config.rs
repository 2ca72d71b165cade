//! What a connection is told once, at its beginning.

use std::time::Duration;

use super::ServerUrl;

/// The settings of a connection.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    /// The servers to try.
    pub(crate) servers: Vec<ServerUrl>,
    /// What the server lists the client as.
    pub(crate) name: Option<String>,
    /// What all answers and inboxes start with; different for every client. Without a final dot.
    pub(crate) inbox: String,
    /// Whether servers that servers tell about are used.
    pub(crate) gossip: bool,
    /// The time for one attempt: the socket, the handshake and the credentials together.
    pub(crate) dial_timeout: Duration,
    /// How long a silent connection is left alone before it is asked whether it lives.
    pub(crate) ping_interval: Duration,
    /// How long it may then stay silent.
    pub(crate) ping_timeout: Duration,
    /// The same, when there is reason for doubt: after sleep, or a change of networks.
    pub(crate) probe_timeout: Duration,
    /// How long closing may take.
    pub(crate) close_timeout: Duration,
    /// When to try again.
    pub(crate) reconnect: Reconnect,
    /// How many bytes may be on their way to the server, as far as it has not confirmed them. One
    /// message may go beyond this.
    pub(crate) window: usize,
    /// How many requests wait for a connection. More fail at once.
    pub(crate) max_waiting: usize,
}

/// When to try again.
#[derive(Clone, Debug)]
pub(crate) struct Reconnect {
    /// Whether the first connection is tried again like every other, instead of failing once every
    /// server was tried.
    pub(crate) first: bool,
    /// The delay after the first failure, at most.
    pub(crate) first_delay: Duration,
    /// The longest delay.
    pub(crate) longest_delay: Duration,
}

impl Config {
    /// The settings that suit most: lost connections are noticed within half a minute, and made
    /// again for ever.
    pub(crate) fn new(servers: Vec<ServerUrl>, inbox: String) -> Self {
        Self {
            servers,
            name: None,
            inbox,
            gossip: true,
            dial_timeout: Duration::from_secs(10),
            ping_interval: Duration::from_secs(20),
            ping_timeout: Duration::from_secs(10),
            probe_timeout: Duration::from_secs(3),
            close_timeout: Duration::from_secs(5),
            reconnect: Reconnect {
                first: false,
                first_delay: Duration::from_millis(250),
                longest_delay: Duration::from_secs(8),
            },
            window: 2 * 1024 * 1024,
            max_waiting: 1024,
        }
    }
}
