use std::fs::{self, DirBuilder, File};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use std::{env, process, thread};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};
use serde_json::Value;

use crate::builder::{Builder, Ports};
use crate::{Error, Result, background, http, install, watchdog};

/// How long a server may take to become ready or to stop, on a machine that is busy compiling.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(5);

/// What starting a server waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wait {
    /// The ports accept connections.
    Listening,
    /// JetStream is ready, too. In a cluster that needs a quorum.
    Healthy,
}

/// A private nats-server: loopback ports, its own folder, and methods to stop, pause and restart it.
///
/// Clones are handles to the same server; when the last is dropped, it is killed and its folder
/// removed.
#[derive(Clone, Debug)]
pub struct NatsServer(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    name: String,
    folder: PathBuf,
    ports: Ports,
    wait: Wait,
    builder: Mutex<Builder>,
    child: Mutex<Option<Child>>,
}

impl NatsServer {
    /// Starts a server with the default settings.
    ///
    /// # Errors
    /// As [`Builder::start`].
    pub async fn start_default() -> Result<Self> {
        Self::builder().start().await
    }

    /// Settings for a server.
    pub fn builder() -> Builder {
        Builder::default()
    }

    pub(crate) fn start(builder: Builder, ports: Ports, wait: Wait) -> Result<Self> {
        let (folder, number) = make_folder()?;
        let name = builder
            .server_name()
            .map_or_else(|| format!("test-{}-{number}", process::id()), str::to_owned);
        let builder = Mutex::new(builder);
        // From here on, an early return drops it, which cleans up.
        let server = Self(Arc::new(Inner {
            name,
            folder,
            ports,
            wait,
            builder,
            child: Mutex::new(None),
        }));
        server.0.launch()?;
        Ok(server)
    }

    /// `nats://127.0.0.1:<port>`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.0.ports.client.number)
    }

    /// `ws://127.0.0.1:<port>`.
    ///
    /// # Panics
    /// If the server was built without WebSocket: then the test is wrong.
    #[must_use]
    #[allow(clippy::panic, reason = "a mistake in a test, best seen at its line")]
    #[track_caller]
    pub fn ws_url(&self) -> String {
        match self.ws_url_if_any() {
            Some(url) => url,
            None => panic!("this server was built without .websocket(true)"),
        }
    }

    /// [`ws_url`](Self::ws_url), or `None` without WebSocket.
    #[must_use]
    pub fn ws_url_if_any(&self) -> Option<String> {
        self.0
            .ports
            .websocket
            .as_ref()
            .map(|port| format!("ws://127.0.0.1:{}", port.number))
    }

    /// `http://127.0.0.1:<port>`, with `/varz`, `/connz`, `/jsz`, `/healthz` and so on.
    #[must_use]
    pub fn monitor_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.0.ports.monitor.number)
    }

    /// The server's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// The version that is running, or ran last.
    #[must_use]
    pub fn version(&self) -> String {
        self.0.builder().version.clone()
    }

    /// The process id, or `None` if it is not running.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.0
            .child()
            .as_ref()
            .filter(|child| !has_exited(child))
            .map(Child::id)
    }

    /// The server's log, across all restarts.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read(self.0.folder.join("log"))
            .map(|text| String::from_utf8_lossy(&text).into_owned())
            .unwrap_or_default()
    }

    /// The private folder: `server.conf`, `log` and JetStream's `store`.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.0.folder
    }

    /// The monitoring port's response to `path` (`/jsz?consumers=true`).
    ///
    /// # Errors
    /// If the server does not respond, or not with JSON.
    pub async fn monitor(&self, path: &str) -> Result<Value> {
        let (server, path) = (self.clone(), path.to_owned());
        background::run(move || server.monitor_blocking(&path)).await
    }

    /// [`monitor`](Self::monitor), for code without an executor.
    ///
    /// # Errors
    /// As `monitor`.
    pub fn monitor_blocking(&self, path: &str) -> Result<Value> {
        let answer = http::get(self.0.ports.monitor.number, path)
            .map_err(|e| Error::io(format!("{} does not respond to {path}", self.name()), e))?;
        serde_json::from_str(&answer.body)
            .map_err(|e| Error::io(format!("{path} is not JSON: {}", answer.body), e))
    }

    /// Kills it immediately, as a crash or a power cut would. No error if it is not running.
    ///
    /// # Errors
    /// If the system refuses the signal.
    pub fn kill(&self) -> Result<()> {
        self.0.end(Signal::KILL)
    }

    /// Asks it to stop and waits until it has. A paused server is resumed first.
    ///
    /// # Errors
    /// If it does not stop in time.
    pub async fn stop(&self) -> Result<()> {
        let server = self.clone();
        background::run(move || server.stop_blocking()).await
    }

    /// [`stop`](Self::stop), for code without an executor.
    ///
    /// # Errors
    /// As `stop`.
    pub fn stop_blocking(&self) -> Result<()> {
        self.0.end(Signal::TERM)
    }

    /// Freezes it: from when this returns, connections stay open and nothing replies.
    ///
    /// # Errors
    /// If it is not running.
    pub fn pause(&self) -> Result<()> {
        self.0.signal(Signal::STOP)?;
        self.0.stopped()
    }

    /// Resumes after [`pause`](Self::pause).
    ///
    /// # Errors
    /// If it is not running.
    pub fn resume(&self) -> Result<()> {
        self.0.signal(Signal::CONT)
    }

    /// Enters lame duck mode: tells its clients to reconnect elsewhere, disconnects them after a
    /// second, and stops.
    ///
    /// # Errors
    /// If it is not running.
    pub fn lame_duck(&self) -> Result<()> {
        self.0.signal(Signal::USR2)
    }

    /// Restarts it with the same ports and data, stopping it first if it is running.
    ///
    /// # Errors
    /// As [`Builder::start`].
    pub async fn restart(&self) -> Result<()> {
        let server = self.clone();
        background::run(move || server.restart_blocking()).await
    }

    /// [`restart`](Self::restart), for code without an executor.
    ///
    /// # Errors
    /// As `restart`.
    pub fn restart_blocking(&self) -> Result<()> {
        self.stop_blocking()?;
        self.0.launch()
    }

    /// Changes the settings for the next [`restart`](Self::restart) (a newer version, other
    /// credentials) or [`reload`](Self::reload). The ports are kept, so WebSocket can't be added.
    pub fn reconfigure(&self, change: impl FnOnce(Builder) -> Builder) {
        let mut builder = self.0.builder();
        *builder = change(builder.clone());
    }

    /// Makes the running server reload its settings; not all of them can change at run time.
    ///
    /// # Errors
    /// If it is not running.
    pub fn reload(&self) -> Result<()> {
        self.0.write_config()?;
        self.0.signal(Signal::HUP)
    }

    /// Waits until `/healthz` is OK. In a cluster: until JetStream has a leader and this node has
    /// caught up.
    ///
    /// # Errors
    /// If it takes too long.
    pub async fn healthy(&self) -> Result<()> {
        let server = self.clone();
        background::run(move || server.healthy_blocking()).await
    }

    /// [`healthy`](Self::healthy), for code without an executor.
    ///
    /// # Errors
    /// As `healthy`.
    pub fn healthy_blocking(&self) -> Result<()> {
        self.0.ready(Wait::Healthy)
    }
}

impl Inner {
    fn child(&self) -> MutexGuard<'_, Option<Child>> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn builder(&self) -> MutexGuard<'_, Builder> {
        self.builder.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write_config(&self) -> Result<PathBuf> {
        let path = self.folder.join("server.conf");
        let text = self
            .builder()
            .render(&self.name, &self.ports, &self.folder.join("store"));
        fs::write(&path, text)
            .map_err(|e| Error::io(format!("cannot write {}", path.display()), e))?;
        Ok(path)
    }

    /// Starts the process and waits until it is ready.
    fn launch(&self) -> Result<()> {
        let version = self.builder().version.clone();
        let program = install::nats_server(&version)?;
        let config = self.write_config()?;
        let failed = |e| Error::io(format!("cannot start nats-server {version}"), e);
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.folder.join("log"))
            .map_err(failed)?;
        {
            let mut slot = self.child();
            // The shell waits for a line before it becomes the server: if we die before the
            // watchdog knows the process, the pipe closes and no server is started.
            let child = Command::new("sh")
                .args(["-c", r#"read -r go && exec "$0" --config "$1" </dev/null"#])
                .args([&program, &config])
                .stdin(Stdio::piped())
                // Files, never our own pipes: whoever reads those would wait until the server ends.
                .stdout(log.try_clone().map_err(failed)?)
                .stderr(log)
                .process_group(0)
                .spawn()
                .map_err(failed)?;
            let child = slot.insert(child);
            watchdog::keep(child.id())?;
            child
                .stdin
                .take()
                .map(|mut input| input.write_all(b"go\n"))
                .transpose()
                .map_err(failed)?;
        }
        self.ready(self.wait)
    }

    /// Waits for the ports, and for health if requested.
    fn ready(&self, wait: Wait) -> Result<()> {
        let start = Instant::now();
        loop {
            let missing = match self.missing(wait) {
                None => return Ok(()),
                Some(missing) => missing,
            };
            let why = if self.child().as_ref().is_none_or(has_exited) {
                "it does not run"
            } else if start.elapsed() > PATIENCE {
                "no patience left"
            } else {
                thread::sleep(PAUSE);
                continue;
            };
            let version = self.builder().version.clone();
            let log = fs::read(self.folder.join("log")).unwrap_or_default();
            return Err(Error::new(format!(
                "nats-server {version} ({}) is not ready: {missing}; {why}\nthe end of its log:\n{}",
                self.name,
                tail(&String::from_utf8_lossy(&log), 30)
            )));
        }
    }

    fn missing(&self, wait: Wait) -> Option<String> {
        if let Err(e) = self.greeting() {
            return Some(format!("the client port: {e}"));
        }
        if let Some(port) = &self.ports.websocket
            && let Err(e) = http::connect(port.number)
        {
            return Some(format!("the WebSocket port: {e}"));
        }
        match http::get(
            self.ports.monitor.number,
            if wait == Wait::Healthy {
                "/healthz"
            } else {
                "/varz"
            },
        ) {
            Ok(answer) if answer.status == 200 => None,
            Ok(answer) => Some(format!(
                "its health: {} {}",
                answer.status,
                answer.body.trim()
            )),
            Err(e) => Some(format!("the monitoring port: {e}")),
        }
    }

    /// The server sends first, and identifies itself.
    fn greeting(&self) -> std::io::Result<()> {
        let mut line = String::new();
        BufReader::new(http::connect(self.ports.client.number)?).read_line(&mut line)?;
        let info: Value = serde_json::from_str(line.strip_prefix("INFO ").unwrap_or("null"))?;
        if info["server_name"] == self.name.as_str() {
            return Ok(());
        }
        Err(std::io::Error::other(format!(
            "somebody else answers: {line}"
        )))
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        match &*self.child() {
            Some(child) if !has_exited(child) => send(child, signal),
            _ => Err(Error::new(format!("{} does not run", self.name))),
        }
    }

    /// Waits until none of its threads is running: one on another processor may continue for a
    /// moment.
    fn stopped(&self) -> Result<()> {
        let Some(pid) = self.child().as_ref().map(Pid::from_child) else {
            return Ok(());
        };
        let options = WaitIdOptions::STOPPED | WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        match waitid(WaitId::Pid(pid), options) {
            Ok(_) => Ok(()),
            Err(e) => Err(Error::io("cannot wait for nats-server", e)),
        }
    }

    /// Ends the process with `signal` and waits for it.
    fn end(&self, signal: Signal) -> Result<()> {
        let mut slot = self.child();
        let Some(child) = &mut *slot else {
            return Ok(());
        };
        if !has_exited(child) {
            send(child, signal)?;
            if signal != Signal::KILL {
                send(child, Signal::CONT)?;
            }
        }
        let start = Instant::now();
        while !has_exited(child) {
            if start.elapsed() > PATIENCE {
                return Err(Error::new(format!("{} does not stop", self.name)));
            }
            thread::sleep(Duration::from_millis(1));
        }
        // Reaping frees the number for reuse, so the watchdog must forget it first.
        watchdog::forget(child.id());
        child
            .wait()
            .map_err(|e| Error::io("cannot wait for nats-server", e))?;
        *slot = None;
        Ok(())
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // Destructors can't report errors, and what is left behind is on the watchdog's list.
        if self.end(Signal::KILL).is_ok() && fs::remove_dir_all(&self.folder).is_ok() {
            watchdog::forget(self.folder.display());
        }
    }
}

/// Checks without reaping.
fn has_exited(child: &Child) -> bool {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    waitid(WaitId::Pid(Pid::from_child(child)), options).map_or(true, |status| status.is_some())
}

fn send(child: &Child, signal: Signal) -> Result<()> {
    kill_process(Pid::from_child(child), signal)
        .map_err(|e| Error::io("cannot signal nats-server", e))
}

/// Creates a folder for one server, readable by us alone; returns it and its number in this
/// process.
fn make_folder() -> Result<(PathBuf, u64)> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let moment = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_nanos();
    let folder = env::temp_dir().join(format!("shizuku-{}-{number}-{moment}", process::id()));
    watchdog::keep(folder.display())?;
    DirBuilder::new()
        .mode(0o700)
        .create(&folder)
        .map_err(|e| Error::io(format!("cannot create {}", folder.display()), e))?;
    Ok((folder, number))
}

fn tail(text: &str, lines: usize) -> String {
    let all: Vec<&str> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}
