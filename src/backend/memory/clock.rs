//! The clock of the embedded backend: the system clock, or one that tests set manually.

use std::{
    fmt::Debug,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use futures::future::BoxFuture;
use tokio::sync::watch;

use crate::platform;

/// A clock that decides when values expire.
///
/// Time must not go backwards; if it does, the backend uses the latest time it has seen.
///
/// ```
/// use std::{sync::Arc, time::{Duration, SystemTime}};
/// use futures::future::BoxFuture;
/// use shizuku::{Client, kv::PutOptions};
/// use shizuku::backend::memory::{Clock, MemoryBuckets, SystemClock};
///
/// /// A day in a second, for a demonstration.
/// #[derive(Debug)]
/// struct Hasty {
///     start: SystemTime,
///     real: SystemClock,
/// }
///
/// const HASTE: u32 = 86_400;
///
/// impl Clock for Hasty {
///     fn now(&self) -> SystemTime {
///         let elapsed = self.real.now().duration_since(self.start).unwrap_or_default();
///         self.start + elapsed * HASTE
///     }
///
///     fn sleep_until(&self, deadline: SystemTime) -> BoxFuture<'static, ()> {
///         let left = deadline.duration_since(self.start).unwrap_or_default();
///         // Rounded up, so that the wait does not end too early.
///         self.real.sleep_until(self.start + left / HASTE + Duration::from_nanos(1))
///     }
/// }
///
/// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let real = SystemClock::new();
/// let clock = Arc::new(Hasty { start: real.now(), real });
/// let client = Client::new(Arc::new(MemoryBuckets::with_clock(clock.clone())));
/// let store = client.create_bucket("sessions").await?;
///
/// let an_hour = Duration::from_secs(3600);
/// store.put_with("alice", "token", PutOptions::new().ttl(an_hour)).await?;
/// clock.sleep_until(clock.now() + an_hour).await; // 42 ms
/// assert_eq!(store.get("alice").await?, None);
/// # Ok(()) }
/// ```
pub trait Clock: Debug + Send + Sync + 'static {
    /// Returns the current time.
    fn now(&self) -> SystemTime;

    /// Waits until [`now`](Clock::now) is `deadline` or later; returns at once if it already is.
    ///
    /// Dropping the future ends the wait and leaves nothing behind.
    fn sleep_until(&self, deadline: SystemTime) -> BoxFuture<'static, ()>;
}

/// The system clock, read once: after that, the monotonic clock is used, so that a change of the system
/// time neither expires values early nor keeps them forever.
///
/// Waiting needs a tokio runtime with timers, as everywhere in the library.
///
/// If the time of that runtime is paused, this clock is paused too and jumps with it, so that a test needs
/// no clock of its own:
///
/// ```
/// use std::time::Duration;
/// use shizuku::kv::PutOptions;
///
/// // Or `#[tokio::test(start_paused = true)]`.
/// #[tokio::main(flavor = "current_thread", start_paused = true)]
/// async fn main() -> Result<(), Box<dyn std::error::Error>> {
///     // This uses `SystemClock`, as `MemoryBuckets::new` does.
///     let store = shizuku::connect("memory:").await?.create_bucket("sessions").await?;
///     let an_hour = Duration::from_secs(3600);
///     store.put_with("alice", "token", PutOptions::new().ttl(an_hour)).await?;
///     assert!(store.get("alice").await?.is_some());
///     tokio::time::sleep(an_hour).await; // takes no time
///     assert_eq!(store.get("alice").await?, None);
///     Ok(())
/// }
/// ```
#[derive(Clone, Debug)]
pub struct SystemClock {
    started: SystemTime,
    since: platform::Instant,
}

impl SystemClock {
    /// Creates a clock that starts at the system time.
    pub fn new() -> Self {
        Self {
            started: platform::wall_clock(),
            since: platform::Instant::now(),
        }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    fn now(&self) -> SystemTime {
        let elapsed = self.since.elapsed();
        self.started.checked_add(elapsed).unwrap_or(self.started)
    }

    fn sleep_until(&self, deadline: SystemTime) -> BoxFuture<'static, ()> {
        /// Timers count in milliseconds and do not reach the end of time.
        const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);
        let clock = self.clone();
        Box::pin(async move {
            while let Ok(left) = deadline.duration_since(clock.now())
                && !left.is_zero()
            {
                platform::sleep(left.min(LONGEST)).await;
            }
        })
    }
}

/// A clock that stands still until it is advanced: a test of what happens after an hour takes no time, and
/// runs the same way each time.
///
/// Clones share the same clock.
///
/// ```
/// use std::{sync::Arc, time::Duration};
/// use shizuku::backend::memory::{ManualClock, MemoryBuckets};
///
/// let clock = ManualClock::new();
/// let buckets = MemoryBuckets::with_clock(Arc::new(clock.clone()));
/// // … put a value that lives for a minute …
/// clock.advance(Duration::from_secs(60)); // and it is gone
/// ```
#[derive(Clone, Debug)]
pub struct ManualClock {
    now: Arc<watch::Sender<SystemTime>>,
}

impl ManualClock {
    /// Creates a clock that starts on 1 January 2020, so that each run is the same.
    pub fn new() -> Self {
        Self::starting_at(UNIX_EPOCH + Duration::from_secs(1_577_836_800))
    }

    /// Creates a clock that starts at this time.
    pub fn starting_at(now: SystemTime) -> Self {
        Self {
            now: Arc::new(watch::Sender::new(now)),
        }
    }

    /// Advances the clock, and wakes all waits whose deadline has passed. Stops at the end of time.
    pub fn advance(&self, by: Duration) {
        self.now.send_modify(|now| {
            if let Some(later) = now.checked_add(by) {
                *now = later;
            }
        });
    }
}

impl Default for ManualClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for ManualClock {
    fn now(&self) -> SystemTime {
        *self.now.borrow()
    }

    fn sleep_until(&self, deadline: SystemTime) -> BoxFuture<'static, ()> {
        // Holding the clock keeps the channel open, so this wait can only end with the deadline.
        let clock = self.now.clone();
        Box::pin(async move {
            let mut now = clock.subscribe();
            let _ = now.wait_for(|now| *now >= deadline).await;
        })
    }
}
