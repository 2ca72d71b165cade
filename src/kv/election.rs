//! Leader election: a lock whose holder publishes a value, such as its address.
//!
//! ```
//! use futures::StreamExt;
//! use shizuku::kv::election::Election;
//!
//! # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let store = shizuku::connect("memory:").await?.create_bucket("docs").await?;
//! let election = Election::new(&store, "scheduler")?;
//! let mut leaders = std::pin::pin!(election.observe()?);
//! assert!(leaders.next().await.expect("it goes on")?.is_none());
//!
//! let office = election.campaign("host 7").await?;
//! let leader = leaders.next().await.expect("it goes on")?;
//! assert_eq!(leader.expect("somebody leads").value, "host 7");
//! # office.resign().await?;
//! # Ok(()) }
//! ```

use std::{sync::Arc, time::SystemTime};

use futures::{StreamExt, future, stream::BoxStream};

use super::{
    lock::{Ask, Holder, LockError, LockOptions, Mode, Name, guard, named},
    store::Store,
};
use crate::error::InvalidOption;

/// The longest value of a candidate, in bytes.
const MAX_VALUE: usize = 64 * 1024;

guard! {
    /// Leadership in an [`Election`].
    ///
    /// ```
    /// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let store = shizuku::connect("memory:").await?.create_bucket("docs").await?;
    /// let election = shizuku::kv::election::Election::new(&store, "scheduler")?;
    /// let mut office = election.campaign("starting").await?;
    /// assert_eq!(election.leader().await?.expect("somebody leads").token, Some(office.token()));
    /// office.proclaim("ready").await?;
    /// office.resign().await?;
    /// # Ok(()) }
    /// ```
    Leadership
}

/// The current leader.
///
/// ```
/// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let store = shizuku::connect("memory:").await?.create_bucket("docs").await?;
/// let election = shizuku::kv::election::Election::new(&store, "scheduler")?;
/// let office = election.campaign("10.0.0.7:8080").await?;
/// if let Some(leader) = election.leader().await? {
///     println!("{} leads since {:?}", leader.value, leader.since);
/// }
/// # office.resign().await?;
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Leader {
    /// The value it campaigned with, or has proclaimed since.
    pub value: String,
    /// Its fencing token, which grows from leader to leader. `None` if its entry has a format that this
    /// version does not know; its value is empty then.
    pub token: Option<u64>,
    /// When it began to campaign, by the server's clock (UTC).
    pub since: SystemTime,
    /// Its label.
    pub label: Option<Arc<str>>,
}

/// An election: one of the candidates leads at a time.
///
/// Locks of other kinds with the same name in the same bucket are the same lock: the holder leads, without
/// a value.
///
/// ```
/// use shizuku::kv::election::Election;
///
/// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let store = shizuku::connect("memory:").await?.create_bucket("docs").await?;
/// let election = Election::new(&store, "scheduler")?;
/// assert!(election.leader().await?.is_none());
///
/// let office = election.campaign("http://10.0.0.7:8080").await?;
/// let leader = election.leader().await?.expect("somebody leads");
/// assert_eq!(leader.value, "http://10.0.0.7:8080");
/// assert_eq!(leader.token, Some(office.token()));
///
/// office.resign().await?;
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct Election {
    name: Name,
}

named! {
    Election, "election",
    "Election::with_options(&store, \"import\", options)?", "campaign(\"10.0.0.7\")"
}

impl Election {
    /// Returns the election of this name.
    ///
    /// # Errors
    /// [`LockError::InvalidName`].
    pub fn new(store: &Store, name: &str) -> Result<Self, LockError> {
        Self::with_options(store, name, LockOptions::new())
    }

    /// Returns the election of this name, with these options for campaigning.
    ///
    /// # Errors
    /// [`LockError::InvalidName`], [`LockError::InvalidOption`].
    pub fn with_options(
        store: &Store,
        name: &str,
        options: LockOptions,
    ) -> Result<Self, LockError> {
        let name = Name::new(store, name, options)?;
        Ok(Self { name })
    }

    /// Waits to become the leader, with this value as its public data: text of at most 64 KiB, such as an
    /// address. Dropping the future withdraws.
    ///
    /// # Errors
    /// As for [`DistroRwLock::write`](super::rw_lock::DistroRwLock::write).
    pub async fn campaign(&self, value: impl Into<String>) -> Result<Leadership, LockError> {
        let hold = self.name.acquire(asking(value.into())?).await?;
        Ok(Leadership { hold })
    }

    /// Becomes the leader if there is no leader or candidate; otherwise returns `None`.
    ///
    /// ```
    /// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let store = shizuku::connect("memory:").await?.create_bucket("docs").await?;
    /// let election = shizuku::kv::election::Election::new(&store, "scheduler")?;
    /// let office = election.try_campaign("host 7").await?.expect("nobody leads");
    /// assert!(election.try_campaign("host 8").await?.is_none());
    /// office.resign().await?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// As for [`campaign`](Self::campaign), but if the server is unreachable, this fails after 2 s plus the
    /// time of one request.
    pub async fn try_campaign(
        &self,
        value: impl Into<String>,
    ) -> Result<Option<Leadership>, LockError> {
        let hold = self.name.try_acquire(asking(value.into())?).await?;
        Ok(hold.map(|hold| Leadership { hold }))
    }

    /// Returns the current leader; `None` if there is none.
    ///
    /// # Errors
    /// [`LockError::Service`] if the server refuses or is unreachable for the length of the lease (at least
    /// 10 s).
    pub async fn leader(&self) -> Result<Option<Leader>, LockError> {
        Ok(leader(self.name.holders().await?))
    }

    /// Streams the leader, now and whenever it changes. The stream ends after an error. While the server is
    /// unreachable, it yields nothing and resumes afterwards, whereas [`leader`](Self::leader) fails.
    ///
    /// # Errors
    /// [`LockError::Service`], here or as an item.
    pub fn observe(
        &self,
    ) -> Result<BoxStream<'static, Result<Option<Leader>, LockError>>, LockError> {
        let mut last = None;
        let changes = self.name.watch_holders()?.filter_map(move |holders| {
            future::ready(match holders.map(leader) {
                Ok(leader) if last.as_ref() == Some(&leader) => None,
                Ok(leader) => {
                    last = Some(leader.clone());
                    Some(Ok(leader))
                }
                Err(error) => Some(Err(error)),
            })
        });
        Ok(changes.boxed())
    }

    /// Returns the leader and the candidates, like [`holders`](Self::holders), under the usual name for
    /// elections.
    ///
    /// # Errors
    /// As for `holders`.
    pub async fn candidates(&self) -> Result<Vec<Holder>, LockError> {
        self.holders().await
    }
}

impl Leadership {
    /// Changes the leader's value. Takes up to about a second, because an entry is not written twice within
    /// that time. Dropping the future does not undo it.
    ///
    /// # Errors
    /// [`LockError::Lost`] if it no longer leads.
    pub async fn proclaim(&mut self, value: impl Into<String>) -> Result<(), LockError> {
        let value = check(value.into())?;
        self.hold.change(None, Some(value)).await
    }

    /// Steps down, like [`release`](Self::release), under the usual name for elections.
    ///
    /// # Errors
    /// As for `release`.
    pub async fn resign(self) -> Result<(), LockError> {
        self.release().await
    }
}

/// The request of a candidate.
fn asking(value: String) -> Result<Ask, InvalidOption> {
    let mut ask = Ask::new(Mode::Write);
    ask.data = Some(check(value)?);
    Ok(ask)
}

fn check(value: String) -> Result<Arc<str>, InvalidOption> {
    if value.len() > MAX_VALUE {
        return Err(InvalidOption::new(
            "value",
            format!("{} bytes exceed the maximum of {MAX_VALUE}", value.len()),
        ));
    }
    Ok(value.into())
}

fn leader(holders: Vec<Holder>) -> Option<Leader> {
    let leader = holders.into_iter().find(|holder| holder.holds)?;
    Some(Leader {
        value: leader.data.as_deref().unwrap_or_default().to_owned(),
        token: leader.token,
        since: leader.since,
        label: leader.label,
    })
}
