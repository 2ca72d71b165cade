//! The snippets of the document that requested this library, unchanged and with only the imports
//! that they show. Each is in its own module, between the definitions that it leaves to the reader
//! and a check of its effect.
#![allow(clippy::unwrap_used, unused_variables)]

use shizuku::{ByteDeserialize, ByteSerialize, Bytes, Store, kv::BoxError};

type Result<T = (), E = BoxError> = std::result::Result<T, E>;

async fn store() -> Result<Store> {
    let client = shizuku::connect("memory:").await?;
    Ok(client.create_bucket("seed").await?)
}

/// Gives a type a trivial codec.
macro_rules! plain_codec {
    ($name:ident, $value:expr) => {
        impl ByteSerialize for $name {
            fn to_bytes(&self) -> Result<Bytes> {
                Ok(Bytes::from_static(b"-"))
            }
        }
        impl ByteDeserialize for $name {
            fn parse_from_bytes(bytes: &[u8]) -> Result<Self> {
                match bytes {
                    b"-" => Ok($value),
                    _ => Err("not a dash".into()),
                }
            }
        }
    };
}

mod basic_operations {
    use super::*;

    struct MyDynamicValue {
        id: u32,
    }

    impl shizuku::kv::KeyIndexedValue for MyDynamicValue {
        fn indexed_key(&self) -> String {
            format!("dynamic.{}", self.id)
        }
    }

    impl ByteSerialize for MyDynamicValue {
        fn to_bytes(&self) -> Result<Bytes> {
            Ok(self.id.to_string().into())
        }
    }

    impl ByteDeserialize for MyDynamicValue {
        fn parse_from_bytes(bytes: &[u8]) -> Result<Self> {
            let id = std::str::from_utf8(bytes)?.parse()?;
            Ok(Self { id })
        }
    }

    #[tokio::test]
    async fn run() -> Result {
        let store = store().await?;
        let key = "dynamic.7";
        let my_value = MyDynamicValue { id: 7 };
        store.put("other", "x").await?;
        let revision = 2;

        use shizuku::kv::KeyValue;
        // Read a value with dynamic key
        let value = MyDynamicValue::read_from(&store, key).await?;
        // Write a value
        my_value.write_to_anyway(&store).await?;
        // Atomic write with version check
        my_value.write_to_atomically(&store, revision).await?;
        // Delete a value
        MyDynamicValue::delete_anyway(&store, key).await?;

        assert!(value.is_none(), "it was read before it was written");
        assert!(MyDynamicValue::read_from(&store, key).await?.is_none());
        let lost = my_value.write_to_atomically(&store, revision).await;
        assert_eq!(lost.unwrap_err().conflict().unwrap().actual, Some(4));
        Ok(())
    }
}

mod static_key_values {
    use super::*;

    use shizuku::kv::{KeyValue, StaticKeyIndexedValue};
    // Define a type with a static key
    struct MyConfig {
        // your fields here
    }
    impl StaticKeyIndexedValue for MyConfig {
        fn key() -> String {
            "app.config".to_string()
        }
    }

    plain_codec!(MyConfig, MyConfig {});

    #[tokio::test]
    async fn run() -> Result {
        let store = store().await?;
        let my_config = MyConfig {};
        let revision = 1;

        // Now you can use the KV operations
        let value = MyConfig::read_from(&store, MyConfig::key()).await?;
        // Write a value
        my_config.write_to_anyway(&store).await?;
        // Atomic write with version check
        my_config.write_to_atomically(&store, revision).await?;
        // Delete a value
        MyConfig::delete_anyway(&store, MyConfig::key()).await?;

        assert!(value.is_none());
        let last = store.entry("app.config").await?.unwrap();
        assert_eq!((last.revision, last.is_removal()), (3, true));
        Ok(())
    }
}

mod watching {
    use super::*;

    struct MyValue;
    plain_codec!(MyValue, MyValue);

    #[tokio::test]
    async fn run() -> Result {
        let store = store().await?;
        let key = "watched";
        store.put(key, "-").await?;
        let writer = store.clone();
        let mut seen = Vec::new();
        let changes = tokio::spawn(async move {
            writer.put(key, "broken").await?;
            writer.delete(key).await?;
            writer.purge(key).await
        });

        use shizuku::kv::KeyValueRead;
        let watch = MyValue::watch(&store, key).await?;
        while let Some(entry) = watch.next().await {
            // Handle updated value
            seen.push(match &entry {
                Ok(entry) => (entry.revision, entry.value.is_some()),
                Err(shizuku::kv::KvReadError::Decode(error)) => (error.revision, false),
                Err(error) => return Err(error.to_string().into()),
            });
            if seen.last().is_some_and(|(revision, _)| *revision == 4) {
                break;
            }
        }
        changes.await??;
        // A slow watch may skip revisions of a key, but never delivers a stale or wrong one.
        assert!(
            seen.iter()
                .all(|(revision, value)| *value == (*revision == 1))
        );
        Ok(())
    }
}

mod configuration_storage {
    use super::*;

    use serde::{Deserialize, Serialize};
    use shizuku::JsonByteDes;
    use shizuku::kv::{KeyValue, StaticKeyIndexedValue};
    #[derive(Serialize, Deserialize, JsonByteDes)]
    struct DatabaseConfig {
        url: String,
        username: String,
        password: String,
        max_connections: u32,
    }
    impl StaticKeyIndexedValue for DatabaseConfig {
        fn key() -> String {
            "config.database".to_string()
        }
    }
    async fn initialize_database(store: &Store) -> Result<DatabasePool, Error> {
        // Read config from KV store
        let config = match DatabaseConfig::read_from(store, DatabaseConfig::key()).await? {
            Some(config) => config,
            None => return Err(Error::ConfigNotFound),
        };
        // Initialize database connection pool
        DatabasePool::connect(&config.url)
            .with_credentials(&config.username, &config.password)
            .with_max_connections(config.max_connections)
            .build()
            .await
    }

    #[derive(Debug)]
    enum Error {
        ConfigNotFound,
        Read(shizuku::kv::KvReadError),
    }

    impl From<shizuku::kv::KvReadError> for Error {
        fn from(error: shizuku::kv::KvReadError) -> Self {
            Self::Read(error)
        }
    }

    #[derive(Debug, PartialEq)]
    struct DatabasePool(String);

    impl DatabasePool {
        fn connect(url: &str) -> Self {
            Self(url.to_owned())
        }
        fn with_credentials(self, username: &str, password: &str) -> Self {
            Self(format!("{} as {username}:{password}", self.0))
        }
        fn with_max_connections(self, max: u32) -> Self {
            Self(format!("{} ×{max}", self.0))
        }
        async fn build(self) -> Result<Self, Error> {
            Ok(self)
        }
    }

    #[tokio::test]
    async fn run() -> Result {
        let store = store().await?;
        let missing = initialize_database(&store).await.unwrap_err();
        assert!(matches!(missing, Error::ConfigNotFound));

        let json = r#"{"url":"db","username":"u","password":"p","max_connections":4}"#;
        store.put(DatabaseConfig::key(), json).await?;
        let pool = initialize_database(&store).await.unwrap();
        assert_eq!(pool, DatabasePool("db as u:p ×4".into()));

        store.put(DatabaseConfig::key(), "{}").await?;
        let broken = initialize_database(&store).await.unwrap_err();
        let Error::Read(error) = broken else {
            panic!("not a read error: {broken:?}")
        };
        let text = shizuku::WithCauses(&error).to_string();
        for part in ["config.database", "revision 2", "DatabaseConfig", "url"] {
            assert!(text.contains(part), "{text} does not name {part}");
        }
        Ok(())
    }
}
