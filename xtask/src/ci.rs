//! `cargo xtask ci`: what CI checks besides the tests.

use crate::lean;
use crate::run::{Result, cargo, run};

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
    minimum_version()
}

/// The place for a check with the oldest supported Rust (`rust-version` in Cargo.toml).
///
/// Clippy already refuses newer std APIs (`incompatible_msrv`); a build with that very toolchain needs
/// one, and only one toolchain is to be had where CI runs today.
#[allow(
    clippy::unnecessary_wraps,
    reason = "the check that belongs here can fail"
)]
fn minimum_version() -> Result {
    Ok(())
}
