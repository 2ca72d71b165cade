//! The conformance suite over the browser's own stack, without a browser: this crate's protocol on
//! a WebSocket and on plain TCP of the operating system.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod conformance;
#[path = "support/on_server.rs"]
mod on_server;

use conformance::Env;

/// A version of the server, and how to reach it.
struct Over {
    version: &'static str,
    websocket: bool,
}

impl Over {
    async fn url(&self) -> String {
        let server = harness::shared(self.version).await.unwrap();
        let url = match self.websocket {
            true => server.ws_url(),
            false => server.url(),
        };
        format!("web+{url}")
    }
}

/// The server of a version, and a client on it for one case.
async fn env(case: &str, over: Over) -> Env {
    on_server::env(case, over.version, over.url().await).await
}

macro_rules! on_server {
    ([$version:ident, $websocket:literal] $($module:ident { $($case:ident)* })*) => {$(
        mod $module {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $case() {
                    let name = concat!(stringify!($module), "-", stringify!($case));
                    let case = crate::conformance::$module::$case;
                    let over = crate::Over { version: harness::$version, websocket: $websocket };
                    crate::on_server::run(crate::env(name, over), case).await;
                }
            )*
        }
    )*};
}

mod websocket {
    crate::conformance_cases!(on_server, LATEST, true);
}

mod websocket_v2_11 {
    crate::conformance_cases!(on_server, V2_11, true);
}

mod tcp {
    crate::conformance_cases!(on_server, LATEST, false);
}
