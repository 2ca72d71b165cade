//! Typed values: the traits that read, write and watch them.

use std::any::type_name;

use super::{
    entry::Entry,
    error::{DecodeError, KvReadError, KvWriteError},
    indexed::KeyIndexedValue,
    live::Live,
    live_map::LiveMap,
    options::{PutOptions, Read, RemoveOptions, UpdateOptions, WatchOptions},
    store::Store,
    watch::Watch,
};
use crate::{
    codec::{ByteDeserialize, ByteSerialize},
    key::{IntoFilters, IntoKey, Key},
};

/// Reads, writes and deletes typed values. Every type implements it; each method's bounds state what it
/// requires: a codec ([`ByteSerialize`], [`ByteDeserialize`]) and, for writes, a key
/// ([`KeyIndexedValue`], [`StaticKeyIndexedValue`](super::StaticKeyIndexedValue)).
///
/// Futures may be dropped at any time: a dropped read has no effect; a dropped write may or may not
/// happen.
///
/// ```
/// use shizuku::kv::{KeyValue, PutOptions};
///
/// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let store = shizuku::connect("memory:").await?.create_bucket("docs").await?;
/// let blue = String::from("blue");
/// let revision = blue.write_under(&store, "color", PutOptions::new()).await?;
/// assert_eq!(String::read_from(&store, "color").await?.as_deref(), Some("blue"));
/// String::delete_atomically(&store, "color", revision).await?;
/// assert_eq!(String::read_from(&store, "color").await?, None);
/// # Ok(()) }
/// ```
pub trait KeyValue: Sized {
    /// Returns the value of a key; `None` if it was never written, was removed or has expired.
    ///
    /// # Errors
    /// [`KvReadError::Decode`] if the stored value does not decode as `Self`.
    fn read_from(
        store: &Store,
        key: impl IntoKey,
    ) -> impl Future<Output = Result<Option<Self>, KvReadError>> + Send
    where
        Self: ByteDeserialize + Send,
    {
        Self::read_from_with(store, key, Read::Any)
    }

    /// Returns the value of a key from the chosen kind of replica.
    ///
    /// # Errors
    /// [`KvReadError::Decode`] if the stored value does not decode as `Self`.
    fn read_from_with(
        store: &Store,
        key: impl IntoKey,
        read: Read,
    ) -> impl Future<Output = Result<Option<Self>, KvReadError>> + Send
    where
        Self: ByteDeserialize + Send,
    {
        let key = key.into_key();
        async move {
            let entry = store.entry_with(key?, read).await?;
            Ok(match entry {
                Some(entry) => decode(entry)?.value,
                None => None,
            })
        }
    }

    /// Writes the value under its key unconditionally and returns its revision.
    ///
    /// # Errors
    /// [`KvWriteError`]; an unknown outcome is a variant of its own.
    fn write_to_anyway(
        &self,
        store: &Store,
    ) -> impl Future<Output = Result<u64, KvWriteError>> + Send
    where
        Self: KeyIndexedValue + ByteSerialize,
    {
        write(self, self.indexed_key(), store, PutOptions::new())
    }

    /// Writes the value if the key's last revision is `revision` (0: it has none), and returns the
    /// new revision.
    ///
    /// # Errors
    /// [`KvWriteError::Conflict`] if another write came first.
    fn write_to_atomically(
        &self,
        store: &Store,
        revision: u64,
    ) -> impl Future<Output = Result<u64, KvWriteError>> + Send
    where
        Self: KeyIndexedValue + ByteSerialize,
    {
        let options = PutOptions::new().if_revision(revision);
        write(self, self.indexed_key(), store, options)
    }

    /// Writes the value if the key has none, and returns its revision.
    ///
    /// # Errors
    /// [`KvWriteError::Conflict`] if the key has a value.
    fn create_in(&self, store: &Store) -> impl Future<Output = Result<u64, KvWriteError>> + Send
    where
        Self: KeyIndexedValue + ByteSerialize,
    {
        let options = PutOptions::new().if_absent();
        write(self, self.indexed_key(), store, options)
    }

    /// Writes the value with options.
    ///
    /// # Errors
    /// [`KvWriteError`].
    fn write_to_with(
        &self,
        store: &Store,
        options: PutOptions,
    ) -> impl Future<Output = Result<u64, KvWriteError>> + Send
    where
        Self: KeyIndexedValue + ByteSerialize,
    {
        write(self, self.indexed_key(), store, options)
    }

    /// Writes the value under the given key, with options: for types that do not define a key, such as
    /// [`Json<T>`](crate::Json) or `String`.
    ///
    /// ```
    /// use shizuku::{Json, kv::{KeyValue, PutOptions}};
    ///
    /// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let store = shizuku::connect("memory:").await?.create_bucket("docs").await?;
    /// Json([1, 2]).write_under(&store, "pair", PutOptions::new()).await?;
    /// assert_eq!(store.get("pair").await?.as_deref(), Some(&b"[1,2]"[..]));
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`KvWriteError`].
    fn write_under(
        &self,
        store: &Store,
        key: impl IntoKey,
        options: PutOptions,
    ) -> impl Future<Output = Result<u64, KvWriteError>> + Send
    where
        Self: ByteSerialize,
    {
        write(self, key, store, options)
    }

    /// Computes a new value from the current one and writes it, retrying after every concurrent write,
    /// as [`Store::update_with`] does; returns its revision.
    ///
    /// # Errors
    /// [`KvWriteError::Contention`] after too many lost races; [`KvWriteError::Read`] if the current
    /// value does not decode as `Self`.
    fn update_in(
        store: &Store,
        key: impl IntoKey,
        mut update: impl FnMut(Option<Self>) -> Option<Self> + Send,
    ) -> impl Future<Output = Result<Option<u64>, KvWriteError>> + Send
    where
        Self: ByteDeserialize + ByteSerialize + Send,
    {
        Self::try_update_in(store, key, UpdateOptions::new(), move |current| {
            Ok(update(current))
        })
    }

    /// [`update_in`](Self::update_in) with options, for a function that can fail.
    ///
    /// ```
    /// use shizuku::{Json, kv::{BoxError, KeyValue, UpdateOptions}};
    ///
    /// # #[tokio::main] async fn main() -> Result<(), BoxError> {
    /// # let store = shizuku::connect("memory:").await?.create_bucket("docs").await?;
    /// Json(3).write_under(&store, "seats", Default::default()).await?;
    /// let book = |seats: Option<Json<u32>>| match seats {
    ///     Some(Json(left @ 1..)) => Ok(Some(Json(left - 1))),
    ///     _ => Err(BoxError::from("booked out")),
    /// };
    /// for left in [2, 1, 0] {
    ///     Json::try_update_in(&store, "seats", UpdateOptions::new(), book).await?;
    ///     assert_eq!(store.get("seats").await?.unwrap(), left.to_string());
    /// }
    /// let refused = Json::try_update_in(&store, "seats", UpdateOptions::new(), book).await;
    /// assert_eq!(refused.unwrap_err().to_string(), "booked out");
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// Those of `update_in`, and those of the function, immediately; [`KvWriteError::InvalidOption`] for
    /// options out of range, before anything is sent.
    fn try_update_in<E>(
        store: &Store,
        key: impl IntoKey,
        options: UpdateOptions,
        mut update: impl FnMut(Option<Self>) -> Result<Option<Self>, E> + Send,
    ) -> impl Future<Output = Result<Option<u64>, E>> + Send
    where
        Self: ByteDeserialize + ByteSerialize + Send,
        E: From<KvWriteError> + Send,
    {
        let key = key.into_key();
        async move {
            let key = key.map_err(KvWriteError::from)?;
            store
                .try_update_with(&key, options, |current| {
                    let current = match current {
                        Some(entry) => {
                            decode(entry)
                                .map_err(|error| KvWriteError::Read(Box::new(error)))?
                                .value
                        }
                        None => None,
                    };
                    let value = update(current)?;
                    Ok(value.map(|value| encode(&value, &key)).transpose()?)
                })
                .await
        }
    }

    /// Deletes the value of a key unconditionally and returns the revision of the removal.
    ///
    /// # Errors
    /// [`KvWriteError`].
    fn delete_anyway(
        store: &Store,
        key: impl IntoKey,
    ) -> impl Future<Output = Result<u64, KvWriteError>> + Send {
        let key = key.into_key();
        async move { store.delete(key?).await }
    }

    /// Deletes the value of a key if its last revision is `revision`, and returns the revision of the
    /// removal.
    ///
    /// # Errors
    /// [`KvWriteError::Conflict`] if another write came first.
    fn delete_atomically(
        store: &Store,
        key: impl IntoKey,
        revision: u64,
    ) -> impl Future<Output = Result<u64, KvWriteError>> + Send {
        let key = key.into_key();
        async move {
            let options = RemoveOptions::delete().if_revision(revision);
            store.remove_with(key?, options).await
        }
    }

    /// Removes the value of a key with options: a condition, purging its history, or a time to live for
    /// the marker.
    ///
    /// # Errors
    /// [`KvWriteError`].
    fn remove_from(
        store: &Store,
        key: impl IntoKey,
        options: RemoveOptions,
    ) -> impl Future<Output = Result<u64, KvWriteError>> + Send {
        let key = key.into_key();
        async move { store.remove_with(key?, options).await }
    }
}

impl<T> KeyValue for T {}

/// Watches typed values, and reads them with their metadata. Every type that can be decoded implements
/// it.
///
/// ```
/// use shizuku::kv::KeyValueRead;
///
/// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let store = shizuku::connect("memory:").await?.create_bucket("docs").await?;
/// store.put("color", "blue").await?;
/// let watch = String::watch(&store, "color").await?;
/// let entry = watch.next().await.expect("a watch goes on")?;
/// assert_eq!((entry.revision, entry.value.as_deref()), (1, Some("blue")));
/// # Ok(()) }
/// ```
pub trait KeyValueRead: ByteDeserialize + Send + 'static {
    /// Returns the last revision of a key with its metadata, a value or a removal; `None` if the bucket
    /// has neither.
    ///
    /// # Errors
    /// [`KvReadError::Decode`] if the stored value does not decode as `Self`.
    fn entry_from(
        store: &Store,
        key: impl IntoKey,
    ) -> impl Future<Output = Result<Option<Entry<Self>>, KvReadError>> + Send {
        Self::entry_from_with(store, key, Read::Any)
    }

    /// Returns the last revision of a key with its metadata from the chosen kind of replica.
    ///
    /// # Errors
    /// [`KvReadError::Decode`] if the stored value does not decode as `Self`.
    fn entry_from_with(
        store: &Store,
        key: impl IntoKey,
        read: Read,
    ) -> impl Future<Output = Result<Option<Entry<Self>>, KvReadError>> + Send {
        let key = key.into_key();
        async move {
            let entry = store.entry_with(key?, read).await?;
            entry.map(decode).transpose()
        }
    }

    /// Returns one revision of a key; `None` if it is no longer stored or belongs to another key.
    ///
    /// # Errors
    /// [`KvReadError::Decode`] if the stored value does not decode as `Self`.
    fn entry_at(
        store: &Store,
        key: impl IntoKey,
        revision: u64,
    ) -> impl Future<Output = Result<Option<Entry<Self>>, KvReadError>> + Send {
        let key = key.into_key();
        async move {
            let entry = store.entry_at(key?, revision).await?;
            entry.map(decode).transpose()
        }
    }

    /// Returns every stored revision of a key, oldest first. A revision that does not decode becomes an
    /// error at its position.
    ///
    /// # Errors
    /// [`KvReadError`].
    fn history_from(
        store: &Store,
        key: impl IntoKey,
    ) -> impl Future<Output = Result<Vec<Result<Entry<Self>, KvReadError>>, KvReadError>> + Send
    {
        let key = key.into_key();
        async move { Ok(store.history(key?).await?.into_iter().map(decode).collect()) }
    }

    /// Returns the values of many keys, as [`Store::get_many`] does. A value that does not decode
    /// becomes an error at its position.
    ///
    /// # Errors
    /// [`KvReadError`].
    fn read_many(
        store: &Store,
        keys: impl IntoFilters,
    ) -> impl Future<Output = Result<Vec<Result<Entry<Self>, KvReadError>>, KvReadError>> + Send
    {
        let filters = keys.into_filters();
        async move {
            Ok(store
                .get_many(filters?)
                .await?
                .into_iter()
                .map(decode)
                .collect())
        }
    }

    /// Watches a key, or all keys that match a filter: their last revisions first, then every change.
    ///
    /// Removals are entries too. A value that does not decode becomes an error with its key and
    /// revision, and the watch continues.
    ///
    /// ```
    /// use shizuku::kv::KeyValueRead;
    ///
    /// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let store = shizuku::connect("memory:").await?.create_bucket("docs").await?;
    /// store.put("greeting", "hello").await?;
    /// let watch = String::watch(&store, "greeting").await?;
    /// let entry = watch.next().await.expect("a watch goes on")?;
    /// assert_eq!(entry.value.as_deref(), Some("hello"));
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`KvReadError`]; an invalid key or filter is rejected before anything is sent.
    fn watch(
        store: &Store,
        keys: impl IntoFilters,
    ) -> impl Future<Output = Result<Watch<Self>, KvReadError>> + Send {
        Self::watch_with(store, keys, WatchOptions::new())
    }

    /// Watches keys, with options.
    ///
    /// # Errors
    /// [`KvReadError`]; invalid filters are rejected before anything is sent.
    fn watch_with(
        store: &Store,
        keys: impl IntoFilters,
        options: WatchOptions,
    ) -> impl Future<Output = Result<Watch<Self>, KvReadError>> + Send {
        let filters = keys.into_filters();
        async move { Watch::open(store, filters?, &options, decode).await }
    }

    /// Returns the value of a key, kept current in memory; see [`Live`].
    ///
    /// # Errors
    /// [`KvReadError`] if the underlying watch cannot be created.
    fn live(
        store: &Store,
        key: impl IntoKey,
    ) -> impl Future<Output = Result<Live<Self>, KvReadError>> + Send
    where
        Self: Sync,
    {
        let key = key.into_key();
        async move { Live::open(store, key?).await }
    }

    /// Returns the values of all keys that match a filter, kept current in memory; see [`LiveMap`].
    ///
    /// # Errors
    /// [`KvReadError`] if the underlying watch cannot be created.
    fn live_map(
        store: &Store,
        keys: impl IntoFilters,
    ) -> impl Future<Output = Result<LiveMap<Self>, KvReadError>> + Send
    where
        Self: Sync,
    {
        let filters = keys.into_filters();
        async move { LiveMap::open(store, filters?).await }
    }
}

impl<T: ByteDeserialize + Send + 'static> KeyValueRead for T {}

/// Encodes before the first await, so that the future does not hold the value.
fn write<'s, T: ByteSerialize, K: IntoKey>(
    value: &T,
    key: K,
    store: &'s Store,
    options: PutOptions,
) -> impl Future<Output = Result<u64, KvWriteError>> + Send + use<'s, T, K> {
    let encoded = key
        .into_key()
        .map_err(KvWriteError::from)
        .and_then(|key| Ok((encode(value, &key)?, key)));
    async move {
        let (bytes, key) = encoded?;
        store.put_with(key, bytes, options).await
    }
}

fn encode<T: ByteSerialize>(value: &T, key: &Key) -> Result<bytes::Bytes, KvWriteError> {
    value.to_bytes().map_err(|source| KvWriteError::Encode {
        key: key.clone(),
        type_name: type_name::<T>(),
        source,
    })
}

/// Decodes the value; removals and metadata-only entries pass through.
pub(super) fn decode<T: ByteDeserialize>(entry: Entry) -> Result<Entry<T>, KvReadError> {
    let value = match &entry.value {
        Some(bytes) => Some(T::parse_from_bytes(bytes).map_err(|source| DecodeError {
            bucket: entry.bucket.clone(),
            key: entry.key.clone(),
            revision: entry.revision,
            type_name: type_name::<T>(),
            source,
        })?),
        None => None,
    };
    Ok(entry.with_value(value))
}
