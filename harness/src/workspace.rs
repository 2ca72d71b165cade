//! Paths in this workspace.

use std::path::{Path, PathBuf};
use std::{env, fs};

use crate::{Error, Result};

/// The folder of the workspace's `Cargo.toml`.
///
/// Cargo passes the package's path at run time. A path from compile time may be wrong: if clones
/// share a target folder, Cargo treats a program built in another clone, or before this one was
/// moved, as fresh.
#[must_use]
pub fn root() -> PathBuf {
    let built_in = env!("CARGO_MANIFEST_DIR");
    let package = env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| built_in.into());
    [Path::new(&package), Path::new(built_in)]
        .into_iter()
        .flat_map(Path::ancestors)
        .find(|folder| folder.join("harness/Cargo.toml").is_file())
        .unwrap_or(Path::new(built_in))
        .to_path_buf()
}

/// The target folder of this process's build.
///
/// Cargo marks it with `CACHEDIR.TAG`, so walking up from the running program finds it wherever the
/// configuration has moved it. A program elsewhere (a doc test) uses the default location.
#[must_use]
pub fn target_dir() -> PathBuf {
    let program = env::current_exe().unwrap_or_default();
    program
        .ancestors()
        .skip(1)
        .find(|folder| folder.join("CACHEDIR.TAG").is_file())
        .map_or_else(|| root().join("target"), Path::to_path_buf)
}

/// `<target>/tools`, the folder for everything installed for tests.
///
/// # Errors
/// If the folder cannot be created.
pub fn tools_dir() -> Result<PathBuf> {
    let tools = target_dir().join("tools");
    fs::create_dir_all(&tools)
        .map_err(|e| Error::io(format!("cannot create {}", tools.display()), e))?;
    Ok(tools)
}
