//! `cargo xtask ci`: what CI checks besides the tests.

use harness::workspace;

use crate::run::{Result, cargo, run};
use crate::{lean, msrv};

pub(crate) fn ci() -> Result {
    run(cargo().args(["fmt", "--all", "--check"]))?;
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
    // In a workspace of their own, so nothing else builds them.
    run(cargo()
        .args(["check", "--locked", "--manifest-path", "fuzz/Cargo.toml"])
        .arg("--target-dir")
        .arg(workspace::target_dir().join("fuzz")))
}
