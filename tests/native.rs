//! The conformance suite on real servers of every supported version: each case in buckets of its
//! own, all cases of a version on one server.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod conformance;

use std::{
    cell::Cell,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use conformance::{Capabilities, Env, Outcome};

/// The server of a version, and a client on it for one case.
async fn env(case: &str, version: &str) -> Env {
    let server = harness::shared(version).await.unwrap();
    let client = shizuku::connect(server.url()).await.unwrap();
    Env {
        client,
        capabilities: Capabilities {
            limit_markers: version != harness::V2_10,
            other_buckets: true,
        },
        connect: Box::new(|| {
            let url = server.url();
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

async fn run<F: Future<Output = Outcome>>(name: &str, version: &str, case: impl FnOnce(Env) -> F) {
    let limit = Duration::from_secs(120);
    let outcome = tokio::time::timeout(limit, async { case(env(name, version).await).await }).await;
    outcome.expect("the case should end in time").unwrap();
}

macro_rules! on_server {
    ([$version:ident] $($module:ident { $($case:ident)* })*) => {$(
        mod $module {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $case() {
                    let name = concat!(stringify!($module), "-", stringify!($case));
                    let case = crate::conformance::$module::$case;
                    crate::run(name, harness::$version, case).await;
                }
            )*
        }
    )*};
}

mod v2_10 {
    crate::conformance_cases!(on_server, V2_10);
}

mod v2_11 {
    crate::conformance_cases!(on_server, V2_11);
}

mod v2_12 {
    crate::conformance_cases!(on_server, V2_12);
}

mod latest {
    crate::conformance_cases!(on_server, LATEST);
}
