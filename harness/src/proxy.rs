//! A proxy between a client and a server's WebSocket: forwards everything, and cuts the connection
//! in the middle of a frame when told to.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use crate::{Error, Result};

/// A proxy in front of one server.
#[derive(Debug)]
pub(crate) struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
}

/// A connection that was cut.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cut {
    /// The length of the frame, from its header.
    pub(crate) announced: u64,
    /// How many bytes after the header were forwarded.
    pub(crate) passed: u64,
}

#[derive(Debug)]
struct Shared {
    server: String,
    closed: AtomicBool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Cuts the next frame that begins after this many bytes of its connection, once.
    after: Option<u64>,
    cuts: Vec<Cut>,
}

impl Proxy {
    /// Listens on a free loopback port for a server at `ws://<address>`.
    pub(crate) fn start(server: &str) -> Result<Self> {
        let failed = |e| Error::io("cannot start a proxy", e);
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let shared = Arc::new(Shared {
            server: server.trim_start_matches("ws://").to_owned(),
            closed: AtomicBool::new(false),
            state: Mutex::default(),
        });
        let theirs = Arc::clone(&shared);
        thread::spawn(move || {
            for client in listener.incoming() {
                if theirs.closed.load(Ordering::Acquire) {
                    return;
                }
                // If the server is gone, the client notices as it would without the proxy.
                let server = TcpStream::connect(&theirs.server);
                if let (Ok(client), Ok(server)) = (client, server) {
                    // If one end closes, so does the other.
                    _ = relay(&theirs, &client, &server);
                }
            }
        });
        Ok(Self { address, shared })
    }

    /// The URL for clients.
    pub(crate) fn url(&self) -> String {
        format!("ws://{}", self.address)
    }

    /// Cuts the next frame that begins after this many bytes of frames on its connection.
    pub(crate) fn cut_after(&self, bytes: u64) {
        self.shared.state().after = Some(bytes);
    }

    /// The connections cut so far.
    pub(crate) fn cuts(&self) -> Vec<Cut> {
        self.shared.state().cuts.clone()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.closed.store(true, Ordering::Release);
        // Wakes the accepting thread, so that it sees the flag.
        let _ = TcpStream::connect(self.address);
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How much of a frame to forward, if it is to be cut.
    fn cut(&self, before: u64, announced: u64) -> Option<u64> {
        let mut state = self.state();
        if announced < 2 || state.after.is_none_or(|after| before < after) {
            return None;
        }
        state.after = None;
        let passed = announced / 2;
        state.cuts.push(Cut { announced, passed });
        Some(passed)
    }

    /// Forwards the handshake's response and then frames, until one is cut.
    fn frames(&self, from: &TcpStream, mut to: &TcpStream) -> io::Result<()> {
        let mut from = BufReader::with_capacity(64 * 1024, from);
        let mut line = Vec::new();
        while line != b"\r\n" {
            line.clear();
            if from.read_until(b'\n', &mut line)? == 0 {
                return Ok(());
            }
            to.write_all(&line)?;
        }
        let mut bytes = 0;
        loop {
            let (header, announced) = frame_header(&mut from)?;
            let cut = self.cut(bytes, announced);
            to.write_all(&header)?;
            let passed = cut.unwrap_or(announced);
            if io::copy(&mut (&mut from).take(passed), &mut to)? < passed || cut.is_some() {
                return Ok(());
            }
            bytes += announced;
        }
    }
}

fn relay(shared: &Arc<Shared>, client: &TcpStream, server: &TcpStream) -> io::Result<()> {
    for stream in [client, server] {
        stream.set_nodelay(true)?;
    }
    let end = |one: &TcpStream, other: &TcpStream| {
        // The other direction may have closed it already.
        _ = one.shutdown(Shutdown::Both);
        _ = other.shutdown(Shutdown::Both);
    };
    let (mut client, mut server) = (client.try_clone()?, server.try_clone()?);
    let (to, from) = (client.try_clone()?, server.try_clone()?);
    let theirs = Arc::clone(shared);
    thread::spawn(move || {
        // An error ends it, too.
        _ = theirs.frames(&from, &to);
        end(&from, &to);
    });
    thread::spawn(move || {
        _ = io::copy(&mut client, &mut server);
        end(&client, &server);
    });
    Ok(())
}

/// The header of a server's frame, which is never masked, and the length that it contains.
fn frame_header(from: &mut impl Read) -> io::Result<(Vec<u8>, u64)> {
    let mut header = vec![0; 2];
    from.read_exact(&mut header)?;
    let more = match header[1] & 0x7f {
        126 => 2,
        127 => 8,
        short => return Ok((header, u64::from(short))),
    };
    header.resize(2 + more, 0);
    from.read_exact(&mut header[2..])?;
    let length = header[2..]
        .iter()
        .fold(0, |length, byte| length << 8 | u64::from(*byte));
    Ok((header, length))
}
