//! `cargo xtask ci`: the checks in CI other than tests.

use std::process::Command;

use harness::workspace;

use crate::run::{Result, cargo, run, run_for_output};
use crate::{lean, msrv};

pub(crate) fn ci() -> Result {
    format()?;
    run(cargo().args([
        "clippy",
        "--workspace",
        "--all-targets",
        "--all-features",
        "--",
        "-D",
        "warnings",
    ]))?;
    run(cargo()
        .args(["doc", "--workspace", "--no-deps", "--all-features"])
        .env("RUSTDOCFLAGS", "-D warnings"))?;
    lean::dependencies()?;
    lean::messages()?;
    msrv::dependencies()?;
    // They have their own workspaces, so nothing else builds them.
    run(cargo()
        .args(["check", "--locked", "--manifest-path", "fuzz/Cargo.toml"])
        .arg("--target-dir")
        .arg(workspace::target_dir().join("fuzz")))
}

/// Checks the format of every file by name: `cargo fmt` does not find modules inside a macro.
fn format() -> Result {
    let root = workspace::root();
    let files = run_for_output(
        Command::new("git")
            .args(["ls-files", "*.rs"])
            .current_dir(&root),
    )?;
    run(Command::new("rustfmt")
        .arg("--check")
        .args(files.lines())
        .current_dir(root))
}
