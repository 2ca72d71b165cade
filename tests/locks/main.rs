//! Locks as users see them, on the embedded backend and on real servers.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    unreachable_pub
)]

mod api;
mod seed;
