//! Core NATS for native programs: async-nats manages the connection (TLS, credentials, server pool,
//! reconnects); its JetStream layer is not used.

mod connect;
mod monitor;

use std::{fmt, future::poll_fn, pin::pin, task::Poll, time::Duration};

use async_nats::{HeaderMap, RequestErrorKind, client::PublishErrorKind};
use bytes::Bytes;
use bytestring::ByteString;
use futures::{FutureExt, StreamExt, future::BoxFuture, stream};
use tokio::{
    sync::{RwLock, RwLockReadGuard, watch},
    time::Instant,
};

#[cfg(feature = "async-nats-interop")]
pub(crate) use self::connect::adopt;
pub(crate) use self::connect::connect;
use self::monitor::{Ahead, Monitor};
use super::{Subscription, Transport};
use crate::{
    headers::Headers,
    message::{Message, Outbound, TransportError},
    options::ConnectOptions,
    platform,
    status::{ConnectionState, ConnectionStatus},
};

/// A connection of async-nats.
pub(crate) struct Native {
    client: async_nats::Client,
    monitor: Monitor,
    /// How long a message waits for a connection.
    timeout: Duration,
    /// Held for reading while a message is being sent, so that closing can wait for all of them.
    gate: RwLock<()>,
}

impl fmt::Debug for Native {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Native")
            .field("status", &*self.monitor.status().borrow())
            .finish_non_exhaustive()
    }
}

impl Native {
    fn new(client: async_nats::Client, monitor: Monitor, options: &ConnectOptions) -> Self {
        Self {
            client,
            monitor,
            timeout: options.request_timeout,
            gate: RwLock::default(),
        }
    }

    /// Waits for a connection. If this fails, nothing has been sent yet.
    async fn connected(&self, deadline: Instant) -> Result<Ahead, TransportError> {
        loop {
            if let Some(ahead) = self.monitor.ahead() {
                return Ok(ahead);
            }
            let mut status = self.monitor.status();
            let settled = status.wait_for(|now| now.state != ConnectionState::Disconnected);
            match tokio::time::timeout_at(deadline, settled).await {
                Ok(Ok(now)) if now.state == ConnectionState::Connected => {}
                Ok(_) => return Err(TransportError::Closed),
                Err(_) => {
                    let reason = self.monitor.status().borrow().reason.clone();
                    return Err(TransportError::NotConnected(reason.map_or_else(
                        || "no server can be reached".to_owned(),
                        |reason| reason.to_string(),
                    )));
                }
            }
        }
    }

    /// Passes the gate. If the client is closed, the message will find no connection.
    async fn enter(&self) -> Result<RwLockReadGuard<'_, ()>, TransportError> {
        if !platform::is_running() {
            return Err(TransportError::NoRuntime); // tokio's timers would panic
        }
        Ok(self.gate.read().await)
    }

    // There is one of these futures per request, so it is kept small: rare parts are boxed, and futures are pinned
    // in place.
    async fn ask(&self, message: Outbound, timeout: Duration) -> Result<Message, TransportError> {
        let _open = self.enter().await?;
        let size = size_of(&message);
        let deadline = Instant::now() + timeout;
        // Subscribes before the request is sent, or a permission error could be missed.
        let mut ahead = match self.monitor.ahead() {
            Some(ahead) => ahead,
            None => Box::pin(self.connected(deadline)).await?,
        };
        ahead.can_hear()?;
        let mut answer = pin!(self.client.send_request(
            to_subject(&message.subject),
            to_request(&message.headers, message.payload),
        ));
        let mut trouble = pin!(ahead.of(&message.subject));
        let mut expired = pin!(tokio::time::sleep_until(deadline));
        let answer = poll_fn(|context| {
            // A reply that has arrived counts, whatever else has happened since.
            if let Poll::Ready(answer) = answer.as_mut().poll(context) {
                return Poll::Ready(Ok(answer));
            }
            if let Poll::Ready(error) = trouble.as_mut().poll(context) {
                return Poll::Ready(Err(error));
            }
            let timeout = |()| Err(TransportError::Timeout(timeout));
            expired.as_mut().poll(context).map(timeout)
        });
        answer
            .await?
            .map(from_nats)
            .map_err(|error| match error.kind() {
                RequestErrorKind::NoResponders => TransportError::NoResponders,
                RequestErrorKind::TimedOut => TransportError::Timeout(timeout),
                RequestErrorKind::MaxPayloadExceeded => self.too_large(size),
                RequestErrorKind::InvalidSubject => TransportError::Invalid(error.to_string()),
                _ => {
                    // The client's task is gone, before or after sending this: its runtime was shut down, which
                    // nothing else reports.
                    if let Some(Err(_)) = self.client.flush().now_or_never() {
                        self.monitor.close();
                    }
                    TransportError::Lost
                }
            })
    }

    async fn send(&self, message: Outbound) -> Result<(), TransportError> {
        let _open = self.enter().await?;
        let deadline = Instant::now() + self.timeout;
        self.connected(deadline).await?;
        let size = size_of(&message);
        let subject = to_subject(&message.subject);
        let sent = match (message.reply, message.headers.is_empty()) {
            (None, true) => self.client.publish(subject, message.payload).await,
            (None, false) => {
                let headers = to_header_map(&message.headers);
                self.client
                    .publish_with_headers(subject, headers, message.payload)
                    .await
            }
            (Some(reply), true) => {
                self.client
                    .publish_with_reply(subject, to_subject(&reply), message.payload)
                    .await
            }
            (Some(reply), false) => {
                let headers = to_header_map(&message.headers);
                self.client
                    .publish_with_reply_and_headers(
                        subject,
                        to_subject(&reply),
                        headers,
                        message.payload,
                    )
                    .await
            }
        };
        sent.map_err(|error| match error.kind() {
            PublishErrorKind::MaxPayloadExceeded => self.too_large(size),
            _ => TransportError::Closed,
        })
    }

    fn too_large(&self, size: usize) -> TransportError {
        TransportError::TooLarge {
            size,
            limit: self.client.max_payload(),
        }
    }
}

impl Transport for Native {
    fn request(
        &self,
        message: Outbound,
        timeout: Duration,
    ) -> BoxFuture<'_, Result<Message, TransportError>> {
        Box::pin(self.ask(message, timeout))
    }

    fn publish(&self, message: Outbound) -> BoxFuture<'_, Result<(), TransportError>> {
        Box::pin(self.send(message))
    }

    fn subscribe(
        &self,
        subject: ByteString,
    ) -> BoxFuture<'_, Result<Subscription, TransportError>> {
        Box::pin(async move {
            let messages = self
                .client
                .subscribe(to_subject(&subject))
                .await
                .map_err(|_| TransportError::Closed)?;
            let monitor = self.monitor.clone();
            // It ends only with the client, and if that was dropped with its runtime, nothing else reports it.
            let end = stream::poll_fn(move |_| {
                monitor.close();
                Poll::Ready(None)
            });
            Ok(Subscription::new(messages.map(from_nats).chain(end)))
        })
    }

    fn new_inbox(&self) -> ByteString {
        self.client.new_inbox().into()
    }

    fn status(&self) -> watch::Receiver<ConnectionStatus> {
        self.monitor.status()
    }

    fn max_payload(&self) -> usize {
        self.client.max_payload()
    }

    fn close(&self) -> BoxFuture<'_, Result<(), TransportError>> {
        Box::pin(async {
            if !platform::is_running() {
                return Err(TransportError::NoRuntime);
            }
            let deadline = Instant::now() + self.timeout;
            // Lets pending messages through and keeps new ones out. Held until the end, so that dropping this
            // future early changes nothing.
            let _gate = tokio::time::timeout_at(deadline, self.gate.write()).await;
            if self.status().borrow().state == ConnectionState::Closed {
                return Ok(()); // by another
            }
            let flushed = tokio::time::timeout_at(deadline, self.client.flush()).await;
            let drained = self.client.drain().await;
            self.monitor.close();
            match (flushed, drained) {
                (Ok(Ok(())), Ok(())) => Ok(()),
                (Err(_), _) => Err(TransportError::Timeout(self.timeout)),
                _ => Err(TransportError::Lost),
            }
        })
    }
}

/// The size that counts against the server's limit: headers and body, in bytes.
fn size_of(message: &Outbound) -> usize {
    message.headers.wire_size() + message.payload.len()
}

fn to_subject(subject: &ByteString) -> async_nats::Subject {
    async_nats::Subject::from(&**subject)
}

fn to_request(headers: &Headers, payload: Bytes) -> async_nats::Request {
    // No time-out here, as the caller has its own.
    let request = async_nats::Request::new().payload(payload).timeout(None);
    match headers.is_empty() {
        true => request,
        false => request.headers(to_header_map(headers)),
    }
}

fn to_header_map(headers: &Headers) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (number, (name, value)) in headers.iter().enumerate() {
        // Appending does a lookup first, and few names occur twice.
        match headers
            .iter()
            .take(number)
            .any(|(before, _)| before == name)
        {
            true => map.append(name, value),
            false => map.insert(name, value),
        }
    }
    map
}

fn from_nats(message: async_nats::Message) -> Message {
    Message {
        subject: ByteString::from(message.subject.as_str()),
        reply: message.reply.map(|reply| ByteString::from(reply.as_str())),
        headers: message
            .headers
            .as_ref()
            .map(from_header_map)
            .unwrap_or_default(),
        status: message.status.map(|status| status.as_u16()),
        description: message.description,
        payload: message.payload,
    }
}

/// A header that the server adds to stored messages and nobody reads: the value's size if values are omitted.
/// In a listing of many keys it would be the only header to copy.
const UNREAD: &str = "Nats-Msg-Size";

/// Sorted by name, as the map has no defined order: the same headers always look the same.
fn from_header_map(map: &HeaderMap) -> Headers {
    let mut fields: Vec<(&str, &Vec<_>)> = map
        .iter()
        .map(|(name, values)| (name.as_ref(), values))
        .filter(|(name, _)| *name != UNREAD)
        .collect();
    fields.sort_unstable_by_key(|(name, _)| *name);
    let mut headers = Headers::new();
    for (name, values) in fields {
        for value in values {
            headers.append(name, value);
        }
    }
    headers
}
