//! Values that know their key.

/// A value that always lies under the same key, as configuration does.
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
    /// The key; always the same.
    fn key() -> String;
}

#[cfg(feature = "json")]
impl<T: StaticKeyIndexedValue> StaticKeyIndexedValue for crate::codec::Json<T> {
    fn key() -> String {
        T::key()
    }
}

/// A value that knows its key. A [`StaticKeyIndexedValue`] always has the same key; other types
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
// The method has another name than `StaticKeyIndexedValue::key`, so that `MyConfig::key()` means
// one thing with both traits in scope.
pub trait KeyIndexedValue {
    /// The key of this value.
    fn indexed_key(&self) -> String;
}

impl<T: StaticKeyIndexedValue> KeyIndexedValue for T {
    fn indexed_key(&self) -> String {
        T::key()
    }
}
