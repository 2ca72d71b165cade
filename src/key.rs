//! Keys, filters and bucket names: checked once, on entry, so that all other code can trust them.

use std::{borrow::Borrow, fmt, ops::Deref, str::FromStr};

use bytestring::ByteString;

use crate::invalid::{InvalidKey, InvalidReason, NameKind, refuse};

/// The longest key or filter, in bytes.
///
/// A server reads at most 4096 bytes of a protocol line (`max_control_line`), and a line can hold a
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

/// The longest bucket name, in bytes: a stream name may have 255, including its prefix `KV_`.
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

/// Keys that belong to this library start so; see [`Key::is_reserved`].
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
    // Every allowed character is ASCII, so the first refused byte is the start of a character.
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

/// The name of a lock is a key that leaves room for the prefix and suffix that are added to it.
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
        // Bytes: a search for a `char` would link the code that searches for any text.
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
            /// Checks the text.
            ///
            /// # Errors
            /// [`InvalidKey`] says which rule it breaks.
            pub fn new(text: impl Into<String>) -> Result<Self, InvalidKey> {
                let text = text.into();
                $check(&text)?;
                // Takes the text over, and does not copy it.
                Ok(Self(ByteString::from(text)))
            }

            /// The text.
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
    /// Cheap to clone. Every method that takes a key also takes text, and refuses invalid text
    /// before it sends anything.
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
    /// A filter over keys: a key in which `*` matches one token, and `>` at the end matches one or
    /// more.
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
    /// Whether the key is under `_lock.`, which is reserved for the library's locks. Such keys cannot
    /// be written, and listings and watches leave them out unless asked for them.
    pub fn is_reserved(&self) -> bool {
        self.starts_with(RESERVED_PREFIX)
    }

    /// A key from the wire: the end of a subject under which a server stores a value. It is not
    /// checked: the server accepted it, and there may be a million of them.
    #[cfg(any(feature = "native", feature = "web"))]
    pub(crate) fn from_subject(rest: ByteString) -> Self {
        Self(rest)
    }

    /// The key that a filter without wildcards names.
    #[cfg(any(feature = "native", feature = "web"))]
    pub(crate) fn from_filter(filter: KeyFilter) -> Self {
        Self(filter.0)
    }

    /// Refuses keys that belong to the library.
    pub(crate) fn check_writable(&self) -> Result<(), InvalidKey> {
        if self.is_reserved() {
            return Err(refuse(NameKind::Key, self, InvalidReason::Reserved));
        }
        Ok(())
    }

    /// A copy that shares no memory with its source. A key from the wire is a slice of a read buffer
    /// and keeps all of it alive, so keys that are kept for long are copied.
    pub(crate) fn detached(&self) -> Self {
        Self(ByteString::from(self.as_str()))
    }
}

impl KeyFilter {
    /// The filter that every key passes (`>`).
    pub fn all() -> Self {
        Self(ByteString::from_static(">"))
    }

    /// Whether a key passes.
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

    /// Whether more than one key may pass.
    pub(crate) fn is_wild(&self) -> bool {
        self.bytes().any(|byte| matches!(byte, b'*' | b'>'))
    }

    /// Whether this filter names keys of the library, so that they are not left out.
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

/// Anything that names a key: a [`Key`], or text that is checked.
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
    /// The key.
    ///
    /// # Errors
    /// [`InvalidKey`] if the text is not a key.
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

/// Anything that names the keys of a watch or listing: one filter, or many.
///
/// ```
/// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let store = shizuku::connect("memory:").await?.create_bucket("docs").await?;
/// store.watch("app.*").await?;
/// store.watch(["app.db.>", "app.cache.>"]).await?;
/// # Ok(()) }
/// ```
pub trait IntoFilters {
    /// The filters.
    ///
    /// # Errors
    /// [`InvalidKey`] if a text is not a filter.
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
