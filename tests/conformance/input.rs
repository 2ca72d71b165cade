//! Invalid input: refused before anything is sent, with an error that says what is wrong and why.

use std::time::Duration;

use shizuku::{
    Store,
    kv::{
        BucketConfig, BucketError, BucketName, Expect, InvalidKey, InvalidOption, InvalidReason,
        KvReadError, KvWriteError, LimitMarkers, NameKind, PutOptions, RemoveOptions, Source,
        UpdateOptions,
    },
};

use super::{Env, Outcome};
use crate::assert_refused;

const SECOND: Duration = Duration::from_secs(1);

/// Whether this is the expected reason.
type IsRight = fn(&InvalidReason) -> bool;

/// Invalid keys, and the rule that each breaks.
fn bad_keys() -> Vec<(String, IsRight)> {
    let character: IsRight = |r| matches!(r, InvalidReason::Character { .. });
    let token: IsRight = |r| matches!(r, InvalidReason::EmptyToken);
    let mut keys: Vec<(String, IsRight)> = vec![
        (String::new(), |r| matches!(r, InvalidReason::Empty)),
        ("k".repeat(2049), |r| {
            matches!(
                r,
                InvalidReason::TooLong {
                    len: 2049,
                    max: 2048
                }
            )
        }),
    ];
    for key in [".", "a..b", ".a", "a.", "a...b", ".."] {
        keys.push((key.into(), token));
    }
    for key in [
        " ", "a b", " a", "a ", "a\tb", "a\r\nb", "a\0b", "a*", "*", "a.*", "a.>", ">", "ä",
        "a.ü.b", "🔑", "a:b", "a,b", "a$b", "a#b", "a@b", "a+b", "a%20b", "a\\b", "a\"b", "a(b)",
        "a~", "a|b", "a?b", "a&b", "a;b", "a{b}", "a[b]", "a<b", "a!b", "a'b", "a`b", "a^b",
    ] {
        keys.push((key.into(), character));
    }
    keys
}

async fn untouched(store: &Store) {
    let status = store.status().await.unwrap();
    assert_eq!(status.last_revision, 0, "nothing may have been written");
}

/// The reason for which a name was refused.
fn reason(kind: NameKind, text: &str, error: &InvalidKey) -> InvalidReason {
    assert_eq!(error.kind, kind);
    let cut: String = text.chars().take(64).collect();
    assert_eq!(error.text, cut);
    let said = error.to_string();
    assert!(said.contains(&error.reason.to_string()) && said.contains(&format!("{cut:?}")));
    error.reason
}

pub(crate) async fn bad_keys_are_refused(env: Env) -> Outcome {
    let store = env.bucket().await?;
    for (key, is_right) in bad_keys() {
        let read = |error| match error {
            KvReadError::InvalidKey(error) => reason(NameKind::Key, &key, &error),
            other => panic!("{key:?}: {other:?}"),
        };
        let write = |error| match error {
            KvWriteError::InvalidKey(error) => reason(NameKind::Key, &key, &error),
            other => panic!("{key:?}: {other:?}"),
        };
        let reasons = [
            read(store.get(&key).await.unwrap_err()),
            read(store.entry(&key).await.unwrap_err()),
            read(store.entry_at(&key, 1).await.unwrap_err()),
            read(store.history(&key).await.unwrap_err()),
            write(store.put(&key, "1").await.unwrap_err()),
            write(store.create(&key, "1").await.unwrap_err()),
            write(store.update(&key, "1", 1).await.unwrap_err()),
            write(store.delete(&key).await.unwrap_err()),
            write(store.purge(&key).await.unwrap_err()),
            write(store.update_with(&key, |_| Some("1")).await.unwrap_err()),
        ];
        for reason in reasons {
            assert!(is_right(&reason), "{key:?}: {reason:?}");
        }
    }
    untouched(&store).await;
    Ok(())
}

pub(crate) async fn bad_filters_are_refused(env: Env) -> Outcome {
    let store = env.bucket().await?;
    let wildcard: IsRight = |r| matches!(r, InvalidReason::Wildcard);
    let mut filters = bad_keys();
    // Wildcards are invalid in a key but valid in a filter.
    filters.retain(|(text, _)| !text.contains(['*', '>']));
    for filter in [
        "a*", "*a", "a.b*", "**", "a>", ">a", ">.a", "a.>.b", ">>", "a.*b.c",
    ] {
        filters.push((filter.into(), wildcard));
    }
    for (filter, is_right) in filters {
        let check = |error| match error {
            KvReadError::InvalidKey(error) => {
                let reason = reason(NameKind::Filter, &filter, &error);
                assert!(is_right(&reason), "{filter:?}: {reason:?}");
            }
            other => panic!("{filter:?}: {other:?}"),
        };
        check(store.watch(&filter).await.err().unwrap());
        check(store.watch(["good", &filter]).await.err().unwrap());
        check(store.keys_matching(&filter).await.err().unwrap());
        check(store.get_many(&filter).await.unwrap_err());
    }
    Ok(())
}

pub(crate) async fn an_empty_list_of_filters_is_refused(env: Env) -> Outcome {
    let store = env.bucket().await?;
    store.put("a", "1").await?;
    // Neither everything nor nothing forever would be a good guess at the program's intent.
    let none: [&str; 0] = [];
    assert_refused!(
        store.watch(none).await,
        KvReadError::InvalidOption(InvalidOption {
            option: "filters",
            ..
        })
    );
    assert_refused!(
        store.keys_matching(none).await.map(|_| ()),
        KvReadError::InvalidOption(InvalidOption {
            option: "filters",
            ..
        })
    );
    Ok(())
}

pub(crate) async fn bad_bucket_names_are_refused(env: Env) -> Outcome {
    let long = "b".repeat(253);
    for name in [
        "", " ", "a b", "a.b", "a*", ">", "a/b", "a=b", "ä", "a\n", "$a", "a\\b", &long,
    ] {
        let errors = [
            env.client.create_bucket(name).await.err().unwrap(),
            env.client
                .create_or_update_bucket(name)
                .await
                .err()
                .unwrap(),
            env.client.open_bucket(name).await.err().unwrap(),
            env.client.delete_bucket(name).await.err().unwrap(),
        ];
        for error in errors {
            match error {
                BucketError::InvalidName(error) => _ = reason(NameKind::Bucket, name, &error),
                other => panic!("{name:?}: {other:?}"),
            }
        }
    }
    Ok(())
}

pub(crate) async fn bad_times_to_live_are_refused(env: Env) -> Outcome {
    let store = env.bucket().await?;
    let eternity = Duration::from_secs(u64::MAX);
    let bad = [
        Duration::ZERO,
        Duration::from_millis(1),
        Duration::from_millis(999),
        Duration::from_millis(1500),
        SECOND + Duration::from_nanos(1),
        eternity,
    ];
    for ttl in bad {
        let check = |result, name: &str| match result {
            Err(KvWriteError::InvalidOption(InvalidOption { option, reason, .. })) => {
                assert_eq!(option, name);
                assert!(reason.contains("second") || ttl == eternity, "{reason}");
            }
            other => panic!("{ttl:?}: {other:?}"),
        };
        let put = PutOptions::new().ttl(ttl);
        check(store.put_with("a", "1", put.clone()).await, "ttl");
        let create = put.expect(Expect::Absent);
        check(store.put_with("a", "1", create).await, "ttl");
        let purge = RemoveOptions::purge().marker_ttl(ttl);
        check(store.remove_with("a", purge).await, "marker_ttl");
        let config = env.fresh_config(|config| config.limit_markers = LimitMarkers::For(ttl));
        assert_refused!(
            env.client.create_bucket(config).await,
            BucketError::InvalidOption(_)
        );
    }
    untouched(&store).await;
    Ok(())
}

pub(crate) async fn bad_headers_are_refused(env: Env) -> Outcome {
    let store = env.bucket().await?;
    let bad = [
        ("", "x"),
        ("a b", "x"),
        ("a:b", "x"),
        ("a\r\nb", "x"),
        ("ä", "x"),
        ("Nats-TTL", "1"),
        ("nats-rollup", "all"),
        ("NATS-Expected-Last-Sequence", "1"),
        ("KV-Operation", "DEL"),
        ("kv-operation", "DEL"),
        ("A", "x\r\nNats-TTL: 1"),
        ("A", "x\n"),
        ("A", "\r"),
        ("A", " x"),
        ("A", "x "),
        ("A", "\tx"),
    ];
    for (name, value) in bad {
        let options = PutOptions::new().header("Good", "x").header(name, value);
        assert_refused!(
            store.put_with("a", "1", options).await,
            KvWriteError::InvalidOption(InvalidOption {
                option: "header",
                ..
            })
        );
    }
    untouched(&store).await;
    Ok(())
}

pub(crate) async fn updates_with_bad_options_are_refused(env: Env) -> Outcome {
    let store = env.bucket().await?;
    let bad = [
        ("attempts", UpdateOptions::new().attempts(0)),
        ("ttl", UpdateOptions::new().ttl(Duration::from_millis(1500))),
        ("header", UpdateOptions::new().header("Nats-TTL", "1")),
    ];
    for (name, options) in bad {
        let mut calls = 0;
        let update = |_| {
            calls += 1;
            Ok::<_, KvWriteError>(Some("1"))
        };
        assert_refused!(
            store.try_update_with("a", options, update).await,
            KvWriteError::InvalidOption(InvalidOption { option, .. }) if option == name
        );
        assert_eq!(calls, 0, "{name}");
    }
    untouched(&store).await;
    Ok(())
}

pub(crate) async fn bad_settings_are_refused(env: Env) -> Outcome {
    type Change = fn(&mut BucketConfig);
    let bad: [(&str, Change); 13] = [
        ("history", |config| config.history = 0),
        ("history", |config| config.history = 65),
        ("replicas", |config| config.replicas = 0),
        ("replicas", |config| config.replicas = 6),
        ("description", |config| {
            config.description = "x".repeat(4097);
        }),
        ("max_age", |config| config.max_age = Some(Duration::ZERO)),
        ("max_age", |config| {
            config.max_age = Some(Duration::from_millis(99));
        }),
        ("max_age", |config| config.max_age = Some(Duration::MAX)),
        ("max_bytes", |config| config.max_bytes = Some(0)),
        ("max_value_size", |config| config.max_value_size = Some(0)),
        ("max_value_size", |config| {
            config.max_value_size = Some(1 << 31);
        }),
        ("max_bytes", |config| config.max_bytes = Some(1 << 63)),
        ("metadata", |config| {
            config.metadata.insert("_nats.level".into(), "1".into());
        }),
    ];
    for (name, change) in bad {
        let config = env.fresh_config(change);
        for result in [
            env.client.create_bucket(config.clone()).await,
            env.client.create_or_update_bucket(config.clone()).await,
        ] {
            assert_refused!(
                result,
                BucketError::InvalidOption(InvalidOption { option, .. }) if option == name
            );
        }
    }
    Ok(())
}

pub(crate) async fn contradictory_options_are_refused(env: Env) -> Outcome {
    let store = env.bucket().await?;
    let delete = RemoveOptions::delete().marker_ttl(SECOND);
    assert_refused!(
        store.remove_with("a", delete).await,
        KvWriteError::InvalidOption(InvalidOption {
            option: "marker_ttl",
            ..
        })
    );
    let absent = RemoveOptions::delete().expect(Expect::Absent);
    assert_refused!(
        store.remove_with("a", absent).await,
        KvWriteError::InvalidOption(InvalidOption {
            option: "expect",
            ..
        })
    );
    let source = Source::new(BucketName::new("other")?);
    let config = env.fresh_config(|config| {
        config.mirror = Some(source.clone());
        config.sources = vec![source];
    });
    assert_refused!(
        env.client.create_bucket(config).await,
        BucketError::InvalidOption(InvalidOption {
            option: "mirror",
            ..
        })
    );
    untouched(&store).await;
    Ok(())
}

pub(crate) async fn writes_to_lock_keys_are_refused(env: Env) -> Outcome {
    let store = env.bucket().await?;
    for key in ["_lock.a", "_lock.a.b"] {
        let results = [
            store.put(key, "1").await,
            store.create(key, "1").await,
            store.update(key, "1", 0).await,
            store.delete(key).await,
            store.purge(key).await,
            store.update_with(key, |_| Some("1")).await.map(|_| 0),
        ];
        for result in results {
            assert_refused!(
                result,
                KvWriteError::InvalidKey(InvalidKey {
                    reason: InvalidReason::Reserved,
                    ..
                })
            );
        }
        assert_eq!(store.get(key).await?, None, "reading is harmless");
    }
    untouched(&store).await;
    Ok(())
}
