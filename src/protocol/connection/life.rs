//! Connecting and disconnecting.

use super::{ANSWERS, CloseReason, Connection, Output, Stage, State};
use crate::{
    message::TransportError,
    platform::Instant,
    protocol::{Parser, encoder, liveness::Liveness},
    status::{ConnectionState, ConnectionStatus},
};

impl Connection {
    pub(super) fn dial(&mut self, now: Instant) {
        match self.pool.advance() {
            Some(server) => {
                self.state = State::Connecting(Stage::Socket, now + self.config.dial_timeout);
                self.outputs.push_back(Output::Dial(server));
            }
            None => self.finish(CloseReason::Unreachable("there are no servers".to_owned())),
        }
    }

    pub(super) fn connected(&mut self, now: Instant) {
        self.state = State::Connected;
        self.epoch += 1;
        self.auth_failures = 0;
        self.answers_refused = None;
        self.pool.succeeded();
        let answers = format!("{}.*", self.config.inbox);
        encoder::subscribe(&mut self.out, &answers, ANSWERS);
        for (sid, subject) in self.subscriptions.iter() {
            encoder::subscribe(&mut self.out, subject, *sid);
        }
        let status = ConnectionStatus::new(ConnectionState::Connected, self.epoch);
        self.outputs.push_back(Output::State(status));
        self.send_waiting(now);
    }

    /// The credentials could not be obtained. Their source may be temporarily unavailable, as a server may.
    pub(super) fn without_login(&mut self, reason: &str, now: Instant) {
        if self.epoch == 0 && self.pool_is_used_up(1) {
            self.finish(CloseReason::Unauthorized(reason.to_owned()));
        } else {
            self.disconnect(reason, now);
        }
    }

    /// The server rejected the credentials.
    pub(super) fn unauthorized(&mut self, reason: &str, now: Instant) {
        if self.is_up() {
            // The credentials have expired; new ones may be accepted.
            return self.disconnect(reason, now);
        }
        self.auth_failures += 1;
        // A callback may return valid credentials next time, but after a second rejection it is hopeless.
        let hopeless = self.auth_failures > 1 || (self.epoch == 0 && self.pool_is_used_up(1));
        if hopeless {
            self.finish(CloseReason::Unauthorized(reason.to_owned()));
        } else {
            self.disconnect(reason, now);
        }
    }

    /// Whether the first connect fails for good after `more` further failures.
    pub(super) fn pool_is_used_up(&self, more: u32) -> bool {
        !self.config.reconnect.first && self.pool.all_tried_after(more)
    }

    pub(super) fn disconnect(&mut self, reason: &str, now: Instant) {
        if matches!(self.state, State::Closing(_)) {
            return self.cut_off();
        }
        let was_connected = self.is_up();
        self.last_failure = reason.to_owned();
        self.hang_up(now);
        if !was_connected {
            self.pool.failed();
        }
        if self.epoch > 0 {
            let status = ConnectionStatus::new(ConnectionState::Disconnected, self.epoch);
            self.outputs
                .push_back(Output::State(status.because(reason)));
        }
        if self.epoch == 0 && self.pool_is_used_up(0) {
            return self.finish(CloseReason::Unreachable(reason.to_owned()));
        }
        let delay = self.pool.delay(&self.config.reconnect, &mut self.random);
        self.state = State::Waiting(now + delay);
    }

    /// Moves to another server before this one shuts down.
    pub(super) fn move_on(&mut self, now: Instant) {
        self.disconnect("the server is going to shut down", now);
        if matches!(self.state, State::Waiting(_)) {
            self.dial(now);
        }
    }

    pub(super) fn move_if_idle(&mut self, now: Instant) {
        if !self.requests.has_in_flight() && self.out.is_empty() {
            // Soon rather than immediately: the message being handled may still cause a publish.
            self.state = State::Moving(now);
        }
    }

    /// A server receives messages in order but may reply out of order: a PONG means that it has received
    /// everything, not that it has replied to it.
    pub(super) fn close_if_idle(&mut self) {
        if matches!(self.state, State::Closing(_))
            && self.liveness.is_settled()
            && !self.requests.has_in_flight()
        {
            self.finish(CloseReason::Asked);
        }
    }

    /// Ends closing without having heard of everything.
    pub(super) fn cut_off(&mut self) {
        self.finish(match self.liveness.is_confirmed() {
            true => CloseReason::Asked,
            false => CloseReason::Unsent,
        });
    }

    pub(super) fn hang_up(&mut self, now: Instant) {
        self.parser = Parser::new();
        self.out = Vec::new();
        self.liveness = Liveness::new(&self.config, now);
        self.outputs.push_back(Output::Hangup);
        for id in self.requests.take_in_flight() {
            self.fail(id, TransportError::Lost);
        }
    }

    pub(super) fn finish(&mut self, reason: CloseReason) {
        for id in self.requests.take_in_flight() {
            self.fail(id, TransportError::Lost);
        }
        for id in self.requests.take_waiting() {
            let error = match &reason {
                CloseReason::Asked | CloseReason::Unsent => TransportError::Closed,
                why => TransportError::NotConnected(why.to_string()),
            };
            self.fail(id, error);
        }
        self.out = Vec::new();
        self.state = State::Closed;
        self.outputs.push_back(Output::Hangup);
        let mut status = ConnectionStatus::new(ConnectionState::Closed, self.epoch);
        if reason != CloseReason::Asked {
            status = status.because(reason.to_string());
        }
        self.outputs.push_back(Output::State(status));
        self.outputs.push_back(Output::Closed(reason));
    }
}
