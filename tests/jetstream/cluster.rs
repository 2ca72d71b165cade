//! Behaviour that only a cluster shows.

use std::time::{Duration, Instant};

use futures::future::{join, join_all, try_join_all};
use harness::{Cluster, LATEST, NatsServer};
use shizuku::{
    ConnectOptions,
    kv::{BucketConfig, BucketError, KeyValueRead, KvWriteError, Placement, ServiceError},
};

use crate::{PATIENCE, admin, assert_refused, keys, log::Log};

// On one thread, because the log's subscriber is per thread.
#[tokio::test]
async fn both_conflict_codes_of_a_cluster_are_conflicts() {
    let cluster = Cluster::start(3, LATEST).await.unwrap();
    let client = shizuku::connect(cluster.url()).await.unwrap();
    let mut config = BucketConfig::new("b");
    config.replicas = 3;
    let store = client.create_bucket(config).await.unwrap();

    // Only the log tells which code the server replied with: a program sees the same conflict for
    // both.
    let log = Log::default();
    let _guard = tracing::subscriber::set_default(log.clone());
    let mut revision = store.put("a", "0").await.unwrap();
    // Which code the leader replies with depends on timing.
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
        if log.has(&["code=10164"]) {
            return;
        }
    }
    panic!("no race was lost to a write under way");
}

#[tokio::test]
async fn replicas_and_placement_are_stored_and_compared() {
    let builder = NatsServer::builder().version(LATEST);
    let builder = builder.config("server_tags: [ssd]");
    let cluster = Cluster::start_with(3, builder).await.unwrap();
    let client = shizuku::connect(cluster.url()).await.unwrap();
    let admin = admin(&cluster.node(0).url()).await;
    let placement = |cluster: &str, tags: &[&str]| {
        let placement = Placement::new().cluster(cluster);
        Some(tags.iter().fold(placement, |all, tag| all.tag(*tag)))
    };
    let mut config = BucketConfig::new("placed").replicas(3);
    config.placement = placement("test", &[]);
    let store = client.create_bucket(&config).await.unwrap();
    let found = store.status().await.unwrap().config;
    assert_eq!((found.replicas, &found.placement), (3, &config.placement));
    client.create_bucket(&config).await.unwrap();

    // After a change of placement the server moves the stream, and writes are lost meanwhile.
    for (round, tags) in [&[][..], &["ssd"]].into_iter().enumerate() {
        let mut config = BucketConfig::new(format!("stays-{round}"));
        config.placement = placement("test", tags);
        let store = client.create_bucket(&config).await.unwrap();
        let nodes = || async {
            let info = admin.get_stream(format!("KV_stays-{round}")).await.unwrap();
            let cluster = info.cached_info().cluster.clone().unwrap();
            let replicas = cluster.replicas.iter().map(|replica| replica.name.clone());
            cluster
                .leader
                .into_iter()
                .chain(replicas)
                .collect::<Vec<_>>()
        };
        let before = nodes().await;
        config.description = "changed".into();
        client.create_or_update_bucket(&config).await.unwrap();
        assert_eq!(nodes().await, before);
        store.put("a", "1").await.unwrap();
    }

    config.placement = None;
    config.replicas = 1;
    let error = client.create_bucket(&config).await.unwrap_err();
    let BucketError::Mismatch { differences, .. } = error else {
        panic!("{error:?}");
    };
    let names: Vec<_> = differences.iter().map(|found| found.setting).collect();
    assert_eq!(names, ["replicas", "placement"]);

    for nowhere in [placement("other", &[]), placement("test", &["hdd"])] {
        let mut config = BucketConfig::new("nowhere");
        config.placement = nowhere;
        assert_refused!(
            client.create_bucket(config).await,
            BucketError::Service(ServiceError::Refused { .. })
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_creates_in_a_cluster_both_get_the_bucket() {
    let cluster = Cluster::start(3, LATEST).await.unwrap();
    // On a busy machine, electing the leader of a new stream takes seconds.
    let patient = ConnectOptions::new().request_timeout(PATIENCE);
    let one = patient
        .clone()
        .connect(cluster.node(0).url())
        .await
        .unwrap();
    let two = patient.connect(cluster.node(1).url()).await.unwrap();
    for round in 0..15 {
        let config = BucketConfig::new(format!("same-{round}")).replicas(3);
        let (made, found) = join(one.create_bucket(&config), two.create_bucket(&config)).await;
        made.unwrap();
        found.unwrap();
        let config = BucketConfig::new(format!("updated-{round}")).replicas(3);
        let longer = config.clone().history(if round % 2 == 0 { 5 } else { 1 });
        let (made, updated) = join(
            one.create_or_update_bucket(&config),
            two.create_or_update_bucket(&longer),
        )
        .await;
        made.unwrap();
        updated.unwrap();
    }
}

/// Any replica may host a consumer, and one that was offline may lack messages.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_incomplete_replica_is_not_trusted() {
    let cluster = Cluster::start(3, LATEST).await.unwrap();
    let client = shizuku::connect(cluster.url()).await.unwrap();
    let config = BucketConfig::new("b").replicas(3);
    client.create_bucket(&config).await.unwrap();
    let leader = cluster.leader_of("KV_b").await.unwrap();
    let client = shizuku::connect(leader.url()).await.unwrap();
    let store = client.open_bucket("b").await.unwrap();
    let mut others = cluster.nodes().iter();
    let away = others.find(|node| node.name() != leader.name()).unwrap();
    store.put("first", "old").await.unwrap();
    away.stop().await.unwrap();
    let value = vec![b'x'; 500_000];
    let fill = (0..160).map(|n| store.put(format!("fill.{n}"), value.clone()));
    try_join_all(fill).await.unwrap();
    store.put("first", "new").await.unwrap();
    // The other two must have finished with it.
    tokio::time::sleep(Duration::from_secs(1)).await;
    away.restart().await.unwrap();
    let came = Instant::now();
    let mut looks = 0;
    while came.elapsed() < Duration::from_secs(4) {
        let first = String::live(&store, "first").await.unwrap();
        assert_eq!(
            first.get().as_deref().map(String::as_str),
            Some("new"),
            "{looks}"
        );
        assert_eq!(keys(&store).await.len(), 161, "{looks}");
        let history = store.history("first").await.unwrap();
        let last = history.last().and_then(|entry| entry.value.as_deref());
        assert_eq!(last, Some(&b"new"[..]), "{looks}");
        looks += 1;
    }
    assert!(looks > 3, "{looks}");
}
