//! Conversions for programs that already have an async-nats connection: the only async-nats types in the
//! API.

use crate::{
    client::{Client, ConnectError},
    options::ConnectOptions,
};

impl ConnectOptions {
    /// Creates a client on an existing async-nats connection. Of the options, only those for requests
    /// are used: the JetStream domain or prefix, and the timeout.
    ///
    /// Requires the feature `async-nats-interop`, which follows the major versions of async-nats and is
    /// exempt from this crate's semver guarantee.
    ///
    /// Such a connection does not report its events: a reconnect is detected by polling, within a
    /// quarter of a second, and a denied permission becomes a timeout. A client created with
    /// [`connect`](Self::connect) detects both immediately.
    ///
    /// A `jetstream::Context` provides its connection through `context.client()`; a `kv::Store` does not
    /// expose it, so open its bucket by `store.name`. Neither exposes its prefix, so set a domain or
    /// prefix here again.
    ///
    /// ```no_run
    /// use shizuku::ConnectOptions;
    ///
    /// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let nats = async_nats::connect("nats://127.0.0.1:4222").await?;
    /// let context = async_nats::jetstream::new(nats);
    /// let kv = context.get_key_value("settings").await?;
    ///
    /// let client = ConnectOptions::new().domain("hub").adopt(context.client())?;
    /// let store = client.open_bucket(&kv.name).await?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`ConnectError::InvalidOption`] for an option out of range,
    /// [`ServiceError::NoRuntime`](crate::kv::ServiceError::NoRuntime) outside of a tokio runtime.
    pub fn adopt(self, client: async_nats::Client) -> Result<Client, ConnectError> {
        self.check()?;
        Ok(Client::over(
            crate::transport::native::adopt(client, &self)?,
            &self,
        ))
    }
}

impl TryFrom<async_nats::Client> for Client {
    type Error = ConnectError;

    /// Calls [`ConnectOptions::adopt`] with the default options.
    fn try_from(client: async_nats::Client) -> Result<Self, ConnectError> {
        ConnectOptions::new().adopt(client)
    }
}

impl TryFrom<async_nats::jetstream::Context> for Client {
    type Error = ConnectError;

    /// Calls [`ConnectOptions::adopt`] with the default options.
    fn try_from(context: async_nats::jetstream::Context) -> Result<Self, ConnectError> {
        ConnectOptions::new().adopt(context.client())
    }
}
