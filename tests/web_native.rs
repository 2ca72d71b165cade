//! The conformance suite on the browser's protocol stack, without a browser: this crate's protocol
//! over the operating system's WebSocket and plain TCP.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod conformance;
#[path = "support/on_server.rs"]
mod on_server;

use conformance::Env;

/// A server version, and the transport.
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

/// A client of the server of this version for one case.
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
