//! Message headers: names with one or more values, in the order they were written.

use std::fmt;

/// The headers of an entry or a message.
///
/// Names are compared as they are written: NATS header names are case-sensitive. A name may stand
/// several times; [`get`](Headers::get) answers with its first value.
///
/// ```
/// use shizuku::Headers;
///
/// let mut headers = Headers::new();
/// headers.append("Trace-Id", "7f3a");
/// headers.append("Tag", "blue");
/// headers.append("Tag", "eu");
///
/// assert_eq!(headers.get("Trace-Id"), Some("7f3a"));
/// assert_eq!(headers.get_all("Tag").collect::<Vec<_>>(), ["blue", "eu"]);
/// assert_eq!(headers.get("trace-id"), None);
/// ```
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Headers {
    // A message carries a handful of headers: a scan beats hashing, and the order survives.
    fields: Vec<(String, String)>,
}

impl Headers {
    /// No headers. Allocates nothing.
    pub const fn new() -> Self {
        Self { fields: Vec::new() }
    }

    /// Adds a value, keeping those that the name already has.
    pub fn append(&mut self, name: impl Into<String>, value: impl Into<String>) {
        self.fields.push((name.into(), value.into()));
    }

    /// Sets a name to exactly one value.
    pub fn insert(&mut self, name: impl Into<String>, value: impl Into<String>) {
        let name = name.into();
        self.fields.retain(|(existing, _)| *existing != name);
        self.fields.push((name, value.into()));
    }

    /// Keeps only the names that pass.
    #[cfg(any(feature = "native", feature = "web"))]
    pub(crate) fn retain(&mut self, keep: impl Fn(&str) -> bool) {
        self.fields.retain(|(name, _)| keep(name));
    }

    /// The first value of a name.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.iter()
            .find(|(existing, _)| *existing == name)
            .map(|(_, value)| value)
    }

    /// Every value of a name, in order.
    pub fn get_all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> + 'a {
        self.iter()
            .filter(move |(existing, _)| *existing == name)
            .map(|(_, value)| value)
    }

    /// Every name and value, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.fields
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// How many values there are, over all names.
    pub fn len(&self) -> usize {
        self.fields.len()
    }

    /// Whether there is no header at all.
    pub fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }
}

impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

impl<N: Into<String>, V: Into<String>> FromIterator<(N, V)> for Headers {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(iter: I) -> Self {
        let fields = iter
            .into_iter()
            .map(|(name, value)| (name.into(), value.into()))
            .collect();
        Self { fields }
    }
}
