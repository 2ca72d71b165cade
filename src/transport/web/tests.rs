//! Against real servers, natively, over TCP and over WebSocket.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use futures::StreamExt;
use harness::NatsServer;

use super::connect;
use crate::{
    client::ConnectError,
    message::{Outbound, TransportError},
    options::ConnectOptions,
    status::ConnectionState,
    transport::Transport,
};

const SECOND: Duration = Duration::from_secs(1);

type Any = Arc<dyn Transport>;

async fn server() -> NatsServer {
    NatsServer::builder().websocket(true).start().await.unwrap()
}

async fn client(url: String) -> Any {
    connect(&url, &ConnectOptions::new()).await.unwrap()
}

/// The server's URLs, over TCP and over WebSocket.
fn urls(server: &NatsServer) -> [String; 2] {
    [
        format!("web+{}", server.url()),
        format!("web+{}", server.ws_url()),
    ]
}

/// Echoes every message on a subject.
async fn echo(client: &Any, subject: &'static str) {
    let mut requests = client.subscribe(subject.into()).await.unwrap();
    let client = client.clone();
    tokio::spawn(async move {
        while let Some(request) = requests.next().await {
            let mut answer = Outbound::new(request.reply.unwrap(), request.payload);
            answer.headers = request.headers;
            client.publish(answer).await.unwrap();
        }
    });
}

async fn state(client: &Any, wanted: ConnectionState, epoch: u64) {
    let mut status = client.status();
    let reached = status.wait_for(|now| now.state == wanted && now.epoch == epoch);
    tokio::time::timeout(10 * SECOND, reached)
        .await
        .unwrap()
        .unwrap();
}

#[tokio::test]
async fn asks_and_answers() {
    let server = server().await;
    for url in urls(&server) {
        let client = client(url).await;
        echo(&client, "echo").await;
        for size in [0, 1, 5_000, 1_000_000] {
            let body = Bytes::from(vec![b'x'; size]);
            let request = Outbound::new("echo", body.clone())
                .header("A", "1")
                .header("A", "2");
            let answer = client.request(request, 5 * SECOND).await.unwrap();
            assert_eq!(answer.payload, body);
            assert_eq!(answer.headers.get_all("A").collect::<Vec<_>>(), ["1", "2"]);
        }
        let nobody = client.request(Outbound::new("nobody", ""), SECOND).await;
        assert!(matches!(nobody, Err(TransportError::NoResponders)));
        let too_large = Outbound::new("echo", vec![0; client.max_payload() + 1]);
        let too_large = client.request(too_large, SECOND).await;
        assert!(matches!(too_large, Err(TransportError::TooLarge { .. })));
        client.close().await.unwrap();
        let closed = client.request(Outbound::new("echo", ""), SECOND).await;
        assert!(matches!(closed, Err(TransportError::Closed)));
    }
}

#[tokio::test]
async fn concurrent_requests_get_their_replies() {
    let server = server().await;
    for url in urls(&server) {
        let client = client(url).await;
        echo(&client, "echo").await;
        let all = (0..5_000).map(|number: u32| {
            let client = client.clone();
            async move {
                let body = number.to_string();
                let request = Outbound::new("echo", body.clone());
                assert_eq!(
                    client.request(request, 5 * SECOND).await.unwrap().payload,
                    body
                );
            }
        });
        futures::future::join_all(all).await;
    }
}

#[tokio::test]
async fn closing_waits_for_earlier_requests() {
    let server = server().await;
    for url in urls(&server) {
        let (client, other) = (client(url.clone()).await, client(url).await);
        echo(&other, "echo").await;
        let ready = other.request(Outbound::new("echo", ""), SECOND).await;
        ready.unwrap();
        let all = (0..1_000).map(|_| client.request(Outbound::new("echo", ""), 5 * SECOND));
        let (answers, closed) = tokio::join!(futures::future::join_all(all), client.close());
        closed.unwrap();
        for answer in answers {
            answer.unwrap();
        }
    }
}

#[tokio::test]
async fn a_fast_writer_waits_and_nothing_is_lost() {
    let server = server().await;
    for url in urls(&server) {
        let (writer, reader) = (client(url.clone()).await, client(url).await);
        echo(&reader, "bulk").await;
        let ready = Outbound::new("bulk", "");
        reader.request(ready, SECOND).await.unwrap();
        let writing = (0..200).map(async |i: u8| {
            let body = vec![i; 200_000];
            let request = Outbound::new("bulk", body.clone());
            let answer = writer.request(request, 20 * SECOND).await.unwrap();
            assert!(answer.payload == body);
        });
        futures::future::join_all(writing).await;
        writer.close().await.unwrap();
    }
}

/// The window is full, and nothing gets through.
#[tokio::test]
async fn a_silent_network_blocks_nobody() {
    let server = server().await;
    for url in urls(&server) {
        let options = ConnectOptions::new().request_timeout(2 * SECOND);
        let client = connect(&url, &options).await.unwrap();
        let ask = async |size, timeout| {
            let request = Outbound::new("nobody", vec![0; size]);
            client.request(request, timeout).await.unwrap_err()
        };
        server.pause().unwrap();
        let large = futures::future::join_all((0..1_000).map(|_| ask(100_000, 2 * SECOND)));
        let later = async {
            tokio::time::sleep(Duration::from_millis(100)).await;
            client.subscribe("a".into()).await.unwrap();
            client.publish(Outbound::new("a", "")).await.unwrap();
            ask(0, SECOND).await
        };
        let begin = std::time::Instant::now();
        let later = tokio::time::timeout(2 * SECOND, later);
        let (large, later) = tokio::join!(tokio::time::timeout(3 * SECOND, large), later);
        let later = later.expect("its time is one second");
        assert!(matches!(later, TransportError::NotConnected(_)), "{later}");
        let (mut unknown, mut unsent) = (0, 0);
        for error in large.expect("their time is two seconds") {
            match error {
                TransportError::Timeout(_) => unknown += 1,
                TransportError::NotConnected(_) => unsent += 1,
                other => panic!("{other}"),
            }
        }
        assert!(
            (20..=22).contains(&unknown) && unsent > 900,
            "{unknown} {unsent}"
        );
        let closed = tokio::time::timeout(3 * SECOND, client.close()).await;
        let unknown = closed.expect("its time is two seconds").unwrap_err();
        assert!(matches!(unknown, TransportError::Lost), "{unknown}");
        client.close().await.unwrap();
        assert!(begin.elapsed() < 6 * SECOND);
        server.resume().unwrap();
    }
}

#[tokio::test]
async fn survives_a_killed_server() {
    let server = server().await;
    for url in urls(&server) {
        let client = client(url).await;
        let mut messages = client.subscribe("news".into()).await.unwrap();
        let _silent = client.subscribe("silent".into()).await.unwrap();
        let pending = {
            let client = client.clone();
            tokio::spawn(async move {
                client
                    .request(Outbound::new("silent", ""), 20 * SECOND)
                    .await
            })
        };
        tokio::time::sleep(Duration::from_millis(100)).await;
        server.kill().unwrap();
        assert!(matches!(pending.await.unwrap(), Err(TransportError::Lost)));
        state(&client, ConnectionState::Disconnected, 1).await;
        let later = {
            let client = client.clone();
            tokio::spawn(async move { client.publish(Outbound::new("news", "later")).await })
        };
        server.restart().await.unwrap();
        state(&client, ConnectionState::Connected, 2).await;
        later.await.unwrap().unwrap();
        assert_eq!(messages.next().await.unwrap().payload, "later");
    }
}

#[tokio::test]
async fn notices_a_server_that_hangs() {
    let server = server().await;
    let [_, url] = urls(&server);
    let client = client(url).await;
    server.pause().unwrap();
    let asked = client.request(Outbound::new("a", ""), SECOND).await;
    assert!(
        matches!(asked, Err(TransportError::Timeout(_))),
        "{asked:?}"
    );
    server.resume().unwrap();
    let asked = client.request(Outbound::new("a", ""), SECOND).await;
    assert!(matches!(asked, Err(TransportError::NoResponders)));
}

#[tokio::test]
async fn wrong_credentials_end_the_client() {
    let server = NatsServer::builder()
        .websocket(true)
        .auth("ann", "secret")
        .start()
        .await
        .unwrap();
    for url in urls(&server) {
        // The harness's URLs contain the credentials.
        let (scheme, address) = url.split_once("://").unwrap();
        let address = address.rsplit('@').next().unwrap();
        let bare = format!("{scheme}://{address}");
        let wrong = ConnectOptions::new().user_and_password("ann", "wrong");
        let refused = connect(&bare, &wrong).await;
        assert!(
            matches!(refused, Err(ConnectError::Authentication { .. })),
            "{refused:?}"
        );
        let none = connect(&bare, &ConnectOptions::new()).await;
        assert!(
            matches!(none, Err(ConnectError::Authentication { .. })),
            "{none:?}"
        );
        let right = ConnectOptions::new().user_and_password("ann", "secret");
        connect(&bare, &right).await.unwrap();
        connect(
            &format!("{scheme}://ann:secret@{address}"),
            &ConnectOptions::new(),
        )
        .await
        .unwrap();
        let failing = ConnectOptions::new().credentials_from(async || Err("no network".into()));
        let failed = connect(&bare, &failing).await;
        assert!(
            matches!(failed, Err(ConnectError::Authentication { .. })),
            "{failed:?}"
        );
    }
}

#[cfg(feature = "nkeys")]
#[tokio::test]
async fn signs_with_an_nkey() {
    let key = "UDXU4RCSJNZOIQHZNWXHXORDPRTGNJAHAHFRGZNEEJCPQTT2M7NLCNF4";
    let seed = "SUACSSL3UAHUDXKFSNVUZRF5UHPMWZ6BFDTJ7M6USDXIEDNPPQYYYCU3VY";
    let users = format!("authorization {{ users: [ {{ nkey: {key} }} ] }}");
    let server = NatsServer::builder()
        .websocket(true)
        .config(users)
        .start()
        .await
        .unwrap();
    for url in urls(&server) {
        let credentials = crate::options::Credentials::NKey { seed: seed.into() };
        connect(&url, &ConnectOptions::new().credentials(credentials))
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn refused_subjects_are_noticed() {
    let users = r#"authorization { users: [ { user: a, password: b, permissions: {
        publish: { deny: "no.>" }, subscribe: { deny: "no.>" } } } ] }"#;
    let server = NatsServer::builder()
        .websocket(true)
        .config(users)
        .start()
        .await
        .unwrap();
    for url in urls(&server) {
        let options = ConnectOptions::new().user_and_password("a", "b");
        let client = connect(&url, &options).await.unwrap();
        let refused = client.request(Outbound::new("no.a", ""), 5 * SECOND).await;
        assert!(
            matches!(refused, Err(TransportError::PermissionDenied(_))),
            "{refused:?}"
        );
        let mut refused = client.subscribe("no.b".into()).await.unwrap();
        assert!(refused.next().await.is_none());
    }
}

#[tokio::test]
async fn missing_servers_are_reported() {
    let gone = {
        let server = server().await;
        urls(&server)
    };
    for url in gone {
        let refused = connect(&url, &ConnectOptions::new()).await;
        assert!(
            matches!(refused, Err(ConnectError::Unreachable { .. })),
            "{refused:?}"
        );
    }
    for url in ["ws://", "http://h", "ws://h:x"] {
        let invalid = connect(url, &ConnectOptions::new()).await;
        assert!(
            matches!(invalid, Err(ConnectError::InvalidUrl { .. })),
            "{invalid:?}"
        );
    }
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("web+ws://{}", silent.local_addr().unwrap());
    let options = ConnectOptions::new().connect_timeout(Duration::from_millis(300));
    let refused = connect(&url, &options).await;
    assert!(
        matches!(refused, Err(ConnectError::Unreachable { .. })),
        "{refused:?}"
    );
}

#[tokio::test]
async fn a_refused_origin_is_reported() {
    let server = NatsServer::builder()
        .websocket(true)
        .websocket_origins(["https://example.com"])
        .start()
        .await
        .unwrap();
    // Servers accept native clients, which send no origin; browsers always send one.
    let [_, url] = urls(&server);
    client(url).await;
}

#[tokio::test]
async fn dropped_subscriptions_and_clients_leave_nothing() {
    let server = server().await;
    let [_, url] = urls(&server);
    let watched = client(url.clone()).await;
    for _ in 0..1000 {
        drop(watched.subscribe("a".into()).await.unwrap());
    }
    let nobody = watched.request(Outbound::new("a", ""), SECOND).await;
    assert!(matches!(nobody, Err(TransportError::NoResponders)));
    drop(watched);
    let start = std::time::Instant::now();
    loop {
        let connections = server.monitor("/varz").await.unwrap()["connections"].as_u64();
        if connections == Some(0) {
            break;
        }
        assert!(start.elapsed() < 5 * SECOND, "{connections:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
