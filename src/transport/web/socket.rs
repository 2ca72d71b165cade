//! The socket interface.

use std::task::{Context, Poll};

use bytes::Bytes;

use crate::protocol::ServerUrl;

/// A bidirectional byte stream. Dropping it closes it. Errors are human-readable messages.
pub(crate) trait Socket {
    /// Starts opening a socket.
    fn open(url: &ServerUrl) -> Self;

    /// Completes when it is open or has failed to open; not to be polled again after that.
    fn poll_open(&mut self, context: &mut Context<'_>) -> Poll<Result<(), String>>;

    /// The next bytes, in chunks of any size. An error ends the stream.
    fn poll_receive(&mut self, context: &mut Context<'_>) -> Poll<Result<Bytes, String>>;

    /// Accepts bytes to send; only to be called once all earlier ones are flushed.
    fn send(&mut self, bytes: Bytes) -> Result<(), String>;

    /// Flushes the accepted bytes.
    fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<Result<(), String>>;
}
