//! The NATS client protocol, sans-IO: bytes and the time go in, bytes and events come out. It is driven
//! by the owner of a socket: in a browser, natively, in simulation and under fuzzing.
//!
//! [`Connection`] is the whole client: it decides when and where to dial, does the handshake, restores
//! subscriptions after reconnects, and matches replies with requests. Only [`Parser`] and [`encoder`]
//! know the wire format.

pub(crate) mod auth;
mod config;
mod connection;
pub(crate) mod encoder;
mod fields;
#[cfg(any(feature = "fuzzing", test))]
#[cfg_attr(not(feature = "fuzzing"), allow(unreachable_pub))] // tests only
pub mod fuzzing;
mod info;
mod liveness;
#[cfg(feature = "nkeys")]
mod nkey;
mod parser;
mod pool;
mod requests;
#[cfg(test)]
mod tests;
mod url;

pub(crate) use config::{Config, Reconnect};
pub(crate) use connection::{CloseReason, Connection, Output};
pub(crate) use info::ServerInfo;
pub(crate) use parser::{ParseError, Parser, ServerOp};
pub(crate) use pool::Pool;
pub(crate) use requests::{ById, RequestId};
pub(crate) use url::ServerUrl;
