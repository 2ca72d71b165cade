//! Running other programs.

use std::env;
use std::error::Error;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use harness::workspace;

/// A task's result; the error is for the developer to read.
pub(crate) type Result<T = ()> = std::result::Result<T, Box<dyn Error>>;

/// The cargo that started us, at the root of the workspace.
pub(crate) fn cargo() -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(workspace::root());
    command
}

/// Prints the command, runs it with inherited output, and fails if it fails.
pub(crate) fn run(command: &mut Command) -> Result {
    let shown = show(command);
    eprintln!("+ {shown}");
    let status = command
        .status()
        .map_err(|e| format!("cannot run {shown}: {e}"))?;
    if status.success() {
        Ok(())
    } else {
        Err(format!("{shown}: {status}").into())
    }
}

/// The same, but returns its standard output.
pub(crate) fn run_for_output(command: &mut Command) -> Result<String> {
    let shown = show(command);
    eprintln!("+ {shown}");
    let output = command
        .stderr(Stdio::inherit())
        .output()
        .map_err(|e| format!("cannot run {shown}: {e}"))?;
    if output.status.success() {
        Ok(String::from_utf8(output.stdout)?)
    } else {
        Err(format!("{shown}: {}", output.status).into())
    }
}

fn show(command: &Command) -> String {
    let program = Path::new(command.get_program())
        .file_name()
        .unwrap_or_default();
    let words = std::iter::once(program).chain(command.get_args());
    words
        .map(OsStr::to_string_lossy)
        .collect::<Vec<_>>()
        .join(" ")
}

/// Builds an example of the library; returns its path.
pub(crate) fn example(name: &str) -> Result<PathBuf> {
    run(cargo().args([
        "build",
        "--quiet",
        "--package",
        "shizuku-kv",
        "--example",
        name,
    ]))?;
    Ok(workspace::target_dir().join("debug/examples").join(name))
}

/// The path of a program, found in `PATH`.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path)
        .map(|folder| folder.join(program))
        .find(|file| file.is_file())
}

/// `PATH` with a folder in front.
pub(crate) fn path_with(folder: &Path) -> Result<std::ffi::OsString> {
    let path = env::var_os("PATH").unwrap_or_default();
    Ok(env::join_paths(
        std::iter::once(folder.to_path_buf()).chain(env::split_paths(&path)),
    )?)
}
