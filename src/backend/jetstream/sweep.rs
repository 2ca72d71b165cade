//! After an interruption, finds keys that a watch has shown and that are gone without a trace.

use std::{sync::Arc, time::Duration};

use futures::StreamExt;

use super::{
    bucket::Bucket,
    get_many::get_each,
    start::Plan,
    tracker::Tracker,
    watch::{Keys, Watch},
};
use crate::{
    backend::{WatchEvent, WatchRequest},
    error::ServiceError,
    kv::Read,
    platform,
};

/// The delay after a sweep that failed immediately; without it a watch would create consumers as fast as it
/// can.
const PAUSE: Duration = Duration::from_secs(1);

/// Lists the existing keys, without values, and reports them to the tracker.
pub(super) async fn sweep(
    plan: Arc<Plan>,
    mut tracker: Tracker,
) -> (Tracker, Result<(), ServiceError>) {
    let mut swept = list(&plan, &mut tracker).await;
    // Refused, for example because there are too many consumers. Then each key is queried.
    if matches!(swept, Ok(()) | Err(ServiceError::Refused { .. })) {
        let asked = ask(&plan.bucket, &mut tracker).await;
        // If that is denied, the listing has to suffice.
        if !matches!(asked, Err(ServiceError::PermissionDenied { .. })) {
            swept = asked;
        }
    }
    if let Err(
        ServiceError::Refused { .. }
        | ServiceError::JetStreamUnavailable { .. }
        | ServiceError::Malformed { .. },
    ) = swept
    {
        // The next one would fail in the same way, and just as fast.
        platform::sleep(PAUSE).await;
    }
    (tracker, swept)
}

async fn list(plan: &Plan, tracker: &mut Tracker) -> Result<(), ServiceError> {
    let request = WatchRequest::listing(true);
    let listing = Plan::new(Arc::clone(&plan.bucket), plan.filters.clone(), request);
    let mut listing = Watch::begin_with(listing, Keys::Nothing).await?;
    while let Some(event) = listing.next().await {
        match event? {
            WatchEvent::Entry(entry) => tracker.found(&entry.key),
            WatchEvent::Current | WatchEvent::Interrupted => {}
        }
    }
    Ok(())
}

/// Queries keys that were not listed. A listing comes from a replica that may be far behind the watch's,
/// and may miss a key that is written in the meantime.
async fn ask(bucket: &Arc<Bucket>, tracker: &mut Tracker) -> Result<(), ServiceError> {
    let mut answers = get_each(Arc::clone(bucket), tracker.missing(), Read::Leader);
    while let Some(answer) = answers.next().await {
        match answer {
            // A removal, too: the watch is about to show it.
            Ok(Some(entry)) => tracker.found(&entry.key),
            Ok(None) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
