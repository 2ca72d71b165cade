//! The bindings beneath the npm package.
//!
//! Only simple types cross the boundary: strings, numbers, bytes. Public names, defaults, JSON and
//! everything else that JavaScript can do as well are in `ts/`.

mod client;
mod error;
#[cfg(feature = "locks")]
mod lock;
mod options;
mod pack;
mod store;
mod watch;

// A third of the default allocator's code size, with bounded time.
#[global_allocator]
static ALLOCATOR: rlsf::SmallGlobalTlsf = rlsf::SmallGlobalTlsf::new();
