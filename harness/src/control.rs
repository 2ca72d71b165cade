//! Servers on demand over HTTP, for tests that cannot start a process: those in a browser.
//!
//! Every request is a `GET`, every response JSON: the result with status 200, or `{"error": …}` with status 400.
//! Pages of any origin are allowed.
//!
//! | request | response |
//! | --- | --- |
//! | `/start?version=…` | a new server: `{"id", "nats", "ws", "monitor", "version"}` |
//! | `/shared?version=…` | the server that all tests share: the same fields |
//! | `/cluster?nodes=3&version=…` | `{"nodes": [the same fields, …]}` |
//! | `/kill` `/stop` `/restart` `/pause` `/resume` `/lame_duck` `/healthy` `?id=…` | the same fields, afterwards |
//! | `/reconfigure?id=…&…` | sets what `/start` takes, for the next `/restart` |
//! | `/remove?id=…` | `{}`: the server is killed and its data removed |
//! | `/log?id=…` | `{"log": …}` |
//! | `/cut?id=…&after=BYTES` | `{"ws"}`: a proxy in front of the server, see below |
//! | `/cuts?id=…` | `{"cuts": [{"announced", "passed"}, …]}`: the frames that it cut, in bytes |
//! | `/monitor?id=…&path=/jsz` | the monitoring port's response |
//!
//! The proxy forwards everything, but cuts one connection, once, in the middle of the first frame from the server
//! that begins after `after` bytes of frames.
//!
//! `/start` and `/cluster` take `version`, `jetstream=false`, `compression=true`, `origins=a,b`, `user` and `password`,
//! `token`, `domain`, `max_payload`, `websocket_config` and `config` (text for the configuration). WebSocket is on.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use crate::proxy::Proxy;
use crate::{Builder, Cluster, Error, LATEST, NatsServer, Result, shared_blocking};

/// The HTTP server; its nats-servers stop when it is dropped.
#[derive(Debug)]
pub struct Control {
    address: SocketAddr,
    state: Arc<State>,
}

#[derive(Debug, Default)]
struct State {
    closed: AtomicBool,
    next: AtomicU64,
    servers: Mutex<HashMap<String, NatsServer>>,
    /// Keeps the route ports of clusters.
    clusters: Mutex<Vec<Cluster>>,
    /// Proxies by their server.
    proxies: Mutex<HashMap<String, Proxy>>,
}

type Query = HashMap<String, String>;

impl Control {
    /// Serves on a free loopback port.
    ///
    /// # Errors
    /// If there is no free port.
    pub fn start() -> Result<Self> {
        let failed = |e| Error::io("cannot start the control server", e);
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let state = Arc::new(State::default());
        let theirs = Arc::clone(&state);
        thread::spawn(move || {
            for stream in listener.incoming() {
                if theirs.closed.load(Ordering::Acquire) {
                    return;
                }
                let state = Arc::clone(&theirs);
                // A client that went away does not matter.
                thread::spawn(move || stream.and_then(|stream| state.serve(stream)));
            }
        });
        Ok(Self { address, state })
    }

    /// `http://127.0.0.1:<port>`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        self.state.closed.store(true, Ordering::Release);
        // Wakes the accepting thread, so that it sees the flag.
        let _ = TcpStream::connect(self.address);
        self.state.servers().clear();
        self.state.clusters().clear();
        self.state.proxies().clear();
    }
}

impl State {
    fn servers(&self) -> MutexGuard<'_, HashMap<String, NatsServer>> {
        self.servers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn clusters(&self) -> MutexGuard<'_, Vec<Cluster>> {
        self.clusters.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn proxies(&self) -> MutexGuard<'_, HashMap<String, Proxy>> {
        self.proxies.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn serve(&self, mut stream: TcpStream) -> std::io::Result<()> {
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        let mut lines = BufReader::new(stream.try_clone()?).lines();
        let request = lines.next().transpose()?.unwrap_or_default();
        // Closing a socket with unread bytes resets it and loses the response.
        for line in lines {
            if line?.is_empty() {
                break;
            }
        }
        let mut words = request.split(' ');
        let answer = match (words.next(), words.next()) {
            (Some("GET"), Some(target)) => self.answer(target),
            // A browser's CORS preflight.
            (Some("OPTIONS"), _) => Ok(json!({})),
            _ => Err(Error::new(format!("not a GET: {request:?}"))),
        };
        let (status, body) = match answer {
            Ok(value) => ("200 OK", value),
            Err(error) => ("400 Bad Request", json!({ "error": error.to_string() })),
        };
        let body = body.to_string();
        write!(
            stream,
            "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\
             Access-Control-Allow-Origin: *\r\nAccess-Control-Allow-Private-Network: true\r\n\
             Cache-Control: no-store\r\nConnection: close\r\n\r\n{body}",
            body.len()
        )
    }

    fn answer(&self, target: &str) -> Result<Value> {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let query = parse(query);
        let version = query.get("version").map_or(LATEST, String::as_str);
        match path {
            "/start" => {
                let server =
                    configure(NatsServer::builder().websocket(true), &query)?.start_blocking()?;
                Ok(self.add(server))
            }
            "/shared" => Ok(describe("shared", shared_blocking(version)?)),
            "/cluster" => {
                let size = number(&query, "nodes")?.unwrap_or(3);
                let builder = configure(NatsServer::builder().websocket(true), &query)?;
                let cluster = Cluster::start_blocking(size, &builder)?;
                let nodes: Vec<Value> = cluster
                    .nodes()
                    .iter()
                    .map(|node| self.add(node.clone()))
                    .collect();
                self.clusters().push(cluster);
                Ok(json!({ "nodes": nodes }))
            }
            _ => self.act(path, &query),
        }
    }

    fn act(&self, path: &str, query: &Query) -> Result<Value> {
        let id = query
            .get("id")
            .ok_or_else(|| Error::new(format!("{path} needs an id, or is unknown")))?;
        let found = self.servers().get(id).cloned();
        let server = found.ok_or_else(|| Error::new(format!("there is no server {id}")))?;
        match path {
            "/kill" => server.kill()?,
            "/stop" => server.stop_blocking()?,
            "/restart" => server.restart_blocking()?,
            "/pause" => server.pause()?,
            "/resume" => server.resume()?,
            "/lame_duck" => server.lame_duck()?,
            "/healthy" => server.healthy_blocking()?,
            "/reconfigure" => {
                let mut outcome = Ok(());
                server.reconfigure(|builder| {
                    configure(builder.clone(), query).unwrap_or_else(|error| {
                        outcome = Err(error);
                        builder
                    })
                });
                outcome?;
            }
            "/remove" => {
                server.kill()?;
                self.servers().remove(id);
                self.proxies().remove(id);
                return Ok(json!({}));
            }
            "/cut" => {
                let after = number(query, "after")?.unwrap_or(0) as u64;
                return self.cut(id, &server, after);
            }
            "/cuts" => {
                let proxies = self.proxies();
                let cuts = proxies.get(id).map(Proxy::cuts).unwrap_or_default();
                let cuts = cuts
                    .iter()
                    .map(|cut| json!({ "announced": cut.announced, "passed": cut.passed }));
                return Ok(json!({ "cuts": cuts.collect::<Vec<_>>() }));
            }
            "/log" => return Ok(json!({ "log": server.log() })),
            "/monitor" => {
                return server.monitor_blocking(query.get("path").map_or("/varz", String::as_str));
            }
            _ => return Err(Error::new(format!("unknown: {path}"))),
        }
        Ok(describe(id, &server))
    }

    fn cut(&self, id: &str, server: &NatsServer, after: u64) -> Result<Value> {
        let mut proxies = self.proxies();
        if !proxies.contains_key(id) {
            proxies.insert(id.to_owned(), Proxy::start(&server.ws_url())?);
        }
        let ws = proxies.get(id).map(|proxy| {
            proxy.cut_after(after);
            proxy.url()
        });
        Ok(json!({ "ws": ws }))
    }

    fn add(&self, server: NatsServer) -> Value {
        let id = self.next.fetch_add(1, Ordering::Relaxed).to_string();
        let described = describe(&id, &server);
        self.servers().insert(id, server);
        described
    }
}

fn describe(id: &str, server: &NatsServer) -> Value {
    json!({
        "id": id,
        "nats": server.url(),
        "ws": server.ws_url_if_any(),
        "monitor": server.monitor_url(),
        "version": server.version(),
    })
}

fn configure(mut builder: Builder, query: &Query) -> Result<Builder> {
    if let Some(bytes) = number(query, "max_payload")? {
        builder = builder.max_payload(bytes);
    }
    for (name, value) in query {
        builder = match name.as_str() {
            "version" => builder.version(value),
            "jetstream" => builder.jetstream(value == "true"),
            "compression" => builder.websocket_compression(value == "true"),
            "origins" => builder.websocket_origins(value.split(',')),
            "websocket_config" => builder.websocket_config(value),
            "user" => builder.auth(value, query.get("password").map_or("", String::as_str)),
            "token" => builder.token(value),
            "domain" => builder.domain(value),
            "config" => builder.config(value),
            "id" | "nodes" | "password" | "max_payload" => builder,
            _ => return Err(Error::new(format!("unknown setting: {name}"))),
        };
    }
    Ok(builder)
}

fn number(query: &Query, name: &str) -> Result<Option<usize>> {
    let value = query.get(name).map(|text| text.parse());
    value
        .transpose()
        .map_err(|e| Error::io(format!("{name} is not a number"), e))
}

fn parse(query: &str) -> Query {
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(k, v)| (decode(k), decode(v)))
        .collect()
}

/// Decodes percent-encoding, and `+` for a space as `URLSearchParams` writes it.
fn decode(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = tail;
        let hex = tail.get(..2).and_then(|two| std::str::from_utf8(two).ok());
        match (first, hex.and_then(|two| u8::from_str_radix(two, 16).ok())) {
            (b'%', Some(byte)) => {
                bytes.push(byte);
                rest = &tail[2..];
            }
            (b'+', _) => bytes.push(b' '),
            _ => bytes.push(*first),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::decode;

    #[test]
    fn queries_are_decoded() {
        assert_eq!(decode("a%20b+c%2f%C3%A9%"), "a b c/é%");
    }
}
