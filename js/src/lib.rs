//! The bindings under the npm package.
//!
//! What crosses the boundary is kept small and plain: strings, numbers, bytes. Names that people
//! read, defaults, JSON and everything else that JavaScript does as well stand in `ts/`.

mod client;
mod error;
#[cfg(feature = "locks")]
mod lock;
mod options;
mod pack;
mod store;
mod watch;

// A third of the code of the standard library's, and its time is bounded.
#[global_allocator]
static ALLOCATOR: rlsf::SmallGlobalTlsf = rlsf::SmallGlobalTlsf::new();
