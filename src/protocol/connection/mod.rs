//! The client's state machine: the server's operations and the user's calls go in, actions come out.

mod life;
mod server;
#[cfg(test)]
mod tests;

use std::{collections::VecDeque, time::Duration};

use bytes::Bytes;
use bytestring::ByteString;

use super::{
    Config, Parser, Pool, RequestId, ServerInfo, ServerOp, ServerUrl,
    auth::Login,
    encoder,
    info::Connect,
    liveness::{Liveness, Verdict},
    requests::{Requests, Waiting},
};
use crate::{
    error::BoxError,
    message::{Message, Outbound, TransportError},
    platform::Instant,
    random::Random,
    sorted::SortedMap,
    status::ConnectionStatus,
};

/// The subscription to the replies to all requests.
const ANSWERS: u64 = 1;
/// How long to wait for outstanding replies from a server that is shutting down.
const MOVE_TIMEOUT: Duration = Duration::from_secs(2);

/// An action for the owner of the socket, or an event to pass on.
#[derive(Debug)]
pub(crate) enum Output {
    /// Open a socket, then call [`Connection::opened`] or [`Connection::lost`].
    Dial(ServerUrl),
    /// Get credentials for a server that sent this nonce, then call [`Connection::login`].
    Authenticate(Option<String>, ServerUrl),
    /// Drop the socket and its state.
    Hangup,
    /// A message for a subscription.
    Message(u64, Message),
    /// A subscription that the server denied, and that has ended.
    Refused(u64, String),
    /// The result of a request.
    Answer(RequestId, Result<Message, TransportError>),
    /// The connection state changed.
    State(ConnectionStatus),
    /// The server is about to shut down.
    LameDuck,
    /// Closed for good, and why. This is the last output.
    Closed(CloseReason),
}

/// Why the connection was closed for good.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum CloseReason {
    /// The user closed it.
    #[error("closed")]
    Asked,
    /// The user closed it, and it was lost before the server had confirmed everything.
    #[error("closed, perhaps before everything was sent")]
    Unsent,
    /// The server rejected the credentials, or they could not be obtained.
    #[error("not let in: {0}")]
    Unauthorized(String),
    /// The first connect failed with every server; this is the last error.
    #[error("cannot connect: {0}")]
    Unreachable(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Until it is time to dial.
    Waiting(Instant),
    /// Until the handshake is done or times out.
    Connecting(Stage, Instant),
    Connected,
    /// Connected, but moving to another server at this time at the latest.
    Moving(Instant),
    /// Until everything is sent or closing times out.
    Closing(Instant),
    Closed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Socket,
    Info,
    Login,
    Pong,
}

/// A NATS client, across reconnects.
#[derive(Debug)]
pub(crate) struct Connection {
    config: Config,
    random: Random,
    pool: Pool,
    state: State,
    parser: Parser,
    info: ServerInfo,
    liveness: Liveness,
    out: Vec<u8>,
    outputs: VecDeque<Output>,
    subscriptions: SortedMap<u64, ByteString>,
    next_sid: u64,
    requests: Requests,
    next_request: RequestId,
    /// Set if the server denies the subscription to replies: requests cannot work then.
    answers_refused: Option<String>,
    epoch: u64,
    auth_failures: u32,
    /// Why there is no connection, for errors.
    last_failure: String,
}

impl Connection {
    /// A client whose first output is to dial.
    pub(crate) fn new(config: Config, seed: u64, now: Instant) -> Self {
        let mut random = Random::new(seed);
        let pool = Pool::new(config.servers.clone(), &mut random);
        let mut connection = Self {
            liveness: Liveness::new(&config, now),
            config,
            random,
            pool,
            state: State::Waiting(now),
            parser: Parser::new(),
            info: ServerInfo::default(),
            out: Vec::new(),
            outputs: VecDeque::new(),
            subscriptions: SortedMap::new(),
            next_sid: ANSWERS + 1,
            requests: Requests::default(),
            next_request: 0,
            answers_refused: None,
            epoch: 0,
            auth_failures: 0,
            last_failure: "not connected yet".to_owned(),
        };
        connection.dial(now);
        connection
    }

    /// The next output, in order.
    pub(crate) fn next_output(&mut self) -> Option<Output> {
        // Everything that may have completed the last request has been handled by now.
        self.close_if_idle();
        self.outputs.pop_front()
    }

    /// The bytes to write to the socket now.
    pub(crate) fn transmit(&mut self) -> Option<Bytes> {
        (!self.out.is_empty()).then(|| Bytes::from(std::mem::take(&mut self.out)))
    }

    /// Whether more may be sent or queued. While this is `false`, the caller must hold requests and messages
    /// back.
    pub(crate) fn has_room(&self) -> bool {
        !self.is_up()
            || self.liveness.has_room()
            || self.requests.waiting() < self.config.max_waiting
    }

    /// The server's latest INFO.
    pub(crate) fn info(&self) -> &ServerInfo {
        &self.info
    }

    /// When [`tick`](Self::tick) is due, if nothing else happens.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let own = match self.state {
            State::Waiting(until) | State::Connecting(_, until) => until,
            State::Connected => self.liveness.deadline(),
            State::Moving(until) | State::Closing(until) => until.min(self.liveness.deadline()),
            State::Closed => return None,
        };
        Some(
            self.requests
                .next_check()
                .map_or(own, |check| check.min(own)),
        )
    }

    // ---- the user ----

    /// Sends a request, or queues it until it can be sent. Its result is an output.
    pub(crate) fn request(
        &mut self,
        message: Outbound,
        timeout: Duration,
        now: Instant,
    ) -> RequestId {
        self.next_request += 1;
        let id = self.next_request;
        let request = Waiting {
            id,
            message,
            timeout,
            deadline: now + timeout,
        };
        match self.state {
            State::Connected if self.liveness.has_room() => self.send_request(request, now),
            State::Closing(_) | State::Closed => self.fail(id, TransportError::Closed),
            // Not sent yet, so it is safe to send it later.
            _ if self.requests.waiting() < self.config.max_waiting => self.requests.wait(request),
            _ => self.fail(id, TransportError::NotConnected(self.last_failure.clone())),
        }
        id
    }

    /// Publishes a message, if there is a connection.
    pub(crate) fn publish(
        &mut self,
        message: &Outbound,
        now: Instant,
    ) -> Result<(), TransportError> {
        match self.state {
            State::Connected | State::Moving(_) => {}
            State::Closing(_) | State::Closed => return Err(TransportError::Closed),
            _ => return Err(TransportError::NotConnected(self.last_failure.clone())),
        }
        self.check(message)?;
        self.write(now, |out| encoder::publish(out, message));
        Ok(())
    }

    /// Subscribes, on this connection and after reconnects.
    pub(crate) fn subscribe(
        &mut self,
        subject: ByteString,
        now: Instant,
    ) -> Result<u64, TransportError> {
        if matches!(self.state, State::Closing(_) | State::Closed) {
            return Err(TransportError::Closed);
        }
        encoder::check_subject(&subject).map_err(|error| invalid(&error))?;
        let sid = self.next_sid;
        self.next_sid += 1;
        if self.is_up() {
            self.write(now, |out| encoder::subscribe(out, &subject, sid));
        }
        self.subscriptions.insert(sid, subject);
        Ok(sid)
    }

    /// Unsubscribes.
    pub(crate) fn unsubscribe(&mut self, sid: u64, now: Instant) {
        if self.subscriptions.remove(&sid).is_some() && self.is_up() {
            self.write(now, |out| encoder::unsubscribe(out, sid));
        }
    }

    /// Flushes, waits until the server has received everything and replied, and closes.
    pub(crate) fn close(&mut self, now: Instant) {
        match self.state {
            // Its PONG releases the queued requests.
            State::Connected | State::Moving(_) => {
                self.ping(now);
                self.state = State::Closing(now + self.config.close_timeout);
            }
            State::Closing(_) | State::Closed => {}
            _ => self.finish(CloseReason::Asked),
        }
    }

    // ---- the socket ----

    /// The socket is open.
    pub(crate) fn opened(&mut self) {
        if let State::Connecting(Stage::Socket, until) = self.state {
            self.state = State::Connecting(Stage::Info, until);
        }
    }

    /// The credentials were obtained, or could not be.
    pub(crate) fn login(&mut self, login: Result<Login, BoxError>, now: Instant) {
        let State::Connecting(Stage::Login, until) = self.state else {
            return;
        };
        let login = match login {
            Ok(login) => login,
            Err(error) => return self.without_login(&error.to_string(), now),
        };
        let connect = Connect {
            verbose: false,
            pedantic: false,
            tls_required: false,
            lang: "rust",
            version: env!("CARGO_PKG_VERSION"),
            protocol: 1,
            echo: true,
            headers: self.info.headers,
            no_responders: self.info.headers,
            name: self.config.name.as_deref(),
            login: &login,
        };
        self.state = State::Connecting(Stage::Pong, until);
        encoder::connect(&mut self.out, &connect.to_json());
        self.ping(now);
    }

    /// Consumes received bytes until there is an output or nothing is left. To be called until it returns
    /// `None`.
    pub(crate) fn receive(&mut self, input: &mut Bytes, now: Instant) -> Option<Output> {
        if !input.is_empty() {
            self.liveness.received(now);
        }
        while self.has_socket() {
            match self.parser.next(input) {
                Ok(Some(ServerOp::Message { sid, message })) => {
                    if let Some(output) = self.message(sid, message, now) {
                        return Some(output);
                    }
                }
                Ok(Some(op)) => self.operation(op, now),
                Ok(None) => return None,
                Err(error) => self.unreadable(error, now),
            }
        }
        input.clear();
        None
    }

    /// The socket was closed, or could not be opened.
    pub(crate) fn lost(&mut self, reason: &str, now: Instant) {
        if self.has_socket() {
            self.disconnect(reason, now);
        }
    }

    // ---- the time ----

    /// Performs the actions that are due.
    pub(crate) fn tick(&mut self, now: Instant) {
        let why = match self.is_up() {
            true => "it is too slow to send this in time",
            false => &self.last_failure,
        };
        for (id, error) in self.requests.expire(now, why) {
            self.fail(id, error);
        }
        match self.state {
            State::Waiting(until) if now >= until => self.dial(now),
            State::Connecting(stage, until) if now >= until => {
                let reason = match stage {
                    Stage::Socket => "the socket did not open in time",
                    Stage::Login => "the credentials were not found in time",
                    Stage::Info | Stage::Pong => "the server did not answer in time",
                };
                self.disconnect(reason, now);
            }
            State::Moving(until) if now >= until => self.move_on(now),
            State::Closing(until) if now >= until => self.cut_off(),
            State::Connected | State::Moving(_) | State::Closing(_) => {
                match self.liveness.check(now) {
                    Verdict::Fine => {}
                    Verdict::Ping => self.ping(now),
                    Verdict::Dead => self.disconnect("the server fell silent", now),
                }
            }
            _ => {}
        }
    }

    /// Checks the connection, or retries now: the machine was asleep, the page was hidden, or the network
    /// changed.
    pub(crate) fn wake(&mut self, now: Instant) {
        match self.state {
            State::Waiting(_) => self.dial(now),
            State::Connected | State::Moving(_) => {
                self.ping(now);
                self.liveness.probe(now);
            }
            _ => {}
        }
    }

    // ---- sending ----

    fn is_up(&self) -> bool {
        matches!(
            self.state,
            State::Connected | State::Moving(_) | State::Closing(_)
        )
    }

    fn has_socket(&self) -> bool {
        !matches!(self.state, State::Waiting(_) | State::Closed)
    }

    fn fail(&mut self, id: RequestId, error: TransportError) {
        self.outputs.push_back(Output::Answer(id, Err(error)));
    }

    fn check(&self, message: &Outbound) -> Result<(), TransportError> {
        encoder::check(message).map_err(|error| invalid(&error))?;
        let (size, limit) = (encoder::size(message), self.info.max_payload);
        if size > limit {
            return Err(TransportError::TooLarge { size, limit });
        }
        Ok(())
    }

    /// Sends queued requests as long as there is room.
    fn send_waiting(&mut self, now: Instant) {
        while self.liveness.has_room()
            && let Some(request) = self.requests.next_waiting()
        {
            self.send_request(request, now);
        }
    }

    fn send_request(&mut self, request: Waiting, now: Instant) {
        let (id, mut message) = (request.id, request.message);
        if let Some(refused) = &self.answers_refused {
            let error = TransportError::PermissionDenied(refused.clone());
            return self.fail(id, error);
        }
        let mut reply = Vec::with_capacity(self.config.inbox.len() + 12);
        reply.extend_from_slice(self.config.inbox.as_bytes());
        reply.push(b'.');
        encoder::decimal(&mut reply, id);
        message.reply = ByteString::try_from(Bytes::from(reply)).ok();
        if let Err(error) = self.check(&message) {
            return self.fail(id, error);
        }
        self.write(now, |out| encoder::publish(out, &message));
        self.requests
            .sent(id, message.subject, request.timeout, request.deadline);
    }

    fn write(&mut self, now: Instant, encode: impl FnOnce(&mut Vec<u8>)) {
        let before = self.out.len();
        encode(&mut self.out);
        self.liveness.wrote(self.out.len() - before);
        if self.liveness.wants_confirmation() {
            self.ping(now);
        }
    }

    fn ping(&mut self, now: Instant) {
        self.out.extend_from_slice(encoder::PING);
        self.liveness.ping_sent(now);
    }
}

fn invalid(error: &encoder::Unencodable) -> TransportError {
    TransportError::Invalid(error.to_string())
}
