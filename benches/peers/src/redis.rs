//! A single Redis, through rslock, which waits by polling.

use std::{process::Command, sync::Arc, time::Duration};

use rslock::{LockGuard, LockManager};

use crate::{
    Lock,
    server::{Server, answer, disk, port, program},
};

const LEASE: Duration = Duration::from_secs(15);

#[derive(Clone)]
pub(crate) struct Redis {
    managers: [LockManager; 2],
    _server: Arc<Server>,
}

impl Redis {
    pub(crate) async fn start() -> Self {
        let port = port().to_string();
        let folder = disk("redis");
        let server = Server::start(
            Command::new(program("REDIS_SERVER", "redis-server"))
                .args([
                    "--port",
                    &port,
                    "--bind",
                    "127.0.0.1",
                    "--save",
                    "",
                    "--dir",
                ])
                .arg(&folder),
            &folder,
        );
        let url = format!("redis://127.0.0.1:{port}/");
        let manager = || LockManager::new(vec![url.clone()]);
        let managers = [manager(), manager()];
        // A free lock is refused only while the server is not ready.
        let guard = answer(async || managers[0].lock("ready", LEASE).await).await;
        managers[0].unlock(&guard).await;
        Self {
            managers,
            _server: Arc::new(server),
        }
    }
}

impl Lock for Redis {
    type Held = LockGuard;

    async fn acquire(&self, participant: usize) -> LockGuard {
        self.managers[participant]
            .acquire("lock", LEASE)
            .await
            .unwrap()
    }

    async fn release(&self, _: usize, held: LockGuard) {
        held.release().await;
    }
}
