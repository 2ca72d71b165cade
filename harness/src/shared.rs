use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use crate::{NatsServer, Result, background};

type Slot = Arc<OnceLock<Result<&'static NatsServer>>>;

static SERVERS: Mutex<Option<HashMap<String, Slot>>> = Mutex::new(None);

/// The server of this version that all tests of this process share, started by the first call.
///
/// It has JetStream and WebSocket. Tests use different bucket names, and must not kill it. It stops
/// with the process.
///
/// # Errors
/// As [`Builder::start`](crate::Builder::start), and the same error for every call.
pub async fn shared(version: &str) -> Result<&'static NatsServer> {
    let version = version.to_owned();
    background::run(move || shared_blocking(&version)).await
}

/// [`shared`], for code without an executor.
///
/// # Errors
/// As `shared`.
pub fn shared_blocking(version: &str) -> Result<&'static NatsServer> {
    let slot = {
        let mut servers = SERVERS.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(
            servers
                .get_or_insert_default()
                .entry(version.to_owned())
                .or_default(),
        )
    };
    slot.get_or_init(|| {
        let server = NatsServer::builder()
            .version(version)
            .websocket(true)
            .start_blocking()?;
        Ok(&*Box::leak(Box::new(server)))
    })
    .clone()
}
