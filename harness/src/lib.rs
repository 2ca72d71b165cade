//! Real nats-servers for tests and benchmarks.
//!
//! A test asks for a server and gets a private one, on loopback, with its own folder and ports.
//! When it is dropped, or the process ends in any way, the server stops, too.
//!
//! ```no_run
//! # async fn example() -> harness::Result<()> {
//! use harness::{LATEST, NatsServer};
//!
//! let server = NatsServer::builder().version(LATEST).websocket(true).start().await?;
//! println!("{} {}", server.url(), server.ws_url());
//! server.kill()?; // as a power cut would
//! server.restart().await?; // same ports, same data
//! # Ok(())
//! # }
//! ```
//!
//! Blocking calls on threads do the work, so that the futures run under any executor and `xtask`
//! can use the crate without one: each async method has a `_blocking` twin.

mod background;
pub mod bench;
mod builder;
mod cluster;
pub mod control;
mod error;
mod http;
pub mod install;
mod port;
mod proxy;
mod server;
mod shared;
mod watchdog;
pub mod workspace;

pub use builder::Builder;
pub use cluster::Cluster;
pub use error::{Error, Result};
pub use install::{LATEST, V2_10, V2_11, V2_12, VERSIONS};
pub use server::NatsServer;
pub use shared::{shared, shared_blocking};
