//! Common parts of the guards and names of all kinds of locks.

use std::sync::Arc;

use futures::stream::BoxStream;

use super::{
    error::LockError,
    hold::Hold,
    holders::{Holder, follow, look},
    options::LockOptions,
    patience,
    registry::Ask,
};
use crate::{key::check_lock, kv::Store};

/// A lock's name in a bucket, and how to acquire it.
#[derive(Clone, Debug)]
pub(crate) struct Name {
    store: Store,
    name: Arc<str>,
    options: LockOptions,
}

impl Name {
    pub(crate) fn new(store: &Store, name: &str, options: LockOptions) -> Result<Self, LockError> {
        check_lock(name)?;
        options.check()?;
        Ok(Self {
            store: store.clone(),
            name: name.into(),
            options,
        })
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.name
    }

    pub(crate) fn store(&self) -> &Store {
        &self.store
    }

    async fn ask(&self, ask: Ask) -> Result<Option<Hold>, LockError> {
        let Self {
            store,
            name,
            options,
        } = self;
        let acquire = store.locks().acquire(store.backend(), name, options, ask);
        acquire.await
    }

    pub(crate) async fn acquire(&self, ask: Ask) -> Result<Hold, LockError> {
        // Only a try returns without the lock because it is taken.
        self.ask(ask).await?.ok_or_else(|| LockError::NotHeld {
            lock: self.name.to_string(),
        })
    }

    /// `None` if the lock is taken.
    pub(crate) async fn try_acquire(&self, ask: Ask) -> Result<Option<Hold>, LockError> {
        self.ask(ask.only_try()).await
    }

    pub(crate) async fn holders(&self) -> Result<Vec<Holder>, LockError> {
        let Self {
            store,
            name,
            options,
        } = self;
        let observer = store.locks().observe(store.backend(), name)?;
        look(observer, patience(options.lease_seconds())).await
    }

    pub(crate) fn watch_holders(
        &self,
    ) -> Result<BoxStream<'static, Result<Vec<Holder>, LockError>>, LockError> {
        let Self { store, name, .. } = self;
        Ok(follow(store.locks().observe(store.backend(), name)?))
    }
}

/// Defines a guard around a [`Hold`].
macro_rules! guard {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        ///
        /// Dropping it releases the lock in the background; a program that ends right afterwards should
        /// [close its client](crate::Client::close) so that the release is still sent.
        /// [`release`](Self::release) also reports whether the lock was still held.
        #[must_use = "dropping the guard releases the lock at once"]
        pub struct $name {
            hold: $crate::kv::lock::Hold,
        }

        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.debug_struct(stringify!($name))
                    .field("token", &self.token())
                    .field("is_held", &self.is_held())
                    .finish_non_exhaustive()
            }
        }

        impl $name {
            /// Returns the fencing token, which is larger than that of every earlier conflicting hold. Send
            /// it to the resource that the lock protects, and let the resource reject requests with a
            /// smaller token than it has seen.
            pub fn token(&self) -> u64 {
                self.hold.token()
            }

            /// Returns whether the lock is still held, as far as this process can know: its lease has not
            /// run out by the local monotonic clock, and no loss has been noticed.
            pub fn is_held(&self) -> bool {
                self.hold.is_held()
            }

            /// Waits until the lock is lost, and returns why. Never resolves while it is held. Dropping the
            /// future has no effect, and it may outlive the guard: after a release it returns
            /// [`LostReason::Released`](crate::kv::lock::LostReason::Released).
            pub fn lost(
                &self,
            ) -> impl Future<Output = $crate::kv::lock::LostReason> + Send + 'static + use<> {
                self.hold.lost()
            }

            /// Releases the lock and waits until the server has confirmed it.
            ///
            /// Dropping the future does not stop the release.
            ///
            /// # Errors
            /// [`Lost`]($crate::kv::lock::LockError::Lost) if the lock was no longer held, and
            /// [`Service`]($crate::kv::lock::LockError::Service) if it is unknown whether the release
            /// reached the server: it is then retried in the background, and at the end of the lease the
            /// server removes the entry.
            pub async fn release(self) -> Result<(), $crate::kv::lock::LockError> {
                self.hold.release().await
            }
        }
    };
}
pub(crate) use guard;

/// The methods of every kind of lock around a [`Name`] that do not acquire it. In the examples, `$new`
/// creates the lock from `store` and `options`, and `$acquire` acquires it.
macro_rules! named {
    ($name:ident, $module:literal, $new:literal, $acquire:literal) => {
        impl $name {
            /// Returns the name.
            ///
            /// ```
            #[doc = concat!("use shizuku::kv::{lock::LockOptions, ", $module, "::", stringify!($name), "};")]
            ///
            /// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
            /// # let store = shizuku::connect("memory:").await?.create_bucket("docs").await?;
            /// let options = LockOptions::new();
            #[doc = concat!("let lock = ", $new, ";")]
            /// assert_eq!(lock.name(), "import");
            /// # Ok(()) }
            /// ```
            pub fn name(&self) -> &str {
                self.name.as_str()
            }

            /// Returns the current holders and waiters, in ticket order.
            ///
            /// ```
            #[doc = concat!("use shizuku::kv::{lock::LockOptions, ", $module, "::", stringify!($name), "};")]
            ///
            /// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
            /// # let store = shizuku::connect("memory:").await?.create_bucket("docs").await?;
            /// let options = LockOptions::new().label("host 7");
            #[doc = concat!("let lock = ", $new, ";")]
            #[doc = concat!("let held = lock.", $acquire, ".await?;")]
            /// let holders = lock.holders().await?;
            /// assert_eq!(holders[0].label.as_deref(), Some("host 7"));
            /// assert_eq!((holders[0].token, holders[0].holds), (Some(held.token()), true));
            /// # held.release().await?;
            /// # Ok(()) }
            /// ```
            ///
            /// # Errors
            /// [`Service`]($crate::kv::lock::LockError::Service) if the server refuses or is unreachable
            /// for the length of the lease (at least 10 s).
            pub async fn holders(
                &self,
            ) -> Result<Vec<$crate::kv::lock::Holder>, $crate::kv::lock::LockError> {
                self.name.holders().await
            }

            /// Streams the holders and waiters, now and whenever they change. The stream ends after an
            /// error. While the server is unreachable, it yields nothing and resumes afterwards, whereas
            /// [`holders`](Self::holders) fails.
            ///
            /// ```
            /// use futures::StreamExt;
            #[doc = concat!("use shizuku::kv::{lock::LockOptions, ", $module, "::", stringify!($name), "};")]
            ///
            /// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
            /// # let store = shizuku::connect("memory:").await?.create_bucket("docs").await?;
            /// let options = LockOptions::new();
            #[doc = concat!("let lock = ", $new, ";")]
            /// let mut lists = std::pin::pin!(lock.watch_holders()?);
            /// assert!(lists.next().await.expect("it goes on")?.is_empty());
            #[doc = concat!("let held = lock.", $acquire, ".await?;")]
            /// let list = lists.next().await.expect("it goes on")?;
            /// assert_eq!(list[0].token, Some(held.token()));
            /// # held.release().await?;
            /// # Ok(()) }
            /// ```
            ///
            /// # Errors
            /// [`Service`]($crate::kv::lock::LockError::Service), here or as an item.
            pub fn watch_holders(
                &self,
            ) -> Result<
                futures::stream::BoxStream<
                    'static,
                    Result<Vec<$crate::kv::lock::Holder>, $crate::kv::lock::LockError>,
                >,
                $crate::kv::lock::LockError,
            > {
                self.name.watch_holders()
            }
        }
    };
}
pub(crate) use named;
