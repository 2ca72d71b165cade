//! The one file that knows the platform: how to start a task, how to wait, what time it is, and
//! which transports there are. `target_arch` stands nowhere else under `src/`.

#[cfg(any(feature = "native", feature = "web"))]
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;

use crate::kv::ServiceError;
#[cfg(any(feature = "native", feature = "web"))]
use crate::{client::ConnectError, options::ConnectOptions, transport::Transport};

cfg_if::cfg_if! {
    if #[cfg(target_arch = "wasm32")] {
        compile_error!("the web platform is not here yet");
    } else {
        pub(crate) use std::time::{Instant, SystemTime};

        /// Starts a task that runs by itself until it ends.
        pub(crate) fn spawn(
            task: impl Future<Output = ()> + Send + 'static,
        ) -> Result<(), ServiceError> {
            // `tokio::spawn` would panic outside of a runtime.
            let runtime = tokio::runtime::Handle::try_current().map_err(|_| ServiceError::NoRuntime)?;
            runtime.spawn(task);
            Ok(())
        }

        /// Waits.
        pub(crate) fn sleep(duration: Duration) -> BoxFuture<'static, ()> {
            Box::pin(tokio::time::sleep(duration))
        }

        /// Connects to a server over what this platform and build have.
        #[cfg(any(feature = "native", feature = "web"))]
        pub(crate) async fn dial(
            _scheme: &str,
            url: &str,
            options: &ConnectOptions,
        ) -> Result<Arc<dyn Transport>, ConnectError> {
            cfg_if::cfg_if! {
                if #[cfg(feature = "native")] {
                    crate::transport::native::connect(url, options).await
                } else {
                    Err(ConnectError::no_feature(url, "native"))
                }
            }
        }
    }
}

/// Keeps items that only a native build has.
#[cfg(feature = "native")]
macro_rules! native_only {
    ($($item:item)*) => { $(
        #[cfg(not(target_arch = "wasm32"))]
        $item
    )* };
}
#[cfg(feature = "native")]
pub(crate) use native_only;
