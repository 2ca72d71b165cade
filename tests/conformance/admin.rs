//! Creating, opening, updating, listing and deleting buckets; closing clients.

use std::time::Duration;

use futures::{
    FutureExt, TryStreamExt,
    future::{join, join_all, try_join_all},
};
use shizuku::{
    Client, ConnectionState,
    kv::{
        BoxError, BucketError, BucketName, KvReadError, KvWriteError, ServiceError, Storage,
        WatchEvent,
    },
};

use super::{Env, Outcome, history};
use crate::assert_refused;

async fn names(env: &Env) -> Result<Vec<BucketName>, BoxError> {
    Ok(env.client.bucket_names().try_collect().await?)
}

pub(crate) async fn create_is_idempotent(env: Env) -> Outcome {
    let config = env.fresh_config(|config| {
        config.history = 3;
        config.description = "again".into();
        config.max_age = Some(Duration::from_secs(3600));
        config.max_value_size = Some(1000);
        config.max_bytes = Some(1_000_000);
        config.metadata.insert("team".into(), "blue".into());
    });
    let first = env.client.create_bucket(config.clone()).await?;
    first.put("a", "1").await?;
    let again = env.client.create_bucket(config).await?;
    assert_eq!(again.get("a").await?.unwrap(), "1");
    Ok(())
}

pub(crate) async fn create_reports_which_settings_differ(env: Env) -> Outcome {
    let mut config = env.fresh_config(|config| config.history = 3);
    env.client.create_bucket(config.clone()).await?;
    config.history = 5;
    config.description = "other".into();
    config.max_age = Some(Duration::from_secs(60));
    match env.client.create_bucket(config.clone()).await {
        Err(BucketError::Mismatch {
            bucket,
            differences,
        }) => {
            assert_eq!(bucket, config.name.as_str());
            let mut settings: Vec<_> = differences.iter().map(|found| found.setting).collect();
            settings.sort_unstable();
            assert_eq!(settings, ["description", "history", "max_age"]);
            let history = differences.iter().find(|found| found.setting == "history");
            assert_eq!(history.unwrap().to_string(), "history is 3, not 5");
        }
        other => panic!("no mismatch but {other:?}"),
    }
    let store = env.client.open_bucket(&config.name).await?;
    assert_eq!(
        store.status().await?.config.history,
        3,
        "nothing has changed"
    );
    Ok(())
}

pub(crate) async fn create_or_update_applies_new_settings(env: Env) -> Outcome {
    let mut config = env.fresh_config(|_| {});
    let store = env.client.create_or_update_bucket(config.clone()).await?;
    store.put("a", "1").await?;
    config.history = 7;
    config.description = "new".into();
    config.max_value_size = Some(10);
    config.metadata.insert("team".into(), "blue".into());
    env.client.create_or_update_bucket(config.clone()).await?;
    let status = store.status().await?;
    assert_eq!(status.config.history, 7);
    assert_eq!(status.config.description, "new");
    assert_eq!(status.config.metadata["team"], "blue");
    assert_eq!(store.get("a").await?.unwrap(), "1");
    assert_refused!(
        store.put("a", "x".repeat(11)).await,
        KvWriteError::TooLarge { .. }
    );
    env.client.create_bucket(config).await?;
    Ok(())
}

pub(crate) async fn update_bucket_keeps_all_other_settings(env: Env) -> Outcome {
    let mut config = env.fresh_config(|config| {
        config.history = 5;
        config.max_age = Some(Duration::from_secs(3600));
        config.max_value_size = Some(1000);
    });
    let name = config.name.clone();
    assert_refused!(
        env.client.update_bucket(&name, |_| ()).await,
        BucketError::Service(ServiceError::BucketNotFound { .. })
    );
    let store = env.client.create_bucket(config.clone()).await?;
    for value in ["1", "2", "3"] {
        store.put("a", value).await?;
    }
    let update = env.client.update_bucket(&name, |config| {
        config.description = "changed".into();
        config.name = "other".into();
    });
    let changed = update.await?;
    assert_eq!(changed.bucket(), name.as_str());
    assert_eq!(history(&store, "a").await?.len(), 3);
    config.description = "changed".into();
    env.client.create_bucket(config).await?;
    Ok(())
}

pub(crate) async fn a_shorter_history_drops_the_oldest_revisions(env: Env) -> Outcome {
    let mut config = env.fresh_config(|config| config.history = 5);
    let store = env.client.create_bucket(config.clone()).await?;
    for value in ["1", "2", "3"] {
        store.put("a", value).await?;
    }
    config.history = 2;
    env.client.create_or_update_bucket(config).await?;
    assert_eq!(history(&store, "a").await?, ["a=2", "a=3"]);
    Ok(())
}

pub(crate) async fn storage_cannot_change(env: Env) -> Outcome {
    let mut config = env.fresh_config(|_| {});
    env.client.create_bucket(config.clone()).await?;
    config.storage = Storage::Memory;
    assert_refused!(
        env.client.create_or_update_bucket(config).await,
        BucketError::Service(ServiceError::Refused {
            code: Some(10052),
            ..
        })
    );
    Ok(())
}

pub(crate) async fn concurrent_creates_both_get_the_bucket(env: Env) -> Outcome {
    let other = (env.connect)().await;
    for _ in 0..20 {
        let config = env.fresh_config(|config| config.history = 3);
        let (one, two) = futures::try_join!(
            env.client.create_bucket(&config),
            other.create_bucket(&config)
        )?;
        one.put("a", "1").await?;
        assert_eq!(two.get("a").await?.unwrap(), "1");
        env.client.delete_bucket(&config.name).await?;
    }
    Ok(())
}

pub(crate) async fn concurrent_create_or_updates_both_succeed(env: Env) -> Outcome {
    let other = (env.connect)().await;
    for _ in 0..20 {
        let config = env.fresh_config(|config| config.history = 3);
        let longer = config.clone().history(5);
        let (one, two) = futures::try_join!(
            env.client.create_or_update_bucket(&config),
            other.create_or_update_bucket(&longer)
        )?;
        let history = one.status().await?.config.history;
        assert!([3, 5].contains(&history), "{history} is of neither");
        assert_eq!(two.status().await?.config.history, history);
        env.client.delete_bucket(&config.name).await?;
    }
    Ok(())
}

pub(crate) async fn open_finds_a_created_bucket(env: Env) -> Outcome {
    let store = env.bucket_with(|config| config.history = 3).await?;
    store.put("a", "1").await?;
    let opened = env.client.open_bucket(store.bucket()).await?;
    assert_eq!(opened.bucket(), store.bucket());
    assert_eq!(opened.get("a").await?.unwrap(), "1");
    assert_eq!(opened.status().await?.config.history, 3);
    Ok(())
}

pub(crate) async fn a_missing_bucket_is_not_found(env: Env) -> Outcome {
    let name = env.fresh_name();
    for error in [
        env.client.open_bucket(&name).await.err().unwrap(),
        env.client.delete_bucket(&name).await.err().unwrap(),
    ] {
        match error {
            BucketError::Service(ServiceError::BucketNotFound { bucket }) => {
                assert_eq!(bucket, name.as_str());
            }
            other => panic!("{other:?}"),
        }
    }
    Ok(())
}

pub(crate) async fn bucket_names_are_listed_once(env: Env) -> Outcome {
    let mut made = Vec::new();
    for _ in 0..5 {
        made.push(env.bucket().await?.bucket().clone());
    }
    let listed = names(&env).await?;
    for name in &made {
        let times = listed.iter().filter(|listed| *listed == name).count();
        assert_eq!(times, 1, "{name}");
    }
    env.client.delete_bucket(&made[0]).await?;
    let listed = names(&env).await?;
    assert!(!listed.contains(&made[0]) && listed.contains(&made[1]));
    Ok(())
}

pub(crate) async fn a_deleted_bucket_is_not_found_by_its_stores(env: Env) -> Outcome {
    let store = env.bucket().await?;
    store.put("a", "1").await?;
    env.client.delete_bucket(store.bucket()).await?;
    assert_refused!(
        store.get("a").await,
        KvReadError::Service(ServiceError::BucketNotFound { .. })
    );
    assert_refused!(
        store.get_many(["a", "b"]).await,
        KvReadError::Service(ServiceError::BucketNotFound { .. })
    );
    assert_refused!(
        store.put("a", "1").await,
        KvWriteError::Service(ServiceError::BucketNotFound { .. })
    );
    assert_refused!(
        store.delete("a").await,
        KvWriteError::Service(ServiceError::BucketNotFound { .. })
    );
    assert_refused!(
        store.status().await,
        BucketError::Service(ServiceError::BucketNotFound { .. })
    );
    Ok(())
}

pub(crate) async fn a_store_works_on_a_recreated_bucket_of_the_same_name(env: Env) -> Outcome {
    let store = env.bucket().await?;
    store.put("a", "1").await?;
    env.client.delete_bucket(store.bucket()).await?;
    env.client.create_bucket(store.bucket().as_str()).await?;
    assert_eq!(store.get("a").await?, None);
    assert_eq!(store.put("a", "2").await?, 1);
    Ok(())
}

pub(crate) async fn two_clients_see_each_others_writes(env: Env) -> Outcome {
    let store = env.bucket().await?;
    let other = (env.connect)().await;
    let other = other.open_bucket(store.bucket()).await?;
    let watch = other.watch("a").await?;
    let revision = store.put("a", "1").await?;
    assert_eq!(env.next(&watch).await, "a=1");
    other.update("a", "2", revision).await?;
    assert_refused!(
        store.update("a", "3", revision).await,
        KvWriteError::Conflict(_)
    );
    Ok(())
}

pub(crate) async fn calls_on_a_closed_client_fail_with_closed(env: Env) -> Outcome {
    let store = env.bucket().await?;
    let watch = store.watch_all().await?;
    assert!(env.initial(&watch).await.is_empty());
    store.put("a", "1").await?;
    assert_eq!(env.next(&watch).await, "a=1");
    env.soon("close", env.client.close()).await?;
    loop {
        match env.soon("end of the watch", watch.next_event()).await {
            Some(Ok(WatchEvent::Interrupted)) => {}
            Some(Err(KvReadError::Service(ServiceError::Closed))) => break,
            other => panic!("no end but {other:?}"),
        }
    }
    let closed = env.soon("refusal", store.get("a")).await;
    assert_refused!(closed, KvReadError::Service(ServiceError::Closed));
    let closed = env.soon("refusal", store.put("a", "1")).await;
    assert_refused!(closed, KvWriteError::Service(ServiceError::Closed));
    let closed = env.soon("refusal", env.client.open_bucket("a")).await;
    assert_refused!(closed, BucketError::Service(ServiceError::Closed));
    Ok(())
}

pub(crate) async fn closing_is_idempotent(env: Env) -> Outcome {
    env.bucket().await?;
    for _ in 0..3 {
        env.soon("close", env.client.close()).await?;
        assert_closed(&env.client);
    }
    Ok(())
}

pub(crate) async fn concurrent_closes_all_wait_until_closed(env: Env) -> Outcome {
    let store = env.bucket().await?;
    let writes = join_all((0..20).map(async |i| store.put(format!("a.{i}"), "1").await));
    let closing = try_join_all((0..3).map(async |_| {
        env.client.close().await?;
        assert_closed(&env.client);
        Ok::<_, ServiceError>(())
    }));
    let (writes, closed) = env.soon("end", join(writes, closing)).await;
    closed?;
    for refused in writes.into_iter().filter(Result::is_err) {
        assert_refused!(refused, KvWriteError::Service(ServiceError::Closed));
    }
    Ok(())
}

pub(crate) async fn a_cancelled_close_can_be_repeated(env: Env) -> Outcome {
    let store = env.bucket().await?;
    let watch = store.watch_all().await?;
    assert!(env.initial(&watch).await.is_empty());
    for _ in 0..3 {
        // Started, then dropped.
        _ = env.client.close().now_or_never();
    }
    env.soon("close", env.client.close()).await?;
    assert_closed(&env.client);
    loop {
        match env.soon("end of the watch", watch.next_event()).await {
            Some(Ok(WatchEvent::Interrupted)) => {}
            Some(Err(KvReadError::Service(ServiceError::Closed))) => return Ok(()),
            other => panic!("no end but {other:?}"),
        }
    }
}

fn assert_closed(client: &Client) {
    let state = client.connection().current().state;
    assert_eq!(state, ConnectionState::Closed);
}
