//! Servers are available over HTTP, and nothing is left behind when a process is killed.

#![allow(
    clippy::unwrap_used,
    reason = "a test fails by panicking, and clippy sees no test in helpers"
)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use harness::control::Control;
use harness::{NatsServer, V2_11};
use serde_json::Value;

fn ask(control: &Control, path: &str) -> (bool, Value) {
    let url = control.url();
    let mut stream = TcpStream::connect(url.strip_prefix("http://").unwrap()).unwrap();
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: x\r\nOrigin: http://elsewhere\r\n\r\n"
    )
    .unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    assert!(text.contains("Access-Control-Allow-Origin: *"));
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    (
        head.starts_with("HTTP/1.1 200"),
        serde_json::from_str(body).unwrap(),
    )
}

#[test]
fn a_page_can_start_and_disturb_servers() {
    let control = Control::start().unwrap();
    let (ok, server) = ask(
        &control,
        &format!("/start?version={V2_11}&config=max_connections%3A+7&compression=true"),
    );
    assert!(ok, "{server}");
    let id = server["id"].as_str().unwrap();
    let varz = ask(&control, &format!("/monitor?id={id}&path=/varz")).1;
    assert_eq!(
        (&varz["version"], &varz["max_connections"]),
        (&V2_11.into(), &7.into())
    );
    let address = server["ws"]
        .as_str()
        .unwrap()
        .strip_prefix("ws://")
        .unwrap();
    for (action, up) in [
        ("pause", true),
        ("resume", true),
        ("kill", false),
        ("restart", true),
        ("stop", false),
    ] {
        let (ok, after) = ask(&control, &format!("/{action}?id={id}"));
        assert!(ok, "{after}");
        assert_eq!(after, server);
        assert_eq!(TcpStream::connect(address).is_ok(), up, "{action}");
    }
    assert!(ask(&control, &format!("/restart?id={id}")).0);
    drop(control);
    assert!(TcpStream::connect(address).is_err());
}

#[test]
fn invalid_requests_get_an_error_response() {
    let control = Control::start().unwrap();
    for path in [
        "/",
        "/kill",
        "/kill?id=9",
        "/start?versoin=1",
        "/start?max_payload=x",
    ] {
        let (ok, answer) = ask(&control, path);
        assert!(!ok && answer["error"].is_string(), "{path}: {answer}");
    }
}

/// The test runs itself as a second process, and then kills that.
#[test]
fn a_killed_process_leaves_nothing_behind() {
    const ROLE: &str = "HARNESS_TO_BE_KILLED";
    if std::env::var_os(ROLE).is_some() {
        let server = NatsServer::builder().start_blocking().unwrap();
        eprintln!("{} {}", server.url(), server.folder().display());
        std::thread::sleep(Duration::from_secs(60));
        return;
    }
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "a_killed_process_leaves_nothing_behind",
            "--nocapture",
        ])
        .env(ROLE, "1")
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stderr.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    let (url, folder) = line.trim().split_once(' ').unwrap();
    let address = url.strip_prefix("nats://").unwrap();
    assert!(TcpStream::connect(address).is_ok() && Path::new(folder).is_dir());
    child.kill().unwrap();
    child.wait().unwrap();
    let start = Instant::now();
    while TcpStream::connect(address).is_ok() || Path::new(folder).exists() {
        assert!(start.elapsed() < Duration::from_secs(10), "{line}");
        std::thread::sleep(Duration::from_millis(10));
    }
}
