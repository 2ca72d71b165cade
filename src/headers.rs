//! Message headers: names with one or more values.

use std::fmt;

/// The headers of an entry or a message.
///
/// NATS header names are case-sensitive. A name may have several values; [`get`](Headers::get) returns
/// the first. The values of one name keep their order; the order of different names is not preserved by
/// every transport, and `==` ignores it.
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
#[derive(Clone, Default)]
pub struct Headers {
    /// The concatenated names and values: a message has a handful of headers, and two allocations are
    /// less than two for each.
    text: String,
    fields: Vec<Field>,
}

/// The position of a header in the text.
#[derive(Clone, Copy)]
struct Field {
    start: usize,
    value: usize,
    end: usize,
}

impl Headers {
    /// Creates empty headers, without allocating.
    pub const fn new() -> Self {
        Self {
            text: String::new(),
            fields: Vec::new(),
        }
    }

    /// Adds a value, keeping the name's existing values.
    pub fn append(&mut self, name: impl AsRef<str>, value: impl AsRef<str>) {
        self.push(name.as_ref(), value.as_ref());
    }

    /// Sets a name to exactly one value.
    pub fn insert(&mut self, name: impl AsRef<str>, value: impl AsRef<str>) {
        let name = name.as_ref();
        self.retain(|existing| existing != name);
        self.push(name, value.as_ref());
    }

    fn push(&mut self, name: &str, value: &str) {
        let start = self.text.len();
        self.text.push_str(name);
        self.text.push_str(value);
        self.fields.push(Field {
            start,
            value: start + name.len(),
            end: self.text.len(),
        });
    }

    /// Keeps only the names that satisfy the predicate.
    pub(crate) fn retain(&mut self, keep: impl Fn(&str) -> bool) {
        let kept: Self = self.iter().filter(|(name, _)| keep(name)).collect();
        if kept.len() < self.len() {
            *self = kept;
        }
    }

    /// Returns the first value of a name.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.iter()
            .find(|(existing, _)| *existing == name)
            .map(|(_, value)| value)
    }

    /// Returns the last value of a name. A server appends its own after those of the message, and a
    /// republished message already has those of another stream.
    #[cfg_attr(not(feature = "web"), allow(dead_code))] // without a server
    pub(crate) fn last(&self, name: &str) -> Option<&str> {
        self.iter()
            .filter(|(existing, _)| *existing == name)
            .last()
            .map(|(_, value)| value)
    }

    /// Returns every value of a name, in order.
    pub fn get_all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> + 'a {
        self.iter()
            .filter(move |(existing, _)| *existing == name)
            .map(|(_, value)| value)
    }

    /// Returns every name and value.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        let text = &*self.text;
        self.fields.iter().map(move |field| {
            let name = &text[field.start..field.value];
            (name, &text[field.value..field.end])
        })
    }

    /// Returns the number of values, over all names.
    pub fn len(&self) -> usize {
        self.fields.len()
    }

    /// Returns the encoded size in bytes: a version line, one line per value, and an empty line.
    #[cfg_attr(not(feature = "web"), allow(dead_code))] // without a server
    pub(crate) fn wire_size(&self) -> usize {
        let values: usize = self
            .iter()
            .map(|(name, value)| name.len() + value.len() + ": \r\n".len())
            .sum();
        match values {
            0 => 0,
            values => "NATS/1.0\r\n\r\n".len() + values,
        }
    }

    /// Returns whether there are no headers.
    pub fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }
}

impl PartialEq for Headers {
    fn eq(&self, other: &Self) -> bool {
        let has_same = |name| self.get_all(name).eq(other.get_all(name));
        self.len() == other.len() && self.iter().all(|(name, _)| has_same(name))
    }
}

impl Eq for Headers {}

impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

impl<N: AsRef<str>, V: AsRef<str>> FromIterator<(N, V)> for Headers {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(iter: I) -> Self {
        let mut headers = Self::new();
        for (name, value) in iter {
            headers.push(name.as_ref(), value.as_ref());
        }
        headers
    }
}

#[cfg(test)]
mod tests {
    use super::Headers;

    #[test]
    fn headers_are_equal_if_each_name_has_the_same_values_in_order() {
        let headers = |fields: &[(&str, &str)]| -> Headers { fields.iter().copied().collect() };
        let two = headers(&[("A", "1"), ("B", "2")]);
        let mut three = headers(&[("C", "3"), ("A", "1"), ("B", "2")]);
        assert_ne!(two, three);
        assert_eq!(two, headers(&[("B", "2"), ("A", "1")]));
        assert_ne!(two, headers(&[("A", "1"), ("A", "1")]));
        let twice = headers(&[("A", "1"), ("A", "2")]);
        assert_ne!(twice, headers(&[("A", "2"), ("A", "1")]));
        assert_ne!(two, headers(&[("A1", ""), ("B", "2")]));
        // Regardless of how they were built.
        three.retain(|name| name != "C");
        assert_eq!(two, three);
    }

    #[test]
    fn inserting_replaces_all_values_of_a_name() {
        let mut headers = Headers::new();
        headers.append("A", "1");
        for _ in 0..1000 {
            headers.insert("B", "a value of some length");
        }
        assert_eq!(headers.len(), 2);
        assert!(headers.text.capacity() < 100);
    }
}
