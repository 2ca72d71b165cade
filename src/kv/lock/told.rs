//! Results for callers, and how callers wait for them.

use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use futures::task::AtomicWaker;
use tokio::sync::oneshot::{self, error::TryRecvError};

use super::{
    bell::{Place, Waits},
    participant::Participant,
};

/// Sends a caller one value. Dropping it tells the caller that no value will come.
pub(super) struct Teller<T> {
    sender: Option<oneshot::Sender<T>>,
    waker: Arc<AtomicWaker>,
}

impl<T> Teller<T> {
    /// Creates a sender and its receiver.
    pub(super) fn new(participant: &Arc<Participant>, waits: Waits) -> (Self, Told<T>) {
        let (sender, answer) = oneshot::channel();
        let waker = Arc::new(AtomicWaker::new());
        let told = Told {
            place: Place::new(participant.bell.clone(), waits),
            participant: participant.clone(),
            answer,
            waker: waker.clone(),
            done: false,
        };
        let sender = Some(sender);
        (Self { sender, waker }, told)
    }

    /// Sends the value, or drops it if the receiver has stopped waiting.
    pub(super) fn tell(mut self, value: T) {
        if let Some(sender) = self.sender.take() {
            drop(sender.send(value));
        }
    }
}

impl<T> Drop for Teller<T> {
    fn drop(&mut self) {
        self.sender = None;
        self.waker.wake();
    }
}

/// A future for a result. While it is polled, it does the participant's work.
pub(super) struct Told<T> {
    participant: Arc<Participant>,
    place: Place,
    answer: oneshot::Receiver<T>,
    /// The waker of the waiting task. The channel's own waker is not used: a task that sends itself the
    /// value is awake, and would be woken a second time, perhaps together with another worker thread.
    waker: Arc<AtomicWaker>,
    done: bool,
}

impl<T> fmt::Debug for Told<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Told").finish_non_exhaustive()
    }
}

impl<T> Told<T> {
    fn look(&mut self) -> Poll<Option<T>> {
        let answer = match self.answer.try_recv() {
            Ok(answer) => Some(answer),
            Err(TryRecvError::Closed) => None,
            Err(TryRecvError::Empty) => return Poll::Pending,
        };
        self.done = true;
        Poll::Ready(answer)
    }
}

impl<T> Future for Told<T> {
    type Output = Option<T>;

    /// `None` if the background task has ended.
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<T>> {
        self.place.take(context.waker());
        drop(self.waker.take());
        self.participant.pump();
        if let Poll::Ready(answer) = self.look() {
            return Poll::Ready(answer);
        }
        self.waker.register(context.waker());
        // Another task may have just sent the value.
        self.look()
    }
}

impl<T> Drop for Told<T> {
    fn drop(&mut self) {
        // Unfinished work that was started here is finished in the background.
        if !self.done {
            self.participant.bell.call_background();
        }
    }
}
