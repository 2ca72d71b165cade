//! Properties that hold for any input: names, filters, codecs, and the layers between them and a
//! bucket.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Duration;

use futures::{FutureExt, TryStreamExt};
use proptest::prelude::*;
use serde::{Deserialize, Serialize};
use shizuku::{
    ByteDeserialize, ByteSerialize, Bytes, Json, Store,
    kv::{BucketName, Key, KeyFilter, LimitMarkers, PutOptions},
};

/// Text that resembles a key: mostly valid characters, with some invalid ones.
fn near_key() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        8 => "[a-cA-C0-2=_/-]{1,3}",
        4 => Just(".".to_owned()),
        1 => "[ *>$:é\t\r\n\u{0}]",
        1 => any::<char>().prop_map(String::from),
    ];
    proptest::collection::vec(part, 0..8).prop_map(|parts| parts.concat())
}

/// A key made of few letters, so that filters often match it.
fn key() -> impl Strategy<Value = String> {
    proptest::collection::vec("[ab]{1,2}", 1..5).prop_map(|tokens| tokens.join("."))
}

fn filter() -> impl Strategy<Value = String> {
    let token = prop_oneof![3 => "[ab]{1,2}".boxed(), 2 => Just("*".to_owned()).boxed()];
    (proptest::collection::vec(token, 0..4), any::<bool>()).prop_map(|(mut tokens, tail)| {
        if tail || tokens.is_empty() {
            tokens.push(">".into());
        }
        tokens.join(".")
    })
}

/// The rules of ADR-8, written independently of the library.
fn is_key(text: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-/_=".contains(c);
    let is_token = |token: &str| !token.is_empty() && token.chars().all(allowed);
    text.len() <= 2048 && text.split('.').all(is_token)
}

fn is_filter(text: &str) -> bool {
    let tokens: Vec<_> = text.split('.').collect();
    let is_token = |(at, token): (usize, &&str)| {
        *token == "*" || (*token == ">" && at + 1 == tokens.len()) || is_key_token(token)
    };
    text.len() <= 2048 && tokens.iter().enumerate().all(is_token)
}

fn is_key_token(token: &str) -> bool {
    is_key(token) && !token.contains('.')
}

/// The meaning of a filter, by recursion instead of a loop.
fn passes(filter: &[&str], key: &[&str]) -> bool {
    match (filter, key) {
        ([], []) => true,
        ([">"], [_, ..]) => true,
        ([wanted, filter @ ..], [token, key @ ..]) => {
            (*wanted == "*" || wanted == token) && passes(filter, key)
        }
        _ => false,
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Sample {
    text: String,
    number: i64,
    maybe: Option<bool>,
    list: Vec<u8>,
}

fn sample() -> impl Strategy<Value = Sample> {
    let parts = (
        any::<String>(),
        any::<i64>(),
        any::<Option<bool>>(),
        any::<Vec<u8>>(),
    );
    parts.prop_map(|(text, number, maybe, list)| Sample {
        text,
        number,
        maybe,
        list,
    })
}

/// A bucket in memory, whose operations complete immediately.
fn store() -> Store {
    let client = now(shizuku::connect("memory:")).unwrap();
    let mut config = shizuku::kv::BucketConfig::new("p");
    config.limit_markers = LimitMarkers::Off;
    now(client.create_bucket(config)).unwrap()
}

fn now<T>(future: impl Future<Output = T>) -> T {
    future.now_or_never().expect("memory does not wait")
}

proptest! {
    #[test]
    fn keys_are_validated_by_the_rules(text in near_key()) {
        let key = Key::new(text.as_str());
        prop_assert_eq!(key.is_ok(), is_key(&text));
        match key {
            Ok(key) => {
                prop_assert_eq!(key.as_str(), &text);
                prop_assert_eq!(key.to_string(), text.clone());
                prop_assert_eq!(&text.parse::<Key>().unwrap(), &key);
                let filter = KeyFilter::from(&key);
                prop_assert_eq!(filter.as_str(), &text);
                prop_assert!(filter.matches(&text));
                prop_assert!(KeyFilter::all().matches(&text));
                prop_assert_eq!(key.is_reserved(), text.starts_with("_lock."));
            }
            Err(error) => {
                prop_assert!(error.text.chars().count() <= 64);
                prop_assert!(text.starts_with(&error.text));
                prop_assert!(!error.to_string().is_empty());
            }
        }
    }

    #[test]
    fn filters_are_validated_by_the_rules(text in prop_oneof![near_key(), filter(), "[ab*>.]{0,8}"]) {
        prop_assert_eq!(KeyFilter::new(text.as_str()).is_ok(), is_filter(&text));
    }

    #[test]
    fn bucket_names_are_validated_by_the_rules(text in prop_oneof![near_key(), "[a-zA-Z0-9_-]{1,300}"]) {
        let allowed = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        let is_name = (1..=252).contains(&text.len()) && text.chars().all(allowed);
        prop_assert_eq!(BucketName::new(text.as_str()).is_ok(), is_name);
    }

    #[test]
    fn overlong_names_are_refused(len in 2000usize..2100) {
        prop_assert_eq!(Key::new("k".repeat(len)).is_ok(), len <= 2048);
        prop_assert_eq!(KeyFilter::new("k".repeat(len)).is_ok(), len <= 2048);
    }

    #[test]
    fn filters_match_like_the_reference(filter in filter(), key in key()) {
        let tokens: Vec<_> = filter.split('.').collect();
        let of_key: Vec<_> = key.split('.').collect();
        let matches = KeyFilter::new(filter.as_str()).unwrap().matches(&key);
        prop_assert_eq!(matches, passes(&tokens, &of_key), "{} on {}", filter, key);
    }

    #[test]
    fn listings_match_like_the_reference(
        keys in proptest::collection::btree_set(key(), 0..20),
        filters in proptest::collection::vec(filter(), 1..4),
    ) {
        let store = store();
        for key in &keys {
            now(store.put(key, "")).unwrap();
        }
        let wanted: Vec<&String> = keys
            .iter()
            .filter(|key| {
                let key: Vec<_> = key.split('.').collect();
                filters.iter().any(|filter| passes(&filter.split('.').collect::<Vec<_>>(), &key))
            })
            .collect();
        let listed = now(now(store.keys_matching(&filters[..])).unwrap().try_collect::<Vec<_>>());
        let mut listed: Vec<_> = listed.unwrap().iter().map(ToString::to_string).collect();
        listed.sort();
        prop_assert_eq!(listed.iter().collect::<Vec<_>>(), wanted.clone());
        let many = now(store.get_many(&filters[..])).unwrap();
        let mut many: Vec<_> = many.iter().map(|entry| entry.key.to_string()).collect();
        many.sort();
        prop_assert_eq!(many.iter().collect::<Vec<_>>(), wanted);
    }

    #[test]
    fn values_round_trip(bytes in any::<Vec<u8>>(), text in any::<String>(), sample in sample()) {
        prop_assert_eq!(&Vec::<u8>::parse_from_bytes(&bytes.to_bytes().unwrap()).unwrap(), &bytes);
        let shared = Bytes::from(bytes.clone());
        prop_assert_eq!(&Bytes::parse_from_bytes(&shared.to_bytes().unwrap()).unwrap(), &shared);
        prop_assert_eq!(&String::parse_from_bytes(&text.to_bytes().unwrap()).unwrap(), &text);
        let json = Json(sample.clone()).to_bytes().unwrap();
        prop_assert_eq!(Json::<Sample>::parse_from_bytes(&json).unwrap().0, sample);
        let store = store();
        now(store.put("a", bytes.clone())).unwrap();
        prop_assert_eq!(now(store.get("a")).unwrap().unwrap(), bytes);
    }

    #[test]
    fn arbitrary_bytes_decode_or_are_an_error(bytes in any::<Vec<u8>>()) {
        let text = String::parse_from_bytes(&bytes);
        prop_assert_eq!(text.is_ok(), std::str::from_utf8(&bytes).is_ok());
        if let Err(error) = Json::<Sample>::parse_from_bytes(&bytes) {
            prop_assert!(!error.to_string().is_empty());
        }
    }

    #[test]
    fn headers_are_refused_or_round_trip(
        name in prop_oneof!["[!-~]{1,6}", any::<String>(), "(?i)(nats|kv)-[a-z]{0,4}"],
        value in prop_oneof!["[ -~]{0,8}", any::<String>()],
    ) {
        let store = store();
        let options = PutOptions::new().header(name.clone(), value.clone());
        let lower = name.to_ascii_lowercase();
        let good_name = !name.is_empty()
            && name.bytes().all(|byte| (b'!'..=b'~').contains(&byte) && byte != b':')
            && !lower.starts_with("nats-")
            && !lower.starts_with("kv-");
        let good_value = !value.contains(['\r', '\n']) && value.trim() == value;
        let result = now(store.put_with("a", "", options));
        prop_assert_eq!(result.is_ok(), good_name && good_value);
        if result.is_ok() {
            let entry = now(store.entry("a")).unwrap().unwrap();
            prop_assert_eq!(entry.headers.get(&name), Some(value.as_str()));
        }
    }

    #[test]
    fn a_ttl_must_be_whole_seconds(ttl in prop_oneof![
        (0..5u64, prop_oneof![Just(0), 0..1_000_000_000u32]).prop_map(|(s, n)| Duration::new(s, n)),
        any::<Duration>(),
    ]) {
        let client = now(shizuku::connect("memory:")).unwrap();
        let store = now(client.create_bucket("p")).unwrap();
        let result = now(store.put_with("a", "", PutOptions::new().ttl(ttl)));
        let countable = ttl.as_secs() <= 9_223_372_036;
        let good = ttl.subsec_nanos() == 0 && ttl.as_secs() > 0 && countable;
        prop_assert_eq!(result.is_ok(), good, "{:?}: {:?}", ttl, result);
    }
}
