//! The configuration of a connection.

use std::time::Duration;

use super::ServerUrl;

/// Connection settings.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    /// The servers to try.
    pub(crate) servers: Vec<ServerUrl>,
    /// The client's name in the server's monitoring.
    pub(crate) name: Option<String>,
    /// The prefix of all reply subjects and inboxes, unique per client, without a final dot.
    pub(crate) inbox: String,
    /// Whether to use servers announced by other servers.
    pub(crate) gossip: bool,
    /// The time-out of one attempt, including the socket, the handshake and the credentials.
    pub(crate) dial_timeout: Duration,
    /// How long a connection may be silent before it is pinged.
    pub(crate) ping_interval: Duration,
    /// How long it may stay silent after that.
    pub(crate) ping_timeout: Duration,
    /// The same for a connection in doubt: after sleep, or a network change.
    pub(crate) probe_timeout: Duration,
    /// The time-out of closing.
    pub(crate) close_timeout: Duration,
    /// The reconnect policy.
    pub(crate) reconnect: Reconnect,
    /// How many unconfirmed bytes may be in flight to the server. One message may exceed this.
    pub(crate) window: usize,
    /// How many requests may wait for a connection. Further ones fail immediately.
    pub(crate) max_waiting: usize,
}

/// The reconnect policy.
#[derive(Clone, Debug)]
pub(crate) struct Reconnect {
    /// Whether the first connect is retried like any other, instead of failing once every server was tried.
    pub(crate) first: bool,
    /// The maximum delay after the first failure.
    pub(crate) first_delay: Duration,
    /// The maximum delay.
    pub(crate) longest_delay: Duration,
}

impl Config {
    /// The defaults: lost connections are detected within half a minute, and reconnecting never gives up.
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
