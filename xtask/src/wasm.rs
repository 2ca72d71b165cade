//! Building and testing for browsers.

use std::path::{Path, PathBuf};
use std::process::Command;

use harness::workspace;

use crate::run::{Result, cargo, run};

/// The browser target.
pub(crate) const TARGET: &str = "wasm32-unknown-unknown";

/// Makes the target available and builds the tools; returns their folder.
///
/// Cargo knows whether they are up to date, so nothing else records that.
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

/// Installs the target's standard library if the toolchain lacks it.
pub(crate) fn target() -> Result {
    let output = Command::new("rustc")
        .args(["--print", "target-libdir", "--target", TARGET])
        .output()?;
    if Path::new(String::from_utf8(output.stdout)?.trim()).is_dir() {
        return Ok(());
    }
    run(Command::new("rustup").args(["target", "add", TARGET]))
}

/// A build of one of the workspace's crates for a page.
pub(crate) struct Build {
    pub(crate) package: &'static str,
    pub(crate) profile: &'static str,
}

impl Build {
    /// Builds it, and writes `<name>.js` and `<name>_bg.wasm` into the folder, for pages without a
    /// bundler.
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
