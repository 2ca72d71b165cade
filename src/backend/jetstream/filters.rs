//! Converts filters for a consumer. Servers refuse filters of which one includes another, and before 2.12
//! also those that only overlap; readers may use any.

use std::collections::BinaryHeap;

use crate::key::{Key, KeyFilter};

/// Filters that do not overlap and cover all requested keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Filters {
    /// The filters sent to the server.
    pub(super) wire: Vec<KeyFilter>,
    /// The requested filters, if those sent to the server cover more.
    exact: Option<Vec<KeyFilter>>,
}

impl Filters {
    pub(super) fn new(filters: &[KeyFilter]) -> Self {
        let (wild, mut plain): (Vec<&KeyFilter>, Vec<_>) =
            filters.iter().partition(|filter| filter.is_wild());
        let mut wire: Vec<KeyFilter> = Vec::new();
        let mut widened = false;
        for filter in wild {
            let mut filter = filter.clone();
            // A filter that overlaps another is merged with it into one that includes both, which may in
            // turn overlap a third.
            while let Some(at) = wire.iter().position(|other| overlap(&filter, other)) {
                let other = wire.swap_remove(at);
                filter = match (takes_in(&filter, &other), takes_in(&other, &filter)) {
                    (true, _) => filter,
                    (_, true) => other,
                    _ => {
                        widened = true;
                        join(&filter, &other)
                    }
                };
            }
            wire.push(filter);
        }
        // Sorted, so that equal sets have equal results.
        plain.retain(|key| !wire.iter().any(|filter| filter.matches(key)));
        // A heap, because its code is a tenth of the size of a slice sort.
        let mut plain = BinaryHeap::from(plain).into_sorted_vec();
        plain.dedup();
        wire.extend(plain.into_iter().cloned());
        Self {
            wire,
            exact: widened.then(|| filters.to_vec()),
        }
    }

    /// Whether a key sent by the server was requested.
    pub(super) fn wants(&self, key: &Key) -> bool {
        match &self.exact {
            None => true,
            Some(filters) => filters.iter().any(|filter| filter.matches(key)),
        }
    }
}
/// Whether some key passes both filters.
fn overlap(a: &str, b: &str) -> bool {
    let (mut a, mut b) = (a.split('.'), b.split('.'));
    loop {
        match (a.next(), b.next()) {
            (Some(">"), Some(_)) | (Some(_), Some(">")) | (None, None) => return true,
            (Some(a), Some(b)) if a == b || a == "*" || b == "*" => {}
            _ => return false,
        }
    }
}

/// Whether every key that passes `b` also passes `a`.
fn takes_in(a: &str, b: &str) -> bool {
    let (mut a, mut b) = (a.split('.'), b.split('.'));
    loop {
        match (a.next(), b.next()) {
            (Some(">"), Some(_)) | (None, None) => return true,
            (_, Some(">")) => return false,
            (Some(a), Some(b)) if a == b || a == "*" => {}
            _ => return false,
        }
    }
}

/// Returns a filter that includes both.
fn join(a: &str, b: &str) -> KeyFilter {
    let (mut a, mut b) = (a.split('.'), b.split('.'));
    let mut tokens = Vec::new();
    loop {
        match (a.next(), b.next()) {
            (None, None) => break,
            (Some(a), Some(b)) if a == b => tokens.push(a),
            (Some(a), Some(b)) if a != ">" && b != ">" => tokens.push("*"),
            _ => {
                tokens.push(">");
                break;
            }
        }
    }
    // Tokens of filters form a filter; otherwise `>` includes both, too.
    KeyFilter::new(tokens.join(".")).unwrap_or_else(|_| KeyFilter::all())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filters(texts: &[&str]) -> Filters {
        let filters: Vec<_> = texts
            .iter()
            .filter_map(|text| KeyFilter::new(*text).ok())
            .collect();
        assert_eq!(filters.len(), texts.len());
        Filters::new(&filters)
    }

    fn wants(filters: &Filters, key: &str) -> bool {
        filters.wire.iter().any(|filter| filter.matches(key))
            && Key::new(key).is_ok_and(|key| filters.wants(&key))
    }

    #[test]
    fn filters_sent_to_the_server_never_overlap() {
        for (given, wire) in [
            (&["a"][..], &["a"][..]),
            (&["b", "a", "b"], &["a", "b"]),
            (&["a.*", "a.b", "c"], &["a.*", "c"]),
            (&["a.b", "a.>"], &["a.>"]),
            (&["a.>", "a.*", "a.b.c"], &["a.>"]),
            (&[">", "a", "b.*"], &[">"]),
            (&["a.*", "*.b"], &["*.*"]),
            (&["a.>", "*.b"], &["*.>"]),
            (&["*.b", "a.>"], &["*.>"]),
            (&["a.>", "a.*"], &["a.>"]),
            (&["a.*.c", "*.b.c", "x.y"], &["*.*.c", "x.y"]),
            (&["a.*", "b.*"], &["a.*", "b.*"]),
        ] {
            let found = filters(given);
            assert_eq!(found.wire, wire, "{given:?}");
            // Keys are checked only if the server's filters cover more than requested.
            let more = wire.iter().any(|filter| !given.contains(filter));
            assert_eq!(found.exact.is_some(), more, "{given:?}");
            for (at, a) in found.wire.iter().enumerate() {
                for b in &found.wire[at + 1..] {
                    assert!(!overlap(a, b), "{a} {b}");
                }
            }
        }
    }

    #[test]
    fn keys_outside_the_filters_are_skipped() {
        let found = filters(&["a.*", "*.b", "x.y.z"]);
        for key in ["a.q", "q.b", "x.y.z"] {
            assert!(wants(&found, key), "{key}");
        }
        for key in ["q.q", "a", "x.y", "a.b.c"] {
            assert!(!wants(&found, key), "{key}");
        }
    }
}
