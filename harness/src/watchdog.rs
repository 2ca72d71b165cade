//! Nothing outlives this process, however it ends.
//!
//! Rust does not run the destructors of statics, nor any at all when a test process is killed. A
//! shell, started once, is told of every server and folder that we create; it reads from a pipe
//! which the kernel closes when we die, and then kills and removes what is left on its list.
//! `PR_SET_PDEATHSIG` would be shorter, but it follows the *thread* that started the child, and
//! test threads end early.

use std::fmt::Display;
use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Mutex, PoisonError};

use crate::{Error, Result};

/// Items are process ids (numbers) and folders (absolute paths).
const SCRIPT: &str = r#"
set --
while read -r word item; do
    case $word in
        keep) set -- "$@" "$item" ;;
        forget)
            count=$#
            while [ "$count" -gt 0 ]; do
                first=$1
                shift
                [ "$first" = "$item" ] || set -- "$@" "$first"
                count=$((count - 1))
            done ;;
    esac
done
for item; do
    case $item in /*) ;; *) kill -KILL "$item" ;; esac
done
for item; do
    case $item in /*) rm -rf "$item" || { sleep 1; rm -rf "$item"; } ;; esac
done
"#;

static PIPE: Mutex<Option<(Child, ChildStdin)>> = Mutex::new(None);

/// Registers `item` to end with this process.
pub(crate) fn keep(item: impl Display) -> Result<()> {
    tell("keep", item).map_err(|e| Error::io("cannot reach the watchdog", e))
}

/// Unregisters `item`: it is gone, and its number or name may be reused.
pub(crate) fn forget(item: impl Display) {
    // If the watchdog is gone, nothing can act on the item anyway.
    let _ = tell("forget", item);
}

fn tell(word: &str, item: impl Display) -> io::Result<()> {
    let mut pipe = PIPE.lock().unwrap_or_else(PoisonError::into_inner);
    let (_, input) = match &mut *pipe {
        Some(running) => running,
        none => none.insert(start()?),
    };
    input.write_all(format!("{word} {item}\n").as_bytes())
}

fn start() -> io::Result<(Child, ChildStdin)> {
    let mut child = Command::new("sh")
        .args(["-c", SCRIPT])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        // Detached from the terminal: Ctrl-C ends us, and the watchdog must survive to see that.
        .process_group(0)
        .spawn()?;
    let input = child.stdin.take().ok_or(io::ErrorKind::BrokenPipe)?;
    Ok((child, input))
}
