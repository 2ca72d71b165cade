//! The oldest supported Rust (`rust-version` in Cargo.toml).
//!
//! Clippy refuses newer parts of the standard library (`incompatible_msrv`), and this check refuses
//! crates that declare a newer Rust. A build with that exact toolchain would check more than both,
//! but CI has only one toolchain today.

use serde::Deserialize;

use crate::run::{Result, cargo, run_for_output};

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    rust_version: Option<String>,
}

/// Checks everything that the workspace builds, including tests.
pub(crate) fn dependencies() -> Result {
    let metadata = ["metadata", "--format-version", "1", "--all-features"];
    judge(&run_for_output(cargo().args(metadata))?)
}

fn judge(metadata: &str) -> Result {
    let Metadata { packages } = serde_json::from_str(metadata)?;
    let ours = packages.iter().find(|package| package.name == "shizuku-kv");
    let ours = ours
        .and_then(version)
        .ok_or("shizuku-kv states no rust-version")?;
    let newer: Vec<_> = packages
        .iter()
        .filter(|package| version(package).is_some_and(|theirs| theirs > ours))
        .map(|package| package.name.as_str())
        .collect();
    if newer.is_empty() {
        return Ok(());
    }
    Err(format!(
        "these dependencies need a newer Rust than our rust-version: {}",
        newer.join(", ")
    )
    .into())
}

fn version(package: &Package) -> Option<(u32, u32)> {
    let (major, rest) = package.rust_version.as_deref()?.split_once('.')?;
    let minor = rest.split('.').next()?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(name: &str, rust: &str) -> String {
        format!(
            r#"{{"packages":[{{"name":"shizuku-kv","rust_version":"1.89"}},
            {{"name":"{name}","rust_version":{rust}}}]}}"#
        )
    }

    #[test]
    fn a_crate_that_needs_a_newer_rust_is_refused() {
        for fine in ["null", r#""1.89""#, r#""1.9""#, r#""1.88.1""#] {
            judge(&with("old", fine)).unwrap();
        }
        for newer in [r#""1.90""#, r#""1.100.0""#, r#""2.0""#] {
            let error = judge(&with("new", newer)).unwrap_err();
            assert!(error.to_string().ends_with("new"), "{error}");
        }
        assert!(judge(r#"{"packages":[]}"#).is_err());
    }
}
