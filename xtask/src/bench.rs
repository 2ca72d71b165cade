//! `cargo xtask bench <name>`.

use std::fs;

use harness::{LATEST, install, workspace};

use crate::npm;
use crate::peers;
use crate::run::{Result, cargo, run};
use crate::test;

/// The benchmarks: each a `[[bench]]` with `harness = false` that ends with `harness::bench::Report::finish`.
const NAMES: &[&str] = &["native", "locks", "browser"];

pub(crate) fn bench(arguments: &[String]) -> Result {
    let [name, extra @ ..] = arguments else {
        return Err(format!("which benchmark? {}", NAMES.join(", ")).into());
    };
    if !NAMES.contains(&name.as_str()) {
        return Err(format!("no such benchmark: {name} ({})", NAMES.join(", ")).into());
    }
    if name == "browser" {
        // In the page, where there are no files: what it prints is the result.
        let bench = ["--release", "--bench", "browser"];
        let shown = ["--".to_owned(), "--nocapture".to_owned()];
        test::in_browser(&bench, &[extra, &shown].concat())?;
        // The npm package has its own cases in the same file.
        return npm::bench();
    }
    install::nats_server(LATEST)?;
    let result = workspace::target_dir().join(format!("bench/{name}.json"));
    // So that an old result is never taken for this run's.
    if result.exists() {
        fs::remove_file(&result)?;
    }
    run(cargo()
        .args([
            "bench",
            "--package",
            "shizuku-kv",
            "--all-features",
            "--bench",
            name,
        ])
        .args(extra))?;
    // A word after the name picks cases of the first half.
    if name == "locks" && extra.is_empty() {
        peers::bench()?;
    }
    if result.is_file() {
        eprintln!("wrote {}", result.display());
        Ok(())
    } else {
        Err(format!("the benchmark wrote no {}", result.display()).into())
    }
}
