//! `cargo xtask server`: a server for the examples.

#![allow(clippy::print_stdout, reason = "the addresses are this task's result")]

use std::thread;
use std::time::Duration;

use harness::{NatsServer, VERSIONS};

use crate::run::Result;

pub(crate) fn server(arguments: &[String]) -> Result {
    let mut builder = NatsServer::builder();
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        builder = match argument.as_str() {
            "--ws" => builder.websocket(true),
            "--version" => builder.version(
                rest.next()
                    .ok_or_else(|| format!("--version of {}", VERSIONS.join(", ")))?,
            ),
            _ => return Err(format!("unexpected {argument}").into()),
        };
    }
    let server = builder.start_blocking()?;
    println!(
        "nats-server {} with JetStream, until Ctrl-C; its data goes with it",
        server.version()
    );
    println!("{}", server.url());
    if let Some(url) = server.ws_url_if_any() {
        println!("{url}");
    }
    println!("{}", server.monitor_url());
    // Ctrl-C ends us, and the harness's watchdog stops the server.
    while server.pid().is_some() {
        thread::sleep(Duration::from_millis(200));
    }
    Err(format!("the server ended:\n{}", server.log()).into())
}

/// The control server that `cargo xtask test` runs for tests that cannot start processes.
pub(crate) fn control() -> Result {
    let control = harness::control::Control::start()?;
    println!("{}", control.url());
    loop {
        thread::park();
    }
}
