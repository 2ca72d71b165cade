//! The queue between the task that receives a subscription's messages and its reader.
//!
//! Bounded in bytes, as `JetStream`'s flow control is: at most 32 MiB in flight for a watch, which always
//! fits here.

use std::{
    collections::VecDeque,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

use futures::Stream;
use tokio::sync::mpsc;

use crate::message::Message;

/// Twice the flow control limit, which does not include the overhead of a buffered message.
const MOST_BYTES: usize = 64 * 1024 * 1024;
/// The overhead of a buffered message.
const OVERHEAD: usize = 64;

#[derive(Debug, Default)]
struct Queue {
    messages: VecDeque<Message>,
    bytes: usize,
    /// No more messages will come.
    ended: bool,
    reader: Option<Waker>,
}

type Shared = Arc<Mutex<Queue>>;

/// The sending end. Dropping it ends the stream after the buffered messages.
#[derive(Debug)]
pub(super) struct Producer(Shared);

/// The receiving end.
#[derive(Debug)]
pub(super) struct Consumer {
    queue: Shared,
    sid: u64,
    /// Tells the task that this end was dropped. Unbounded, as a destructor cannot wait; it never has more
    /// items than there were subscriptions.
    gone: mpsc::UnboundedSender<u64>,
}

/// The reader is too far behind.
#[derive(Debug)]
pub(super) struct Overflow;

/// A new queue.
pub(super) fn queue(sid: u64, gone: mpsc::UnboundedSender<u64>) -> (Producer, Consumer) {
    let queue = Shared::default();
    let consumer = Consumer {
        queue: queue.clone(),
        sid,
        gone,
    };
    (Producer(queue), consumer)
}

fn lock(queue: &Shared) -> MutexGuard<'_, Queue> {
    // No panic leaves it in an inconsistent state.
    queue.lock().unwrap_or_else(PoisonError::into_inner)
}

fn cost(message: &Message) -> usize {
    let headers: usize = message
        .headers
        .iter()
        .map(|(name, value)| name.len() + value.len() + OVERHEAD)
        .sum();
    let reply = message.reply.as_ref().map_or(0, |reply| reply.len());
    OVERHEAD + message.subject.len() + reply + headers + message.payload.len()
}

impl Producer {
    /// Adds a message, unless the reader is too far behind. A single message always fits.
    pub(super) fn push(&self, message: Message) -> Result<(), Overflow> {
        let mut queue = lock(&self.0);
        let cost = cost(&message);
        if queue.bytes + cost > MOST_BYTES && !queue.messages.is_empty() {
            return Err(Overflow);
        }
        queue.bytes += cost;
        queue.messages.push_back(message);
        wake(queue);
        Ok(())
    }
}

impl Drop for Producer {
    fn drop(&mut self) {
        let mut queue = lock(&self.0);
        queue.ended = true;
        wake(queue);
    }
}

fn wake(mut queue: MutexGuard<'_, Queue>) {
    let reader = queue.reader.take();
    drop(queue);
    if let Some(reader) = reader {
        reader.wake();
    }
}

impl Stream for Consumer {
    type Item = Message;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Message>> {
        let mut queue = lock(&self.queue);
        if let Some(message) = queue.messages.pop_front() {
            queue.bytes -= cost(&message);
            if queue.messages.is_empty() && queue.messages.capacity() > 1024 {
                // Frees the memory of a large initial load.
                queue.messages = VecDeque::new();
            }
            return Poll::Ready(Some(message));
        }
        if queue.ended {
            return Poll::Ready(None);
        }
        queue.reader = Some(context.waker().clone());
        Poll::Pending
    }
}

impl Drop for Consumer {
    fn drop(&mut self) {
        // If the task is gone, so is the subscription.
        _ = self.gone.send(self.sid);
    }
}

#[cfg(test)]
mod tests {
    use futures::{FutureExt, StreamExt};

    use super::*;

    fn message(size: usize) -> Message {
        Message {
            payload: vec![0; size].into(),
            ..Message::default()
        }
    }

    #[test]
    fn a_reader_too_far_behind_gets_the_buffered_messages_and_then_the_end() {
        let (gone, mut ended) = mpsc::unbounded_channel();
        let (producer, mut consumer) = queue(7, gone);
        let mut pushed = 0;
        while producer.push(message(1024 * 1024)).is_ok() {
            pushed += 1;
        }
        assert_eq!(pushed, 63);
        drop(producer);
        for _ in 0..pushed {
            assert!(consumer.next().now_or_never().unwrap().is_some());
        }
        assert!(consumer.next().now_or_never().unwrap().is_none());
        drop(consumer);
        assert_eq!(ended.try_recv(), Ok(7));
    }

    #[test]
    fn a_message_larger_than_the_bound_fits_alone() {
        let (producer, mut consumer) = queue(1, mpsc::unbounded_channel().0);
        assert!(producer.push(message(MOST_BYTES)).is_ok());
        assert!(producer.push(message(0)).is_err());
        assert!(consumer.next().now_or_never().unwrap().is_some());
        assert!(producer.push(message(0)).is_ok());
    }

    #[test]
    fn an_empty_queue_waits() {
        let (producer, mut consumer) = queue(1, mpsc::unbounded_channel().0);
        assert!(consumer.next().now_or_never().is_none());
        drop(producer);
        assert!(consumer.next().now_or_never().unwrap().is_none());
    }
}
