//! Common parts of all kinds of locks: [`LockOptions`], errors, holders, and guarantees.
//!
//! The locks themselves are in [`rw_lock`](crate::kv::rw_lock), [`mutex`](crate::kv::mutex),
//! [`semaphore`](crate::kv::semaphore) and [`election`](crate::kv::election).
//!
//! ```
//! use std::time::Duration;
//! use shizuku::kv::{lock::{LockError, LockOptions}, mutex::DistroMutex};
//!
//! # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let store = shizuku::connect("memory:").await?.create_bucket("docs").await?;
//! let options = LockOptions::new().timeout(Duration::from_millis(100)).label("host 7");
//! let mutex = DistroMutex::with_options(&store, "invoices", options)?;
//! let guard = mutex.lock().await?;
//! let late = mutex.lock().await.unwrap_err();
//! assert!(matches!(late, LockError::Timeout { .. }));
//! assert_eq!(mutex.holders().await?[0].label.as_deref(), Some("host 7"));
//! guard.release().await?;
//! # Ok(()) }
//! ```
#![doc = ""]
#![doc = include_str!("guarantees.md")]

// The core: the format of entries (`entry`), the meaning of the log of entries (`fold`), when a participant
// may conclude anything from it (`trust` by the clock, `log` message by message), its own entries and
// leases (`own`), and the state machine on top of these (`machine`). None of them sends, waits, reads a
// clock or draws a random number: events and the time go in, actions and notices come out, so that
// simulation and model checking drive the code that ships. Around the core, `participant`, `io` and `task`
// run one machine, `registry` finds it, and callers get `hold` and `guard`.

pub mod entry;
// For simulation and model checking. Not part of the API.
#[cfg(feature = "simulation")]
#[doc(hidden)]
pub mod machine;

mod bell;
mod error;
mod fold;
mod guard;
mod hold;
mod holders;
mod io;
mod log;
#[cfg(not(feature = "simulation"))]
#[allow(unreachable_pub)]
mod machine;
mod options;
mod own;
mod participant;
mod registry;
mod task;
mod told;
mod trust;

pub use entry::Mode;
pub use error::{DistroRwLockError, LockError, LostReason, WithLockProcessError};
pub use holders::Holder;
pub use options::LockOptions;

pub(crate) use guard::{Name, guard, named};
pub(crate) use hold::Hold;
pub(crate) use registry::{Ask, Registry};

use std::time::Duration;

use crate::platform::IN_BROWSER;

/// The trust window `X`, a constant of the protocol: a third of the smallest lease.
///
/// After a participant has learned of its previous write to an entry, it waits at least this long before it
/// writes to the entry again. So a participant that has read the log up to a moment less than `X` ago
/// cannot have skipped an entry: no entry can have been replaced twice in that time.
///
/// ```
/// use std::time::Duration;
/// use shizuku::kv::lock::{MIN_LEASE, TRUST_WINDOW};
///
/// // Even the smallest lease leaves time for renewals that are this far apart.
/// assert_eq!(3 * TRUST_WINDOW, MIN_LEASE);
/// ```
pub const TRUST_WINDOW: Duration = Duration::from_secs(1);

/// The smallest lease. Leases are whole seconds.
///
/// ```
/// use std::time::Duration;
/// use shizuku::kv::{lock::{LockOptions, MAX_LEASE, MIN_LEASE}, mutex::DistroMutex};
///
/// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let store = shizuku::connect("memory:").await?.create_bucket("docs").await?;
/// let with_lease = |lease: Duration| {
///     DistroMutex::with_options(&store, "invoices", LockOptions::new().lease(lease))
/// };
/// // From a configuration that has not been checked.
/// let configured = Duration::from_secs(1);
/// assert!(with_lease(configured).is_err());
/// assert!(with_lease(configured.clamp(MIN_LEASE, MAX_LEASE)).is_ok());
/// # Ok(()) }
/// ```
pub const MIN_LEASE: Duration = Duration::from_secs(3);

/// The largest lease: a day. A crashed holder blocks all others for this long.
///
/// ```
/// use std::time::Duration;
/// use shizuku::kv::lock::{LockOptions, MAX_LEASE};
/// use shizuku::kv::{lock::LockError, mutex::DistroMutex};
///
/// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let store = shizuku::connect("memory:").await?.create_bucket("docs").await?;
/// let longer = MAX_LEASE + Duration::from_secs(1);
/// match DistroMutex::with_options(&store, "invoices", LockOptions::new().lease(longer)) {
///     Err(LockError::InvalidOption(error)) => assert_eq!(error.option, "lease"),
///     other => panic!("{other:?}"),
/// }
/// # Ok(()) }
/// ```
pub const MAX_LEASE: Duration = Duration::from_secs(86_400);

/// The default lease.
///
/// ```
/// use shizuku::kv::{lock::DEFAULT_LEASE, mutex::DistroMutex};
///
/// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let store = shizuku::connect("memory:").await?.create_bucket("docs").await?;
/// let mutex = DistroMutex::new(&store, "invoices")?;
/// let guard = mutex.lock().await?;
/// assert_eq!(mutex.holders().await?[0].lease, DEFAULT_LEASE);
/// # guard.release().await?;
/// # Ok(()) }
/// ```
pub const DEFAULT_LEASE: Duration = Duration::from_secs(15);

/// The minimum time that a participant really leaves between two of its writes to one entry: a tenth more
/// than `X`, because the clocks of two machines do not run at the same speed.
const WRITE_GAP: Duration = Duration::from_millis(1100);

/// How long to wait for an unresponsive service, given a lease in seconds.
fn patience(lease: u32) -> Duration {
    Duration::from_secs(lease.max(10).into())
}

/// The same for `try_…` calls.
const TRY_PATIENCE: Duration = Duration::from_secs(2);

/// How long a claim goes without a watch: for a short uncontended hold, a watch costs the server more than
/// everything else. Zero in a browser, where the timers of a hidden page are late, and the watch's messages
/// wake the lock instead.
const UNWATCHED: Duration = Duration::from_millis(if IN_BROWSER { 0 } else { 100 });

/// How long a probe stays in the log.
///
/// ```
/// use shizuku::kv::lock::{PROBE_TTL, TRUST_WINDOW};
///
/// // It stays for as long as its sender needs it.
/// assert_eq!(PROBE_TTL, 2 * TRUST_WINDOW);
/// ```
pub const PROBE_TTL: Duration = Duration::from_secs(2);

/// How long the marker of a release stays in the log, so that a watch that lags a little still sees it.
///
/// ```
/// use std::sync::Arc;
/// use shizuku::{Client, backend::memory::{ManualClock, MemoryBuckets}};
/// use shizuku::kv::{Deliver, Operation, WatchOptions, lock::MARKER_TTL, mutex::DistroMutex};
///
/// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let clock = ManualClock::new();
/// let client = Client::new(Arc::new(MemoryBuckets::with_clock(Arc::new(clock.clone()))));
/// let store = client.create_bucket("locks").await?;
/// DistroMutex::new(&store, "invoices")?.lock().await?.release().await?;
///
/// // A released lock leaves a marker, and later nothing.
/// let in_log = async || store.status().await.map(|status| status.values);
/// assert_eq!(in_log().await?, 1);
/// clock.advance(MARKER_TTL);
/// assert_eq!(in_log().await?, 0);
/// # Ok(()) }
/// ```
pub const MARKER_TTL: Duration = Duration::from_secs(5);
