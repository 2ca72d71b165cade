//! `cargo xtask bench <name>`.

use std::fs;

use harness::{LATEST, install, workspace};

use crate::npm;
use crate::peers;
use crate::run::{Result, cargo, run};

/// The benchmarks: each is a `[[bench]]` with `harness = false` that ends with
/// `harness::bench::Report::finish`, except `browser`, which `js/bench` measures.
const NAMES: &[&str] = &["native", "locks", "browser"];

pub(crate) fn bench(arguments: &[String]) -> Result {
    let [name, extra @ ..] = arguments else {
        return Err(format!("no benchmark given ({})", NAMES.join(", ")).into());
    };
    if !NAMES.contains(&name.as_str()) {
        return Err(format!("no such benchmark: {name} ({})", NAMES.join(", ")).into());
    }
    install::nats_server(LATEST)?;
    let result = workspace::target_dir().join(format!("bench/{name}.json"));
    // An old result must not be mistaken for this run's.
    if result.exists() {
        fs::remove_file(&result)?;
    }
    if name == "browser" {
        npm::bench(extra, &result)?;
    } else {
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
        // A word after the name selects cases of the first half only.
        if name == "locks" && extra.is_empty() {
            peers::bench()?;
        }
    }
    if result.is_file() {
        eprintln!("wrote {}", result.display());
        Ok(())
    } else {
        Err(format!("the benchmark wrote no {}", result.display()).into())
    }
}
