//! The task that owns the socket: it feeds commands, received bytes and the time to [`Connection`], and carries
//! out its outputs.

use std::{
    future::poll_fn,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use futures::future::BoxFuture;
use tokio::sync::{mpsc, oneshot, watch};

use super::{
    Command,
    queue::{Producer, queue},
    socket::Socket as _,
};
use crate::{
    error::BoxError,
    message::{Message, TransportError},
    options::CredentialsProvider,
    platform::{self, Instant, Socket, SystemTime, WakeUps},
    protocol::{
        ById, CloseReason, Connection, Output,
        auth::{self, Login},
    },
    sorted::SortedMap,
    status::{ConnectionState, ConnectionStatus},
};

/// A frame larger than two of these is copied in pieces of this size, so that keeping one small message of it
/// does not keep megabytes alive.
const PIECE: usize = 64 * 1024;
/// How many commands are handled before their output is sent in one write.
const BATCH: usize = 256;
/// If the wall clock advances this much more than the monotonic clock, the machine was asleep.
const SLEPT: Duration = Duration::from_secs(4);

/// The task's ends of the channels to its callers.
pub(super) struct Caller {
    pub(super) commands: mpsc::Receiver<Command>,
    pub(super) status: watch::Sender<ConnectionStatus>,
    pub(super) max_payload: Arc<AtomicUsize>,
    /// Resolved once with the outcome of the first connect.
    pub(super) settle: Option<oneshot::Sender<Result<(), CloseReason>>>,
    pub(super) credentials: Option<CredentialsProvider>,
}

/// The state of the task.
pub(super) struct Actor {
    connection: Connection,
    caller: Caller,
    /// Subscriptions whose readers were dropped.
    gone: mpsc::UnboundedReceiver<u64>,
    gone_sender: mpsc::UnboundedSender<u64>,
    requests: ById<oneshot::Sender<Result<Message, TransportError>>>,
    subscriptions: SortedMap<u64, Producer>,
    /// To be told whether everything was sent.
    closing: Vec<oneshot::Sender<bool>>,
    /// All handles were dropped.
    abandoned: bool,
    closed: bool,
    line: Option<Line>,
    wake_ups: WakeUps,
    timer: Option<(Instant, BoxFuture<'static, ()>)>,
    clocks: (Instant, SystemTime),
}

/// A socket and its state.
struct Line {
    socket: Socket,
    open: bool,
    /// Whether everything sent has been flushed.
    flushed: bool,
    login: Option<BoxFuture<'static, Result<Login, BoxError>>>,
}

enum Event {
    Command(Command),
    /// All handles were dropped.
    Abandoned,
    Gone(u64),
    Opened,
    Login(Result<Login, BoxError>),
    Received(Bytes),
    Flushed,
    Lost(String),
    WakeUp,
    Timer,
}

impl Actor {
    pub(super) fn new(connection: Connection, caller: Caller) -> Self {
        let (gone_sender, gone) = mpsc::unbounded_channel();
        Self {
            connection,
            caller,
            gone,
            gone_sender,
            requests: ById::default(),
            subscriptions: SortedMap::new(),
            closing: Vec::new(),
            abandoned: false,
            closed: false,
            line: None,
            wake_ups: WakeUps::new(),
            timer: None,
            clocks: (Instant::now(), platform::wall_clock()),
        }
    }

    /// Runs until the connection is closed for good.
    pub(super) async fn run(mut self) {
        loop {
            self.act();
            if self.closed {
                return;
            }
            self.transmit();
            self.set_timer();
            let event = poll_fn(|context| self.poll_event(context)).await;
            let now = Instant::now();
            self.handle(event, now);
            // Sends concurrent requests in one write, and keeps a flood of incoming messages from starving
            // callers.
            for _ in 0..BATCH {
                if !self.takes_commands() {
                    break;
                }
                // Not `try_recv`, which can block a thread and adds code size for that.
                let commands = &mut self.caller.commands;
                match poll_fn(|context| Poll::Ready(commands.poll_recv(context))).await {
                    Poll::Ready(Some(command)) => self.command(command, now),
                    _ => break,
                }
            }
        }
    }

    fn poll_event(&mut self, context: &mut Context<'_>) -> Poll<Event> {
        if let Some(line) = &mut self.line
            && let Poll::Ready(event) = line.poll(context)
        {
            return Poll::Ready(event);
        }
        if let Poll::Ready(Some(sid)) = self.gone.poll_recv(context) {
            return Poll::Ready(Event::Gone(sid));
        }
        if !self.abandoned
            && self.takes_commands()
            && let Poll::Ready(command) = self.caller.commands.poll_recv(context)
        {
            return Poll::Ready(command.map_or(Event::Abandoned, Event::Command));
        }
        if self.wake_ups.poll_next(context).is_ready() {
            return Poll::Ready(Event::WakeUp);
        }
        if let Some((_, timer)) = &mut self.timer
            && timer.as_mut().poll(context).is_ready()
        {
            return Poll::Ready(Event::Timer);
        }
        Poll::Pending
    }

    fn takes_commands(&self) -> bool {
        self.connection.has_room()
    }

    fn handle(&mut self, event: Event, now: Instant) {
        match event {
            Event::Command(command) => self.command(command, now),
            Event::Abandoned => {
                self.abandoned = true;
                self.connection.close(now);
            }
            Event::Gone(sid) => {
                self.subscriptions.remove(&sid);
                self.connection.unsubscribe(sid, now);
            }
            Event::Opened => self.connection.opened(),
            Event::Login(login) => self.connection.login(login, now),
            Event::Received(frame) if frame.len() <= 2 * PIECE => self.receive(frame, now),
            Event::Received(frame) => {
                for piece in frame.chunks(PIECE) {
                    self.receive(Bytes::copy_from_slice(piece), now);
                }
            }
            Event::Flushed => {}
            Event::Lost(reason) => {
                self.line = None;
                self.connection.lost(&reason, now);
            }
            Event::WakeUp => self.connection.wake(now),
            Event::Timer => {
                self.timer = None;
                self.notice_sleep(now);
                self.connection.tick(now);
            }
        }
    }

    fn receive(&mut self, mut bytes: Bytes, now: Instant) {
        while let Some(output) = self.connection.receive(&mut bytes, now) {
            self.output(output);
        }
    }

    fn command(&mut self, command: Command, now: Instant) {
        match command {
            Command::Request {
                message,
                timeout,
                since,
                answer,
            } => {
                // The caller has gone away: do not send it.
                if answer.is_closed() {
                    return;
                }
                if now.saturating_duration_since(since) >= timeout {
                    let slow = "it is too slow to send this in time".into();
                    _ = answer.send(Err(TransportError::NotConnected(slow)));
                    return;
                }
                let id = self.connection.request(message, timeout, since);
                self.requests.insert(id, answer);
            }
            // Already validated. If the connection was lost since, the message is lost, as any message without
            // an acknowledgement can be.
            Command::Publish(message) => _ = self.connection.publish(&message, now),
            Command::Subscribe { subject, messages } => {
                let subscribed = self.connection.subscribe(subject, now).map(|sid| {
                    let (producer, consumer) = queue(sid, self.gone_sender.clone());
                    self.subscriptions.insert(sid, producer);
                    consumer
                });
                // If the caller has gone away, this drops the consumer, which unsubscribes.
                _ = messages.send(subscribed);
            }
            Command::Close(done) => {
                self.closing.push(done);
                self.connection.close(now);
            }
        }
    }

    /// Carries out the connection's outputs.
    fn act(&mut self) {
        while let Some(output) = self.connection.next_output() {
            self.output(output);
        }
        let max_payload = self.connection.info().max_payload;
        if max_payload > 0 {
            self.caller
                .max_payload
                .store(max_payload, Ordering::Relaxed);
        }
    }

    fn output(&mut self, output: Output) {
        match output {
            Output::Message(sid, message) => self.deliver(sid, message),
            Output::Answer(id, result) => {
                if let Some(answer) = self.requests.remove(&id) {
                    // The caller may have gone away.
                    _ = answer.send(result);
                }
            }
            Output::Dial(url) => {
                tracing::debug!(server = %url, "dialling");
                self.line = Some(Line {
                    socket: Socket::open(&url),
                    open: false,
                    flushed: true,
                    login: None,
                });
            }
            Output::Authenticate(nonce, server) => {
                if let Some(line) = &mut self.line {
                    let credentials = self.caller.credentials.as_ref();
                    line.login = Some(auth::login(credentials, nonce, &server));
                }
            }
            Output::Hangup => self.line = None,
            Output::Refused(sid, reason) => {
                tracing::warn!(%reason, "a subscription was refused");
                self.subscriptions.remove(&sid);
            }
            Output::State(status) => {
                let is_there = status.state == ConnectionState::Connected;
                self.caller.status.send_if_modified(|now| {
                    let is_news = *now != status;
                    if is_news {
                        let ConnectionStatus { state, epoch, .. } = status;
                        let reason = status.reason.as_deref();
                        tracing::info!(?state, epoch, reason, "connection state");
                        *now = status;
                    }
                    is_news
                });
                if is_there {
                    self.settle(Ok(()));
                }
            }
            Output::LameDuck => tracing::info!("the server is about to shut down"),
            Output::Closed(reason) => {
                let is_sent = reason != CloseReason::Unsent;
                self.settle(Err(reason));
                self.subscriptions = SortedMap::new();
                for done in self.closing.drain(..) {
                    _ = done.send(is_sent);
                }
                self.closed = true;
            }
        }
    }

    fn settle(&mut self, result: Result<(), CloseReason>) {
        if let Some(settle) = self.caller.settle.take() {
            // A caller that has gone away has dropped its handle, too.
            _ = settle.send(result);
        }
    }

    fn deliver(&mut self, sid: u64, message: Message) {
        let Some(producer) = self.subscriptions.get(&sid) else {
            return;
        };
        if producer.push(message).is_err() {
            tracing::warn!("subscription ended: the reader is too slow");
            self.subscriptions.remove(&sid);
            self.connection.unsubscribe(sid, Instant::now());
        }
    }

    /// Passes pending output to the socket, if it is ready.
    fn transmit(&mut self) {
        let Some(line) = &mut self.line else {
            return;
        };
        if !line.open || !line.flushed {
            return;
        }
        if let Some(bytes) = self.connection.transmit() {
            line.flushed = false;
            if let Err(reason) = line.socket.send(bytes) {
                self.line = None;
                self.connection.lost(&reason, Instant::now());
            }
        }
    }

    fn set_timer(&mut self) {
        let Some(deadline) = self.connection.deadline() else {
            return;
        };
        // Waking too early does no harm, and most deadlines only move later.
        if self.timer.as_ref().is_none_or(|(at, _)| *at > deadline) {
            let wait = deadline.saturating_duration_since(Instant::now());
            self.timer = Some((deadline, platform::sleep(wait)));
        }
    }

    fn notice_sleep(&mut self, now: Instant) {
        let wall = platform::wall_clock();
        let (then, wall_then) = std::mem::replace(&mut self.clocks, (now, wall));
        // Ignores a clock that was set back.
        let passed = wall.duration_since(wall_then).unwrap_or_default();
        if passed > now.saturating_duration_since(then) + SLEPT {
            self.connection.wake(now);
        }
    }
}

impl Line {
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Event> {
        if !self.open {
            return self.socket.poll_open(context).map(|opened| match opened {
                Ok(()) => {
                    self.open = true;
                    Event::Opened
                }
                Err(reason) => Event::Lost(reason),
            });
        }
        if let Poll::Ready(received) = self.socket.poll_receive(context) {
            return Poll::Ready(received.map_or_else(Event::Lost, Event::Received));
        }
        if let Some(login) = &mut self.login
            && let Poll::Ready(result) = login.as_mut().poll(context)
        {
            self.login = None;
            return Poll::Ready(Event::Login(result));
        }
        if !self.flushed
            && let Poll::Ready(result) = self.socket.poll_flush(context)
        {
            self.flushed = true;
            return Poll::Ready(result.map_or_else(Event::Lost, |()| Event::Flushed));
        }
        Poll::Pending
    }
}
