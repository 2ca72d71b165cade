//! What only a cluster shows.

use std::{
    fmt::Debug,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use futures::future::join_all;
use harness::{Cluster, LATEST};
use shizuku::kv::{BucketConfig, KvWriteError};
use tracing::{
    Event, Metadata, Subscriber,
    field::{Field, Visit},
    span,
};

/// Counts the lost races that the server told of with code 10164: it is a debug event's field and
/// nowhere else, as to a program one lost race is like another.
#[derive(Clone, Default)]
struct InFlight(Arc<AtomicUsize>);

impl Visit for InFlight {
    fn record_u64(&mut self, field: &Field, value: u64) {
        if (field.name(), value) == ("code", 10164) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn record_debug(&mut self, _: &Field, _: &dyn Debug) {}
}

impl Subscriber for InFlight {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("shizuku")
    }

    fn event(&self, event: &Event<'_>) {
        event.record(&mut self.clone());
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
    fn enter(&self, _: &span::Id) {}
    fn exit(&self, _: &span::Id) {}
}

// On one thread, as the subscriber is.
#[tokio::test]
async fn a_race_with_a_write_that_is_still_under_way_is_a_lost_race() {
    let cluster = Cluster::start(3, LATEST).await.unwrap();
    let client = shizuku::connect(cluster.url()).await.unwrap();
    let mut config = BucketConfig::new("b");
    config.replicas = 3;
    let store = client.create_bucket(config).await.unwrap();

    let in_flight = InFlight::default();
    let _guard = tracing::subscriber::set_default(in_flight.clone());
    let mut revision = store.put("a", "0").await.unwrap();
    // Which of the two codes the leader answers with is a matter of timing.
    for round in 0..200 {
        let racers = (0..32).map(|n| store.update("a", format!("{round}.{n}"), revision));
        let mut won = Vec::new();
        for outcome in join_all(racers).await {
            match outcome {
                Ok(revision) => won.push(revision),
                Err(KvWriteError::Conflict(conflict)) => assert_eq!(conflict.key, "a"),
                Err(other) => panic!("{other:?}"),
            }
        }
        assert_eq!(won.len(), 1, "{won:?}");
        revision = won[0];
        if in_flight.0.load(Ordering::Relaxed) > 0 {
            return;
        }
    }
    panic!("no race was lost to a write under way");
}
