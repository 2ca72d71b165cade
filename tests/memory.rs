//! The conformance suite on the embedded backend, with a clock that takes no time.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod conformance;

use std::{cell::Cell, sync::Arc, time::Duration};

use conformance::{Capabilities, Env, Outcome};
use shizuku::{
    Client,
    backend::memory::{ManualClock, MemoryBuckets},
};

/// A service for one case.
fn env(case: &str) -> Env {
    let clock = ManualClock::new();
    let buckets = MemoryBuckets::with_clock(Arc::new(clock.clone()));
    let client = Client::new(Arc::new(buckets));
    let other = client.clone();
    Env {
        client,
        capabilities: Capabilities {
            limit_markers: true,
            other_buckets: false,
        },
        connect: Box::new(move || Box::pin(std::future::ready(other.clone()))),
        wait: |time| Box::pin(tokio::time::sleep(time)),
        pass: Box::new(move |time| {
            clock.advance(time);
            Box::pin(std::future::ready(()))
        }),
        tag: case.replace("::", "-"),
        buckets: Cell::new(0),
    }
}

async fn run<F: Future<Output = Outcome>>(name: &str, case: impl FnOnce(Env) -> F) {
    let limit = Duration::from_secs(60);
    let outcome = tokio::time::timeout(limit, case(env(name))).await;
    outcome.expect("the case should end in time").unwrap();
}

macro_rules! on_memory {
    ([] $($module:ident { $($case:ident)* })*) => {$(
        mod $module {
            $(
                #[tokio::test]
                async fn $case() {
                    let name = concat!(stringify!($module), "-", stringify!($case));
                    crate::run(name, crate::conformance::$module::$case).await;
                }
            )*
        }
    )*};
}
conformance_cases!(on_memory);
