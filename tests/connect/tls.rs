//! Certificates of servers and clients.

use std::{
    fs,
    path::{Path, PathBuf},
};

use harness::NatsServer;
use shizuku::{ConnectError, ConnectOptions};

use crate::{assert_refused, tempdir, works};

/// A self-signed certificate and its key, as PEM files.
fn certificate(folder: &Path, name: &str) -> (PathBuf, PathBuf) {
    let names = vec!["localhost".to_string(), "127.0.0.1".to_string()];
    let made = rcgen::generate_simple_self_signed(names).unwrap();
    let file = |what| folder.join(format!("{name}-{what}.pem"));
    let (cert, key) = (file("cert"), file("key"));
    fs::write(&cert, made.cert.pem()).unwrap();
    fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    (cert, key)
}

#[tokio::test]
async fn tls_works_with_a_private_root_certificate() {
    let folder = tempdir("tls");
    let (cert, key) = certificate(&folder, "server");
    let tls = format!("tls {{ cert_file: {cert:?}, key_file: {key:?} }}");
    let server = NatsServer::builder()
        .config(&tls)
        .websocket_config(&tls)
        .start()
        .await
        .unwrap();
    let url = server.url().replace("nats://", "tls://");
    let missing = folder.join("none.pem");
    for url in [url, server.ws_url().replace("ws://", "wss://")] {
        let trusting = ConnectOptions::new().root_certificates(&cert);
        works(&trusting.connect(&url).await.unwrap()).await;
        for options in [
            ConnectOptions::new(),
            ConnectOptions::new().root_certificates(&missing),
        ] {
            assert_refused!(
                options.connect(&url).await,
                ConnectError::Unreachable { .. } | ConnectError::Tls { .. }
            );
        }
    }
    fs::remove_dir_all(folder).unwrap();
}

#[tokio::test]
async fn a_server_can_require_a_client_certificate() {
    let folder = tempdir("mutual-tls");
    let (cert, key) = certificate(&folder, "server");
    let (known, known_key) = certificate(&folder, "known");
    let (strange, strange_key) = certificate(&folder, "strange");
    let config = format!(
        "tls {{ cert_file: {cert:?}, key_file: {key:?}, ca_file: {known:?}, verify: true }}"
    );
    let server = NatsServer::builder().config(config).start().await.unwrap();
    let trusting = || ConnectOptions::new().root_certificates(&cert);
    let known = trusting().client_certificate(known, known_key);
    works(&known.connect(server.url()).await.unwrap()).await;
    for refused in [
        trusting(),
        trusting().client_certificate(strange, strange_key),
    ] {
        assert_refused!(
            refused.connect(server.url()).await,
            ConnectError::Unreachable { .. } | ConnectError::Tls { .. }
        );
    }
    fs::remove_dir_all(folder).unwrap();
}

#[tokio::test]
async fn required_tls_that_the_server_lacks_fails_to_connect() {
    let server = NatsServer::start_default().await.unwrap();
    assert_refused!(
        ConnectOptions::new()
            .require_tls(true)
            .connect(server.url())
            .await,
        ConnectError::Unreachable { .. } | ConnectError::Tls { .. }
    );
}
