//! How a watch is polled: the consumer's messages, flow control, and the detection of silence.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use futures::{FutureExt, Stream, StreamExt};

use super::{Event, State, Watch};
use crate::{
    backend::{
        WatchEvent,
        jetstream::{
            consumer::{Action, Why},
            start::HEARTBEAT,
        },
    },
    error::ServiceError,
    message::{Outbound, TransportError},
    platform::{self, Instant},
    status::ConnectionState,
};

impl Watch {
    /// Reads from the consumer until there is something to report or to change.
    fn poll_running(&mut self, context: &mut Context<'_>) -> Poll<Option<Event>> {
        loop {
            if self.caught_up && !self.current {
                return Poll::Ready(self.on_caught_up());
            }
            let State::Running(running) = &mut self.state else {
                return Poll::Ready(None);
            };
            if let Some(answer) = &mut running.answer {
                // Read nothing before the reply is sent: that is the purpose of flow control.
                if answer.poll_unpin(context).is_pending() {
                    return self.poll_idle(context);
                }
                running.answer = None;
            }
            let message = match running.started.subscription.poll_next_unpin(context) {
                Poll::Ready(Some(message)) => message,
                Poll::Ready(None) => {
                    let heard = running.heard;
                    return Poll::Ready(self.on_deaf(heard));
                }
                Poll::Pending => return self.poll_idle(context),
            };
            running.heard = true;
            match running.started.consumer.message(&message) {
                Action::Deliver(delivery) => {
                    if let Some(event) = self.deliver(message, delivery) {
                        return Poll::Ready(Some(event));
                    }
                }
                Action::Answer(subject) => {
                    let transport = Arc::clone(&self.plan.bucket.api.transport);
                    running.answer = Some(Box::pin(async move {
                        let answer = Outbound::new(subject, Bytes::new());
                        // If it is lost, the server reports that it waits, or a reset is due anyway.
                        _ = transport.publish(answer).await;
                    }));
                }
                Action::AnswerAgain(subject) => {
                    let transport = Arc::clone(&self.plan.bucket.api.transport);
                    // A plain publish gets no response, but for a request the server reports a refusal.
                    running.again = Some(Box::pin(async move {
                        let answer = Outbound::new(subject, Bytes::new());
                        transport.request(answer, HEARTBEAT).await
                    }));
                }
                Action::CaughtUp => self.caught_up = true,
                Action::Reset(why) => return Poll::Ready(self.reset(why)),
                Action::Ignore => {}
            }
        }
    }

    /// Handles the end of the subscription by the transport.
    fn on_deaf(&mut self, heard: bool) -> Option<Event> {
        if self.plan.bucket.api.is_closed() {
            return Some(self.end(ServiceError::Closed));
        }
        if heard {
            return self.reset(Why::Behind);
        }
        // Refused: another inbox of ours would be refused as well.
        Some(self.end(ServiceError::PermissionDenied {
            subject: "the inbox of a watch".to_owned(),
        }))
    }

    /// Handles silence: nothing arrived, not even heartbeats.
    fn on_silence(&mut self, heard: bool) -> Option<Event> {
        // Consumers are created one after another, but no message arrives: something blocks them, such as
        // an account that does not import our inboxes.
        if heard || (!self.plan.request.once && (self.heard || !self.interrupted)) {
            return self.reset(Why::Silence);
        }
        Some(self.end(ServiceError::Timeout {
            operation: "a watch on its inbox".to_owned(),
            after: HEARTBEAT * 2,
        }))
    }

    /// Checks whether something should have arrived, when there is nothing to read.
    fn poll_idle(&mut self, context: &mut Context<'_>) -> Poll<Option<Event>> {
        if !self.caught_up {
            let drained =
                matches!(&self.state, State::Running(running) if running.answer.is_none());
            self.check(drained);
            self.caught_up |= self.loading.is_enough(context);
            // Messages sent before the response are read before the response counts.
            if self.caught_up || self.loading.poll_answer(context).is_ready() {
                return Poll::Ready(None);
            }
        }
        let State::Running(running) = &mut self.state else {
            return Poll::Ready(None);
        };
        let now = Instant::now();
        running.started.consumer.drained(now);
        if let Some(again) = &mut running.again
            && let Poll::Ready(answered) = again.poll_unpin(context)
        {
            running.again = None;
            if let Err(
                TransportError::PermissionDenied(subject) | TransportError::Unheard(subject),
            ) = answered
            {
                let refused = ServiceError::PermissionDenied { subject };
                return Poll::Ready(Some(self.end(refused)));
            }
        }
        let status = self.connection.poll(context);
        match status.state {
            ConnectionState::Closed => return Poll::Ready(Some(self.end(ServiceError::Closed))),
            ConnectionState::Connected if status.epoch == running.started.epoch => {}
            ConnectionState::Connected | ConnectionState::Disconnected => {
                return Poll::Ready(self.reset(Why::Connection));
            }
        }
        while running.alarm.poll_unpin(context).is_ready() {
            match running.started.consumer.patience_left(now) {
                Some(left) => running.alarm = platform::sleep(left),
                None => {
                    let heard = running.heard;
                    return Poll::Ready(self.on_silence(heard));
                }
            }
        }
        Poll::Pending
    }
}

impl Stream for Watch {
    type Item = Event;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Event>> {
        let this = self.get_mut();
        loop {
            if let Some(key) = this.vanished.next() {
                let gone = WatchEvent::Entry(this.vanish(&key));
                return Poll::Ready(Some(Ok(gone)));
            }
            let event = match &mut this.state {
                State::Running(_) => ready!(this.poll_running(context)),
                State::Restarting(restart) => match ready!(restart.poll_unpin(context)) {
                    Ok(restarted) => {
                        this.resume(restarted);
                        None
                    }
                    Err(error) => Some(this.end(error)),
                },
                State::Proving(_, ask) => {
                    let missing = ready!(ask.poll_unpin(context));
                    this.on_answered(missing)
                }
                State::Sweeping(_, sweep) => {
                    let (tracker, swept) = ready!(sweep.poll_unpin(context));
                    this.on_swept(tracker, swept)
                }
                State::Ended => return Poll::Ready(None),
            };
            if event.is_some() {
                return Poll::Ready(event);
            }
        }
    }
}
