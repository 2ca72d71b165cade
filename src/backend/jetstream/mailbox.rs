//! Subscriptions for requests that have several replies.
//!
//! A subscription costs the server and the client about as much as a small request does, so one whose
//! replies have all arrived is kept for the next request.

use std::{
    pin::Pin,
    sync::{Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, ready},
};

use bytestring::ByteString;
use futures::{FutureExt, Stream, StreamExt};

use crate::{message::Message, transport::Subscription};

/// The replies to one request at a time.
#[derive(Debug)]
pub(super) struct Mailbox {
    /// All its reply subjects begin with this.
    inbox: ByteString,
    messages: Subscription,
    requests: u64,
    /// The reply subject of the latest request.
    pub(super) reply: ByteString,
}

impl Mailbox {
    /// The subject that a mailbox below this inbox subscribes to.
    pub(super) fn subject(inbox: &str) -> ByteString {
        format!("{inbox}.*").into()
    }

    /// Creates a mailbox from that subscription.
    pub(super) fn new(inbox: ByteString, messages: Subscription) -> Self {
        Self {
            reply: inbox.clone(),
            inbox,
            messages,
            requests: 0,
        }
    }

    /// Returns the reply subject for the next request. Replies to earlier ones are ignored from now on.
    pub(super) fn address(&mut self) -> ByteString {
        self.requests += 1;
        self.reply = format!("{}.{}", self.inbox, self.requests).into();
        self.reply.clone()
    }
}

impl Stream for Mailbox {
    type Item = Message;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Message>> {
        loop {
            match ready!(self.messages.poll_next_unpin(context)) {
                Some(message) if message.subject != self.reply => {}
                message => return Poll::Ready(message),
            }
        }
    }
}

/// Keeps a mailbox that is not in use.
#[derive(Debug, Default)]
pub(super) struct Spare(Mutex<Option<Mailbox>>);

impl Spare {
    fn mailbox(&self) -> MutexGuard<'_, Option<Mailbox>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the spare mailbox, if there is one that still gets messages: a transport may have ended it.
    pub(super) fn take(&self) -> Option<Mailbox> {
        let mut mailbox = self.mailbox().take()?;
        let has_ended = matches!(mailbox.next().now_or_never(), Some(None));
        (!has_ended).then_some(mailbox)
    }

    /// Keeps a mailbox whose replies have all arrived.
    pub(super) fn keep(&self, mailbox: Mailbox) {
        let replaced = self.mailbox().replace(mailbox);
        drop(replaced); // unsubscribes, which the mutex need not wait for
    }
}

#[cfg(test)]
mod tests {
    use futures::stream;

    use super::*;

    fn mailbox(messages: &'static [&'static str]) -> Mailbox {
        let messages = messages.iter().map(|&subject| Message {
            subject: subject.into(),
            ..Message::default()
        });
        Mailbox::new("in".into(), Subscription::new(stream::iter(messages)))
    }

    #[tokio::test]
    async fn late_replies_to_an_earlier_request_are_ignored() {
        let mut mailbox = mailbox(&["in.1", "in.1", "in.2", "in.1", "in.2"]);
        for (reply, count) in [("in.1", 1), ("in.2", 2)] {
            assert_eq!(mailbox.address(), reply);
            for _ in 0..count {
                let message = mailbox.next().await;
                assert!(message.is_some_and(|message| message.subject == reply));
            }
        }
        assert!(mailbox.next().await.is_none());
    }

    #[test]
    fn a_kept_mailbox_is_used_by_one_request_at_a_time() {
        let spare = Spare::default();
        assert!(spare.take().is_none());
        let messages = Subscription::new(stream::pending());
        spare.keep(Mailbox::new("in".into(), messages));
        assert!(spare.take().is_some());
        assert!(spare.take().is_none());
    }

    #[test]
    fn a_kept_mailbox_that_has_ended_is_not_used() {
        let spare = Spare::default();
        spare.keep(mailbox(&["in.1"]));
        assert!(spare.take().is_none());
    }
}
