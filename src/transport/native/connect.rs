//! Connecting: converts our options to those of async-nats.

use std::{sync::Arc, time::Duration};

use async_nats::{Auth, AuthError, ConnectErrorKind, ServerAddr};

#[cfg(feature = "async-nats-interop")]
use super::monitor::ADOPTED;
use super::{
    Native,
    monitor::{Monitor, OWN},
};
use crate::{
    client::ConnectError,
    error::{BoxError, ServiceError},
    options::{ConnectOptions, Credentials, CredentialsProvider},
    platform,
    transport::Transport,
    words::{percent_decoded, without_secrets},
};

/// How long a server may be silent before it is pinged. async-nats gives up the connection when the third ping is
/// unanswered: so after half a minute, as over `web`. With its default interval that would take three minutes, in
/// which no lock could be held although other servers of the cluster are available.
const PING_INTERVAL: Duration = Duration::from_secs(10);

/// Connects to one of a comma-separated list of servers.
pub(crate) async fn connect(
    url: &str,
    options: &ConnectOptions,
) -> Result<Arc<dyn Transport>, ConnectError> {
    if !platform::is_running() {
        return Err(ServiceError::NoRuntime.into());
    }
    let servers = url
        .split(',')
        .map(|server| server.trim().parse::<ServerAddr>())
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| ConnectError::invalid(url, error.to_string()))?;
    if servers.iter().any(|server| server.host().is_empty()) {
        return Err(ConnectError::invalid(url, "it names no host"));
    }

    let monitor = Monitor::new(&options.inbox_prefix);
    let on_event = monitor.on_events();
    let mut nats = match &options.credentials {
        None => with_login_of(&servers),
        Some(provider) => {
            let provider = provider.clone();
            async_nats::ConnectOptions::with_auth_callback(move |nonce| {
                authenticate(provider.clone(), nonce)
            })
        }
    };
    nats = nats
        .connection_timeout(options.connect_timeout)
        .ping_interval(PING_INTERVAL)
        .custom_inbox_prefix(&options.inbox_prefix)
        .require_tls(options.tls_required)
        .event_callback(move |event| {
            on_event(&event);
            std::future::ready(())
        });
    if let Some(name) = &options.name {
        nats = nats.name(name);
    }
    if options.retry_first_connect {
        nats = nats.retry_on_initial_connect();
    }
    if options.ignore_discovered_servers {
        nats = nats.ignore_discovered_servers();
    }
    for pem in &options.root_certificates {
        nats = nats.add_root_certificates(pem.clone());
    }
    if let Some((certificate, key)) = &options.client_certificate {
        nats = nats.add_client_certificate(certificate.clone(), key.clone());
    }

    let client = nats
        .connect(servers)
        .await
        .map_err(|error| explain(url, error))?;
    monitor.follow(&client, OWN)?;
    Ok(Arc::new(Native::new(client, monitor, options)))
}

/// Uses the user and password, or the token, of the first address that contains them: async-nats ignores them.
fn with_login_of(servers: &[ServerAddr]) -> async_nats::ConnectOptions {
    let login = |server: &ServerAddr| {
        let user = percent_decoded(server.username()?);
        Some((user, server.password().map(percent_decoded)))
    };
    match servers.iter().find_map(login) {
        Some((user, Some(password))) => {
            async_nats::ConnectOptions::with_user_and_password(user, password)
        }
        Some((token, None)) => async_nats::ConnectOptions::with_token(token),
        None => async_nats::ConnectOptions::new(),
    }
}

/// Adopts an existing connection.
#[cfg(feature = "async-nats-interop")]
pub(crate) fn adopt(
    client: async_nats::Client,
    options: &ConnectOptions,
) -> Result<Arc<dyn Transport>, ServiceError> {
    let monitor = Monitor::new(&options.inbox_prefix);
    monitor.follow(&client, ADOPTED)?;
    Ok(Arc::new(Native::new(client, monitor, options)))
}

fn explain(url: &str, error: async_nats::ConnectError) -> ConnectError {
    let kind = error.kind();
    let source: BoxError = Box::new(error);
    match kind {
        ConnectErrorKind::ServerParse => ConnectError::invalid(url, source.to_string()),
        ConnectErrorKind::Authentication | ConnectErrorKind::AuthorizationViolation => {
            ConnectError::Authentication { source }
        }
        ConnectErrorKind::Tls => ConnectError::Tls { source },
        _ => ConnectError::Unreachable {
            url: without_secrets(url),
            source,
        },
    }
}

/// Gets the current credentials and signs the server's nonce.
///
/// async-nats needs a future that is `Sync`, which providers need not be; the handle of a task is.
async fn authenticate(provider: CredentialsProvider, nonce: Vec<u8>) -> Result<Auth, AuthError> {
    let credentials = tokio::spawn(async move { provider().await })
        .await
        .map_err(AuthError::new)?
        .map_err(AuthError::new)?;
    answer(credentials, &nonce).map_err(AuthError::new)
}

fn answer(credentials: Credentials, nonce: &[u8]) -> Result<Auth, BoxError> {
    let mut auth = Auth::new();
    match credentials {
        Credentials::UserPassword { user, password } => {
            auth.username = Some(user);
            auth.password = Some(password);
        }
        Credentials::Token(token) => auth.token = Some(token),
        Credentials::NKey { seed } => {
            let pair = nkeys::KeyPair::from_seed(&seed)?;
            auth.nkey = Some(pair.public_key());
            auth.signature = Some(pair.sign(nonce)?);
        }
        Credentials::Jwt { jwt, seed } => {
            auth.jwt = Some(jwt);
            if let Some(seed) = seed {
                auth.signature = Some(nkeys::KeyPair::from_seed(&seed)?.sign(nonce)?);
            }
        }
        Credentials::Creds(text) => {
            let (jwt, seed) = crate::options::parse_creds(&text)?;
            return answer(
                Credentials::Jwt {
                    jwt,
                    seed: Some(seed),
                },
                nonce,
            );
        }
    }
    Ok(auth)
}
