//! Packages on Debian and its derivatives.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;

use crate::run::{Result, find, run};

/// Whether this system uses such packages.
pub(crate) fn is_there() -> bool {
    find("apt-get").is_some()
}

/// Installs packages.
pub(crate) fn install(packages: &[&str]) -> Result {
    let apt = |arguments: &[&str]| {
        let mut command = Command::new(if is_root() { "apt-get" } else { "sudo" });
        if !is_root() {
            command.args(["--non-interactive", "apt-get"]);
        }
        run(command
            .args(arguments)
            .env("DEBIAN_FRONTEND", "noninteractive"))
    };
    apt(&["update", "-qq"])?;
    let options = ["install", "-y", "-qq", "--no-install-recommends"];
    apt(&[&options, packages].concat())
}

/// Unpacks a package into a folder: nothing is installed, so no service is started.
pub(crate) fn unpack(package: &str, folder: &Path) -> Result {
    let download = folder.join("download");
    fs::create_dir_all(&download)?;
    run(Command::new("apt-get")
        .args(["download", "-qq", package])
        .current_dir(&download))?;
    for file in fs::read_dir(&download)? {
        run(Command::new("dpkg-deb")
            .arg("--extract")
            .arg(file?.path())
            .arg(folder))?;
    }
    Ok(fs::remove_dir_all(download)?)
}

/// Whether we are running as root.
fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|me| me.uid() == 0)
}
