//! Our options in the protocol's words.

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
    client::{ConnectError, without_secrets},
    kv::InvalidOption,
    options::ConnectOptions,
    platform::{self, Instant},
    protocol::{CloseReason, Config, Connection, ServerUrl},
    status::{ConnectionState, ConnectionStatus},
    transport::Transport,
};

/// How many calls wait in the channel before callers wait themselves.
const COMMANDS: usize = 256;
/// What is assumed of a server before it says so. Nothing is sent before that.
const MAX_PAYLOAD: usize = 1024 * 1024;

/// Connects to one of the servers in a list separated by commas.
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
        let reason = "TLS is required, and it has none";
        return Err(ConnectError::invalid(url, reason));
    }
    // A certificate that is not looked at would be worse than none.
    for (option, is_set) in [
        ("root_certificates", !options.root_certificates.is_empty()),
        ("client_certificate", options.client_certificate.is_some()),
    ] {
        if is_set {
            return Err(InvalidOption::new(option, "only native connections use it").into());
        }
    }
    let unreachable = |source| ConnectError::Unreachable {
        url: without_secrets(url),
        source,
    };
    let (seed, name) =
        random().ok_or_else(|| unreachable("there are no random numbers here".into()))?;
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
        // Made here, as a browser's part of it must not leave this task.
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

/// A seed, and a name that no other client has.
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
