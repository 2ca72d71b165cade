//! Conversions for programs that already have a connection of async-nats: all that there is of it in the API.

use crate::{
    client::{Client, ConnectError},
    options::ConnectOptions,
};

impl ConnectOptions {
    /// A client over an existing connection of async-nats. Only the options for requests are used:
    /// the JetStream domain or prefix, and the time-out.
    ///
    /// Needs the feature `async-nats-interop`, which follows the major versions of async-nats: this is
    /// exempt from the promise that minor versions of this crate break nothing.
    ///
    /// Such a connection does not report its events: a reconnect is noticed by polling, within a
    /// quarter of a second, and a refused permission becomes a time-out. A client made with
    /// [`connect`](Self::connect) notices both at once.
    ///
    /// A `jetstream::Context` has its connection in `context.client()`; a `kv::Store` does not
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

    /// As [`ConnectOptions::adopt`], with the defaults.
    fn try_from(client: async_nats::Client) -> Result<Self, ConnectError> {
        ConnectOptions::new().adopt(client)
    }
}

impl TryFrom<async_nats::jetstream::Context> for Client {
    type Error = ConnectError;

    /// As [`ConnectOptions::adopt`], with the defaults.
    fn try_from(context: async_nats::jetstream::Context) -> Result<Self, ConnectError> {
        ConnectOptions::new().adopt(context.client())
    }
}
