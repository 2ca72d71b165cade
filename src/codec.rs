//! Encoding and decoding of values.

use bytes::Bytes;

use crate::error::BoxError;

/// A value that can be encoded into bytes, and so written.
///
/// Derive it as JSON with [`JsonByteSer`](crate::JsonByteSer), wrap any serde type in
/// [`Json`](crate::Json), or write the format of your choice:
///
/// ```
/// use shizuku::{Bytes, ByteDeserialize, ByteSerialize, kv::BoxError};
///
/// struct Celsius(f32);
///
/// impl ByteSerialize for Celsius {
///     fn to_bytes(&self) -> Result<Bytes, BoxError> {
///         Ok(self.0.to_string().into())
///     }
/// }
///
/// impl ByteDeserialize for Celsius {
///     fn parse_from_bytes(bytes: &[u8]) -> Result<Self, BoxError> {
///         Ok(Self(std::str::from_utf8(bytes)?.parse()?))
///     }
/// }
/// # assert_eq!(Celsius::parse_from_bytes(&Celsius(21.5).to_bytes()?)?.0, 21.5);
/// # Ok::<(), BoxError>(())
/// ```
pub trait ByteSerialize {
    /// Encodes the value.
    ///
    /// # Errors
    /// Any error of the codec; callers receive it as
    /// [`KvWriteError::Encode`](crate::kv::KvWriteError::Encode).
    fn to_bytes(&self) -> Result<Bytes, BoxError>;
}

/// A value that can be decoded from bytes, and so read.
///
/// ```
/// use shizuku::ByteDeserialize;
///
/// assert_eq!(String::parse_from_bytes(b"blue")?, "blue");
/// assert!(String::parse_from_bytes(b"\xff").is_err());
/// # Ok::<(), shizuku::kv::BoxError>(())
/// ```
pub trait ByteDeserialize: Sized {
    /// Decodes a value.
    ///
    /// # Errors
    /// Any error of the codec; callers receive it as [`DecodeError`](crate::kv::DecodeError).
    fn parse_from_bytes(bytes: &[u8]) -> Result<Self, BoxError>;
}

impl ByteSerialize for Bytes {
    fn to_bytes(&self) -> Result<Bytes, BoxError> {
        Ok(self.clone())
    }
}

impl ByteDeserialize for Bytes {
    fn parse_from_bytes(bytes: &[u8]) -> Result<Self, BoxError> {
        Ok(Self::copy_from_slice(bytes))
    }
}

impl ByteSerialize for Vec<u8> {
    fn to_bytes(&self) -> Result<Bytes, BoxError> {
        Ok(Bytes::copy_from_slice(self))
    }
}

impl ByteDeserialize for Vec<u8> {
    fn parse_from_bytes(bytes: &[u8]) -> Result<Self, BoxError> {
        Ok(bytes.to_vec())
    }
}

impl ByteSerialize for String {
    fn to_bytes(&self) -> Result<Bytes, BoxError> {
        Ok(Bytes::copy_from_slice(self.as_bytes()))
    }
}

impl ByteDeserialize for String {
    fn parse_from_bytes(bytes: &[u8]) -> Result<Self, BoxError> {
        Ok(std::str::from_utf8(bytes)?.to_owned())
    }
}

/// Any serde type, stored as JSON.
///
/// ```
/// use shizuku::{Json, kv::KeyValueRead};
///
/// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let store = shizuku::connect("memory:").await?.create_bucket("docs").await?;
/// store.put("limits", r#"{"cpu": 4}"#).await?;
/// let limits = Json::<serde_json::Value>::live(&store, "limits").await?;
/// assert_eq!(limits.get().expect("written above").0["cpu"], 4);
/// # Ok(()) }
/// ```
#[cfg(feature = "json")]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Json<T>(pub T);

#[cfg(feature = "json")]
impl<T: serde::Serialize> ByteSerialize for Json<T> {
    fn to_bytes(&self) -> Result<Bytes, BoxError> {
        json_to_bytes(&self.0)
    }
}

#[cfg(feature = "json")]
impl<T: serde::de::DeserializeOwned> ByteDeserialize for Json<T> {
    fn parse_from_bytes(bytes: &[u8]) -> Result<Self, BoxError> {
        json_from_bytes(bytes).map(Self)
    }
}

/// Called by `#[derive(JsonByteSer)]`.
#[cfg(feature = "json")]
#[doc(hidden)]
pub fn json_to_bytes<T: serde::Serialize>(value: &T) -> Result<Bytes, BoxError> {
    Ok(serde_json::to_vec(value)?.into())
}

/// Called by `#[derive(JsonByteDes)]`.
#[cfg(feature = "json")]
#[doc(hidden)]
pub fn json_from_bytes<T: serde::de::DeserializeOwned>(bytes: &[u8]) -> Result<T, BoxError> {
    Ok(serde_json::from_slice(bytes)?)
}
