//! A TCP connection that can be cut and mended, while the server lives on.

use std::sync::Arc;

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::watch,
};

pub(crate) struct Proxy {
    pub(crate) url: String,
    open: Arc<watch::Sender<bool>>,
}

impl Proxy {
    /// Listens for clients, and connects them with the server at the address.
    pub(crate) async fn start(server: &str) -> Self {
        let server = server.trim_start_matches("nats://").to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("nats://{}", listener.local_addr().unwrap());
        let open = Arc::new(watch::Sender::new(true));
        let sender = Arc::clone(&open);
        tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                let mut open = sender.subscribe();
                if !*open.borrow() {
                    continue;
                }
                let server = server.clone();
                tokio::spawn(async move {
                    // Without a server the client finds a connection that ends at once.
                    let Ok(mut server) = TcpStream::connect(server).await else {
                        return;
                    };
                    tokio::select! {
                        _ = copy_bidirectional(&mut client, &mut server) => {}
                        _ = open.wait_for(|open| !open) => {}
                    }
                });
            }
        });
        Self { url, open }
    }

    /// Ends all connections, and lets no new one in.
    pub(crate) fn cut(&self) {
        self.open.send_replace(false);
    }

    pub(crate) fn mend(&self) {
        self.open.send_replace(true);
    }
}
