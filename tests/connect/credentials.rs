//! Authentication.

use std::{
    error::Error,
    fs,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use futures::TryStreamExt;
use harness::NatsServer;
use shizuku::{ConnectError, ConnectOptions, ConnectionState, Credentials};
use tokio::sync::Notify;

use crate::{PATIENCE, assert_refused, jwt, tempdir, ways, works};

#[tokio::test]
async fn right_users_tokens_and_nkeys_are_accepted_and_wrong_ones_refused() {
    let pair = nkeys::KeyPair::new_user();
    let seed = pair.seed().unwrap();
    let stranger = nkeys::KeyPair::new_user().seed().unwrap();
    let by_nkey = format!(
        "authorization {{ users: [ {{ nkey: {} }} ] }}",
        pair.public_key()
    );
    let server = |builder: harness::Builder| async { builder.start().await.unwrap() };
    let new = ConnectOptions::new;
    let nkey = |seed| Credentials::NKey { seed };
    for (server, right, wrong) in [
        (
            server(NatsServer::builder().auth("ann", "pass")).await,
            new().user_and_password("ann", "pass"),
            new().user_and_password("ann", "secret"),
        ),
        (
            server(NatsServer::builder().token("t0k3n")).await,
            new().token("t0k3n"),
            new().token("secret"),
        ),
        (
            server(NatsServer::builder().config(by_nkey)).await,
            new().credentials(nkey(seed)),
            new().credentials(nkey(stranger)),
        ),
    ] {
        works(&right.connect(server.url()).await.unwrap()).await;
        for refused in [wrong, new()] {
            assert_refused!(
                refused.connect(server.url()).await,
                error @ ConnectError::Authentication { .. }
                    if !format!("{error:?}").contains("secret")
            );
        }
    }
    let broken = new().credentials(nkey("not a seed".into()));
    let server = server(NatsServer::builder().token("x")).await;
    assert_refused!(
        broken.connect(server.url()).await,
        ConnectError::Authentication { .. }
    );
}

#[tokio::test]
async fn credentials_in_the_address_are_used() {
    for (server, right, wrong) in [
        (
            NatsServer::builder().auth("ann", "p@ss:w/rd"),
            "ann:p%40ss:w%2frd@",
            "ann:pass@",
        ),
        (NatsServer::builder().token("t0k3n"), "t0k3n@", "token@"),
    ] {
        let server = server.websocket(true).start().await.unwrap();
        for way in [ways(&server.url()), ways(&server.ws_url())].concat() {
            let with = |login: &str| way.replacen("://", &format!("://{login}"), 1);
            works(&shizuku::connect(with(right)).await.unwrap()).await;
            assert_refused!(
                shizuku::connect(with(wrong)).await,
                ConnectError::Authentication { .. }
            );
            // Explicit credentials take precedence.
            assert_refused!(
                ConnectOptions::new()
                    .token("other")
                    .connect(with(right))
                    .await,
                ConnectError::Authentication { .. }
            );
        }
    }
}

#[tokio::test]
async fn the_credentials_provider_is_called_for_every_connect() {
    let server = NatsServer::builder().token("t").start().await.unwrap();
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    let client = ConnectOptions::new()
        .credentials_from(move || {
            count.fetch_add(1, Ordering::Relaxed);
            async { Ok(Credentials::Token("t".into())) }
        })
        .connect(server.url())
        .await
        .unwrap();
    let before = asked.load(Ordering::Relaxed);
    let mut connection = client.connection();
    let epoch = connection.current().epoch;
    server.stop().await.unwrap();
    server.restart().await.unwrap();
    let again =
        connection.wait_for(|now| now.epoch > epoch && now.state == ConnectionState::Connected);
    tokio::time::timeout(PATIENCE, again)
        .await
        .expect("it should reconnect")
        .unwrap();
    assert!(asked.load(Ordering::Relaxed) > before);
}

/// The provider of credentials may be unavailable for as long as the server is, or slower than the
/// server's authentication timeout.
#[tokio::test]
async fn a_failing_or_slow_credentials_provider_is_called_again() {
    let impatient = "authorization { token: t, timeout: 0.3 }";
    let server = NatsServer::builder().config(impatient);
    let server = server.start().await.unwrap();
    let ways = ways(&server.url());
    let both = ways.iter().flat_map(|url| [(url, false), (url, true)]);
    for (url, is_slow) in both {
        let failing = Arc::new(AtomicUsize::new(0));
        let left = failing.clone();
        let client = ConnectOptions::new()
            .credentials_from(move || {
                let fails = left
                    .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
                        left.checked_sub(1)
                    })
                    .is_ok();
                async move {
                    if fails && !is_slow {
                        return Err("the vault is sealed".into());
                    }
                    if fails {
                        tokio::time::sleep(Duration::from_secs(1)).await;
                    }
                    Ok(Credentials::Token("t".into()))
                }
            })
            .connect(url)
            .await
            .unwrap();
        let mut connection = client.connection();
        let epoch = connection.current().epoch;
        failing.store(4, Ordering::Relaxed);
        server.kill().unwrap();
        server.restart().await.unwrap();
        // async-nats gives no further details.
        let why = match (url.starts_with("nats:"), is_slow) {
            (true, true) => "IO error",
            (true, false) => "failed signing nonce",
            (false, true) => "Authentication Timeout",
            (false, false) => "the vault is sealed",
        };
        let told = connection.wait_for(|now| {
            let reason = now.reason.as_deref().unwrap_or_default();
            now.state == ConnectionState::Disconnected && reason.contains(why)
        });
        let told = tokio::time::timeout(PATIENCE, told).await;
        drop(told.expect("it should be told why").unwrap());
        let again =
            connection.wait_for(|now| now.epoch > epoch && now.state == ConnectionState::Connected);
        tokio::time::timeout(PATIENCE, again)
            .await
            .expect("it should reconnect")
            .unwrap_or_else(|| panic!("{url} gave up"));
        assert_eq!(failing.load(Ordering::Relaxed), 0);
        works(&client).await;
    }
}

#[tokio::test]
async fn right_jwts_and_creds_files_are_accepted_and_wrong_ones_refused() {
    let user = jwt::User::new();
    let stranger = nkeys::KeyPair::new_user().seed().unwrap();
    let server = NatsServer::builder().config(&user.config);
    let server = server.start().await.unwrap();
    let folder = tempdir("creds");
    let file = folder.join("user.creds");
    fs::write(&file, user.creds()).unwrap();
    let options = ConnectOptions::new;
    let with_seed = |seed| Credentials::Jwt {
        jwt: user.jwt.clone(),
        seed: Some(seed),
    };
    let url = server.url();
    let mut urls = vec![url.clone()];
    if cfg!(all(feature = "web", feature = "nkeys")) {
        urls.push(format!("web+{url}"));
    }
    for url in urls {
        let missing = options().credentials_file(folder.join("missing.creds"));
        let error = missing.connect(&url).await.unwrap_err();
        let says = format!("{}: {error}", error.source().unwrap());
        assert!(says.contains("missing.creds"), "{says}");
        for right in [
            options().credentials(with_seed(user.seed.clone())),
            options().credentials(Credentials::Creds(user.creds())),
            options().credentials_file(&file),
        ] {
            works(&right.connect(&url).await.unwrap()).await;
        }
        for wrong in [
            options(),
            options().credentials(with_seed(stranger.clone())),
            options().credentials(Credentials::Creds("nothing".into())),
            options().credentials_file(folder.join("none.creds")),
        ] {
            assert_refused!(
                wrong.connect(&url).await,
                ConnectError::Authentication { .. }
            );
        }
    }
    fs::remove_dir_all(folder).unwrap();
}

/// They may be renewed slightly after they expire.
#[tokio::test]
async fn expired_credentials_are_reported_and_renewed() {
    let user = Arc::new(jwt::User::new());
    let server = NatsServer::builder().config(&user.config);
    let server = server.start().await.unwrap();
    let url = server.url();
    let mut urls = vec![url.clone()];
    if cfg!(all(feature = "web", feature = "nkeys")) {
        urls.push(format!("web+{url}"));
    }
    for url in urls {
        let first = user.lasting(Duration::from_secs(2));
        let asked = Arc::new(AtomicUsize::new(0));
        // Holds the second login back until the reason has been checked.
        let seen = Arc::new(Notify::new());
        let (of, go_on) = (user.clone(), seen.clone());
        let client = ConnectOptions::new()
            .credentials_from(move || {
                let asked = asked.fetch_add(1, Ordering::Relaxed);
                let jwt = match asked {
                    0 | 1 => first.clone(),
                    _ => of.jwt.clone(),
                };
                let (seed, go_on) = (Some(of.seed.clone()), go_on.clone());
                async move {
                    if asked == 1 {
                        go_on.notified().await;
                    }
                    Ok(Credentials::Jwt { jwt, seed })
                }
            })
            .connect(&url)
            .await
            .unwrap();
        let mut connection = client.connection();
        let lost = connection.wait_for(|now| now.state == ConnectionState::Disconnected);
        let lost = tokio::time::timeout(PATIENCE, lost).await;
        let reason = lost.expect("it should run out").unwrap().reason.clone();
        let reason = reason.unwrap_or_default().to_lowercase();
        assert!(
            reason.contains("authentication expired"),
            "{url}: {reason:?}"
        );
        seen.notify_one();
        let again = async {
            while let Err(error) = client.bucket_names().try_collect::<Vec<_>>().await {
                let closed = connection.current().state == ConnectionState::Closed;
                assert!(!closed, "{url}: {error}");
            }
        };
        let again = tokio::time::timeout(PATIENCE, again).await;
        again.expect("it should be let in again");
        works(&client).await;
    }
}

/// Reading a file may be slow, and must not block the runtime.
#[cfg(unix)]
#[tokio::test]
async fn a_slow_creds_file_does_not_block_the_runtime() {
    let server = NatsServer::start_default().await.unwrap();
    let folder = tempdir("slow-creds");
    // Opening a FIFO blocks until there is a writer.
    let file = folder.join("pipe");
    let made = std::process::Command::new("mkfifo").arg(&file).status();
    assert!(made.unwrap().success());
    for url in ways(&server.url()) {
        let writer = file.clone();
        let writer = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_secs(2));
            fs::write(writer, "nothing").unwrap();
        });
        let begin = Instant::now();
        let options = ConnectOptions::new().credentials_file(&file);
        let connect = options.connect(&url);
        let early = tokio::time::timeout(Duration::from_millis(200), connect).await;
        assert!(early.is_err());
        assert!(begin.elapsed() < Duration::from_secs(1), "{url}");
        writer.join().unwrap();
    }
    fs::remove_dir_all(folder).unwrap();
}
