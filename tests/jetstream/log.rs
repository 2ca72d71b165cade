//! The log.

use std::{
    fmt::{Debug, Write},
    sync::{Arc, Mutex},
};

use futures::future::join_all;
use harness::LATEST;
use shizuku::kv::KvWriteError;
use tracing::{
    Event, Metadata, Subscriber,
    field::{Field, Visit},
    span,
};

use crate::{assert_refused, current, interrupted, proxy::Proxy, server};

/// Collects the library's log events, one per line, while it is the thread's subscriber. So a test
/// that uses it must run on one thread.
#[derive(Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    /// Whether any line contains all of these.
    pub(crate) fn has(&self, parts: &[&str]) -> bool {
        let lines = self.0.lock().unwrap();
        let mut lines = lines.iter();
        lines.any(|line| parts.iter().all(|part| line.contains(part)))
    }
}

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        // Writing into a String cannot fail.
        let _ = write!(self.0, " {}={value:?}", field.name());
    }
}

impl Subscriber for Log {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("shizuku")
    }

    fn event(&self, event: &Event<'_>) {
        let mut line = Line(event.metadata().level().to_string());
        event.record(&mut line);
        self.0.lock().unwrap().push(line.0);
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
    fn enter(&self, _: &span::Id) {}
    fn exit(&self, _: &span::Id) {}
}

#[tokio::test]
async fn reconnects_watch_restarts_and_conflicts_are_logged() {
    let log = Log::default();
    let _guard = tracing::subscriber::set_default(log.clone());
    let server = server(LATEST).await;
    let proxy = Proxy::start(&server.url()).await;
    let client = shizuku::connect(&proxy.url).await.unwrap();
    let store = client.create_bucket("told").await.unwrap();
    let watch = store.watch_all().await.unwrap();
    current(&watch).await;
    assert!(!log.has(&["a watch restarts"]));

    proxy.cut();
    interrupted(&watch).await;
    proxy.mend();
    current(&watch).await;
    assert!(log.has(&["INFO", "connection", "state=Disconnected"]));
    assert!(log.has(&["INFO", "connection", "state=Connected", "epoch=2"]));
    assert!(log.has(&["INFO", "a watch restarts", "bucket=told"]));

    assert_refused!(store.update("a", "1", 9).await, KvWriteError::Conflict(_));
    assert!(log.has(&["DEBUG", "bucket=told", "key=a", "code="]));
    let updates = (0..8).map(|n: u32| store.update_with("b", move |_| Some(n.to_string())));
    for updated in join_all(updates).await {
        updated.unwrap();
    }
    assert!(log.has(&["DEBUG", "lost a race", "bucket=told", "key=b", "attempts=1"]));
}
