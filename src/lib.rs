//! Typed key-value, live configuration and locks on NATS JetStream.
//!
//! A **bucket** holds keys; every write to a key creates a new **revision**. This library reads, writes
//! and watches buckets with your own types. The same code runs on a JetStream server and on the embedded
//! memory backend.
//!
//! # A tour
//!
//! ```
//! use serde::{Deserialize, Serialize};
//! use shizuku::kv::{KeyValue, KeyValueRead, StaticKeyIndexedValue};
//! use shizuku::{JsonByteDes, JsonByteSer};
//!
//! // A type, its encoding and its key.
//! #[derive(Debug, PartialEq, Serialize, Deserialize, JsonByteSer, JsonByteDes)]
//! struct Database {
//!     url: String,
//!     max_connections: u32,
//! }
//!
//! impl StaticKeyIndexedValue for Database {
//!     fn key() -> String {
//!         "config.database".to_string()
//!     }
//! }
//!
//! # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // `memory:` here, `nats://127.0.0.1:4222` in production.
//! let client = shizuku::connect("memory:").await?;
//! let store = client.create_bucket("settings").await?;
//!
//! // Write and read it.
//! let database = Database { url: "db:5432".into(), max_connections: 10 };
//! let revision = database.write_to_anyway(&store).await?;
//! assert_eq!(Database::read_from(&store, Database::key()).await?, Some(database));
//!
//! // Follow it: reading a live value only reads memory.
//! let mut live = Database::live(&store, Database::key()).await?;
//! assert_eq!(live.get().expect("written above").max_connections, 10);
//!
//! // Change it only if nobody else has.
//! let changed = Database { url: "db:5432".into(), max_connections: 20 };
//! changed.write_to_atomically(&store, revision).await?;
//! assert_eq!(live.changed().await?.expect("not deleted").max_connections, 20);
//! # Ok(()) }
//! ```
//!
//! # Where to go from here
//!
//! | to … | see |
//! | --- | --- |
//! | connect, with credentials and TLS | [`connect`], [`ConnectOptions`], [`Client`] |
//! | create a bucket with history, limits, replicas | [`kv::BucketConfig`] |
//! | read and write typed values | [`kv::KeyValue`], [`kv::KeyValueRead`], [`ByteSerialize`] |
//! | work with bytes, many keys, time to live | [`Store`], [`kv::PutOptions`] |
//! | follow changes | [`Store::watch`], [`kv::Watch`], [`kv::WatchOptions`] |
//! | read configuration in a service | [`kv::Live`], [`kv::LiveMap`] |
//! | let only one process at a time do something | [`kv::rw_lock`], [`kv::mutex`], [`kv::semaphore`], [`kv::election`] |
//! | learn what a lock guarantees | [`kv::lock`] |
//! | grant server users only the permissions they need | [`permissions`] |
//! | handle errors | [`kv::KvReadError`], [`kv::KvWriteError`], [`ServiceError`] |
//! | print an error with its causes | [`WithCauses`] |
//!
//! # Cargo features
//!
//! `memory`, `native`, `json` and `derive` are enabled by default. `native` is JetStream through
//! async-nats. `web` is JetStream over this crate's own NATS client, the only one for browsers: build
//! for `wasm32-unknown-unknown` with `default-features = false, features = ["web"]`. `nkeys` adds
//! authentication with `NKey`s and JWTs over `web`.
//!
//! `async-nats-interop` adds `ConnectOptions::adopt`, for programs that already have an async-nats
//! connection. It is exempt from this crate's semver guarantee: async-nats is part of its API, so a
//! minor version of this crate may require a new major version of async-nats there (0.51 now). Apart
//! from that, the only types of other crates in the API are [`Bytes`] and the traits of futures and
//! serde.
//!
//! # Runtime
//!
//! Native programs need a tokio runtime; browsers use their event loop. Every future and handle is
//! `Send` on every target. Dropping a future is always safe; each method documents what that means for a
//! write.

// Without a backend most of this is unused; in a browser `native` is not a backend.
#![cfg_attr(not(any(feature = "memory", feature = "web")), allow(dead_code))]

pub mod backend;
mod client;
mod codec;
mod error;
mod headers;
mod invalid;
#[cfg_attr(not(any(feature = "native", feature = "web")), allow(dead_code))]
mod json;
mod key;
pub mod kv;
mod options;
mod platform;
mod processor;
mod sorted;
mod status;
mod words;

#[doc = include_str!("permissions.md")]
pub mod permissions {}

#[cfg(any(feature = "native", feature = "web"))]
#[cfg_attr(not(feature = "web"), allow(dead_code))] // in a browser
mod message;
#[cfg(feature = "web")]
mod protocol;
#[cfg_attr(not(feature = "web"), allow(dead_code))]
mod random;
#[cfg(any(feature = "native", feature = "web"))]
#[cfg_attr(not(feature = "web"), allow(dead_code))] // in a browser
mod transport;

#[cfg(feature = "async-nats-interop")]
platform::native_only! {
    mod interop;
}

pub use bytes::Bytes;
pub use client::{Client, ConnectError, connect};
#[cfg(feature = "json")]
pub use codec::Json;
pub use codec::{ByteDeserialize, ByteSerialize};
pub use error::{BoxError, InvalidOption, ServiceError, WithCauses};
pub use headers::Headers;
pub use kv::Store;
pub use options::{ConnectOptions, Credentials};
pub use processor::Processor;
#[cfg(feature = "derive")]
pub use shizuku_kv_derive::{JsonByteDes, JsonByteSer};
pub use status::{ConnectionState, ConnectionStatus, ConnectionWatch};

/// Items used by the derive macros.
#[cfg(feature = "json")]
#[doc(hidden)]
pub mod __private {
    pub use crate::codec::{json_from_bytes, json_to_bytes};
    pub use serde;
}

/// Entry points of the fuzz targets.
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub use protocol::fuzzing;

/// The README's examples, compiled and run.
#[cfg(all(doctest, feature = "memory", feature = "derive"))]
#[doc = include_str!("../README.md")]
struct Readme;
