//! Checks that the browser build does not contain certain things.

use std::{fs, process::Command};

use crate::run::{Result, cargo, run_for_output};
use crate::wasm;

/// Crates that do not belong in a page.
const BANNED: &[&str] = &[
    "async-nats",
    "mio",
    "ring",
    "rustls",
    "socket2",
    "tokio-rustls",
];
/// Features of tokio that are or need its runtime; its channels are fine.
const TOKIO: &[&str] = &[
    "fs",
    "io-util",
    "net",
    "process",
    "rt",
    "rt-multi-thread",
    "signal",
    "time",
];

/// Checks all dependencies of the crate in a browser, with any features.
pub(crate) fn dependencies() -> Result {
    let tree = run_for_output(cargo().args([
        "tree",
        "--package",
        "shizuku-kv",
        "--all-features",
        "--target",
        wasm::TARGET,
        "--edges",
        "normal",
        "--prefix",
        "none",
        "--format",
        "{p}|{f}",
    ]))?;
    judge(&tree)
}

fn judge(tree: &str) -> Result {
    let crates: Vec<(&str, Vec<&str>)> = tree
        .lines()
        .filter_map(|line| {
            let (package, features) = line.split_once('|')?;
            let features = features.trim_end_matches(" (*)").split(',').collect();
            Some((package.split(' ').next()?, features))
        })
        .collect();
    // If these are missing, the search does not work.
    for expected in ["gloo-net", "tokio"] {
        if !crates.iter().any(|(name, _)| *name == expected) {
            return Err(format!(
                "{expected} is not in the output of cargo tree; its format may have changed"
            )
            .into());
        }
    }
    for (name, features) in &crates {
        if BANNED.contains(name) {
            return Err(format!("the browser build depends on {name}").into());
        }
        if let Some(feature) = features.iter().find(|feature| TOKIO.contains(feature))
            && *name == "tokio"
        {
            return Err(format!("the browser build enables tokio's feature {feature}").into());
        }
    }
    Ok(())
}

/// Looks for messages that print with `Debug`: the npm package omits that code, and would print
/// nothing.
pub(crate) fn messages() -> Result {
    let sources = ["src/*.rs", "js/src/*.rs", ":!*tests*"];
    let files = run_for_output(Command::new("git").arg("ls-files").args(sources))?;
    if !files.contains("src/lib.rs") {
        return Err("git lists no sources".into());
    }
    for file in files.lines() {
        if let Some(line) = debug_in(&fs::read_to_string(file)?) {
            return Err(format!("{file}: no Debug formatting in messages, because it makes the download larger: {line}").into());
        }
    }
    Ok(())
}

fn debug_in(source: &str) -> Option<&str> {
    // Nothing follows a module of tests.
    let shipped = source.split("\nmod tests {").next()?;
    let mut lines = shipped.lines().map(str::trim_start);
    lines.find(|line| !line.starts_with("//") && (line.contains(":?}") || line.contains(":#?}")))
}

#[cfg(test)]
mod tests {
    use super::{debug_in, judge};

    #[test]
    fn messages_with_debug_are_found() {
        let found = r#"format!("{x:?}")"#;
        let fine = "/// {x:?}\nformat!(\"{x}\")\n#[cfg(test)]\nuse x;";
        let tests = format!("#[cfg(test)]\nmod tests {{\n    {found}\n}}");
        assert_eq!(debug_in(&format!("{fine}\n{tests}")), None);
        assert_eq!(
            debug_in(&format!("{fine}\n  {found}\n{tests}")),
            Some(found)
        );
    }

    const FINE: &str = "gloo-net v0.7.0|websocket\ntokio v1.54.1|sync\ntokio v1.54.1|sync (*)\n";

    #[test]
    fn banned_dependencies_are_found() {
        assert!(judge(FINE).is_ok());
        for more in [
            "mio v1.0.0|\n",
            "ring v0.17.0|alloc,default (*)\n",
            "tokio v1.54.1|rt,sync\n",
            "tokio v1.54.1|net (*)\n",
        ] {
            assert!(judge(&format!("{FINE}{more}")).is_err(), "{more}");
        }
    }

    #[test]
    fn an_invalid_tree_is_an_error() {
        assert!(judge("").is_err());
        assert!(judge(&FINE.replace('|', " ")).is_err());
    }
}
