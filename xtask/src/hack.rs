//! `cargo xtask hack`: every combination of features compiles on every target.

use std::process::Command;

use harness::{Error, install, workspace};

use crate::lean;
use crate::run::{Result, cargo, run};
use crate::wasm;

/// Only the code that these features enable depends on them. Each would double the number of
/// combinations.
const EXCLUDED: &str = "default,fuzzing,simulation,async-nats-interop";

pub(crate) fn hack() -> Result {
    lean::dependencies()?;
    wasm::target()?;
    let program = install::once("cargo-hack", "bin/cargo-hack", |folder| {
        let mut command = cargo();
        command
            .args(["install", "cargo-hack", "--locked", "--root"])
            .arg(folder);
        run(&mut command).map_err(|e| Error::new(e.to_string()))
    })?;
    let combinations = [
        &["--feature-powerset", "--exclude-features", EXCLUDED][..],
        &["--no-default-features", "--features", "async-nats-interop"],
    ];
    for target in [&[][..], &["--target", wasm::TARGET]] {
        for features in combinations {
            let mut command = Command::new(&program);
            command
                .current_dir(workspace::root())
                .args(["hack", "check", "--package", "shizuku-kv", "--lib"])
                .args(features)
                .arg("--target-dir")
                // Different flags would invalidate all other builds.
                .arg(workspace::target_dir().join("hack"))
                .args(target);
            // A warning in just one combination (an unused import) is an error, too.
            run(command.env("RUSTFLAGS", "-D warnings"))?;
        }
    }
    Ok(())
}
