use std::thread;

use crate::port::Port;
use crate::server::Wait;
use crate::{Builder, Error, NatsServer, Result, background};

/// Several servers that form one JetStream cluster on loopback.
#[derive(Clone, Debug)]
pub struct Cluster {
    nodes: Vec<NatsServer>,
    /// The ports for connections between nodes.
    _routes: std::sync::Arc<Vec<Port>>,
}

impl Cluster {
    /// Starts `size` nodes of one version, with WebSocket, and waits until the cluster is ready.
    ///
    /// # Errors
    /// If a node cannot be started or the cluster does not form in time.
    pub async fn start(size: usize, version: &str) -> Result<Self> {
        Self::start_with(size, NatsServer::builder().version(version).websocket(true)).await
    }

    /// Starts `size` nodes with these settings.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub async fn start_with(size: usize, builder: Builder) -> Result<Self> {
        background::run(move || Self::start_blocking(size, &builder)).await
    }

    /// [`start_with`](Self::start_with), for code without an executor.
    ///
    /// # Errors
    /// As `start_with`.
    pub fn start_blocking(size: usize, builder: &Builder) -> Result<Self> {
        let ports = (0..size)
            .map(|_| Port::reserve())
            .collect::<Result<Vec<_>>>()?;
        let routes: Vec<String> = ports
            .iter()
            .map(|port| format!("\"nats://127.0.0.1:{}\"", port.number))
            .collect();
        let routes = routes.join(", ");
        let mut nodes = Vec::new();
        for (index, port) in ports.iter().enumerate() {
            let builder = builder
                .clone()
                .name(format!("n{}", index + 1))
                .config(format!(
                    "cluster {{ name: test, host: 127.0.0.1, port: {}, routes: [{routes}] }}",
                    port.number
                ));
            let ports = builder.reserve()?;
            // Health needs a quorum, so a single node can only be expected to listen.
            nodes.push(NatsServer::start(builder, ports, Wait::Listening)?);
        }
        let cluster = Self {
            nodes,
            _routes: std::sync::Arc::new(ports),
        };
        cluster.healthy_blocking()?;
        Ok(cluster)
    }

    /// The nodes. Each can be killed and restarted; a restart waits only for its ports, see
    /// [`healthy`](Self::healthy).
    #[must_use]
    pub fn nodes(&self) -> &[NatsServer] {
        &self.nodes
    }

    /// The `index`th node.
    ///
    /// # Panics
    /// If there is no such node.
    #[must_use]
    pub fn node(&self, index: usize) -> &NatsServer {
        &self.nodes[index]
    }

    /// The client URLs of all nodes.
    #[must_use]
    pub fn urls(&self) -> Vec<String> {
        self.nodes.iter().map(NatsServer::url).collect()
    }

    /// The client URLs of all nodes, joined with commas.
    #[must_use]
    pub fn url(&self) -> String {
        self.urls().join(",")
    }

    /// The WebSocket URLs of all nodes; empty without WebSocket.
    #[must_use]
    pub fn ws_urls(&self) -> Vec<String> {
        self.nodes
            .iter()
            .filter_map(NatsServer::ws_url_if_any)
            .collect()
    }

    /// Waits until every running node is healthy.
    ///
    /// # Errors
    /// If it takes too long, for example without a quorum.
    pub async fn healthy(&self) -> Result<()> {
        let cluster = self.clone();
        background::run(move || cluster.healthy_blocking()).await
    }

    /// [`healthy`](Self::healthy), for code without an executor.
    ///
    /// # Errors
    /// As `healthy`.
    pub fn healthy_blocking(&self) -> Result<()> {
        let running = self.nodes.iter().filter(|node| node.pid().is_some());
        running.clone().try_for_each(NatsServer::healthy_blocking)
    }

    /// The leader of a stream (`KV_<bucket>`), for a failover test to kill.
    ///
    /// # Errors
    /// If there is no such stream, or it has no leader.
    pub async fn leader_of(&self, stream: &str) -> Result<&NatsServer> {
        let (cluster, name) = (self.clone(), stream.to_owned());
        let index = background::run(move || cluster.leader_index(&name)).await?;
        Ok(&self.nodes[index])
    }

    fn leader_index(&self, stream: &str) -> Result<usize> {
        let start = std::time::Instant::now();
        loop {
            for node in self.nodes.iter().filter(|node| node.pid().is_some()) {
                let Ok(answer) = node.monitor_blocking("/jsz?streams=true") else {
                    continue;
                };
                let accounts = answer["account_details"].as_array().into_iter().flatten();
                let mut streams = accounts
                    .flat_map(|account| account["stream_detail"].as_array().into_iter().flatten());
                let leader = streams
                    .find(|detail| detail["name"] == stream)
                    .map(|detail| &detail["cluster"]["leader"]);
                // A dead node may be reported as the leader until the others notice.
                let found = self
                    .nodes
                    .iter()
                    .position(|n| leader.is_some_and(|l| l == n.name()) && n.pid().is_some());
                if let Some(index) = found {
                    return Ok(index);
                }
            }
            if start.elapsed() > crate::server::PATIENCE {
                return Err(Error::new(format!("no node leads {stream}")));
            }
            thread::sleep(std::time::Duration::from_millis(20));
        }
    }
}
