//! Comparing two programs on a machine that is also busy with other things.
//!
//! Samples of ours and the peer's are taken alternately, so that a slow period affects both, and
//! the medians are compared, so that a single slow sample affects neither.

use std::future::Future;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use std::{fs, thread};

use serde_json::{Value, json};

use crate::{Error, Result, workspace};

/// Whether lower or higher numbers are better.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Better {
    /// For times and sizes.
    Lower,
    /// For rates.
    Higher,
}

/// One measured case.
#[derive(Clone, Debug)]
pub struct Case {
    /// The case's name.
    pub case: String,
    /// Our median.
    pub ours: f64,
    /// The peer's median.
    pub peer: f64,
    /// The unit of the numbers.
    pub unit: String,
    /// Whether lower or higher is better.
    pub better: Better,
}

impl Case {
    /// How many times better ours is; worse if below 1.
    #[must_use]
    pub fn ratio(&self) -> f64 {
        match self.better {
            Better::Lower => self.peer / self.ours,
            Better::Higher => self.ours / self.peer,
        }
    }
}

/// The results of one `cargo xtask bench <name>`.
#[derive(Clone, Debug)]
pub struct Report {
    name: String,
    cases: Vec<Case>,
}

/// Takes `rounds` samples of each, alternately, reversing the order each round. An extra first
/// round is a warm-up and is not counted.
pub async fn interleave<O, P>(
    rounds: usize,
    mut ours: impl FnMut() -> O,
    mut peer: impl FnMut() -> P,
) -> (Vec<f64>, Vec<f64>)
where
    O: Future<Output = f64>,
    P: Future<Output = f64>,
{
    let (mut all_ours, mut all_peers) = (Vec::new(), Vec::new());
    for round in 0..=rounds {
        let (one, other) = if round % 2 == 0 {
            let one = ours().await;
            (one, peer().await)
        } else {
            let other = peer().await;
            (ours().await, other)
        };
        if round > 0 {
            all_ours.push(one);
            all_peers.push(other);
        }
    }
    (all_ours, all_peers)
}

/// The duration of `work` in seconds: a sample for [`interleave`].
pub async fn seconds(work: impl Future<Output = ()>) -> f64 {
    let start = Instant::now();
    work.await;
    start.elapsed().as_secs_f64()
}

/// The median of the samples; NaN if there are none.
#[must_use]
pub fn median(samples: &[f64]) -> f64 {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => f64::NAN,
        even if even % 2 == 0 => f64::midpoint(sorted[middle - 1], sorted[middle]),
        _ => sorted[middle],
    }
}

impl Report {
    /// An empty report; its file will be `<target>/bench/<name>.json`.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            cases: Vec::new(),
        }
    }

    /// The report that another program has finished, for adding cases.
    ///
    /// # Errors
    /// If there is no report, or its format is different.
    pub fn resume(name: &str) -> Result<Self> {
        let path = workspace::target_dir().join(format!("bench/{name}.json"));
        let failed = |e| Error::io(format!("cannot read {}", path.display()), e);
        let text = fs::read(&path).map_err(failed)?;
        let cases: Vec<Value> = serde_json::from_slice(&text)
            .map_err(|e| Error::new(format!("{}: {e}", path.display())))?;
        let cases = cases.iter().map(|case| {
            let text = |field: &str| case[field].as_str().unwrap_or_default().to_owned();
            let number = |field: &str| case[field].as_f64().unwrap_or(f64::NAN);
            Case {
                case: text("case"),
                ours: number("ours"),
                peer: number("peer"),
                unit: text("unit"),
                better: match case["better"].as_str() {
                    Some("higher") => Better::Higher,
                    _ => Better::Lower,
                },
            }
        });
        Ok(Self {
            name: name.to_owned(),
            cases: cases.collect(),
        })
    }

    /// Adds a case from its samples.
    pub fn add(&mut self, case: &str, unit: &str, better: Better, ours: &[f64], peer: &[f64]) {
        self.cases.push(Case {
            case: case.to_owned(),
            ours: median(ours),
            peer: median(peer),
            unit: unit.to_owned(),
            better,
        });
    }

    /// The cases so far.
    #[must_use]
    pub fn cases(&self) -> &[Case] {
        &self.cases
    }

    /// The machine and an aligned table.
    #[must_use]
    pub fn table(&self) -> String {
        let header = ["case", "ours", "peer", "unit", "better", "ratio"].map(str::to_owned);
        let rows = self.cases.iter().map(|case| {
            let better = if case.better == Better::Lower {
                "lower"
            } else {
                "higher"
            };
            let ratio = format!("{:.2}x", case.ratio());
            [
                case.case.clone(),
                short(case.ours),
                short(case.peer),
                case.unit.clone(),
                better.to_owned(),
                ratio,
            ]
        });
        let rows: Vec<_> = std::iter::once(header).chain(rows).collect();
        let width = |column: usize| {
            rows.iter()
                .map(|row| row[column].chars().count())
                .max()
                .unwrap_or(0)
        };
        let mut text = format!("{}: {}\n", self.name, machine());
        for row in &rows {
            let cells = row.iter().enumerate().map(|(column, cell)| {
                let width = width(column);
                match column {
                    1 | 2 | 5 => format!("{cell:>width$}"),
                    _ => format!("{cell:<width$}"),
                }
            });
            text += cells.collect::<Vec<_>>().join("  ").trim_end();
            text.push('\n');
        }
        text
    }

    /// The cases in the file's format.
    #[must_use]
    pub fn json(&self) -> Value {
        self.cases
            .iter()
            .map(|case| {
                json!({
                    "case": case.case,
                    "ours": case.ours,
                    "peer": case.peer,
                    "unit": case.unit,
                    "better": if case.better == Better::Lower { "lower" } else { "higher" },
                    "ratio": case.ratio(),
                })
            })
            .collect()
    }

    /// Prints the table and writes the file; returns its path.
    ///
    /// # Errors
    /// If the file cannot be written.
    #[allow(
        clippy::print_stdout,
        reason = "a benchmark's result is what it prints"
    )]
    pub fn finish(&self) -> Result<PathBuf> {
        println!("{}", self.table());
        let folder = workspace::target_dir().join("bench");
        let path = folder.join(format!("{}.json", self.name));
        let failed = |e| Error::io(format!("cannot write {}", path.display()), e);
        fs::create_dir_all(&folder).map_err(failed)?;
        fs::write(&path, format!("{:#}\n", self.json())).map_err(failed)?;
        Ok(path)
    }
}

/// A duration in the unit that reports use for latency.
#[must_use]
pub fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

/// The processor and its cores.
#[must_use]
pub fn machine() -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let cores = thread::available_parallelism().map_or(1, std::num::NonZero::get);
    format!(
        "{}, {cores} cores",
        model.map_or("unknown processor", |(_, name)| name)
    )
}

/// Three significant digits, more if the number is large.
fn short(number: f64) -> String {
    let digits = if number.abs() >= 100.0 {
        0
    } else if number.abs() >= 10.0 {
        1
    } else {
        2
    };
    format!("{number:.digits$}")
}

#[cfg(test)]
mod tests {
    use super::{Better, Report, median};

    #[test]
    fn a_ratio_above_one_means_ours_is_better() {
        let mut report = Report::new("example");
        report.add("get", "µs", Better::Lower, &[9.0, 1.0, 2.0], &[4.0]);
        report.add("put", "ops/s", Better::Higher, &[1000.0, 3000.0], &[1000.0]);
        assert!(
            report
                .cases()
                .iter()
                .all(|case| (case.ratio() - 2.0).abs() < 1e-9)
        );
        let json = report.json();
        assert_eq!(
            (&json[0]["better"], &json[1]["unit"]),
            (&"lower".into(), &"ops/s".into())
        );
        let table = report.table();
        assert!(
            table.contains("\nget   2.00  4.00  µs     lower   2.00x\n"),
            "{table}"
        );
    }

    #[test]
    fn medians() {
        assert!(median(&[]).is_nan());
        assert!((median(&[3.0, 1.0]) - 2.0).abs() < 1e-9);
    }
}
