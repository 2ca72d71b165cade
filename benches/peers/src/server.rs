//! The servers of the peers: on loopback, with a folder that is removed with them.

use std::{
    env, fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio, id},
    thread::sleep,
    time::{Duration, Instant},
};

use harness::workspace;

/// A process and its folder.
pub(crate) struct Server {
    child: Child,
    folder: PathBuf,
}

impl Server {
    /// Starts a program, discarding its output.
    pub(crate) fn start(command: &mut Command, folder: &Path) -> Self {
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
        Self {
            child,
            folder: folder.to_owned(),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
        _ = fs::remove_dir_all(&self.folder);
    }
}

/// A new folder on disk, next to that of nats-server.
pub(crate) fn disk(name: &str) -> PathBuf {
    let folder = workspace::target_dir().join(format!("tmp/{name}-{}", id()));
    fs::create_dir_all(&folder).unwrap();
    folder
}

/// A new folder in memory, if the system supports it.
pub(crate) fn memory(name: &str) -> Option<PathBuf> {
    let folder = Path::new("/dev/shm").join(format!("{name}-{}", id()));
    fs::create_dir(&folder).ok()?;
    Some(folder)
}

/// The path of a program: from the environment variable, or from `PATH`.
pub(crate) fn program(variable: &str, name: &str) -> PathBuf {
    env::var_os(variable).map_or_else(|| name.into(), PathBuf::from)
}

/// A free port. These servers cannot pick one themselves and report it.
pub(crate) fn port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    listener.local_addr().unwrap().port()
}

/// Retries until a server replies.
pub(crate) async fn answer<T, E: std::fmt::Debug>(mut ask: impl AsyncFnMut() -> Result<T, E>) -> T {
    let end = Instant::now() + Duration::from_secs(20);
    loop {
        match ask().await {
            Ok(answer) => return answer,
            Err(error) if Instant::now() > end => panic!("the server does not answer: {error:?}"),
            Err(_) => sleep(Duration::from_millis(50)),
        }
    }
}
