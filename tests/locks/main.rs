//! Locks as users see them, on the embedded backend and on real servers.
#![allow(
    clippy::let_and_return,
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    unreachable_pub
)]

mod api;
mod cancel;
mod closing;
mod cost;
mod family;
mod faults;
mod handle;
mod holding;
mod noted;
mod overdue;
#[path = "../support/restless.rs"]
mod restless;
mod seed;
mod sent;
mod stress;
mod support;
mod turns;
