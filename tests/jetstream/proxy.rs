//! A TCP connection that can be cut and mended, while the server lives on, or fall silent; and that can
//! lose the answers to flow control.

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
    /// How often the connections that there were fell silent.
    silences: watch::Sender<u32>,
    /// How many more answers to flow control are to be lost, and how many were.
    to_lose: AtomicUsize,
    lost: AtomicUsize,
}

impl Proxy {
    /// Listens for clients, and connects them with the server at the address.
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
                    // Without a server the client finds a connection that ends at once.
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
                        // Neither end hears of it.
                        std::future::pending::<()>().await;
                    }
                });
            }
        });
        Self { url, shared }
    }

    /// Ends all connections, and lets no new one in.
    pub(crate) fn cut(&self) {
        self.shared.open.send_replace(false);
    }

    /// Passes nothing on any more over the connections that there are, and does not end them.
    pub(crate) fn silence(&self) {
        self.shared.silences.send_modify(|silences| *silences += 1);
    }

    pub(crate) fn mend(&self) {
        self.shared.open.send_replace(true);
    }

    /// Loses the next answers to flow control.
    pub(crate) fn lose_answers(&self, many: usize) {
        self.shared.to_lose.store(many, Ordering::Relaxed);
    }

    /// How many were lost.
    pub(crate) fn lost(&self) -> usize {
        self.shared.lost.load(Ordering::Relaxed)
    }
}

impl Shared {
    /// Passes on what a client says, line by line. What it says in these tests has no line breaks
    /// but those of the protocol.
    async fn pass(
        &self,
        from: &mut (impl AsyncRead + Unpin),
        to: &mut (impl AsyncWrite + Unpin),
    ) -> io::Result<()> {
        let mut from = BufReader::new(from);
        let mut line = Vec::new();
        while from.read_until(b'\n', &mut line).await? > 0 {
            if line.starts_with(b"PUB $JS.FC.") && self.loses_one() {
                // The empty body, too.
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
