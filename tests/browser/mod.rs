//! Helpers that tests in a page need, and the cases for browsers only.

mod cases;
pub(crate) mod control;

use std::{pin::pin, time::Duration};

use futures::future::{Either, select};

pub(crate) async fn sleep(time: Duration) {
    gloo_timers::future::sleep(time).await;
}

/// Awaits a future, within a time limit.
pub(crate) async fn within<T>(limit: Duration, future: impl Future<Output = T>) -> T {
    match select(pin!(future), pin!(sleep(limit))).await {
        Either::Left((result, _)) => result,
        Either::Right(_) => panic!("not within {limit:?}"),
    }
}

/// A number that no earlier run on the same server has used.
pub(crate) fn unique() -> u32 {
    (js_sys::Math::random() * 1e9) as u32
}
