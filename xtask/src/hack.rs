//! `cargo xtask hack`: every combination of features compiles, everywhere.

use std::process::Command;

use harness::{Error, install, workspace};

use crate::lean;
use crate::run::{Result, cargo, run};
use crate::wasm;

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
    for target in [&[][..], &["--target", wasm::TARGET]] {
        let mut command = Command::new(&program);
        command.current_dir(workspace::root());
        command
            .args([
                "hack",
                "check",
                "--package",
                "shizuku-kv",
                "--lib",
                "--feature-powerset",
                "--exclude-features",
                "default,fuzzing,simulation",
            ])
            .arg("--target-dir")
            // Other flags would make all other builds start anew.
            .arg(workspace::target_dir().join("hack"))
            .args(target);
        // A warning in only one combination (an unused import) is an error too.
        run(command.env("RUSTFLAGS", "-D warnings"))?;
    }
    Ok(())
}
