//! A TCP proxy that can cut connections and restore service while the server keeps running, fall
//! silent, or drop replies to flow control.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader, copy},
    net::{TcpListener, TcpStream},
    sync::watch,
};

pub(crate) struct Proxy {
    pub(crate) url: String,
    shared: Arc<Shared>,
}

struct Shared {
    open: watch::Sender<bool>,
    /// How often the open connections have fallen silent.
    silences: watch::Sender<u32>,
    /// How many more replies to flow control to drop, and how many were dropped.
    to_lose: AtomicUsize,
    lost: AtomicUsize,
}

impl Proxy {
    /// Listens for clients, and connects them to the server at this address.
    pub(crate) async fn start(server: &str) -> Self {
        let server = server.trim_start_matches("nats://").to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("nats://{}", listener.local_addr().unwrap());
        let shared = Arc::new(Shared {
            open: watch::Sender::new(true),
            silences: watch::Sender::new(0),
            to_lose: AtomicUsize::new(0),
            lost: AtomicUsize::new(0),
        });
        let theirs = Arc::clone(&shared);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let mut open = theirs.open.subscribe();
                let mut silences = theirs.silences.subscribe();
                if !*open.borrow() {
                    continue;
                }
                let (server, shared) = (server.clone(), Arc::clone(&theirs));
                tokio::spawn(async move {
                    // If there is no server, the client's connection closes immediately.
                    let Ok(server) = TcpStream::connect(server).await else {
                        return;
                    };
                    let (mut from_client, mut to_client) = client.into_split();
                    let (mut from_server, mut to_server) = server.into_split();
                    let silent = tokio::select! {
                        _ = copy(&mut from_server, &mut to_client) => false,
                        _ = shared.pass(&mut from_client, &mut to_server) => false,
                        _ = open.wait_for(|open| !open) => false,
                        _ = silences.changed() => true,
                    };
                    if silent {
                        // Neither end is told.
                        std::future::pending::<()>().await;
                    }
                });
            }
        });
        Self { url, shared }
    }

    /// Closes all connections, and accepts no new ones.
    pub(crate) fn cut(&self) {
        self.shared.open.send_replace(false);
    }

    /// Stops forwarding on the open connections without closing them.
    pub(crate) fn silence(&self) {
        self.shared.silences.send_modify(|silences| *silences += 1);
    }

    pub(crate) fn mend(&self) {
        self.shared.open.send_replace(true);
    }

    /// Drops the next replies to flow control.
    pub(crate) fn lose_answers(&self, many: usize) {
        self.shared.to_lose.store(many, Ordering::Relaxed);
    }

    /// How many were dropped.
    pub(crate) fn lost(&self) -> usize {
        self.shared.lost.load(Ordering::Relaxed)
    }
}

impl Shared {
    /// Forwards what a client sends, line by line. In these tests, only the protocol's own line
    /// breaks occur.
    async fn pass(
        &self,
        from: &mut (impl AsyncRead + Unpin),
        to: &mut (impl AsyncWrite + Unpin),
    ) -> io::Result<()> {
        let mut from = BufReader::new(from);
        let mut line = Vec::new();
        while from.read_until(b'\n', &mut line).await? > 0 {
            if line.starts_with(b"PUB $JS.FC.") && self.loses_one() {
                // An empty body, too.
                from.read_until(b'\n', &mut line).await?;
            } else {
                to.write_all(&line).await?;
            }
            line.clear();
        }
        Ok(())
    }

    fn loses_one(&self) -> bool {
        let one_less = |left: usize| left.checked_sub(1);
        let loses = self
            .to_lose
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less)
            .is_ok();
        self.lost.fetch_add(usize::from(loses), Ordering::Relaxed);
        loses
    }
}
