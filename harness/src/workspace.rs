//! Where things are in this workspace.

use std::path::{Path, PathBuf};
use std::{env, fs};

use crate::{Error, Result};

/// The folder of the workspace's `Cargo.toml`.
///
/// Cargo says at run time where the package is. If clones share a target folder, Cargo takes a program that
/// was built in another clone, or before this one was moved, for fresh, but that one remembers the old place.
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

/// The target folder of the build that this process belongs to.
///
/// Cargo marks it with `CACHEDIR.TAG`, so walking up from the running program finds it wherever a
/// setting has moved it. A program that lives elsewhere (a doc test) uses the usual place.
#[must_use]
pub fn target_dir() -> PathBuf {
    let program = env::current_exe().unwrap_or_default();
    program
        .ancestors()
        .skip(1)
        .find(|folder| folder.join("CACHEDIR.TAG").is_file())
        .map_or_else(|| root().join("target"), Path::to_path_buf)
}

/// `<target>/tools`, where everything that is installed for tests goes.
///
/// # Errors
/// If the folder cannot be made.
pub fn tools_dir() -> Result<PathBuf> {
    let tools = target_dir().join("tools");
    fs::create_dir_all(&tools)
        .map_err(|e| Error::io(format!("cannot create {}", tools.display()), e))?;
    Ok(tools)
}
