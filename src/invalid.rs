//! Errors for invalid names.

use std::fmt;

use crate::words::{Quoted, QuotedChar};

/// A key, filter or bucket name that breaks the rules, detected before anything was sent.
///
/// ```
/// use shizuku::kv::{InvalidReason, Key};
///
/// let error = Key::new("app..config").unwrap_err();
/// assert_eq!(error.reason, InvalidReason::EmptyToken);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid {kind} {}: {reason}", Quoted(text))]
#[non_exhaustive]
pub struct InvalidKey {
    /// The kind of name.
    pub kind: NameKind,
    /// The rejected text, truncated to 64 characters.
    pub text: String,
    /// The broken rule.
    pub reason: InvalidReason,
}

/// The kind of a name.
///
/// ```
/// use shizuku::kv::{BucketName, InvalidKey, Key, NameKind};
///
/// /// The names in a request to `/kv/{bucket}/{key}`.
/// fn names(bucket: &str, key: &str) -> Result<(BucketName, Key), InvalidKey> {
///     Ok((BucketName::new(bucket)?, Key::new(key)?))
/// }
///
/// /// The HTTP status for a bad name.
/// fn status(error: &InvalidKey) -> u16 {
///     match error.kind {
///         NameKind::Bucket => 404, // no such bucket can exist
///         _ => 400,
///     }
/// }
///
/// let error = names("app.settings", "color").unwrap_err();
/// assert_eq!((error.kind, status(&error)), (NameKind::Bucket, 404));
/// let error = names("settings", "color?").unwrap_err();
/// assert_eq!((error.kind, status(&error)), (NameKind::Key, 400));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NameKind {
    /// A key.
    Key,
    /// A key filter.
    Filter,
    /// A bucket's name.
    Bucket,
    /// The name of a lock, semaphore or election.
    Lock,
}

impl fmt::Display for NameKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Key => "key",
            Self::Filter => "filter",
            Self::Bucket => "bucket name",
            Self::Lock => "lock name",
        })
    }
}

/// The rule that an invalid name breaks.
///
/// ```
/// use shizuku::kv::{InvalidReason, Key};
///
/// /// The hint shown below a form field.
/// fn hint(name: &str) -> Option<String> {
///     Some(match Key::new(format!("user.{name}")).err()?.reason {
///         InvalidReason::Character { found, at, .. } => {
///             format!("`{found}` cannot be in it (place {})", at - "user.".len() + 1)
///         }
///         InvalidReason::EmptyToken => "a name may not be empty, nor begin or end with a dot".into(),
///         InvalidReason::TooLong { len, max } => format!("{} bytes too long", len - max),
///         other => other.to_string(),
///     })
/// }
///
/// assert_eq!(hint("ann"), None);
/// assert_eq!(hint("ann@example.com").as_deref(), Some("`@` cannot be in it (place 4)"));
/// assert!(hint("").is_some_and(|hint| hint.contains("empty")));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidReason {
    /// The name is empty.
    #[error("it is empty")]
    Empty,
    /// The name is too long.
    #[error("it is {len} bytes long, more than the maximum of {max}")]
    TooLong {
        /// Its length, in bytes.
        len: usize,
        /// The maximum length, in bytes.
        max: usize,
    },
    /// The name contains a character that is not allowed in this kind of name.
    #[error("{} at byte {at} is not allowed (allowed: {allowed})", QuotedChar(*.found))]
    Character {
        /// The character.
        found: char,
        /// Its position, in bytes.
        at: usize,
        /// The allowed characters.
        allowed: &'static str,
    },
    /// The name has an empty token: a dot at the start, at the end, or next to another.
    #[error("it has an empty token: a dot may not be first, last or next to another dot")]
    EmptyToken,
    /// `*` next to other characters in a token, or `>` anywhere but as the last token.
    #[error("`*` must be a token of its own, and `>` the last token")]
    Wildcard,
    /// The key is reserved for the library's locks.
    #[error("keys under `_lock.` are reserved for locks")]
    Reserved,
}

pub(crate) fn refuse(kind: NameKind, text: &str, reason: InvalidReason) -> InvalidKey {
    InvalidKey {
        kind,
        text: text.chars().take(64).collect(),
        reason,
    }
}

// Lets `impl TryInto<Key>` accept a `Key` too.
impl From<std::convert::Infallible> for InvalidKey {
    fn from(never: std::convert::Infallible) -> Self {
        match never {}
    }
}
