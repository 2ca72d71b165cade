//! All platform differences: tasks, timers, clocks and transports. `target_arch` occurs nowhere else
//! under `src/`.

#[cfg(any(feature = "native", feature = "web"))]
use std::sync::Arc;
use std::time::Duration;
pub(crate) use std::time::SystemTime;

use futures::future::BoxFuture;

use crate::error::{BoxError, ServiceError};
#[cfg(any(feature = "native", feature = "web"))]
use crate::{client::ConnectError, options::ConnectOptions, transport::Transport};

cfg_if::cfg_if! {
    if #[cfg(target_arch = "wasm32")] {
        pub(crate) use web_time::Instant;

        /// Whether this is a browser or behaves like one: timers of hidden pages are up to a minute
        /// late, and a WebSocket is the only socket.
        pub(crate) const IN_BROWSER: bool = true;

        #[cfg(feature = "web")]
        pub(crate) use crate::transport::web::browser::{BrowserSocket as Socket, WakeUps};

        /// Returns the wall-clock time. The standard library's function panics here.
        pub(crate) fn wall_clock() -> SystemTime {
            web_time::web::SystemTimeExt::to_std(web_time::SystemTime::now())
        }

        /// Spawns a detached task.
        pub(crate) fn spawn(
            task: impl Future<Output = ()> + Send + 'static,
        ) -> Result<(), ServiceError> {
            start(Box::pin(task));
            Ok(())
        }

        // Boxed, so that the code that polls tasks is compiled once.
        fn start(task: futures::future::LocalBoxFuture<'static, ()>) {
            wasm_bindgen_futures::spawn_local(task);
        }

        /// Spawns the task that owns a socket, which in a browser cannot leave its thread.
        #[cfg(feature = "web")]
        pub(crate) fn spawn_actor(
            task: impl Future<Output = ()> + 'static,
        ) -> Result<(), ServiceError> {
            start(Box::pin(task));
            Ok(())
        }

        /// Sleeps.
        pub(crate) fn sleep(duration: Duration) -> BoxFuture<'static, ()> {
            use futures::future::{Either, pending, select};
            use tokio::sync::oneshot;

            /// Browsers treat longer times as zero.
            const LONGEST: Duration = Duration::from_millis(i32::MAX as u64);

            let (mut over, wait) = oneshot::channel();
            // The timer cannot leave this thread, so a task holds it, only as long as needed.
            start(Box::pin(async move {
                let mut left = duration;
                loop {
                    let part = left.min(LONGEST);
                    left -= part;
                    let (fire, fired) = oneshot::channel();
                    let timer = gloo_timers::callback::Timeout::new(millis(part), move || _ = fire.send(()));
                    let is_wanted = match select(fired, std::pin::pin!(over.closed())).await {
                        Either::Left(_) => true,
                        Either::Right(_) => false,
                    };
                    drop(timer);
                    if !is_wanted || left.is_zero() {
                        break;
                    }
                }
                _ = over.send(());
            }));
            Box::pin(async move {
                if wait.await.is_err() {
                    // Only when the page is closed.
                    pending::<()>().await;
                }
            })
        }

        /// Browsers use whole milliseconds: round up.
        fn millis(duration: Duration) -> u32 {
            let whole = u32::try_from(duration.as_millis()).unwrap_or(u32::MAX);
            whole + u32::from(!duration.subsec_nanos().is_multiple_of(1_000_000))
        }

        /// Yields to all other tasks. Only a timer does that here: ready tasks run before any network
        /// event.
        pub(crate) async fn give_way() {
            sleep(Duration::ZERO).await;
        }

        /// Counts a result that was ready immediately. Not needed here.
        pub(crate) async fn count() {}

        /// Runs blocking work. There is no other thread here.
        pub(crate) async fn apart<T>(
            work: impl FnOnce() -> Result<T, BoxError> + Send + 'static,
        ) -> Result<T, BoxError> {
            work()
        }

        /// Returns whether there is a runtime for tasks and timers.
        pub(crate) fn is_running() -> bool {
            true
        }

        /// Connects to a server with the transport that this platform and build have.
        #[cfg(any(feature = "native", feature = "web"))]
        pub(crate) async fn dial(
            _scheme: &str,
            url: &str,
            options: &ConnectOptions,
        ) -> Result<Arc<dyn Transport>, ConnectError> {
            cfg_if::cfg_if! {
                if #[cfg(feature = "web")] {
                    crate::transport::web::connect(url, options).await
                } else {
                    _ = options;
                    Err(ConnectError::no_feature(url, "web"))
                }
            }
        }
    } else {
        /// Whether this is a browser or behaves like one.
        pub(crate) const IN_BROWSER: bool = false;

        // Not std's, so that pausing tokio's clock affects us too.
        pub(crate) use tokio::time::Instant;
        #[cfg(feature = "web")]
        pub(crate) use crate::transport::web::plain::{PlainSocket as Socket, WakeUps};

        /// Spawns the task that owns a socket.
        #[cfg(feature = "web")]
        pub(crate) fn spawn_actor(
            task: impl Future<Output = ()> + Send + 'static,
        ) -> Result<(), ServiceError> {
            spawn(task)
        }

        /// Returns the wall-clock time.
        pub(crate) fn wall_clock() -> SystemTime {
            SystemTime::now()
        }

        /// Spawns a detached task.
        pub(crate) fn spawn(
            task: impl Future<Output = ()> + Send + 'static,
        ) -> Result<(), ServiceError> {
            // `tokio::spawn` would panic outside of a runtime.
            let runtime = tokio::runtime::Handle::try_current().map_err(|_| ServiceError::NoRuntime)?;
            runtime.spawn(task);
            Ok(())
        }

        /// Sleeps.
        pub(crate) fn sleep(duration: Duration) -> BoxFuture<'static, ()> {
            Box::pin(tokio::time::sleep(duration))
        }

        /// Yields to all other tasks.
        pub(crate) use tokio::task::yield_now as give_way;

        /// Counts a result that was ready immediately: after many in a row this yields. Otherwise a
        /// caller that polls until the result changes would starve the tasks that change it.
        pub(crate) use tokio::task::coop::consume_budget as count;

        /// Runs blocking work on a dedicated thread.
        pub(crate) async fn apart<T: Send + 'static>(
            work: impl FnOnce() -> Result<T, BoxError> + Send + 'static,
        ) -> Result<T, BoxError> {
            tokio::task::spawn_blocking(work).await?
        }

        /// Returns whether there is a runtime for tasks and timers.
        pub(crate) fn is_running() -> bool {
            tokio::runtime::Handle::try_current().is_ok()
        }

        /// Connects to a server with the transport that this platform and build have: async-nats if
        /// available, unless the address requests this crate's own client.
        #[cfg(any(feature = "native", feature = "web"))]
        pub(crate) async fn dial(
            scheme: &str,
            url: &str,
            options: &ConnectOptions,
        ) -> Result<Arc<dyn Transport>, ConnectError> {
            #[cfg(feature = "web")]
            if scheme.starts_with("web+") || cfg!(not(feature = "native")) {
                return crate::transport::web::connect(url, options).await;
            }
            cfg_if::cfg_if! {
                if #[cfg(feature = "native")] {
                    _ = scheme;
                    crate::transport::native::connect(url, options).await
                } else {
                    Err(ConnectError::no_feature(url, "native"))
                }
            }
        }
    }
}

/// Sleeps if there is a runtime; only for pauses that may be skipped.
pub(crate) async fn pause(duration: Duration) {
    if is_running() {
        sleep(duration).await;
    }
}

/// Keeps items of native builds only.
#[cfg(any(feature = "native", feature = "web"))]
macro_rules! native_only {
    ($($item:item)*) => { $(
        #[cfg(not(target_arch = "wasm32"))]
        $item
    )* };
}
#[cfg(any(feature = "native", feature = "web"))]
pub(crate) use native_only;

/// Keeps items of browser builds only.
#[cfg(feature = "web")]
macro_rules! browser_only {
    ($($item:item)*) => { $(
        #[cfg(target_arch = "wasm32")]
        $item
    )* };
}
#[cfg(feature = "web")]
pub(crate) use browser_only;
