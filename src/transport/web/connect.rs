//! Connecting: converts our options to the protocol's configuration.

use std::sync::{
    Arc,
    atomic::{AtomicU64, AtomicUsize},
};

use rand::{TryRngCore, rngs::OsRng};
use tokio::sync::{mpsc, oneshot, watch};

use super::{
    Web,
    actor::{Actor, Caller},
};
use crate::{
    client::ConnectError,
    error::InvalidOption,
    options::ConnectOptions,
    platform::{self, Instant},
    protocol::{CloseReason, Config, Connection, ServerUrl},
    status::{ConnectionState, ConnectionStatus},
    transport::Transport,
    words::without_secrets,
};

/// The capacity of the command channel.
const COMMANDS: usize = 256;
/// The server's maximum payload until its INFO is known. Nothing is sent before that.
const MAX_PAYLOAD: usize = 1024 * 1024;

/// Connects to one of a comma-separated list of servers.
pub(crate) async fn connect(
    url: &str,
    options: &ConnectOptions,
) -> Result<Arc<dyn Transport>, ConnectError> {
    let servers = url
        .split(',')
        .map(str::trim)
        .map(|server| ServerUrl::parse(server.strip_prefix("web+").unwrap_or(server)))
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| ConnectError::invalid(url, error.reason()))?;
    if options.tls_required && !servers.iter().all(ServerUrl::is_encrypted) {
        let reason = "TLS is required: use wss";
        return Err(ConnectError::invalid(url, reason));
    }
    // Silently ignoring a certificate would be worse than an error.
    for (option, is_set) in [
        ("root_certificates", !options.root_certificates.is_empty()),
        ("client_certificate", options.client_certificate.is_some()),
    ] {
        if is_set {
            return Err(InvalidOption::new(option, "needs a native connection").into());
        }
    }
    let unreachable = |source| ConnectError::Unreachable {
        url: without_secrets(url),
        source,
    };
    let (seed, name) = random().ok_or_else(|| unreachable("no source of random numbers".into()))?;
    let inbox = format!("{}.{name}", options.inbox_prefix);

    let mut config = Config::new(servers, inbox.clone());
    config.name.clone_from(&options.name);
    config.dial_timeout = options.connect_timeout;
    config.close_timeout = options.request_timeout;
    config.gossip = !options.ignore_discovered_servers;
    config.reconnect.first = options.retry_first_connect;

    let (status, status_receiver) =
        watch::channel(ConnectionStatus::new(ConnectionState::Disconnected, 0));
    let (commands, command_receiver) = mpsc::channel(COMMANDS);
    let (settle, settled) = oneshot::channel();
    let max_payload = Arc::new(AtomicUsize::new(MAX_PAYLOAD));
    let caller = Caller {
        commands: command_receiver,
        status,
        max_payload: max_payload.clone(),
        settle: Some(settle),
        credentials: options.credentials.clone(),
    };
    platform::spawn_actor(async move {
        // Created here, as its browser-specific parts must not leave this task.
        let connection = Connection::new(config, seed, Instant::now());
        Actor::new(connection, caller).run().await;
    })?;
    let web = Web {
        commands,
        status: status_receiver,
        max_payload,
        inbox,
        inboxes: AtomicU64::new(0),
        timeout: options.request_timeout,
    };
    if options.retry_first_connect {
        return Ok(Arc::new(web));
    }
    match settled.await {
        Ok(Ok(())) => Ok(Arc::new(web)),
        Ok(Err(reason @ CloseReason::Unauthorized(_))) => Err(ConnectError::Authentication {
            source: reason.into(),
        }),
        Ok(Err(reason)) => Err(unreachable(reason.into())),
        Err(_) => Err(unreachable("the task of the connection is gone".into())),
    }
}

/// A seed and a unique client name.
fn random() -> Option<(u64, String)> {
    const LETTERS: &[u8; 64] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_-";
    let mut bytes = [0; 22];
    OsRng.try_fill_bytes(&mut bytes).ok()?;
    let letter = |byte: &u8| char::from(LETTERS[usize::from(byte & 63)]);
    Some((
        OsRng.try_next_u64().ok()?,
        bytes.iter().map(letter).collect(),
    ))
}
