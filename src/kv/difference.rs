//! The differences between two buckets' settings.

use std::{collections::BTreeMap, time::Duration};

use super::{
    bucket::{BucketConfig, LimitMarkers, Placement, Republish, Source, Storage},
    error::Difference,
};
use crate::words::{Lasting, Quoted};

impl BucketConfig {
    /// Returns the settings in which an existing bucket (`actual`) differs from the requested one
    /// (`self`).
    ///
    /// Equivalent settings do not differ: [`LimitMarkers::Auto`] accepts any setting, the order of
    /// sources and tags is irrelevant, and metadata named `_nats.…` belongs to the server. The name is
    /// not compared.
    pub(crate) fn differences(&self, actual: &Self) -> Vec<Difference> {
        // Destructuring every field turns a missing comparison for a new setting into a compile error.
        let Self {
            name: _,
            description,
            history,
            max_age,
            limit_markers,
            max_value_size,
            max_bytes,
            storage,
            replicas,
            compression,
            placement,
            republish,
            mirror,
            sources,
            metadata,
        } = self;
        let mut found = Differences(Vec::new());
        let number = |number: u64| number.to_string();
        let lasting = |time: Duration| Lasting(time).to_string();
        found.compare(
            "description",
            quoted(description),
            quoted(&actual.description),
        );
        found.compare("history", history.to_string(), actual.history.to_string());
        found.compare(
            "max_age",
            maybe(*max_age, lasting),
            maybe(actual.max_age, lasting),
        );
        if *limit_markers != LimitMarkers::Auto {
            let (wanted, is) = (limit_markers.duration(), actual.limit_markers.duration());
            found.compare("limit_markers", maybe(wanted, lasting), maybe(is, lasting));
        }
        let [wanted, is] = [max_value_size, &actual.max_value_size].map(|size| size.map(u64::from));
        found.compare("max_value_size", maybe(wanted, number), maybe(is, number));
        let [wanted, is] = [*max_bytes, actual.max_bytes].map(|bytes| maybe(bytes, number));
        found.compare("max_bytes", wanted, is);
        let [wanted, is] = [*storage, actual.storage].map(|storage| match storage {
            Storage::File => "file".to_owned(),
            Storage::Memory => "memory".to_owned(),
        });
        found.compare("storage", wanted, is);
        found.compare(
            "replicas",
            replicas.to_string(),
            actual.replicas.to_string(),
        );
        let [wanted, is] = [*compression, actual.compression].map(|on| on.to_string());
        found.compare("compression", wanted, is);
        let [wanted, is] = [placement, &actual.placement].map(|it| maybe(it.as_ref(), place));
        found.compare("placement", wanted, is);
        let [wanted, is] = [republish, &actual.republish].map(|it| maybe(it.as_ref(), republished));
        found.compare("republish", wanted, is);
        let [wanted, is] = [mirror, &actual.mirror].map(|it| maybe(it.as_ref(), source));
        found.compare("mirror", wanted, is);
        let [wanted, is] = [sources, &actual.sources].map(|it| in_order(it.iter().map(source)));
        found.compare("sources", wanted, is);
        found.compare("metadata", own(metadata), own(&actual.metadata));
        found.0
    }
}

/// Collects differences; settings are equal if they print the same.
struct Differences(Vec<Difference>);

impl Differences {
    fn compare(&mut self, setting: &'static str, wanted: String, actual: String) {
        if wanted == actual {
            return;
        }
        let word = |text: String| {
            if text.is_empty() {
                "none".to_owned()
            } else {
                text
            }
        };
        self.0.push(Difference {
            setting,
            wanted: word(wanted),
            actual: word(actual),
        });
    }
}

fn quoted(text: &str) -> String {
    Quoted(text).to_string()
}

/// Formats an optional setting; empty if unset.
fn maybe<T>(setting: Option<T>, word: impl Fn(T) -> String) -> String {
    setting.map(word).unwrap_or_default()
}

/// Formats items in sorted order, since the order of placements, tags and sources is irrelevant.
fn in_order(items: impl Iterator<Item = String>) -> String {
    let mut items: Vec<_> = items.collect();
    sort_few(&mut items);
    items.join(", ")
}

/// Formats a placement; empty if it requires nothing.
fn place(placement: &Placement) -> String {
    let cluster = placement.cluster.iter();
    let cluster = cluster.map(|cluster| format!("cluster {}", Quoted(cluster)));
    in_order(cluster.chain(placement.tags.iter().map(|tag| quoted(tag))))
}

/// An empty source and `>` both mean everything.
fn republished(republish: &Republish) -> String {
    let from = match &*republish.source {
        "" => ">",
        source => source,
    };
    let headers = if republish.headers_only {
        ", headers only"
    } else {
        ""
    };
    let to = &*republish.destination;
    format!("{} to {}{headers}", Quoted(from), Quoted(to))
}

fn source(source: &Source) -> String {
    let bucket = Quoted(source.bucket.as_ref());
    match &source.domain {
        None => bucket.to_string(),
        Some(domain) => format!("{bucket} of domain {}", Quoted(domain)),
    }
}

/// Formats the metadata not set by the server.
fn own(metadata: &BTreeMap<String, String>) -> String {
    let fields = metadata.iter();
    let fields = fields.filter(|(name, _)| !name.starts_with("_nats."));
    in_order(fields.map(|(name, value)| format!("{}: {}", Quoted(name), Quoted(value))))
}

/// Sorts a few items. The standard library's sort is optimized for many, and is twenty times the code.
fn sort_few<T: Ord>(items: &mut [T]) {
    for end in 1..items.len() {
        for at in (1..=end).rev() {
            if items[at - 1] <= items[at] {
                break;
            }
            items.swap(at - 1, at);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use super::*;
    use crate::key::BucketName;
    use crate::kv::BucketError;

    fn names(wanted: &BucketConfig, actual: &BucketConfig) -> Vec<&'static str> {
        let differences = wanted.differences(actual);
        differences.iter().map(|found| found.setting).collect()
    }

    #[test]
    fn every_difference_is_named() {
        let wanted = BucketConfig::new("b");
        let mut actual = BucketConfig::new("b");
        assert_eq!(names(&wanted, &actual), [""; 0]);

        actual.description = "other".into();
        actual.history = 9;
        actual.max_age = Some(Duration::from_secs(60));
        actual.max_value_size = Some(10);
        actual.max_bytes = Some(1000);
        actual.storage = Storage::Memory;
        actual.replicas = 3;
        actual.compression = true;
        actual.placement = Some(Placement::new().cluster("c"));
        actual.republish = Some(Republish::to("x").headers_only());
        let source = Source::new(BucketName::new("other").unwrap());
        actual.mirror = Some(source.clone());
        actual.sources = vec![source];
        actual.metadata.insert("team".into(), "blue".into());
        assert_eq!(
            names(&wanted, &actual),
            [
                "description",
                "history",
                "max_age",
                "max_value_size",
                "max_bytes",
                "storage",
                "replicas",
                "compression",
                "placement",
                "republish",
                "mirror",
                "sources",
                "metadata",
            ]
        );
        let differences = wanted.differences(&actual);
        assert_eq!(differences[1].to_string(), "history is 9, not 1");
        assert_eq!(differences[2].to_string(), "max_age is 60s, not none");
        assert_eq!(differences[5].to_string(), "storage is memory, not file");
        assert_eq!(
            differences[8].to_string(),
            "placement is cluster \"c\", not none"
        );
        assert_eq!(
            differences[9].to_string(),
            "republish is \">\" to \"x\", headers only, not none"
        );
        assert_eq!(differences[10].to_string(), "mirror is \"other\", not none");
        assert_eq!(
            differences[12].to_string(),
            "metadata is \"team\": \"blue\", not none"
        );
    }

    #[test]
    fn an_error_lists_them_all() {
        let mut wanted = BucketConfig::new("b");
        (wanted.history, wanted.replicas) = (9, 3);
        let differences = wanted.differences(&BucketConfig::new("b"));
        let bucket = BucketName::new("b").unwrap();
        assert_eq!(
            BucketError::Mismatch {
                bucket,
                differences
            }
            .to_string(),
            "bucket b exists with other settings: history is 1, not 9; replicas is 1, not 3"
        );
    }

    #[test]
    fn automatic_markers_match_any_duration() {
        let mut wanted = BucketConfig::new("b");
        let mut actual = BucketConfig::new("b");
        for markers in [LimitMarkers::Off, LimitMarkers::For(Duration::from_secs(9))] {
            actual.limit_markers = markers;
            assert_eq!(names(&wanted, &actual), [""; 0]);
        }
        wanted.limit_markers = LimitMarkers::Off;
        assert_eq!(names(&wanted, &actual), ["limit_markers"]);
        wanted.limit_markers = LimitMarkers::For(Duration::from_secs(9));
        assert_eq!(names(&wanted, &actual), [""; 0]);
    }

    #[test]
    fn equivalent_settings_are_no_difference() {
        let source = |name: &str| Source::new(BucketName::new(name).unwrap());
        let mut wanted = BucketConfig::new("b");
        let mut actual = BucketConfig::new("b");
        wanted.placement = Some(Placement::new());
        wanted.sources = vec![source("x"), source("y")];
        actual.sources = vec![source("y"), source("x")];
        wanted.republish = Some(Republish::to("x"));
        actual.republish = Some(Republish::to("x").source(">"));
        let server = ("_nats.level".to_owned(), "1".to_owned());
        actual.metadata.extend([server]);
        assert_eq!(names(&wanted, &actual), [""; 0]);
    }
}
