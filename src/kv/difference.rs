//! In what two buckets differ.

use std::{
    collections::BTreeMap,
    fmt::{self, Debug},
};

use super::{
    bucket::{BucketConfig, LimitMarkers, Placement, Republish, Source},
    error::Difference,
};

impl BucketConfig {
    /// In which settings a bucket that exists (`actual`) differs from what is wanted (`self`).
    ///
    /// Settings that say the same in two ways do not differ: [`LimitMarkers::Auto`] is content
    /// with whatever there is, the order of sources and tags means nothing, and metadata named
    /// `_nats.…` is the server's own. The name is not compared.
    pub(crate) fn differences(&self, actual: &Self) -> Vec<Difference> {
        // Naming every field makes a setting that is added later a compile error here.
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
        let mut found = Differences::default();
        found.compare("description", description, &actual.description);
        found.compare("history", history, &actual.history);
        found.compare_option("max_age", max_age.as_ref(), actual.max_age.as_ref());
        if *limit_markers != LimitMarkers::Auto {
            let (wanted, is) = (limit_markers.duration(), actual.limit_markers.duration());
            found.compare_option("limit_markers", wanted.as_ref(), is.as_ref());
        }
        let (wanted, is) = (max_value_size.as_ref(), actual.max_value_size.as_ref());
        found.compare_option("max_value_size", wanted, is);
        let (wanted, is) = (max_bytes.as_ref(), actual.max_bytes.as_ref());
        found.compare_option("max_bytes", wanted, is);
        found.compare("storage", storage, &actual.storage);
        found.compare("replicas", replicas, &actual.replicas);
        found.compare("compression", compression, &actual.compression);
        let (wanted, is) = (
            normal_placement(placement),
            normal_placement(&actual.placement),
        );
        found.compare_option("placement", wanted.as_ref(), is.as_ref());
        let (wanted, is) = (
            normal_republish(republish),
            normal_republish(&actual.republish),
        );
        found.compare_option("republish", wanted.as_ref(), is.as_ref());
        found.compare_option("mirror", mirror.as_ref(), actual.mirror.as_ref());
        found.compare(
            "sources",
            &normal_sources(sources),
            &normal_sources(&actual.sources),
        );
        found.compare("metadata", &Own(metadata), &Own(&actual.metadata));
        found.0
    }
}

/// Collects what differs.
#[derive(Default)]
struct Differences(Vec<Difference>);

impl Differences {
    fn compare<T: PartialEq + Debug>(&mut self, setting: &'static str, wanted: &T, actual: &T) {
        if wanted != actual {
            self.add(setting, Some(wanted), Some(actual));
        }
    }

    /// The same for a setting that may be absent, which reads better as `none` than as `None`.
    fn compare_option<T: PartialEq + Debug>(
        &mut self,
        setting: &'static str,
        wanted: Option<&T>,
        actual: Option<&T>,
    ) {
        if wanted != actual {
            let (wanted, actual) = (wanted.map(|it| it as _), actual.map(|it| it as _));
            self.add(setting, wanted, actual);
        }
    }

    fn add(
        &mut self,
        setting: &'static str,
        wanted: Option<&dyn Debug>,
        actual: Option<&dyn Debug>,
    ) {
        let text = |value: Option<&dyn Debug>| match value {
            Some(value) => format!("{value:?}"),
            None => "none".to_owned(),
        };
        self.0.push(Difference {
            setting,
            wanted: text(wanted),
            actual: text(actual),
        });
    }
}

/// A placement that demands nothing is none, and tags have no order.
fn normal_placement(placement: &Option<Placement>) -> Option<Placement> {
    let mut normal = placement.clone().filter(|p| *p != Placement::default())?;
    sort_few(&mut normal.tags);
    Some(normal)
}

/// No source and `>` are both everything.
fn normal_republish(republish: &Option<Republish>) -> Option<Republish> {
    let mut normal = republish.clone()?;
    if normal.source.is_empty() {
        normal.source.push('>');
    }
    Some(normal)
}

/// Sources have no order.
fn normal_sources(sources: &[Source]) -> Vec<(&str, Option<&str>)> {
    let mut normal: Vec<_> = sources
        .iter()
        .map(|source| (source.bucket.as_ref(), source.domain.as_deref()))
        .collect();
    sort_few(&mut normal);
    normal
}

/// The metadata that people set.
struct Own<'a>(&'a BTreeMap<String, String>);

impl Own<'_> {
    fn fields(&self) -> impl Iterator<Item = (&String, &String)> {
        let fields = self.0.iter();
        fields.filter(|(name, _)| !name.starts_with("_nats."))
    }
}

impl PartialEq for Own<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.fields().eq(other.fields())
    }
}

impl Debug for Own<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.fields()).finish()
    }
}

/// Puts a few in order. The standard library's way is for many, and twenty times the code.
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
    use std::time::Duration;

    use super::*;
    use crate::kv::{BucketName, Storage};

    fn names(wanted: &BucketConfig, actual: &BucketConfig) -> Vec<&'static str> {
        let differences = wanted.differences(actual);
        differences.iter().map(|found| found.setting).collect()
    }

    #[test]
    fn every_setting_that_differs_is_named() {
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
        actual.placement = Some(Placement {
            cluster: Some("c".into()),
            tags: Vec::new(),
        });
        actual.republish = Some(Republish::default());
        let source = Source {
            bucket: BucketName::new("other").unwrap(),
            domain: None,
        };
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
    }

    #[test]
    fn automatic_markers_are_content_with_any() {
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
    fn the_same_said_in_two_ways_is_no_difference() {
        let source = |name: &str| Source {
            bucket: BucketName::new(name).unwrap(),
            domain: None,
        };
        let mut wanted = BucketConfig::new("b");
        let mut actual = BucketConfig::new("b");
        wanted.placement = Some(Placement::default());
        wanted.sources = vec![source("x"), source("y")];
        actual.sources = vec![source("y"), source("x")];
        wanted.republish = Some(Republish::default());
        actual.republish = Some(Republish {
            source: ">".into(),
            ..Republish::default()
        });
        let server = ("_nats.level".to_owned(), "1".to_owned());
        actual.metadata.extend([server]);
        assert_eq!(names(&wanted, &actual), [""; 0]);
    }
}
