//! Put, get, delete, purge.

use futures::future::try_join_all;
use shizuku::{
    Bytes,
    kv::{Operation, PutOptions, Read},
};

use super::{Env, Outcome, history};

pub(crate) async fn a_put_value_is_read_back(env: Env) -> Outcome {
    let store = env.bucket().await?;
    store.put("color", "blue").await?;
    assert_eq!(store.get("color").await?.unwrap(), "blue");
    store.put("color", "green").await?;
    assert_eq!(store.get("color").await?.unwrap(), "green");
    Ok(())
}

pub(crate) async fn a_missing_key_reads_as_none(env: Env) -> Outcome {
    let store = env.bucket().await?;
    assert_eq!(store.get("color").await?, None);
    assert_eq!(store.entry("color").await?, None);
    assert_eq!(store.entry_at("color", 1).await?, None);
    store.put("color.dark", "blue").await?;
    assert_eq!(store.get("color").await?, None);
    Ok(())
}

pub(crate) async fn revisions_increase_across_the_bucket(env: Env) -> Outcome {
    let store = env.bucket().await?;
    assert_eq!(store.put("a", "1").await?, 1);
    assert_eq!(store.put("b", "1").await?, 2);
    assert_eq!(store.delete("a").await?, 3);
    assert_eq!(store.purge("b").await?, 4);
    assert_eq!(store.create("a", "2").await?, 5);
    Ok(())
}

pub(crate) async fn an_empty_value_is_not_a_missing_one(env: Env) -> Outcome {
    let store = env.bucket().await?;
    store.put("a", "").await?;
    assert_eq!(store.get("a").await?, Some(Bytes::new()));
    let entry = store.entry("a").await?.unwrap();
    assert_eq!(entry.operation, Operation::Put);
    assert_eq!(history(&store, "a").await?, ["a="]);
    let many = store.get_many("a").await?;
    assert_eq!(many[0].value, Some(Bytes::new()));
    let watch = store.watch("a").await?;
    assert_eq!(env.initial(&watch).await, ["a="]);
    Ok(())
}

pub(crate) async fn arbitrary_bytes_round_trip(env: Env) -> Outcome {
    let store = env.bucket().await?;
    let all: Vec<u8> = (0..=255).chain(*b"\r\n+OK\r\nMSG a 1 0\r\n").collect();
    store.put("a", all.clone()).await?;
    assert_eq!(store.get("a").await?.unwrap(), all);
    let leader = store.get_with("a", Read::Leader).await?;
    assert_eq!(leader.unwrap(), all, "which the server answers as base64");
    let options = PutOptions::new().header("A", "b");
    store.put_with("a", all.clone(), options).await?;
    assert_eq!(store.get("a").await?.unwrap(), all);
    assert_eq!(store.get_with("a", Read::Leader).await?.unwrap(), all);
    assert_eq!(store.get_many("a").await?[0].value.as_ref().unwrap(), &all);
    Ok(())
}

pub(crate) async fn a_large_value_round_trips(env: Env) -> Outcome {
    let store = env.bucket().await?;
    let large: Vec<u8> = (0..1_000_000_u32).map(|n| (n / 7) as u8).collect();
    store.put("a", large.clone()).await?;
    assert!(store.get("a").await?.unwrap() == large);
    assert!(store.get_with("a", Read::Leader).await?.unwrap() == large);
    let watch = store.watch("a").await?;
    assert!(env.next_entry(&watch).await.value.unwrap() == large);
    Ok(())
}

pub(crate) async fn a_deleted_key_reads_as_none(env: Env) -> Outcome {
    let store = env.bucket().await?;
    store.put("a", "1").await?;
    let revision = store.delete("a").await?;
    for read in [Read::Any, Read::Leader] {
        assert_eq!(store.get_with("a", read).await?, None);
        let entry = store.entry_with("a", read).await?.unwrap();
        assert_eq!(entry.operation, Operation::Delete);
        assert_eq!((entry.value, entry.revision), (None, revision));
        assert!(
            entry.headers.is_empty(),
            "those of the protocol stay inside"
        );
    }
    Ok(())
}

pub(crate) async fn a_purged_key_reads_as_none(env: Env) -> Outcome {
    let store = env.bucket().await?;
    store.put("a", "1").await?;
    let revision = store.purge("a").await?;
    for read in [Read::Any, Read::Leader] {
        assert_eq!(store.get_with("a", read).await?, None);
        let entry = store.entry_with("a", read).await?.unwrap();
        assert_eq!(entry.operation, Operation::Purge);
        assert_eq!((entry.value, entry.revision), (None, revision));
        assert!(
            entry.headers.is_empty(),
            "those of the protocol stay inside"
        );
    }
    Ok(())
}

pub(crate) async fn deleting_a_missing_key_leaves_a_marker(env: Env) -> Outcome {
    let store = env.bucket().await?;
    let revision = store.delete("a").await?;
    let entry = store.entry("a").await?.unwrap();
    assert_eq!((entry.revision, entry.is_removal()), (revision, true));
    Ok(())
}

pub(crate) async fn delete_keeps_history_and_purge_removes_it(env: Env) -> Outcome {
    let store = env.bucket_with(|config| config.history = 5).await?;
    let first = store.put("a", "1").await?;
    store.put("a", "2").await?;
    store.delete("a").await?;
    assert_eq!(history(&store, "a").await?, ["a=1", "a=2", "a:Delete"]);
    assert_eq!(
        store.entry_at("a", first).await?.unwrap().value.unwrap(),
        "1"
    );
    store.put("b", "1").await?;
    store.purge("a").await?;
    assert_eq!(history(&store, "a").await?, ["a:Purge"]);
    assert_eq!(store.entry_at("a", first).await?, None);
    assert_eq!(
        history(&store, "b").await?,
        ["b=1"],
        "no other key is touched"
    );
    Ok(())
}

pub(crate) async fn an_entry_has_all_its_metadata(env: Env) -> Outcome {
    let store = env.bucket().await?;
    let before = store.status().await?.created;
    store.put("first", "1").await?;
    let revision = store.put("a.b", "1").await?;
    for read in [Read::Any, Read::Leader] {
        let entry = store.entry_with("a.b", read).await?.unwrap();
        assert_eq!(entry.bucket, *store.bucket());
        assert_eq!(entry.key, "a.b");
        assert_eq!(entry.value.as_deref(), Some(&b"1"[..]));
        assert_eq!(entry.revision, revision);
        assert_eq!(entry.operation, Operation::Put);
        assert_eq!(entry.delta, 0);
        assert!(entry.headers.is_empty());
        assert!(entry.created >= before, "by the service's own clock");
    }
    Ok(())
}

pub(crate) async fn revisions_are_read_by_number(env: Env) -> Outcome {
    let store = env.bucket_with(|config| config.history = 2).await?;
    let mut revisions = Vec::new();
    for value in ["1", "2", "3"] {
        revisions.push(store.put("a", value).await?);
    }
    let other = store.put("b", "1").await?;
    assert_eq!(store.entry_at("a", revisions[0]).await?, None, "dropped");
    let second = store.entry_at("a", revisions[1]).await?.unwrap();
    assert_eq!(second.value.unwrap(), "2");
    assert_eq!(second.revision, revisions[1]);
    assert_eq!(store.entry_at("a", other).await?, None, "of another key");
    assert_eq!(store.entry_at("a", 0).await?, None);
    assert_eq!(store.entry_at("a", 999).await?, None);
    Ok(())
}

pub(crate) async fn headers_round_trip(env: Env) -> Outcome {
    let store = env.bucket().await?;
    let options = PutOptions::new()
        .header("Trace-Id", "7f3a")
        .header("Tag", "blue")
        .header("Tag", "a: b, c")
        .header("trace-id", "other");
    let watch = store.watch("a").await?;
    let written = options.headers.clone();
    store.put_with("a", "1", options).await?;
    let entries = [
        store.entry("a").await?.unwrap(),
        store.entry_with("a", Read::Leader).await?.unwrap(),
        store.get_many("a").await?.remove(0),
        store.history("a").await?.remove(0),
        env.next_entry(&watch).await,
    ];
    for entry in entries {
        assert_eq!(entry.headers, written);
        assert_eq!(entry.headers.get("Trace-Id"), Some("7f3a"));
        assert_eq!(entry.headers.get("trace-id"), Some("other"));
        let tags: Vec<_> = entry.headers.get_all("Tag").collect();
        assert_eq!(tags, ["blue", "a: b, c"]);
        assert_eq!(
            entry.headers.len(),
            4,
            "none of the protocol's own: {entry:?}"
        );
    }
    Ok(())
}

pub(crate) async fn a_leader_read_sees_the_last_write(env: Env) -> Outcome {
    let store = env.bucket().await?;
    for value in 0..20 {
        let value = value.to_string();
        store.put("a", value.clone()).await?;
        let read = store.get_with("a", Read::Leader).await?;
        assert_eq!(read.unwrap(), value);
    }
    assert_eq!(store.get_with("missing", Read::Leader).await?, None);
    Ok(())
}

pub(crate) async fn history_is_complete_and_in_order(env: Env) -> Outcome {
    let store = env.bucket_with(|config| config.history = 64).await?;
    store.put("a.b", "not this").await?;
    store.put("a", "1").await?;
    store.delete("a").await?;
    store.put("b", "nor this").await?;
    store.put("a", "2").await?;
    store.put("a", "3").await?;
    let entries = store.history("a").await?;
    let revisions: Vec<_> = entries.iter().map(|entry| entry.revision).collect();
    assert_eq!(revisions, [2, 3, 5, 6]);
    assert_eq!(
        history(&store, "a").await?,
        ["a=1", "a:Delete", "a=2", "a=3"]
    );
    Ok(())
}

pub(crate) async fn history_is_bounded(env: Env) -> Outcome {
    let store = env.bucket_with(|config| config.history = 3).await?;
    for value in 0..10 {
        store.put("a", value.to_string()).await?;
    }
    assert_eq!(history(&store, "a").await?, ["a=7", "a=8", "a=9"]);
    let store = env.bucket().await?;
    store.put("a", "1").await?;
    store.put("a", "2").await?;
    assert_eq!(history(&store, "a").await?, ["a=2"]);
    Ok(())
}

pub(crate) async fn history_of_a_missing_key_is_empty(env: Env) -> Outcome {
    let store = env.bucket().await?;
    assert!(env.soon("history", store.history("a")).await?.is_empty());
    Ok(())
}

pub(crate) async fn every_allowed_character_works_in_keys(env: Env) -> Outcome {
    let store = env.bucket().await?;
    let keys = [
        "a-b/c_d=e.F9",
        "=",
        "-",
        "/",
        "_",
        "9",
        "A.B.C",
        "a=/b",
        "_lock",
        "_lockx.a",
    ];
    for key in keys {
        store.put(key, key.to_owned()).await?;
        assert_eq!(store.get(key).await?.unwrap(), key);
        assert_eq!(store.get_many(key).await?[0].key, key);
        assert_eq!(super::keys(&store, key).await?, [key]);
    }
    Ok(())
}

pub(crate) async fn the_longest_names_work(env: Env) -> Outcome {
    let name = env.fresh_name();
    let name = format!("{name}{}", "x".repeat(200 - name.len()));
    let store = env.client.create_bucket(name).await?;
    let key = "k".repeat(shizuku::kv::MAX_KEY_LEN);
    let watch = store.watch(&key).await?;
    assert!(env.initial(&watch).await.is_empty());
    let revision = store.put(&key, "1").await?;
    assert_eq!(store.get(&key).await?.unwrap(), "1");
    assert_eq!(store.get_with(&key, Read::Leader).await?.unwrap(), "1");
    assert_eq!(
        store.entry_at(&key, revision).await?.unwrap().key,
        key.as_str()
    );
    assert_eq!(store.get_many(&key).await?.len(), 1);
    assert_eq!(store.history(&key).await?.len(), 1);
    assert_eq!(env.next_entry(&watch).await.key, key.as_str());
    store.delete(&key).await?;
    assert_eq!(store.get(&key).await?, None);
    Ok(())
}

pub(crate) async fn many_concurrent_writes_all_succeed(env: Env) -> Outcome {
    let store = env.bucket().await?;
    let puts = (0..200).map(|n| store.put(format!("k.{n}"), n.to_string()));
    let mut revisions = env.soon("200 puts", try_join_all(puts)).await?;
    revisions.sort_unstable();
    assert_eq!(revisions, (1..=200).collect::<Vec<u64>>());
    let gets = (0..200).map(|n| store.get(format!("k.{n}")));
    let values = env.soon("200 gets", try_join_all(gets)).await?;
    for (n, value) in values.into_iter().enumerate() {
        assert_eq!(value.unwrap(), n.to_string());
    }
    Ok(())
}
