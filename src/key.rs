//! Keys, filters and bucket names: validated once, on entry, so that all other code can rely on them.

use std::{borrow::Borrow, fmt, ops::Deref, str::FromStr};

use bytestring::ByteString;

use crate::invalid::{InvalidKey, InvalidReason, NameKind, refuse};

/// The maximum length of a key or filter, in bytes.
///
/// A server accepts protocol lines of at most 4096 bytes (`max_control_line`), and a line can contain a
/// key and twice the bucket's name; this leaves room for all of that.
///
/// ```
/// use shizuku::kv::{InvalidReason, Key, MAX_KEY_LEN};
///
/// let longest = "k".repeat(MAX_KEY_LEN);
/// assert!(Key::new(&*longest).is_ok());
/// let error = Key::new(longest + "k").unwrap_err();
/// assert_eq!(error.reason, InvalidReason::TooLong { len: MAX_KEY_LEN + 1, max: MAX_KEY_LEN });
/// ```
pub const MAX_KEY_LEN: usize = 2048;

/// The maximum length of a bucket name, in bytes: a stream name may have 255, including its prefix
/// `KV_`.
///
/// ```
/// use shizuku::kv::{BucketName, MAX_BUCKET_LEN};
///
/// // One bucket for each tenant. Tenants' names may be of any length.
/// let tenant = "a-very-long-name-".repeat(20);
/// let name = format!("tenant-{tenant}");
/// assert!(BucketName::new(&*name).is_err());
/// assert!(BucketName::new(&name[..MAX_BUCKET_LEN]).is_ok());
/// ```
pub const MAX_BUCKET_LEN: usize = 252;

/// The prefix of keys reserved for this library; see [`Key::is_reserved`].
pub(crate) const RESERVED_PREFIX: &str = "_lock.";

const KEY_CHARACTERS: &str = "A-Z a-z 0-9 - / _ = .";
const FILTER_CHARACTERS: &str = "A-Z a-z 0-9 - / _ = . * >";
const BUCKET_CHARACTERS: &str = "A-Z a-z 0-9 - _";

fn check_length(kind: NameKind, text: &str, max: usize) -> Result<(), InvalidKey> {
    match text.len() {
        0 => Err(refuse(kind, text, InvalidReason::Empty)),
        len if len > max => Err(refuse(kind, text, InvalidReason::TooLong { len, max })),
        _ => Ok(()),
    }
}

fn check_characters(
    kind: NameKind,
    text: &str,
    allowed: &'static str,
    ok: fn(u8) -> bool,
) -> Result<(), InvalidKey> {
    // Every allowed character is ASCII, so the first rejected byte is the start of a character.
    let Some(at) = text.bytes().position(|byte| !ok(byte)) else {
        return Ok(());
    };
    let found = text[at..].chars().next().unwrap_or('\u{fffd}');
    Err(refuse(
        kind,
        text,
        InvalidReason::Character { found, at, allowed },
    ))
}

fn check_tokens(kind: NameKind, text: &str) -> Result<(), InvalidKey> {
    if text.split('.').any(str::is_empty) {
        return Err(refuse(kind, text, InvalidReason::EmptyToken));
    }
    Ok(())
}

fn is_key_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'/' | b'_' | b'=' | b'.')
}

fn check_key(kind: NameKind, text: &str) -> Result<(), InvalidKey> {
    check_length(kind, text, MAX_KEY_LEN)?;
    check_characters(kind, text, KEY_CHARACTERS, is_key_byte)?;
    check_tokens(kind, text)
}

/// A lock name is a key with room for the prefix and suffix that are added to it.
pub(crate) fn check_lock(text: &str) -> Result<(), InvalidKey> {
    const AROUND: usize = RESERVED_PREFIX.len() + 64;
    check_length(NameKind::Lock, text, MAX_KEY_LEN - AROUND)?;
    check_key(NameKind::Lock, text)
}

fn check_filter(text: &str) -> Result<(), InvalidKey> {
    let kind = NameKind::Filter;
    check_length(kind, text, MAX_KEY_LEN)?;
    check_characters(kind, text, FILTER_CHARACTERS, |byte| {
        is_key_byte(byte) || matches!(byte, b'*' | b'>')
    })?;
    check_tokens(kind, text)?;
    let mut tokens = text.split('.').peekable();
    while let Some(token) = tokens.next() {
        let last = tokens.peek().is_none();
        // Bytes: searching for a `char` would link the substring search.
        let has = |wildcard| token.as_bytes().contains(&wildcard);
        let misplaced = (has(b'*') && token != "*") || (has(b'>') && (token != ">" || !last));
        if misplaced {
            return Err(refuse(kind, text, InvalidReason::Wildcard));
        }
    }
    Ok(())
}

fn check_bucket(text: &str) -> Result<(), InvalidKey> {
    let kind = NameKind::Bucket;
    check_length(kind, text, MAX_BUCKET_LEN)?;
    check_characters(kind, text, BUCKET_CHARACTERS, |byte| {
        byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')
    })
}

/// Defines a name type: text that has passed `$check`.
macro_rules! name_type {
    ($(#[$doc:meta])* $name:ident, $check:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(ByteString);

        impl $name {
            /// Validates the text.
            ///
            /// # Errors
            /// [`InvalidKey`] with the broken rule.
            pub fn new(text: impl Into<String>) -> Result<Self, InvalidKey> {
                let text = text.into();
                $check(&text)?;
                // Takes ownership without copying.
                Ok(Self(ByteString::from(text)))
            }

            /// Returns the text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(self.as_str(), f)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl Deref for $name {
            type Target = str;
            fn deref(&self) -> &str {
                self.as_str()
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                self.as_str()
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                self.as_str()
            }
        }

        impl PartialEq<str> for $name {
            fn eq(&self, other: &str) -> bool {
                self.as_str() == other
            }
        }

        impl PartialEq<&str> for $name {
            fn eq(&self, other: &&str) -> bool {
                self.as_str() == *other
            }
        }

        impl FromStr for $name {
            type Err = InvalidKey;
            fn from_str(text: &str) -> Result<Self, InvalidKey> {
                Self::new(text)
            }
        }

        impl TryFrom<&str> for $name {
            type Error = InvalidKey;
            fn try_from(text: &str) -> Result<Self, InvalidKey> {
                Self::new(text)
            }
        }

        impl TryFrom<&&str> for $name {
            type Error = InvalidKey;
            fn try_from(text: &&str) -> Result<Self, InvalidKey> {
                Self::new(*text)
            }
        }

        impl TryFrom<&String> for $name {
            type Error = InvalidKey;
            fn try_from(text: &String) -> Result<Self, InvalidKey> {
                Self::new(text.as_str())
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidKey;
            fn try_from(text: String) -> Result<Self, InvalidKey> {
                Self::new(text)
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.as_str().to_owned()
            }
        }

        impl From<&$name> for $name {
            fn from(name: &$name) -> Self {
                name.clone()
            }
        }
    };
}

name_type! {
    /// A key: one to 2048 bytes of `A-Z a-z 0-9 - / _ = .`, where dots separate tokens and no
    /// token is empty (ADR-8).
    ///
    /// Cheap to clone. Every method that takes a key also takes text, and rejects invalid text before
    /// sending anything.
    ///
    /// ```
    /// use shizuku::kv::Key;
    ///
    /// assert!(Key::new("app.config").is_ok());
    /// assert!(Key::new("app..config").is_err());
    /// assert!(Key::new("app.*").is_err());
    /// ```
    Key, |text: &str| check_key(NameKind::Key, text)
}

name_type! {
    /// A key filter: a key in which `*` matches one token, and `>` at the end matches one or more.
    ///
    /// ```
    /// use shizuku::kv::{Key, KeyFilter};
    ///
    /// let filter = KeyFilter::new("app.*.url")?;
    /// assert!(filter.matches("app.db.url"));
    /// assert!(!filter.matches("app.url"));
    /// assert!(KeyFilter::all().matches("anything"));
    /// # Ok::<(), shizuku::kv::InvalidKey>(())
    /// ```
    KeyFilter, check_filter
}

name_type! {
    /// A bucket's name: one to 252 bytes of `A-Z a-z 0-9 - _` (ADR-8).
    ///
    /// ```
    /// use shizuku::kv::BucketName;
    ///
    /// assert!(BucketName::new("app-config").is_ok());
    /// assert!(BucketName::new("app.config").is_err());
    /// ```
    BucketName, check_bucket
}

impl Key {
    /// Returns whether the key is under `_lock.`, the prefix reserved for the library's locks. Such keys
    /// cannot be written, and listings and watches omit them unless asked to include them.
    pub fn is_reserved(&self) -> bool {
        self.starts_with(RESERVED_PREFIX)
    }

    /// Creates a key from the wire: the end of a subject under which the server stores a value. It is
    /// not validated: the server accepted it, and there may be a million of them.
    #[cfg(any(feature = "native", feature = "web"))]
    pub(crate) fn from_subject(rest: ByteString) -> Self {
        Self(rest)
    }

    /// Returns the key named by a filter without wildcards.
    #[cfg(any(feature = "native", feature = "web"))]
    pub(crate) fn from_filter(filter: KeyFilter) -> Self {
        Self(filter.0)
    }

    /// Rejects reserved keys.
    pub(crate) fn check_writable(&self) -> Result<(), InvalidKey> {
        if self.is_reserved() {
            return Err(refuse(NameKind::Key, self, InvalidReason::Reserved));
        }
        Ok(())
    }

    /// Returns a copy that shares no memory with its source. A key from the wire is a slice of a read
    /// buffer and keeps all of it alive, so keys that are kept for long are copied.
    pub(crate) fn detached(&self) -> Self {
        Self(ByteString::from(self.as_str()))
    }
}

impl KeyFilter {
    /// Returns the filter that matches every key (`>`).
    pub fn all() -> Self {
        Self(ByteString::from_static(">"))
    }

    /// Returns whether a key matches.
    pub fn matches(&self, key: &str) -> bool {
        let mut tokens = key.split('.');
        for wanted in self.split('.') {
            match (wanted, tokens.next()) {
                (">", Some(_)) => return true,
                ("*", Some(_)) => {}
                (wanted, Some(token)) if wanted == token => {}
                _ => return false,
            }
        }
        tokens.next().is_none()
    }

    /// Returns whether more than one key may match.
    pub(crate) fn is_wild(&self) -> bool {
        self.bytes().any(|byte| matches!(byte, b'*' | b'>'))
    }

    /// Returns whether this filter selects reserved keys explicitly, so that they are not omitted.
    pub(crate) fn names_reserved(&self) -> bool {
        self.starts_with(RESERVED_PREFIX)
    }
}

impl From<Key> for KeyFilter {
    fn from(key: Key) -> Self {
        Self(key.0)
    }
}

impl From<&Key> for KeyFilter {
    fn from(key: &Key) -> Self {
        Self(key.0.clone())
    }
}

/// Anything that names a key: a [`Key`], or text to be validated.
///
/// ```
/// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let store = shizuku::connect("memory:").await?.create_bucket("docs").await?;
/// let key = shizuku::kv::Key::new("color")?;
/// store.put(&key, "blue").await?;
/// assert!(store.get("color").await?.is_some() && store.get(key).await?.is_some());
/// # Ok(()) }
/// ```
pub trait IntoKey {
    /// Converts into a key.
    ///
    /// # Errors
    /// [`InvalidKey`] if the text is not a valid key.
    fn into_key(self) -> Result<Key, InvalidKey>;
}

impl<T> IntoKey for T
where
    T: TryInto<Key>,
    InvalidKey: From<T::Error>,
{
    fn into_key(self) -> Result<Key, InvalidKey> {
        Ok(self.try_into()?)
    }
}

/// Anything that selects the keys of a watch or listing: one filter or many.
///
/// ```
/// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let store = shizuku::connect("memory:").await?.create_bucket("docs").await?;
/// store.watch("app.*").await?;
/// store.watch(["app.db.>", "app.cache.>"]).await?;
/// # Ok(()) }
/// ```
pub trait IntoFilters {
    /// Converts into filters.
    ///
    /// # Errors
    /// [`InvalidKey`] if a text is not a valid filter.
    fn into_filters(self) -> Result<Vec<KeyFilter>, InvalidKey>;
}

macro_rules! one_filter {
    ($($one:ty),*) => {$(
        impl IntoFilters for $one {
            fn into_filters(self) -> Result<Vec<KeyFilter>, InvalidKey> {
                Ok(vec![KeyFilter::try_from(self)?])
            }
        }
    )*};
}
one_filter!(
    &str, &&str, String, &String, KeyFilter, &KeyFilter, Key, &Key
);

macro_rules! many_filters {
    ($([$($generics:tt)*] $many:ty),*) => {$(
        impl<T: IntoFilters + Clone, $($generics)*> IntoFilters for $many {
            fn into_filters(self) -> Result<Vec<KeyFilter>, InvalidKey> {
                let mut filters = Vec::with_capacity(self.len());
                for filter in self.iter().cloned() {
                    filters.extend(filter.into_filters()?);
                }
                Ok(filters)
            }
        }
    )*};
}
many_filters!([] &[T], [] Vec<T>, [] &Vec<T>, [const N: usize] [T; N], [const N: usize] &[T; N]);
