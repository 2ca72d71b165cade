//! Runs a case of the conformance suite on a real server, in its own buckets.

use std::{
    cell::Cell,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use crate::conformance::{Capabilities, Env, Outcome};

/// The environment of one case: a client of the server of this version at this URL.
pub(crate) async fn env(case: &str, version: &str, url: String) -> Env {
    let client = shizuku::connect(&url).await.unwrap();
    Env {
        client,
        capabilities: Capabilities {
            limit_markers: version != harness::V2_10,
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

/// A number that the last run on the same server has not used.
fn unique() -> u128 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    now.as_micros() % 1_000_000_000
}

/// Runs a case, within a time limit.
pub(crate) async fn run<F: Future<Output = Outcome>>(
    env: impl Future<Output = Env>,
    case: impl FnOnce(Env) -> F,
) {
    let limit = Duration::from_secs(120);
    let outcome = tokio::time::timeout(limit, async { case(env.await).await }).await;
    outcome.expect("the case should end in time").unwrap();
}
