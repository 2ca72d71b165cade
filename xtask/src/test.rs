//! `cargo xtask test`: runs the tests in a fresh clone with one command.

use harness::control::Control;
use harness::{VERSIONS, install};
use std::{env, process::Command};

use crate::browser::Browser;
use crate::dashboard;
use crate::npm;
use crate::run::{Result, cargo, example, run};
use crate::wasm;

#[derive(Clone, Copy)]
enum Part {
    Native,
    Browser,
    Locks,
    Js,
}

/// The parts that `all` runs, in this order. A part is added with its first test; a listed part
/// without tests fails.
const ALL: &[Part] = &[Part::Native, Part::Browser, Part::Js];

pub(crate) fn test(arguments: &[String]) -> Result {
    let (part, rest) = match arguments.split_first() {
        Some((first, rest)) if first != "--" => (first.as_str(), rest),
        _ => ("all", arguments),
    };
    let parts = match part {
        "all" => ALL,
        "native" => &[Part::Native],
        "browser" => &[Part::Browser],
        "locks" => &[Part::Locks],
        "js" => &[Part::Js],
        _ => return Err(format!("no such part: {part} (all, native, browser, locks, js)").into()),
    };
    let extra = match rest.split_first() {
        None => rest,
        Some((first, extra)) if first == "--" => extra,
        Some((first, _)) => {
            return Err(format!("unexpected {first}; arguments for cargo test go after --").into());
        }
    };
    parts.iter().try_for_each(|part| match part {
        Part::Native => native(extra),
        Part::Browser => browser(extra),
        Part::Locks => locks(extra),
        Part::Js => js(extra),
    })
}

fn servers() -> Result {
    for version in VERSIONS {
        install::nats_server(version)?;
    }
    Ok(())
}

/// Everything that runs outside a browser, doc tests included.
fn native(extra: &[String]) -> Result {
    servers()?;
    run(cargo()
        .args(["test", "--workspace", "--all-features"])
        .args(extra))?;
    if !extra.is_empty() {
        return Ok(());
    }
    // For the errors of a build that lacks the requested feature.
    ["", "native"].iter().try_for_each(|features| {
        run(cargo()
            .args(["test", "--package", "shizuku-kv", "--lib"])
            .args(["--no-default-features", "--features", features]))
    })
}

/// Only the locks, for work on them; `native` includes them.
fn locks(extra: &[String]) -> Result {
    servers()?;
    run(cargo()
        .args([
            "test",
            "--package",
            "shizuku-kv",
            "--all-features",
            "--lib",
            "--test",
            "locks",
            "--test",
            "lock_sim",
            "--test",
            "lock_model",
        ])
        .args(extra))
}

/// Runs `tests/web.rs` in Chromium.
fn browser(extra: &[String]) -> Result {
    servers()?;
    let tools = wasm::tools()?;
    let browser = Browser::find_or_install()?;
    let control = Control::start()?;
    let mut command = cargo();
    command
        .args(["test", "--package", "shizuku-kv", "--all-features"])
        .args(["--target", wasm::TARGET, "--test", "web"])
        .args(extra)
        .env(
            "CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUNNER",
            tools.join("wasm-bindgen-test-runner"),
        )
        // The test reads this with `option_env!`: a page has no environment variables.
        .env("SHIZUKU_CONTROL", control.url())
        // Debug information triples the runner's time.
        .env("CARGO_PROFILE_DEV_DEBUG", "0");
    browser.drive(&mut command)?;
    run(&mut command)
}

/// Builds the npm package, and tests it in Node.js and Chromium.
fn js(extra: &[String]) -> Result {
    servers()?;
    let folder = npm::install()?;
    npm::build()?;
    // Building the reference fails on a broken link.
    for script in ["types", "docs"] {
        run(Command::new("npm")
            .args(["run", "--silent", script])
            .current_dir(&folder))?;
    }
    let browser = Browser::find_or_install()?;
    let control = Control::start()?;
    let mut command = Command::new("npm");
    command
        .args(["test", "--silent", "--"])
        .args(extra)
        .current_dir(folder)
        .env("SHIZUKU_SERVICE", dashboard::service()?)
        .env("SHIZUKU_LOCK_TURNS", example("lock_turns")?)
        .env("SHIZUKU_XTASK", env::current_exe()?)
        .env("SHIZUKU_CONTROL", control.url());
    browser.drive(&mut command)?;
    run(&mut command)
}
