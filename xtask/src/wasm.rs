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

/// A crate of the workspace as a page loads it.
pub(crate) struct Build {
    pub(crate) package: &'static str,
    pub(crate) profile: &'static str,
}

impl Build {
    /// Builds it, and writes `<name>.js` and `<name>_bg.wasm` into the folder, for pages without a bundler.
    pub(crate) fn bindings(&self, folder: &Path, name: &str) -> Result {
        let tools = tools()?;
        run(cargo().args(["build", "--package", self.package]).args([
            "--profile",
            self.profile,
            "--target",
            TARGET,
        ]))?;
        let file = format!("{}.wasm", self.package.replace('-', "_"));
        let built = workspace::target_dir()
            .join(TARGET)
            .join(self.profile)
            .join(file);
        run(Command::new(tools.join("wasm-bindgen"))
            .args(["--target", "web", "--no-typescript"])
            .args(["--out-name", name, "--out-dir"])
            .arg(folder)
            .arg(built))
    }
}
