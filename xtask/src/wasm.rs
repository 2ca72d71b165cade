//! What building and testing for browsers needs.

use std::path::{Path, PathBuf};
use std::process::Command;

use harness::workspace;

use crate::run::{Result, cargo, run};

/// The target of browsers.
pub(crate) const TARGET: &str = "wasm32-unknown-unknown";

/// Makes the target available, builds the tools, and returns their folder.
///
/// Cargo itself knows whether they are up to date, so there is no other mark of that.
pub(crate) fn tools() -> Result<PathBuf> {
    target()?;
    let folder = workspace::tools_dir()?.join("wasm");
    let manifest = workspace::root().join("xtask/wasm-tools/Cargo.toml");
    run(cargo()
        .args(["build", "--locked", "--quiet", "--manifest-path"])
        .arg(manifest)
        .arg("--target-dir")
        .arg(&folder))?;
    Ok(folder.join("debug"))
}

/// Adds the target's standard library, if the toolchain lacks it.
pub(crate) fn target() -> Result {
    let output = Command::new("rustc")
        .args(["--print", "target-libdir", "--target", TARGET])
        .output()?;
    if Path::new(String::from_utf8(output.stdout)?.trim()).is_dir() {
        return Ok(());
    }
    run(Command::new("rustup").args(["target", "add", TARGET]))
}
