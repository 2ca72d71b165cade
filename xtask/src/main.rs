//! Development tasks: `cargo xtask <task>`.

mod apt;
mod bench;
mod browser;
mod ci;
mod dashboard;
mod hack;
mod lean;
mod msrv;
mod npm;
mod peers;
mod run;
mod server;
mod test;
mod wasm;

use std::env;
use std::process::ExitCode;

const HELP: &str = "\
cargo xtask <task>

  test [part] [-- ...]   install what the tests need and run them: all (default), native, browser,
                         locks or js; what follows -- goes to cargo test (or npm test)
  ci                     the checks of CI other than the tests: format, lints, documentation
  bench <name>           run a benchmark and write <target>/bench/<name>.json: native,
                         locks or browser
  hack                   check every combination of features, natively and for browsers
  dashboard [--port P] [--bucket B] [--server ws://… [--service nats://…]]
                         serve the live dashboard, with a nats-server and a service to look at
  npm                    build the npm package into js/dist and print its sizes
  size                   print what a minimal app in Rust weighs in a page (examples/browser)
  control                serve nats-servers on demand until Ctrl-C, for tests that one is writing:
                         SHIZUKU_CONTROL=<address> npm test --prefix js
  server [--version V] [--ws]
                         run a nats-server with JetStream until Ctrl-C

Fuzzing needs a nightly compiler and cargo-fuzz, and no task: cargo +nightly fuzz run parser, round_trip
or connection. What the targets check, the property tests check too, with fewer inputs.
";

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    match dispatch(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch(arguments: &[String]) -> run::Result {
    let Some((task, rest)) = arguments.split_first() else {
        return Err(format!("no task given\n\n{HELP}").into());
    };
    match task.as_str() {
        "test" => test::test(rest),
        "ci" => ci::ci(),
        "bench" => bench::bench(rest),
        "hack" => hack::hack(),
        "dashboard" => dashboard::dashboard(rest),
        "npm" => npm::npm(rest),
        "size" => npm::size(),
        "control" => server::control(),
        "server" => server::server(rest),
        "help" | "--help" | "-h" => {
            eprint!("{HELP}");
            Ok(())
        }
        _ => Err(format!("no such task: {task}\n\n{HELP}").into()),
    }
}
