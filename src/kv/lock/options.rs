//! Options for acquiring a lock.

use std::{sync::Arc, time::Duration};

use super::{DEFAULT_LEASE, MAX_LEASE, MIN_LEASE};
use crate::{error::InvalidOption, words::Lasting};

/// The longest label, in bytes.
const MAX_LABEL: usize = 256;

/// Options for acquiring a lock.
///
/// ```
/// use std::time::Duration;
/// use shizuku::kv::{lock::LockOptions, rw_lock::DistroRwLock};
///
/// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let store = shizuku::connect("memory:").await?.create_bucket("docs").await?;
/// let options = LockOptions::new()
///     .lease(Duration::from_secs(5))
///     .timeout(Duration::from_secs(30))
///     .label("billing on host 7");
/// let lock = DistroRwLock::with_options(&store, "invoices", options)?;
/// let guard = lock.write().await?;
/// # guard.release().await?;
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LockOptions {
    lease: Option<Duration>,
    timeout: Option<Duration>,
    label: Option<Arc<str>>,
}

impl LockOptions {
    /// Creates the default options: a lease of 15 s, no timeout, no label.
    pub const fn new() -> Self {
        Self {
            lease: None,
            timeout: None,
            label: None,
        }
    }

    /// How long a hold outlives a holder that died: whole seconds, 3 to 86 400; 15 by default. A live
    /// holder renews it every third of this time.
    ///
    /// A shorter lease frees the lock sooner after a crash; a longer one survives longer outages of the
    /// network or the server.
    #[must_use]
    pub const fn lease(mut self, lease: Duration) -> Self {
        self.lease = Some(lease);
        self
    }

    /// Gives up acquiring after this time. By default an acquire waits indefinitely.
    #[must_use]
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Labels the holder for humans who read the list of holders. At most 256 bytes.
    #[must_use]
    pub fn label(mut self, label: impl Into<Arc<str>>) -> Self {
        self.label = Some(label.into());
        self
    }

    pub(crate) fn check(&self) -> Result<(), InvalidOption> {
        if let Some(lease) = self.lease
            && (lease.subsec_nanos() != 0 || !(MIN_LEASE..=MAX_LEASE).contains(&lease))
        {
            return Err(InvalidOption::new(
                "lease",
                format!(
                    "{} is not a whole number of seconds from {} to {}",
                    Lasting(lease),
                    MIN_LEASE.as_secs(),
                    MAX_LEASE.as_secs()
                ),
            ));
        }
        if let Some(label) = &self.label
            && label.len() > MAX_LABEL
        {
            return Err(InvalidOption::new(
                "label",
                format!("{} bytes exceed the maximum of {MAX_LABEL}", label.len()),
            ));
        }
        Ok(())
    }

    pub(crate) fn lease_seconds(&self) -> u32 {
        let lease = self.lease.unwrap_or(DEFAULT_LEASE);
        u32::try_from(lease.as_secs()).unwrap_or(u32::MAX) // larger leases were refused by `check`
    }

    pub(crate) fn deadline(&self) -> Option<Duration> {
        self.timeout
    }

    pub(crate) fn holder_label(&self) -> Option<Arc<str>> {
        self.label.clone()
    }
}
