//! What a developer repeats: `cargo xtask <task>`.

fn main() {}
