//! Handling of the server's operations.

use bytestring::ByteString;

use super::{ANSWERS, Connection, MOVE_TIMEOUT, Output, Stage, State};
use crate::{
    message::{Message, TransportError},
    platform::Instant,
    protocol::{ParseError, RequestId, ServerInfo, ServerOp, encoder},
};

impl Connection {
    pub(super) fn operation(&mut self, op: ServerOp, now: Instant) {
        match op {
            ServerOp::Ping => self.out.extend_from_slice(encoder::PONG),
            ServerOp::Pong => {
                self.liveness.pong_received();
                match self.state {
                    State::Connecting(Stage::Pong, _) => self.connected(now),
                    State::Connected | State::Closing(_) => self.send_waiting(now),
                    _ => {}
                }
            }
            ServerOp::Info(json) => self.told(&json, now),
            ServerOp::Err(text) => self.scolded(&text, now),
            ServerOp::Ok | ServerOp::Message { .. } => {}
        }
    }

    pub(super) fn told(&mut self, json: &[u8], now: Instant) {
        match ServerInfo::parse(json) {
            Ok(info) => self.info = info,
            Err(error) => return self.disconnect(&format!("INFO makes no sense: {error}"), now),
        }
        self.parser.set_max_payload(self.info.max_payload);
        if self.config.gossip {
            self.pool.gossip(&self.info.connect_urls, &mut self.random);
        }
        match self.state {
            State::Connecting(Stage::Info, until) => {
                if let Some(server) = self.pool.current().cloned() {
                    let nonce = self.info.nonce.clone();
                    self.state = State::Connecting(Stage::Login, until);
                    self.outputs.push_back(Output::Authenticate(nonce, server));
                }
            }
            State::Connected if self.info.ldm => {
                self.outputs.push_back(Output::LameDuck);
                // With no other server, stay as long as possible.
                if self.pool.has_other() {
                    self.state = State::Moving(now + MOVE_TIMEOUT);
                    self.move_if_idle(now);
                }
            }
            _ => {}
        }
    }

    pub(super) fn scolded(&mut self, text: &str, now: Instant) {
        let lower = text.to_ascii_lowercase();
        let has = |words: &str| has(&lower, words);
        if has("permissions violation") {
            self.forbidden(text, &lower);
        } else if (has("authorization") || has("authentication")) && !has("timeout") {
            self.unauthorized(text, now);
        } else if matches!(self.state, State::Connecting(..))
            || has("stale connection")
            || has("maximum payload")
            || has("connections exceeded")
            || has("parser error")
            || has("unknown protocol")
        {
            self.disconnect(text, now);
        } else {
            // If necessary, the server closes the socket itself; this may be the reason.
            self.last_failure = text.to_owned();
        }
    }

    /// `Permissions Violation for Publish to "a"`, or `for Subscription to "a"`, or `for Publish
    /// with Reply of "a"`.
    pub(super) fn forbidden(&mut self, text: &str, lower: &str) {
        let subject = text.split('"').nth(1).unwrap_or(text);
        if !has(lower, "subscription") {
            let answered = self.answer_id(subject);
            let mut ids = self.requests.take_by_subject(subject);
            ids.extend(answered.filter(|&id| self.requests.answered(id)));
            for id in ids {
                self.fail(id, TransportError::PermissionDenied(subject.to_owned()));
            }
        } else if subject.strip_suffix(".*") == Some(self.config.inbox.as_str()) {
            self.answers_refused = Some(subject.to_owned());
            for id in self.requests.take_in_flight() {
                self.fail(id, TransportError::Unheard(subject.to_owned()));
            }
        } else {
            let refused = |(sid, to): (&u64, &ByteString)| (to == subject).then_some(*sid);
            let sids: Vec<_> = self.subscriptions.iter().filter_map(refused).collect();
            for sid in sids {
                self.subscriptions.remove(&sid);
                self.outputs
                    .push_back(Output::Refused(sid, text.to_owned()));
            }
        }
    }

    pub(super) fn message(&mut self, sid: u64, message: Message, now: Instant) -> Option<Output> {
        if sid != ANSWERS {
            // Drops messages that were in flight when the subscription ended.
            return self
                .subscriptions
                .contains(&sid)
                .then_some(Output::Message(sid, message));
        }
        let id = self.answer_id(&message.subject)?;
        if !self.requests.answered(id) {
            return None;
        }
        if matches!(self.state, State::Moving(_)) {
            self.move_if_idle(now);
        }
        let nobody = message.status == Some(503) && message.payload.is_empty();
        let result = if nobody {
            Err(TransportError::NoResponders)
        } else {
            Ok(message)
        };
        Some(Output::Answer(id, result))
    }

    pub(super) fn answer_id(&self, subject: &str) -> Option<RequestId> {
        let id = subject.strip_prefix(self.config.inbox.as_str())?;
        id.strip_prefix('.')?.parse().ok()
    }

    pub(super) fn unreadable(&mut self, error: ParseError, now: Instant) {
        self.disconnect(&format!("not NATS: {error}"), now);
    }
}

/// `contains`, without the code size of the standard library's search.
fn has(text: &str, words: &str) -> bool {
    let mut places = text.as_bytes().windows(words.len());
    places.any(|place| place == words.as_bytes())
}
