//! `cargo xtask dashboard`: the dashboard, with a server and a service to watch.

#![allow(clippy::print_stdout, reason = "the address is this task's result")]

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use harness::{NatsServer, workspace};
use serde_json::json;

use crate::npm;
use crate::run::{Result, example, run};

const HELP: &str =
    "cargo xtask dashboard [--port P] [--bucket B] [--server ws://… [--service nats://…]]";

#[derive(Default)]
struct Options {
    port: u16,
    bucket: Option<String>,
    /// The developer's own server, as pages reach it.
    server: Option<String>,
    /// The same server, as the example service reaches it.
    service: Option<String>,
}

pub(crate) fn dashboard(arguments: &[String]) -> Result {
    let options = parse(arguments)?;
    let folder = page()?;
    let server = match options.server {
        Some(_) => None,
        None => Some(NatsServer::builder().websocket(true).start_blocking()?),
    };
    let bucket = options.bucket.as_deref().unwrap_or("fleet");
    let nats = server.as_ref().map(NatsServer::url).or(options.service);
    let service = nats.map(|nats| Service::start(&nats, bucket)).transpose()?;
    let ws = server
        .as_ref()
        .and_then(NatsServer::ws_url_if_any)
        .or(options.server);
    let config = json!({ "server": ws, "bucket": bucket });
    let address = serve(folder, config.to_string(), options.port)?;
    println!("http://{address}");
    // Ctrl-C ends us and the service, and the harness's watchdog stops the server.
    match service {
        Some(mut service) => Err(format!("the service ended: {}", service.0.wait()?).into()),
        None => loop {
            thread::park();
        },
    }
}

fn parse(arguments: &[String]) -> Result<Options> {
    let mut options = Options::default();
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        let mut value = || rest.next().cloned().ok_or(HELP);
        match argument.as_str() {
            "--port" => options.port = value()?.parse()?,
            "--bucket" => options.bucket = Some(value()?),
            "--server" => options.server = Some(value()?),
            "--service" => options.service = Some(value()?),
            _ => return Err(HELP.into()),
        }
    }
    Ok(options)
}

/// Builds the page, and the package if there is none yet.
fn page() -> Result<PathBuf> {
    let js = npm::install()?;
    if !js.join("dist/index.js").exists() {
        npm::build()?;
    }
    let folder = workspace::target_dir().join("dashboard");
    run(Command::new("node")
        .arg("dashboard/build.mjs")
        .arg(&folder)
        .current_dir(js))?;
    Ok(folder)
}

/// Builds the example service; returns its path.
pub(crate) fn service() -> Result<PathBuf> {
    example("dashboard_service")
}

/// The example service; it stops with us.
struct Service(Child);

impl Service {
    fn start(nats: &str, bucket: &str) -> Result<Self> {
        Ok(Self(Command::new(service()?).args([nats, bucket]).spawn()?))
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Serves a folder, and `/config.json`.
fn serve(folder: PathBuf, config: String, port: u16) -> Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
    let address = listener.local_addr()?;
    let shared = Arc::new((folder, config));
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let shared = Arc::clone(&shared);
            // A browser that went away does not matter.
            thread::spawn(move || answer(stream, &shared.0, &shared.1));
        }
    });
    Ok(address)
}

fn answer(mut stream: TcpStream, folder: &Path, config: &str) -> std::io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let request = lines.next().transpose()?.unwrap_or_default();
    for line in lines {
        if line?.is_empty() {
            break;
        }
    }
    let path = request.split(' ').nth(1).unwrap_or("/");
    let path = path.split('?').next().unwrap_or("/");
    // Only these files are served, so a request cannot reach others.
    let (name, kind) = match path {
        "/" => ("index.html", "text/html; charset=utf-8"),
        "/main.js" => ("main.js", "text/javascript"),
        "/style.css" => ("style.css", "text/css"),
        _ => ("", "application/json"),
    };
    let (status, body) = match (path, fs::read(folder.join(name))) {
        ("/config.json", _) => ("200 OK", config.as_bytes().to_vec()),
        (_, Ok(body)) => ("200 OK", body),
        _ => ("404 Not Found", b"{}".to_vec()),
    };
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\
         Cache-Control: no-store\r\nConnection: close\r\n\r\n",
        body.len()
    )?;
    stream.write_all(&body)
}
