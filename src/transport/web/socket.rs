//! What the task needs of a socket, whichever it is.

use std::task::{Context, Poll};

use bytes::Bytes;

use crate::protocol::ServerUrl;

/// A stream of bytes in both directions. Dropping it closes it. What its errors say is for people.
pub(crate) trait Socket {
    /// Begins to open a socket.
    fn open(url: &ServerUrl) -> Self;

    /// Whether it is open, or cannot be opened. To be asked until then, and not again.
    fn poll_open(&mut self, context: &mut Context<'_>) -> Poll<Result<(), String>>;

    /// The next bytes, however the other side cut them. An error is the end.
    fn poll_receive(&mut self, context: &mut Context<'_>) -> Poll<Result<Bytes, String>>;

    /// Takes bytes over. To be called only when all earlier ones are flushed.
    fn send(&mut self, bytes: Bytes) -> Result<(), String>;

    /// Passes on what was taken over.
    fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<Result<(), String>>;
}
