//! What the tests need of the page, and the cases that only a browser can show.

mod cases;
pub(crate) mod control;

use std::{pin::pin, time::Duration};

use futures::future::{Either, select};

/// Waits.
pub(crate) async fn sleep(time: Duration) {
    gloo_timers::future::sleep(time).await;
}

/// What a future gives, in time.
pub(crate) async fn within<T>(limit: Duration, future: impl Future<Output = T>) -> T {
    match select(pin!(future), pin!(sleep(limit))).await {
        Either::Left((result, _)) => result,
        Either::Right(_) => panic!("not within {limit:?}"),
    }
}

/// Something that no earlier run on the same server had.
pub(crate) fn unique() -> u32 {
    (js_sys::Math::random() * 1e9) as u32
}
