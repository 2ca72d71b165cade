//! Typed key-value and locks on NATS JetStream.
#![allow(dead_code)] // while the house is being built

pub mod backend;
mod client;
mod codec;
mod headers;
pub mod kv;
mod message;
mod options;
mod platform;
#[cfg(feature = "web")]
mod protocol;
#[cfg(any(feature = "native", feature = "web"))]
mod transport;

pub use bytes::Bytes;
pub use client::{Client, ConnectError, ConnectionState, ConnectionStatus, connect};
#[cfg(feature = "json")]
pub use codec::Json;
pub use codec::{ByteDeserialize, ByteSerialize};
pub use headers::Headers;
pub use kv::Store;
pub use options::{ConnectOptions, Credentials};
#[cfg(feature = "derive")]
pub use shizuku_kv_derive::{JsonByteDes, JsonByteSer};

/// What the derive macros need to name.
#[cfg(feature = "json")]
#[doc(hidden)]
pub mod __private {
    pub use crate::codec::{json_from_bytes, json_to_bytes};
    pub use serde;
}

/// What the fuzz targets drive.
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub use protocol::fuzzing;
