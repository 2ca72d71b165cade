//! The same messages without a lock: a lower bound for every lock built on them.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use async_nats::{
    HeaderMap, Subscriber,
    jetstream::{self, consumer},
};
use futures::StreamExt;
use harness::NatsServer;

/// A connection with a consumer that delivers echoes.
pub(crate) struct ByHand {
    nats: async_nats::Client,
    peer: jetstream::Context,
    lock: String,
    echoes: Subscriber,
    /// Unique, and as long as a participant's.
    session: String,
    next: u32,
}

impl ByHand {
    pub(crate) async fn new(server: &NatsServer, lock: &str) -> Self {
        let nats = async_nats::connect(server.url()).await.unwrap();
        let peer = jetstream::new(nats.clone());
        let (echoes, create) = watch(&nats, &peer, lock).await;
        create.await;
        static SESSIONS: AtomicU64 = AtomicU64::new(0);
        Self {
            nats,
            peer,
            lock: lock.to_owned(),
            echoes,
            session: format!("{:024x}", SESSIONS.fetch_add(1, Ordering::Relaxed)),
            next: 0,
        }
    }

    /// A key as long as a lock's.
    fn key(&mut self) -> String {
        let lock = self.lock.clone();
        self.key_of(&lock)
    }

    fn key_of(&mut self, lock: &str) -> String {
        self.next += 1;
        format!("$KV.bench.{lock}.{}-{}", self.session, self.next)
    }

    async fn enter(&self, key: &str) -> jetstream::context::PublishAckFuture {
        let mut headers = HeaderMap::new();
        headers.insert("Nats-TTL", "15");
        let value = br#"{"v":1,"m":"w","l":15,"w":0}"#[..].into();
        let sent = self
            .peer
            .publish_with_headers(key.to_owned(), headers, value);
        sent.await.unwrap()
    }

    pub(crate) async fn leave(
        &self,
        key: &str,
        revision: Option<u64>,
    ) -> jetstream::context::PublishAckFuture {
        let mut headers = HeaderMap::new();
        headers.insert("KV-Operation", "PURGE");
        headers.insert("Nats-Rollup", "sub");
        headers.insert("Nats-TTL", "5");
        if let Some(revision) = revision {
            headers.insert("Nats-Expected-Last-Subject-Sequence", revision.to_string());
        }
        let sent = self
            .peer
            .publish_with_headers(key.to_owned(), headers, "".into());
        sent.await.unwrap()
    }

    /// Acquires and releases without a watch; returns the duration of each.
    pub(crate) async fn turn(&mut self) -> (Duration, Duration) {
        let key = self.key_of("alone");
        let start = Instant::now();
        let ack = self.enter(&key).await.await.unwrap();
        let acquired = start.elapsed();
        let start = Instant::now();
        let left = self.leave(&key, Some(ack.sequence)).await;
        left.await.unwrap();
        (acquired, start.elapsed())
    }

    /// The requests of a first acquire: the entry, and then a read of all entries.
    pub(crate) async fn cold(&mut self, lock: &str) -> Duration {
        let entry = self.key_of(lock);
        let start = Instant::now();
        let ack = self.enter(&entry).await.await.unwrap();
        let inbox = self.nats.new_inbox();
        let mut shown = self.nats.subscribe(inbox.clone()).await.unwrap();
        let all = format!(r#"{{"multi_last":["$KV.bench.{lock}.*"]}}"#);
        let get = "$JS.API.DIRECT.GET.KV_bench";
        let asked = self.nats.publish_with_reply(get, inbox, all.into());
        asked.await.unwrap();
        while shown.next().await.unwrap().status.is_none() {}
        let acquired = start.elapsed();
        let left = self.leave(&entry, Some(ack.sequence)).await;
        left.await.unwrap();
        acquired
    }

    /// Two connections queue alternately, and signal each other alternately that they leave.
    /// Returns the time of all turns, until the last is acknowledged.
    pub(crate) async fn hand_off(one: &mut Self, other: &mut Self, turns: u32) -> Duration {
        let mut ends = [one, other];
        let mut queue = Vec::new();
        for turn in 0..turns as usize {
            let from = &mut ends[turn % 2];
            let key = from.key();
            from.enter(&key).await.await.unwrap();
            queue.push(key);
        }
        for end in &mut ends {
            for key in &queue {
                echo(&mut end.echoes, key).await;
            }
        }
        let start = Instant::now();
        let mut acks = Vec::new();
        for (turn, key) in queue.iter().enumerate() {
            acks.push(ends[turn % 2].leave(key, None).await);
            echo(&mut ends[(turn + 1) % 2].echoes, key).await;
        }
        for ack in acks {
            ack.await.unwrap();
        }
        start.elapsed()
    }
}

/// The subscription of a consumer like ours, and a future that creates the consumer.
async fn watch(
    nats: &async_nats::Client,
    peer: &jetstream::Context,
    lock: &str,
) -> (Subscriber, impl Future<Output = ()> + use<>) {
    let inbox = nats.new_inbox();
    let echoes = nats.subscribe(inbox.clone()).await.unwrap();
    let config = consumer::push::Config {
        deliver_subject: inbox,
        deliver_policy: consumer::DeliverPolicy::LastPerSubject,
        filter_subject: format!("$KV.bench.{lock}.*"),
        ack_policy: consumer::AckPolicy::None,
        flow_control: true,
        idle_heartbeat: Duration::from_secs(5),
        inactive_threshold: Duration::from_secs(300),
        num_replicas: 1,
        memory_storage: true,
        ..Default::default()
    };
    let peer = peer.clone();
    let create = async move {
        peer.create_consumer_on_stream(config, "KV_bench")
            .await
            .unwrap();
    };
    (echoes, create)
}

async fn echo(echoes: &mut Subscriber, key: &str) {
    loop {
        let message = echoes.next().await.unwrap();
        if message.status.is_none() && *message.subject == *key {
            return;
        }
    }
}
