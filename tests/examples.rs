//! Runs the examples and checks their output.
//!
//! `cargo test` builds them first. For `--test examples` alone, run `cargo build --all-features
//! --examples`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{env, process::Command};

/// The output of an example, embedded and on a server.
async fn printed(example: &str) -> [String; 2] {
    let server = harness::NatsServer::start_default().await.unwrap();
    let url = server.url();
    // This test is `deps/examples-…`.
    let deps = env::current_exe().unwrap();
    let program = deps.with_file_name("../examples").join(example);
    let run = move |arguments: Vec<String>| {
        let output = Command::new(&program).args(arguments).output();
        let output = output.unwrap_or_else(|error| panic!("{}: {error}", program.display()));
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let embedded = tokio::task::spawn_blocking({
        let run = run.clone();
        move || run(vec![])
    });
    let on_server = tokio::task::spawn_blocking(move || run(vec!["--url".into(), url]));
    [embedded.await.unwrap(), on_server.await.unwrap()]
}

/// The lines that begin with this text.
fn lines<'a>(printed: &'a str, beginning: &str) -> Vec<&'a str> {
    let begins = |line: &&str| line.starts_with(beginning);
    printed
        .lines()
        .map(str::trim_start)
        .filter(begins)
        .collect()
}

#[tokio::test]
async fn live_config_loses_nothing() {
    for printed in printed("live_config").await {
        let won: Vec<_> = ["alice", "bob"]
            .iter()
            .flat_map(|name| lines(&printed, &format!("{name} wrote revision 2")))
            .collect();
        assert_eq!(won.len(), 1, "{printed}");
        assert_eq!(printed.matches(" was refused: ").count(), 1, "{printed}");
        let last = lines(&printed, "service: ");
        assert_eq!(last.last(), Some(&"service: maintenance, bye"), "{printed}");
        assert!(
            printed.contains("service: revision 9 of key app.limits"),
            "{printed}"
        );
        // One revision each: the first value, the race, six counts, the invalid value, its repair,
        // the end.
        let history = printed.split("7. the history").nth(1).unwrap();
        assert_eq!(lines(history, "revision ").len(), 11, "{printed}");
    }
}

#[tokio::test]
async fn a_fencing_token_rejects_a_late_write() {
    for printed in printed("fencing").await {
        let token = |who: &str| -> u64 {
            let held = lines(&printed, &format!("{who} holds, token "));
            let token = held[0].rsplit(' ').next().unwrap();
            token.parse().unwrap()
        };
        let (first, second) = (token("first: "), token("second:"));
        assert!(first < second, "{printed}");
        let refused = format!("first:  refused: token {first} is older than {second}");
        assert_eq!(lines(&printed, &refused).len(), 1, "{printed}");
        assert_eq!(
            lines(&printed, "first:  looks again: is_held() = false").len(),
            1
        );
        assert_eq!(lines(&printed, "the balance is 200").len(), 1, "{printed}");
    }
}
