//! Native sockets, to debug and test the code that runs in browsers: WebSocket or TCP, without TLS.

use std::{
    io::ErrorKind,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes, BytesMut};
use futures::{Sink, Stream, future::BoxFuture};
use tokio::{io::AsyncWrite, net::TcpStream};
use tokio_websockets::{ClientBuilder, Limits, Message, WebSocketStream};

use super::socket::Socket;
use crate::protocol::ServerUrl;

/// The size of the read buffer.
const CHUNK: usize = 32 * 1024;

/// A native socket.
pub(crate) enum PlainSocket {
    Opening(BoxFuture<'static, Result<Self, String>>),
    Tcp {
        stream: TcpStream,
        unsent: Bytes,
        /// The read buffer.
        room: BytesMut,
    },
    WebSocket(Box<WebSocketStream<TcpStream>>),
}

async fn open(url: ServerUrl) -> Result<PlainSocket, String> {
    if url.is_encrypted() {
        return Err(format!("{url}: no TLS here; use the feature `native`"));
    }
    let explain = |error: &dyn std::error::Error| format!("{url}: {error}");
    let stream = TcpStream::connect((url.bare_host(), url.port()))
        .await
        .map_err(|error| explain(&error))?;
    stream.set_nodelay(true).map_err(|error| explain(&error))?;
    if !url.is_websocket() {
        return Ok(PlainSocket::Tcp {
            stream,
            unsent: Bytes::new(),
            room: BytesMut::new(),
        });
    }
    let (socket, _response) = ClientBuilder::new()
        .uri(&url.to_string())
        .map_err(|error| explain(&error))?
        .limits(Limits::unlimited())
        .connect_on(stream)
        .await
        .map_err(|error| explain(&error))?;
    Ok(PlainSocket::WebSocket(Box::new(socket)))
}

fn not_open<T>() -> Result<T, String> {
    Err("the socket is not open".to_owned())
}

impl Socket for PlainSocket {
    fn open(url: &ServerUrl) -> Self {
        Self::Opening(Box::pin(open(url.clone())))
    }

    fn poll_open(&mut self, context: &mut Context<'_>) -> Poll<Result<(), String>> {
        if let Self::Opening(opening) = self {
            *self = ready!(opening.as_mut().poll(context))?;
        }
        Poll::Ready(Ok(()))
    }

    fn poll_receive(&mut self, context: &mut Context<'_>) -> Poll<Result<Bytes, String>> {
        match self {
            Self::Opening(_) => Poll::Ready(not_open()),
            Self::Tcp { stream, room, .. } => loop {
                let ready = ready!(stream.poll_read_ready(context));
                // Small reads share one allocation.
                if room.capacity() < CHUNK / 4 {
                    room.reserve(CHUNK);
                }
                return Poll::Ready(match ready.and_then(|()| stream.try_read_buf(room)) {
                    Ok(0) => Err("the server closed the connection".to_owned()),
                    Ok(_) => Ok(room.split().freeze()),
                    Err(error) if error.kind() == ErrorKind::WouldBlock => continue,
                    Err(error) => Err(error.to_string()),
                });
            },
            Self::WebSocket(socket) => loop {
                let frame = ready!(Pin::new(&mut *socket).poll_next(context));
                return Poll::Ready(match frame {
                    Some(Ok(frame)) if frame.is_binary() => Ok(frame.into_payload().into()),
                    Some(Ok(frame)) if frame.is_close() => {
                        Err("the server closed the WebSocket".to_owned())
                    }
                    // The library answers pings.
                    Some(Ok(_)) => continue,
                    Some(Err(error)) => Err(error.to_string()),
                    None => Err("the server closed the connection".to_owned()),
                });
            },
        }
    }

    fn send(&mut self, bytes: Bytes) -> Result<(), String> {
        match self {
            Self::Opening(_) => not_open(),
            Self::Tcp { unsent, .. } => {
                *unsent = bytes;
                Ok(())
            }
            Self::WebSocket(socket) => Pin::new(socket)
                .start_send(Message::binary(bytes))
                .map_err(|error| error.to_string()),
        }
    }

    fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<Result<(), String>> {
        match self {
            Self::Opening(_) => Poll::Ready(not_open()),
            Self::Tcp { stream, unsent, .. } => {
                while !unsent.is_empty() {
                    match ready!(Pin::new(&mut *stream).poll_write(context, unsent)) {
                        Ok(0) => return Poll::Ready(Err("the connection is closed".to_owned())),
                        Ok(size) => unsent.advance(size),
                        Err(error) => return Poll::Ready(Err(error.to_string())),
                    }
                }
                Poll::Ready(Ok(()))
            }
            Self::WebSocket(socket) => Pin::new(socket)
                .poll_flush(context)
                .map_err(|error| error.to_string()),
        }
    }
}

/// Native programs have no events like those of pages.
pub(crate) struct WakeUps;

impl WakeUps {
    pub(crate) fn new() -> Self {
        Self
    }

    pub(crate) fn poll_next(&mut self, _context: &mut Context<'_>) -> Poll<()> {
        Poll::Pending
    }
}
