//! Converts a bucket's settings to those of a stream, and back.

use std::{borrow::Cow, time::Duration};

use bytes::Bytes;

use super::{
    bucket::{has_markers, nanos, stream_name},
    stream::{External, StreamConfig, StreamPlacement, StreamRepublish, StreamSource, Transform},
};
use crate::{
    json::{self, Object, Value, Writer},
    key::BucketName,
    kv::{BucketConfig, LimitMarkers, Placement, Republish, Source, Storage},
};

/// How long a server remembers message ids, unless the bucket's maximum age is shorter.
const DUPLICATE_WINDOW: Duration = Duration::from_secs(120);

/// Returns the stream settings for a bucket with these settings. `markers` is the value of limit markers on
/// this server.
pub(super) fn to_stream(
    bucket: &BucketName,
    config: &BucketConfig,
    markers: Option<Duration>,
    has_ttl: bool,
) -> StreamConfig {
    let mirror = config.mirror.as_ref().map(|origin| StreamSource {
        name: stream_name(&origin.bucket),
        external: external(origin),
        subject_transforms: None,
    });
    let subject = format!("$KV.{bucket}.>");
    let source = |source: &Source| StreamSource {
        name: stream_name(&source.bucket),
        external: external(source),
        subject_transforms: Some(vec![Transform {
            src: format!("$KV.{}.>", source.bucket),
            dest: subject.clone(),
        }]),
    };
    let is_mirror = mirror.is_some();
    let sources: Vec<_> = config.sources.iter().map(source).collect();
    let max_age = config.max_age.map_or(0, nanos);
    let window = nanos(DUPLICATE_WINDOW);
    StreamConfig {
        name: stream_name(bucket),
        description: some_text(&config.description),
        subjects: (!is_mirror).then(|| vec![subject.clone()]),
        max_msgs_per_subject: config.history.into(),
        max_bytes: limit(config.max_bytes),
        max_age,
        max_msg_size: limit(config.max_value_size.map(u64::from)),
        storage: Cow::Borrowed(match config.storage {
            Storage::File => "file",
            Storage::Memory => "memory",
        }),
        num_replicas: config.replicas,
        compression: Some(Cow::Borrowed(if config.compression {
            "s2"
        } else {
            "none"
        })),
        placement: config.placement.as_ref().map(|placement| StreamPlacement {
            cluster: placement.cluster.clone(),
            // To a server, an empty list is a different placement than none, and it would move the stream.
            tags: (!placement.tags.is_empty()).then(|| placement.tags.clone()),
        }),
        republish: config.republish.as_ref().map(|republish| StreamRepublish {
            src: some_text(&republish.source).unwrap_or_else(|| ">".to_owned()),
            dest: republish.destination.clone(),
            headers_only: republish.headers_only,
        }),
        sources: (!sources.is_empty()).then_some(sources),
        mirror,
        metadata: (!config.metadata.is_empty()).then(|| config.metadata.clone()),
        allow_direct: true,
        mirror_direct: is_mirror,
        // A mirror receives the markers of its origin, and must let them expire.
        allow_msg_ttl: markers.is_some() || (is_mirror && has_ttl),
        subject_delete_marker_ttl: match is_mirror {
            true => 0,
            false => markers.map_or(0, nanos),
        },
        duplicate_window: match max_age {
            0 => window,
            age => window.min(age),
        },
        discard: Cow::Borrowed("new"),
        retention: Cow::Borrowed("limits"),
        max_msgs: -1,
        max_consumers: -1,
        allow_rollup_hdrs: true,
        deny_delete: true,
    }
}

/// Returns the bucket settings for an existing stream.
pub(super) fn from_stream(bucket: &BucketName, stream: StreamConfig) -> BucketConfig {
    let markers = has_markers(&stream);
    let source = |source: StreamSource| {
        let bucket = source.name.strip_prefix("KV_").unwrap_or(&source.name);
        Some(Source {
            bucket: BucketName::new(bucket).ok()?,
            domain: source.external.map(|external| domain(external.api)),
        })
    };
    let mut config = BucketConfig::new(bucket.as_str());
    config.description = stream.description.unwrap_or_default();
    // Other programs may keep more than a bucket can be set to: -1 means all.
    config.history = match stream.max_msgs_per_subject {
        kept @ 1..=64 => kept as u8,
        _ => 64,
    };
    config.max_age = (stream.max_age > 0).then(|| Duration::from_nanos(stream.max_age));
    config.limit_markers = match markers {
        true => LimitMarkers::For(Duration::from_nanos(stream.subject_delete_marker_ttl)),
        false => LimitMarkers::Off,
    };
    config.max_value_size = u32::try_from(stream.max_msg_size).ok().filter(|n| *n > 0);
    config.max_bytes = u64::try_from(stream.max_bytes).ok().filter(|n| *n > 0);
    config.storage = match &*stream.storage {
        "memory" => Storage::Memory,
        _ => Storage::File,
    };
    config.replicas = stream.num_replicas.max(1);
    config.compression = stream.compression.is_some_and(|kind| kind == "s2");
    config.placement = stream.placement.map(|placement| Placement {
        cluster: placement.cluster.filter(|name| !name.is_empty()),
        tags: placement.tags.unwrap_or_default(),
    });
    config.republish = stream.republish.map(|republish| Republish {
        source: match republish.src.as_str() {
            ">" => String::new(),
            _ => republish.src,
        },
        destination: republish.dest,
        headers_only: republish.headers_only,
    });
    config.mirror = stream.mirror.and_then(source);
    config.sources = stream
        .sources
        .unwrap_or_default()
        .into_iter()
        .filter_map(source)
        .collect();
    config.metadata = stream.metadata.unwrap_or_default();
    config
}

/// Applies our settings to those of an existing stream, so that settings of other programs are kept.
///
/// Settings that the server cannot turn off again (per-message TTL) stay on. So do those in `kept`.
pub(super) fn lay_over(
    existing: &Value<'_>,
    wanted: StreamConfig,
    kept: &[&str],
) -> Result<Bytes, json::Error> {
    let none = Object::default();
    let existing = match existing {
        Value::Object(existing) => existing,
        _ => &none, // the caller has read it as one
    };
    let has_ttl = *existing.get("allow_msg_ttl") == Value::Bool(true);
    let window = match existing.get("duplicate_window") {
        Value::Number(digits) => digits.parse().unwrap_or(0),
        _ => 0,
    };
    let wanted = StreamConfig {
        allow_msg_ttl: wanted.allow_msg_ttl || has_ttl,
        duplicate_window: match (window, wanted.max_age) {
            (0, _) => wanted.duplicate_window,
            (window, 0) => window,
            (window, age) => window.min(age),
        },
        ..wanted
    };
    let wanted = wanted.to_json();
    let mut wanted = json::object(&wanted)?;
    // Settings that a bucket does not have.
    let other = ["max_consumers", "max_msgs", "retention", "discard"];
    let is_ours = |name: &str| !other.contains(&name) && !kept.contains(&name);
    wanted.0.retain(|(name, _)| is_ours(name));
    let mut request = Writer::new();
    for (name, value) in &existing.0 {
        if wanted.0.iter().all(|(ours, _)| ours != name) {
            request.field(name, value);
        }
    }
    for (name, value) in &wanted.0 {
        request.field(name, value);
    }
    Ok(request.finish())
}

fn some_text(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

fn limit(value: Option<u64>) -> i64 {
    value.map_or(-1, |value| value.try_into().unwrap_or(i64::MAX))
}

fn external(source: &Source) -> Option<External> {
    source.domain.as_ref().map(|domain| External {
        api: format!("$JS.{domain}.API"),
    })
}

/// The domain in `$JS.<domain>.API`, or the whole prefix if it has another form.
fn domain(api: String) -> String {
    let inner = api
        .strip_prefix("$JS.")
        .and_then(|rest| rest.strip_suffix(".API"));
    match inner {
        Some(domain) => domain.to_owned(),
        None => api,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> BucketName {
        let Ok(name) = BucketName::new(text) else {
            unreachable!()
        };
        name
    }

    #[test]
    fn settings_survive_a_round_trip() {
        let mut config = BucketConfig::new("b");
        config.description = "text".into();
        config.history = 7;
        config.max_age = Some(Duration::from_secs(60));
        config.limit_markers = LimitMarkers::For(Duration::from_secs(3));
        config.max_value_size = Some(100);
        config.max_bytes = Some(1_000_000);
        config.storage = Storage::Memory;
        config.replicas = 3;
        config.compression = true;
        config.placement = Some(Placement {
            cluster: Some("c".into()),
            tags: vec!["ssd".into()],
        });
        config.republish = Some(Republish {
            source: "$KV.b.x.>".into(),
            destination: "out.>".into(),
            headers_only: true,
        });
        config.sources = vec![Source {
            bucket: name("other"),
            domain: Some("hub".into()),
        }];
        config.metadata.insert("team".into(), "blue".into());
        let markers = config.limit_markers.duration();
        let stream = to_stream(&name("b"), &config, markers, true);
        assert_eq!(stream.duplicate_window, 60_000_000_000);
        assert_eq!(from_stream(&name("b"), stream), config);

        let mut mirror = BucketConfig::new("m");
        mirror.limit_markers = LimitMarkers::Off;
        mirror.mirror = Some(Source {
            bucket: name("b"),
            domain: None,
        });
        let stream = to_stream(&name("m"), &mirror, None, true);
        assert!(stream.subjects.is_none() && stream.mirror_direct && stream.allow_msg_ttl);
        assert_eq!(from_stream(&name("m"), stream), mirror);
    }
}
