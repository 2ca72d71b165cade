//! Conditional writes.

use futures::future::{join_all, try_join_all};
use shizuku::{
    Store,
    kv::{Conflict, Expect, KvWriteError, PutOptions, RemoveOptions, UpdateOptions},
};

use super::{Env, Outcome, history};
use crate::assert_refused;

/// The conflict of a write that must have failed with one.
fn conflict<T: std::fmt::Debug>(result: Result<T, KvWriteError>) -> Conflict {
    match result {
        Err(KvWriteError::Conflict(conflict)) => conflict,
        other => panic!("no conflict but {other:?}"),
    }
}

async fn increment(store: &Store, times: u32) -> Result<(), KvWriteError> {
    for _ in 0..times {
        store
            .update_with("count", |current| {
                let value = current.and_then(|entry| entry.value).unwrap_or_default();
                let count: u32 = std::str::from_utf8(&value).unwrap().parse().unwrap_or(0);
                Some((count + 1).to_string())
            })
            .await?;
    }
    Ok(())
}

pub(crate) async fn create_succeeds_only_once(env: Env) -> Outcome {
    let store = env.bucket().await?;
    let revision = store.create("a", "1").await?;
    let lost = conflict(store.create("a", "2").await);
    assert_eq!(lost.key, "a");
    assert_eq!(lost.expected, Expect::Absent);
    assert_eq!(lost.actual, Some(revision));
    assert_eq!(store.get("a").await?.unwrap(), "1");
    Ok(())
}

pub(crate) async fn create_succeeds_over_removed_keys(env: Env) -> Outcome {
    let store = env.bucket_with(|config| config.history = 5).await?;
    store.create("a", "1").await?;
    store.delete("a").await?;
    store.create("a", "2").await?;
    store.purge("a").await?;
    store.create("a", "3").await?;
    assert_eq!(history(&store, "a").await?, ["a:Purge", "a=3"]);
    conflict(store.create("a", "4").await);
    Ok(())
}

pub(crate) async fn update_requires_the_latest_revision(env: Env) -> Outcome {
    let store = env.bucket().await?;
    let first = store.put("a", "1").await?;
    store.put("b", "in between").await?;
    let second = store.update("a", "2", first).await?;
    assert!(second > first);
    conflict(store.update("a", "3", first).await);
    store.update("a", "4", second).await?;
    assert_eq!(store.get("a").await?.unwrap(), "4");
    Ok(())
}

pub(crate) async fn a_conflict_reports_the_actual_revision(env: Env) -> Outcome {
    let store = env.bucket().await?;
    let lost = conflict(store.update("a", "1", 7).await);
    assert_eq!((lost.expected, lost.actual), (Expect::Revision(7), Some(0)));
    let revision = store.put("a", "1").await?;
    let lost = conflict(store.update("a", "1", 7).await);
    assert_eq!(lost.actual, Some(revision));
    let revision = store.delete("a").await?;
    let lost = conflict(store.update("a", "1", 7).await);
    assert_eq!(lost.actual, Some(revision), "of a removal too");
    let text = KvWriteError::from(lost).to_string();
    assert!(text.contains("key a") && text.contains('7'), "{text}");
    Ok(())
}

pub(crate) async fn revision_zero_expects_no_revision_not_even_a_marker(env: Env) -> Outcome {
    let store = env.bucket().await?;
    let first = store.update("a", "1", 0).await?;
    let lost = conflict(store.update("a", "2", 0).await);
    assert_eq!(lost.actual, Some(first));
    let removed = store.delete("a").await?;
    let lost = conflict(store.update("a", "2", 0).await);
    assert_eq!(lost.actual, Some(removed));
    Ok(())
}

pub(crate) async fn removals_can_be_conditional(env: Env) -> Outcome {
    let store = env.bucket().await?;
    for options in [RemoveOptions::delete(), RemoveOptions::purge()] {
        let first = store.put("a", "1").await?;
        let second = store.put("a", "2").await?;
        let at = |revision| options.clone().expect(Expect::Revision(revision));
        let lost = conflict(store.remove_with("a", at(first)).await);
        assert_eq!(lost.actual, Some(second));
        assert_eq!(store.get("a").await?.unwrap(), "2");
        store.remove_with("a", at(second)).await?;
        assert_eq!(store.get("a").await?, None);
        // Revision 0 succeeds only if there is nothing, not even a marker, and leaves a marker.
        let marked = conflict(store.remove_with("a", at(0)).await);
        assert!(marked.actual > Some(second));
        let never_written = format!("b.{first}");
        store.remove_with(&*never_written, at(0)).await?;
        conflict(store.remove_with(&*never_written, at(0)).await);
    }
    Ok(())
}

pub(crate) async fn a_refused_write_changes_nothing(env: Env) -> Outcome {
    let store = env.bucket().await?;
    let revision = store.put("a", "1").await?;
    conflict(store.update("a", "2", 9).await);
    conflict(store.create("a", "2").await);
    let options = RemoveOptions::purge().expect(Expect::Revision(9));
    conflict(store.remove_with("a", options).await);
    assert_eq!(store.entry("a").await?.unwrap().revision, revision);
    assert_eq!(store.status().await?.last_revision, revision);
    Ok(())
}

pub(crate) async fn one_of_many_concurrent_creates_wins(env: Env) -> Outcome {
    let store = env.bucket().await?;
    for removed in [false, true] {
        if removed {
            store.delete("a").await?;
        }
        let creates = (0..32).map(|n| store.create("a", n.to_string()));
        let results = env.soon("32 creates", join_all(creates)).await;
        let mut winner = None;
        for (n, result) in results.into_iter().enumerate() {
            match result {
                Ok(_) => assert!(winner.replace(n).is_none(), "two have won"),
                lost => _ = conflict(lost),
            }
        }
        let value = store.get("a").await?.unwrap();
        assert_eq!(value, winner.unwrap().to_string());
    }
    Ok(())
}

pub(crate) async fn one_of_many_concurrent_updates_wins(env: Env) -> Outcome {
    let store = env.bucket().await?;
    let mut revision = store.put("a", "start").await?;
    for round in 0..5 {
        let updates = (0..32).map(|n| store.update("a", format!("{round}.{n}"), revision));
        let results = env.soon("32 updates", join_all(updates)).await;
        let mut winners = results.into_iter().enumerate().filter_map(|(n, result)| {
            if result.is_err() {
                conflict(result);
                return None;
            }
            Some((n, result.unwrap()))
        });
        let (n, won) = winners.next().expect("one wins");
        assert!(winners.next().is_none(), "two have won");
        drop(winners);
        assert_eq!(store.get("a").await?.unwrap(), format!("{round}.{n}"));
        revision = won;
    }
    Ok(())
}

pub(crate) async fn update_with_loses_no_update(env: Env) -> Outcome {
    let store = env.bucket().await?;
    let writers = (0..8).map(|_| increment(&store, 12));
    env.soon("96 increments", try_join_all(writers)).await?;
    assert_eq!(store.get("count").await?.unwrap(), "96");
    Ok(())
}

pub(crate) async fn update_with_can_decide_to_write_nothing(env: Env) -> Outcome {
    let store = env.bucket().await?;
    let revision = store.put("a", "1").await?;
    let answer = store.update_with("a", |_| None::<String>).await?;
    assert_eq!(answer, None);
    assert_eq!(store.status().await?.last_revision, revision);
    Ok(())
}

pub(crate) async fn update_with_sees_removed_keys_as_none(env: Env) -> Outcome {
    let store = env.bucket().await?;
    store.put("a", "old").await?;
    store.delete("a").await?;
    let answer = store
        .update_with("a", |current| current.is_none().then_some("new"))
        .await?;
    assert_eq!(answer, Some(3));
    assert_eq!(store.get("a").await?.unwrap(), "new");
    Ok(())
}

pub(crate) async fn update_with_stops_at_an_error(env: Env) -> Outcome {
    let store = env
        .bucket_with(|config| config.max_value_size = Some(100))
        .await?;
    let mut calls = 0;
    let result = store
        .update_with("a", |_| {
            calls += 1;
            Some("x".repeat(200))
        })
        .await;
    assert_refused!(result, KvWriteError::TooLarge { .. });
    assert_eq!(calls, 1, "only a lost race is worth another try");
    let options = PutOptions::new().expect(Expect::Absent);
    store.put_with("a", "short", options).await?;
    Ok(())
}

pub(crate) async fn update_with_gives_up_after_the_maximum_attempts(env: Env) -> Outcome {
    let store = env.bucket().await?;
    // One attempt means exactly one.
    for most in [1, 2] {
        gives_up_after(&env, &store, most).await;
    }
    Ok(())
}

async fn gives_up_after(env: &Env, store: &Store, most: usize) {
    let before = store.status().await.unwrap().last_revision;
    let options = UpdateOptions::new().attempts(most);
    let updates = (0..32).map(|n| {
        let update = move |_| Ok::<_, KvWriteError>(Some(n.to_string()));
        store.try_update_with("a", options.clone(), update)
    });
    let results = env.soon("32 updates", join_all(updates)).await;
    let won = results.iter().filter(|result| result.is_ok()).count();
    assert!((1..32).contains(&won), "{won} of 32 have won");
    for error in results.into_iter().filter_map(Result::err) {
        assert!(error.conflict().is_some() && !error.is_retryable());
        assert!(error.to_string().contains("key a"), "{error}");
        assert_refused!(
            Err::<(), _>(error),
            KvWriteError::Contention { attempts, last } if last.key == "a" && attempts == most
        );
    }
    let after = store.status().await.unwrap().last_revision;
    assert_eq!(after - before, won as u64);
}
