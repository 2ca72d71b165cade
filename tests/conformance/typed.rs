//! Typed values.

use futures::future::try_join_all;
use serde::{Deserialize, Serialize};
use shizuku::{
    ByteSerialize, Bytes, Json, JsonByteDes, JsonByteSer, WithCauses,
    kv::{
        BoxError, Deliver, KeyIndexedValue, KeyValue, KeyValueRead, KvReadError, KvWriteError,
        PutOptions, Read, RemoveOptions, StaticKeyIndexedValue, WatchOptions,
    },
};

use super::{Env, Outcome};
use crate::assert_refused;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonByteSer, JsonByteDes)]
struct Limits {
    cpu: u32,
    note: String,
}

impl StaticKeyIndexedValue for Limits {
    fn key() -> String {
        "app.limits".into()
    }
}

fn limits(cpu: u32) -> Limits {
    Limits {
        cpu,
        note: format!("{cpu} \"ünïts\""),
    }
}

/// Checks a decoding error.
fn check(error: &KvReadError, key: &str, at: u64) {
    let KvReadError::Decode(error) = error else {
        panic!("{error:?}");
    };
    assert_eq!((error.key.as_str(), error.revision), (key, at));
    assert!(error.type_name.contains("Limits"), "{}", error.type_name);
    let text = error.to_string();
    for said in [key, &at.to_string(), "Limits", error.bucket.as_str()] {
        assert!(text.contains(said), "{text} does not say {said}");
    }
}

pub(crate) async fn typed_values_are_written_and_read(env: Env) -> Outcome {
    let store = env.bucket().await?;
    assert_eq!(Limits::read_from(&store, Limits::key()).await?, None);
    let revision = limits(4).write_to_anyway(&store).await?;
    let read = Limits::read_from(&store, "app.limits").await?;
    assert_eq!(read, Some(limits(4)));
    let entry = Limits::entry_from(&store, Limits::key()).await?.unwrap();
    assert_eq!((entry.revision, entry.value), (revision, Some(limits(4))));
    limits(5).write_to_anyway(&store).await?;
    Limits::delete_anyway(&store, Limits::key()).await?;
    assert_eq!(Limits::read_from(&store, Limits::key()).await?, None);
    Ok(())
}

pub(crate) async fn atomic_writes_report_conflicts(env: Env) -> Outcome {
    let store = env.bucket().await?;
    let first = limits(1).create_in(&store).await?;
    assert_refused!(limits(2).create_in(&store).await, KvWriteError::Conflict(_));
    let second = limits(2).write_to_atomically(&store, first).await?;
    let lost = limits(3).write_to_atomically(&store, first).await;
    let error = lost.unwrap_err();
    assert_eq!(error.conflict().unwrap().actual, Some(second));
    let lost = Limits::delete_atomically(&store, Limits::key(), first).await;
    assert_refused!(lost, KvWriteError::Conflict(_));
    assert_eq!(
        Limits::read_from(&store, Limits::key()).await?,
        Some(limits(2))
    );
    Limits::delete_atomically(&store, Limits::key(), second).await?;
    Ok(())
}

pub(crate) async fn removed_values_read_as_none(env: Env) -> Outcome {
    let store = env.bucket().await?;
    limits(1).write_to_anyway(&store).await?;
    for purge in [false, true] {
        if purge {
            store.purge(Limits::key()).await?;
        } else {
            store.delete(Limits::key()).await?;
        }
        assert_eq!(Limits::read_from(&store, Limits::key()).await?, None);
        let entry = Limits::entry_from(&store, Limits::key()).await?.unwrap();
        assert!(entry.is_removal() && entry.value.is_none());
        let watch = Limits::watch(&store, Limits::key()).await?;
        let entry = env.soon("entry", watch.next()).await.unwrap()?;
        assert!(entry.is_removal() && entry.value.is_none());
    }
    Ok(())
}

pub(crate) async fn a_value_that_does_not_decode_is_an_error(env: Env) -> Outcome {
    let store = env.bucket().await?;
    store.put("first", "1").await?;
    for text in ["", "nonsense", "{\"cpu\": -1}", "{\"cpu\": 1}"] {
        let revision = store.put(Limits::key(), text).await?;
        let error = Limits::read_from(&store, Limits::key()).await.unwrap_err();
        check(&error, "app.limits", revision);
        let error = Limits::entry_from(&store, Limits::key()).await.unwrap_err();
        check(&error, "app.limits", revision);
    }
    Ok(())
}

pub(crate) async fn a_typed_watch_continues_after_a_decoding_error(env: Env) -> Outcome {
    let store = env.bucket().await?;
    let bad = store.put("a", "nonsense").await?;
    store.put("b", limits(1).to_bytes()?).await?;
    let watch = Limits::watch(&store, ">").await?;
    let next = async || env.soon("item", watch.next()).await.unwrap();
    check(&next().await.unwrap_err(), "a", bad);
    assert_eq!(next().await?.value, Some(limits(1)));
    let bad = store.put("b", "{}").await?;
    check(&next().await.unwrap_err(), "b", bad);
    store.put("b", limits(2).to_bytes()?).await?;
    assert_eq!(next().await?.value, Some(limits(2)));
    store.delete("b").await?;
    assert!(next().await?.is_removal());
    Ok(())
}

pub(crate) async fn read_many_returns_decoding_errors_in_place(env: Env) -> Outcome {
    let store = env.bucket().await?;
    store.put("a", limits(1).to_bytes()?).await?;
    let bad = store.put("b", "nonsense").await?;
    store.put("c", limits(3).to_bytes()?).await?;
    let mut values = Vec::new();
    let mut errors = 0;
    for result in Limits::read_many(&store, ["a", "b", "c", "none"]).await? {
        match result {
            Ok(entry) => values.push(entry.value.unwrap().cpu),
            Err(error) => {
                check(&error, "b", bad);
                errors += 1;
            }
        }
    }
    values.sort_unstable();
    assert_eq!((values, errors), (vec![1, 3], 1));
    Ok(())
}

pub(crate) async fn history_is_typed(env: Env) -> Outcome {
    let store = env.bucket_with(|config| config.history = 9).await?;
    limits(1).write_to_anyway(&store).await?;
    let bad = store.put(Limits::key(), "nonsense").await?;
    store.delete(Limits::key()).await?;
    let history = Limits::history_from(&store, Limits::key()).await?;
    assert_eq!(history.len(), 3);
    assert_eq!(history[0].as_ref().unwrap().value, Some(limits(1)));
    check(history[1].as_ref().unwrap_err(), "app.limits", bad);
    assert!(history[2].as_ref().unwrap().is_removal());
    Ok(())
}

pub(crate) async fn typed_calls_take_options(env: Env) -> Outcome {
    let store = env.bucket_with(|config| config.history = 9).await?;
    let key = Limits::key;
    let absent = PutOptions::new().if_absent().header("Trace", "x");
    let first = limits(1).write_to_with(&store, absent.clone()).await?;
    let lost = limits(2).write_to_with(&store, absent).await;
    assert_refused!(lost, KvWriteError::Conflict(_));
    let last = PutOptions::new().if_revision(first);
    let second = limits(2).write_under(&store, key(), last).await?;

    let read = Limits::read_from_with(&store, key(), Read::Leader).await?;
    assert_eq!(read, Some(limits(2)));
    let entry = Limits::entry_from_with(&store, key(), Read::Leader).await?;
    assert_eq!(entry.unwrap().revision, second);
    let old = Limits::entry_at(&store, key(), first).await?.unwrap();
    assert_eq!(old.headers.get("Trace"), Some("x"));
    assert_eq!(old.value, Some(limits(1)));
    assert!(Limits::entry_at(&store, "other", first).await?.is_none());

    let options = WatchOptions::new().deliver(Deliver::History);
    let watch = Limits::watch_with(&store, ">", options).await?;
    for cpu in [1, 2] {
        let entry = env.soon("entry", watch.next()).await.unwrap()?;
        assert_eq!(entry.value, Some(limits(cpu)));
    }
    let purge = |revision| RemoveOptions::purge().if_revision(revision);
    let lost = Limits::remove_from(&store, key(), purge(first)).await;
    assert_refused!(lost, KvWriteError::Conflict(_));
    let removed = Limits::remove_from(&store, key(), purge(second)).await?;
    let last = env.soon("removal", watch.next()).await.unwrap()?;
    assert_eq!((last.revision, last.is_removal()), (removed, true));
    Ok(())
}

pub(crate) async fn update_in_loses_no_update(env: Env) -> Outcome {
    let store = env.bucket().await?;
    let writers = (0..40).map(|_| {
        Limits::update_in(&store, Limits::key(), |current| {
            Some(limits(current.map_or(0, |limits| limits.cpu) + 1))
        })
    });
    env.soon("40 updates", try_join_all(writers)).await?;
    assert_eq!(
        Limits::read_from(&store, Limits::key()).await?,
        Some(limits(40))
    );
    store.put(Limits::key(), "nonsense").await?;
    let result = Limits::update_in(&store, Limits::key(), |_| Some(limits(1))).await;
    assert_refused!(result, KvWriteError::Read(_));
    assert_eq!(store.get(Limits::key()).await?.unwrap(), "nonsense");
    Ok(())
}

/// A type that cannot be encoded.
struct Unspeakable;

impl KeyIndexedValue for Unspeakable {
    fn indexed_key(&self) -> String {
        "a".into()
    }
}

impl ByteSerialize for Unspeakable {
    fn to_bytes(&self) -> Result<Bytes, BoxError> {
        Err("words fail me".into())
    }
}

pub(crate) async fn a_value_that_does_not_encode_is_not_written(env: Env) -> Outcome {
    let store = env.bucket().await?;
    match Unspeakable.write_to_anyway(&store).await {
        Err(error @ KvWriteError::Encode { .. }) => {
            let text = WithCauses(&error).to_string();
            assert!(
                text.contains("key a") && text.contains("words fail me"),
                "{text}"
            );
            assert!(text.contains("Unspeakable"), "{text}");
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(store.status().await?.last_revision, 0);
    Ok(())
}

pub(crate) async fn derived_json_works(env: Env) -> Outcome {
    let store = env.bucket().await?;
    limits(7).write_to_anyway(&store).await?;
    let bytes = store.get(Limits::key()).await?.unwrap();
    assert_eq!(bytes, "{\"cpu\":7,\"note\":\"7 \\\"ünïts\\\"\"}");
    let json = Json::<Limits>::read_from(&store, Limits::key()).await?;
    assert_eq!(json.unwrap().0, limits(7));
    Ok(())
}
