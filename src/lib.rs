//! Typed key-value and locks on NATS JetStream.
#![allow(dead_code)] // while the house is being built

pub mod backend;
mod client;
mod headers;
pub mod kv;
mod message;
mod platform;
mod transport;

pub use client::{ConnectionState, ConnectionStatus};
pub use headers::Headers;
