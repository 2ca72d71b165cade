//! The conformance suite over the browser's own stack, without a browser: this crate's protocol on
//! a WebSocket and on plain TCP of the operating system.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod conformance;

use std::{
    cell::Cell,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use conformance::{Capabilities, Env, Outcome};

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
async fn env(case: &str, over: &Over) -> Env {
    let url = over.url().await;
    let client = shizuku::connect(&url).await.unwrap();
    Env {
        client,
        capabilities: Capabilities {
            limit_markers: over.version != harness::V2_10,
            other_buckets: true,
        },
        connect: Box::new(move || {
            let url = url.clone();
            Box::pin(async { shizuku::connect(url).await.unwrap() })
        }),
        wait: |time| Box::pin(tokio::time::sleep(time)),
        pass: Box::new(|time| Box::pin(tokio::time::sleep(time))),
        tag: format!("{case}-{}", unique()),
        buckets: Cell::new(0),
    }
}

/// Something that the last run on the same server did not have.
fn unique() -> u128 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    now.as_micros() % 1_000_000_000
}

async fn run<F: Future<Output = Outcome>>(name: &str, over: Over, case: impl FnOnce(Env) -> F) {
    let limit = Duration::from_secs(120);
    let outcome = tokio::time::timeout(limit, async { case(env(name, &over).await).await }).await;
    outcome.expect("the case should end in time").unwrap();
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
                    crate::run(name, over, case).await;
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
