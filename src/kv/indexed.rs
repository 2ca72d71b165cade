//! Values that define their key.

/// A value that is always stored under the same key, such as configuration.
///
/// ```
/// use shizuku::kv::{KeyValue, StaticKeyIndexedValue};
/// use serde::{Deserialize, Serialize};
/// use shizuku::{JsonByteDes, JsonByteSer};
///
/// #[derive(Serialize, Deserialize, JsonByteSer, JsonByteDes)]
/// struct Limits {
///     cpu: u32,
/// }
///
/// impl StaticKeyIndexedValue for Limits {
///     fn key() -> String {
///         "app.limits".to_string()
///     }
/// }
///
/// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let store = shizuku::connect("memory:").await?.create_bucket("docs").await?;
/// Limits { cpu: 4 }.write_to_anyway(&store).await?;
/// let limits = Limits::read_from(&store, Limits::key()).await?;
/// assert_eq!(limits.map(|limits| limits.cpu), Some(4));
/// # Ok(()) }
/// ```
pub trait StaticKeyIndexedValue {
    /// Returns the key, which is always the same.
    fn key() -> String;
}

#[cfg(feature = "json")]
impl<T: StaticKeyIndexedValue> StaticKeyIndexedValue for crate::codec::Json<T> {
    fn key() -> String {
        T::key()
    }
}

/// A value that defines its key. For a [`StaticKeyIndexedValue`] the key is constant; other types
/// compute it.
///
/// ```
/// use shizuku::kv::KeyIndexedValue;
///
/// struct Session {
///     user: String,
/// }
///
/// impl KeyIndexedValue for Session {
///     fn indexed_key(&self) -> String {
///         format!("session.{}", self.user)
///     }
/// }
/// ```
// The method's name differs from `StaticKeyIndexedValue::key`, so that `MyConfig::key()` is unambiguous
// with both traits in scope.
pub trait KeyIndexedValue {
    /// Returns the key of this value.
    fn indexed_key(&self) -> String;
}

impl<T: StaticKeyIndexedValue> KeyIndexedValue for T {
    fn indexed_key(&self) -> String {
        T::key()
    }
}
