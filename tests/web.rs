//! The conformance suite in a real browser, on real servers, and the cases for browsers only.
//!
//! Run by `cargo xtask test browser`, which starts Chromium and the control server that starts
//! nats-servers for these pages.
#![cfg(target_arch = "wasm32")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod browser;
mod conformance;

use std::{cell::Cell, time::Duration};

use browser::control;
use conformance::{Capabilities, Env, Outcome};

wasm_bindgen_test::wasm_bindgen_test_configure!(run_in_browser);

/// A client of the server of this version for one case.
async fn env(case: &str, version: &str) -> Env {
    let server = control::shared(version).await;
    let client = shizuku::connect(&server.ws).await.unwrap();
    Env {
        client,
        capabilities: Capabilities {
            limit_markers: true,
            other_buckets: true,
        },
        connect: Box::new(move || {
            let url = server.ws.clone();
            Box::pin(async move { shizuku::connect(url).await.unwrap() })
        }),
        wait: |time| Box::pin(browser::sleep(time)),
        pass: Box::new(|time| Box::pin(browser::sleep(time))),
        tag: format!("{case}-{}", browser::unique()),
        buckets: Cell::new(0),
    }
}

async fn run<F: Future<Output = Outcome>>(name: &str, version: &str, case: impl FnOnce(Env) -> F) {
    let case = async { case(env(name, version).await).await };
    browser::within(Duration::from_secs(60), case)
        .await
        .unwrap();
}

macro_rules! on_server {
    ([$version:literal] $($module:ident { $($case:ident)* })*) => {$(
        mod $module {
            $(
                #[wasm_bindgen_test::wasm_bindgen_test]
                async fn $case() {
                    let name = concat!(stringify!($module), "-", stringify!($case));
                    crate::run(name, $version, crate::conformance::$module::$case).await;
                }
            )*
        }
    )*};
}

mod latest {
    crate::conformance_cases!(on_server, "");
}

mod v2_11 {
    crate::conformance_cases!(on_server, "2.11.11");
}
