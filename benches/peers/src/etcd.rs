//! etcd's own lock, through its Rust client.

use std::{path::Path, process::Command, sync::Arc};

use etcd_client::{Client, LockOptions};
use futures::future::join_all;
use tokio::sync::Mutex;

use crate::{
    Lock, WRITERS,
    server::{Server, answer, port, program},
};

/// Each waiting participant has its own lease: with a shared one, etcd would see a single owner.
#[derive(Clone)]
pub(crate) struct Etcd {
    clients: [Client; 2],
    /// Unused leases.
    leases: Arc<Mutex<Vec<i64>>>,
    _server: Arc<Server>,
}

impl Etcd {
    pub(crate) async fn start(folder: &Path) -> Self {
        let url = format!("http://127.0.0.1:{}", port());
        let peers = format!("http://127.0.0.1:{}", port());
        let server = Server::start(
            Command::new(program("ETCD", "etcd"))
                .args(["--name", "one", "--data-dir"])
                .arg(folder)
                .args(["--listen-client-urls", &url])
                .args(["--advertise-client-urls", &url])
                .args(["--listen-peer-urls", &peers])
                .args(["--initial-advertise-peer-urls", &peers])
                .args(["--initial-cluster", &format!("one={peers}")]),
            folder,
        );
        let connect = async || {
            let mut client = Client::connect([&url], None).await?;
            client.status().await?;
            Ok::<_, etcd_client::Error>(client)
        };
        let clients = [answer(connect).await, answer(connect).await];
        let leases = join_all((0..=WRITERS).map(|_| async {
            let lease = clients[0].lease_client().grant(600, None).await.unwrap();
            lease.id()
        }))
        .await;
        Self {
            clients,
            leases: Arc::new(Mutex::new(leases)),
            _server: Arc::new(server),
        }
    }
}

impl Lock for Etcd {
    type Held = (Vec<u8>, i64);

    async fn acquire(&self, participant: usize) -> Self::Held {
        let lease = self.leases.lock().await.pop().unwrap();
        let options = LockOptions::new().with_lease(lease);
        let mut client = self.clients[participant].lock_client();
        let held = client.lock("lock", Some(options)).await.unwrap();
        (held.key().to_vec(), lease)
    }

    async fn release(&self, participant: usize, (key, lease): Self::Held) {
        let mut client = self.clients[participant].lock_client();
        client.unlock(key).await.unwrap();
        self.leases.lock().await.push(lease);
    }
}
