//! The API under another prefix: of a domain, imported from another account, or served by something
//! other than a server.

use std::time::Duration;

use futures::{StreamExt, TryStreamExt};
use harness::{LATEST, NatsServer};
use shizuku::{
    Client, ConnectOptions, Store,
    kv::{
        BoxError, BucketError, Entry, KeyValueRead, KvReadError, KvWriteError, Read, RemoveOptions,
        ServiceError, UpdateOptions,
    },
};

use crate::{assert_refused, current, entry, keys, server, sign_in};

/// Uses every part of the API on a new bucket.
async fn works(client: &Client) -> Store {
    let store = client.create_bucket("b").await.unwrap();
    let watch = store.watch_all().await.unwrap();
    current(&watch).await;
    let first = store.put("a", "1").await.unwrap();
    assert_eq!(entry(&watch).await.revision, first);
    let second = store.update("a", "2", first).await.unwrap();
    assert_eq!(entry(&watch).await.revision, second);
    for lost in [
        store.update("a", "3", first).await,
        store.create("a", "3").await,
    ] {
        assert_eq!(lost.unwrap_err().conflict().unwrap().actual, Some(second));
    }
    let purge = RemoveOptions::purge().if_revision(second);
    store.remove_with("a", purge).await.unwrap();
    store.create("a", "4").await.unwrap();
    assert_eq!(keys(&store).await, ["a"]);
    assert_eq!(store.get_many("a").await.unwrap().len(), 1);
    assert_eq!(
        store.entry_with("a", Read::Leader).await.unwrap(),
        store.entry("a").await.unwrap()
    );
    store
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_works_under_a_domain() {
    let server = NatsServer::builder()
        .version(LATEST)
        .domain("hub")
        .start()
        .await
        .unwrap();
    let client = ConnectOptions::new()
        .domain("hub")
        .connect(server.url())
        .await
        .unwrap();
    works(&client).await;
}

/// The guest imports the parts of the API one by one, so that `host.$KV.>` covers only its writes.
const ACCOUNTS: &str = r#"accounts {
    HOST {
        jetstream: enabled
        users: [{ user: host, password: host }]
        exports: [
            { service: "$JS.API.>", response_type: stream }
            { service: "$KV.>" }
            { service: "$JS.FC.>" }
            { stream: "_GUEST.>" }
        ]
    }
    GUEST {
        users: [{ user: guest, password: guest }]
        imports: [
            { service: { account: HOST, subject: "$JS.API.INFO" }, to: "host.INFO" }
            { service: { account: HOST, subject: "$JS.API.STREAM.>" }, to: "host.STREAM.>" }
            { service: { account: HOST, subject: "$JS.API.CONSUMER.>" }, to: "host.CONSUMER.>" }
            { service: { account: HOST, subject: "$JS.API.DIRECT.>" }, to: "host.DIRECT.>" }
            { service: { account: HOST, subject: "$KV.>" }, to: "host.$KV.>" }
            { service: { account: HOST, subject: "$JS.FC.>" } }
            { stream: { account: HOST, subject: "_GUEST.>" } }
        ]
    }
}"#;

/// Signs in to the account that imports another's API.
fn guest() -> ConnectOptions {
    ConnectOptions::new()
        .user_and_password("guest", "guest")
        .api_prefix("host")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_account_works_in_another_accounts_buckets() {
    let server = NatsServer::builder()
        .version(LATEST)
        .config(ACCOUNTS)
        .start()
        .await
        .unwrap();
    let guest = guest()
        .inbox_prefix("_GUEST")
        .connect(server.url())
        .await
        .unwrap();
    let store = works(&guest).await;

    // The bucket belongs to the host.
    let host = sign_in(&server, "host").await;
    let theirs = host.open_bucket("b").await.unwrap();
    assert_eq!(
        theirs.entry("a").await.unwrap(),
        store.entry("a").await.unwrap()
    );
}

/// By default an export allows one reply per request.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_keys_are_read_when_only_one_reply_per_request_is_allowed() {
    let server = NatsServer::builder().version(LATEST);
    let server = server.config(ACCOUNTS.replace(", response_type: stream", ""));
    let server = server.start().await.unwrap();
    let guest = guest()
        .inbox_prefix("_GUEST")
        .request_timeout(Duration::from_secs(3))
        .connect(server.url())
        .await
        .unwrap();
    let store = guest.create_bucket("b").await.unwrap();
    for key in ["a", "b", "c"] {
        store.put(key, "1").await.unwrap();
    }
    assert_eq!(store.get_many(["a", "b"]).await.unwrap().len(), 2);
    // After one timeout the client remembers.
    let many = store.get_many(">");
    let many = tokio::time::timeout(Duration::from_millis(2500), many).await;
    assert_eq!(many.unwrap().unwrap().len(), 3);
}

/// A client that does not import the inboxes of a watch creates consumers whose messages it never
/// receives.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watch_that_receives_nothing_ends() {
    let server = NatsServer::builder().version(LATEST).config(ACCOUNTS);
    let server = server.start().await.unwrap();
    let host = sign_in(&server, "host").await;
    let theirs = host.create_bucket("b").await.unwrap();
    theirs.put("a", "1").await.unwrap();
    let guest = guest().connect(server.url()).await.unwrap();
    let store = guest.open_bucket("b").await.unwrap();
    assert!(store.get("a").await.unwrap().is_some());
    let listed = async {
        let keys = store.keys().await.unwrap();
        keys.try_collect::<Vec<_>>().await
    };
    let live = String::live(&store, "a");
    let (listed, live) = tokio::join!(listed, live);
    for error in [listed.unwrap_err(), live.unwrap_err()] {
        assert!(matches!(
            error,
            KvReadError::Service(ServiceError::Timeout { .. })
        ));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nonsense_replies_are_malformed() {
    let server = server(LATEST).await;
    shizuku::connect(server.url())
        .await
        .unwrap()
        .create_bucket("b")
        .await
        .unwrap();
    for nonsense in ["", "{", "[]", "nonsense"] {
        // Replies correctly about the stream, and with nonsense to everything else.
        let nats = async_nats::connect(server.url()).await.unwrap();
        let mut calls = nats.subscribe("fake.>").await.unwrap();
        let service = tokio::spawn(async move {
            while let Some(call) = calls.next().await {
                let answer = match call.subject.strip_prefix("fake.STREAM.INFO.") {
                    Some(stream) => {
                        let subject = format!("$JS.API.STREAM.INFO.{stream}");
                        nats.request(subject, "".into()).await.unwrap().payload
                    }
                    None => nonsense.into(),
                };
                nats.publish(call.reply.unwrap(), answer).await.unwrap();
            }
        });
        let client = ConnectOptions::new()
            .api_prefix("fake")
            .connect(server.url())
            .await
            .unwrap();
        assert_refused!(
            client.create_bucket("b").await,
            BucketError::Service(ServiceError::Malformed { operation, .. }) if operation == "INFO"
        );
        assert_refused!(
            client.delete_bucket("b").await,
            BucketError::Service(ServiceError::Malformed { .. })
        );
        assert_refused!(
            client.bucket_names().try_collect::<Vec<_>>().await,
            BucketError::Service(ServiceError::Malformed { .. })
        );
        let store = client.open_bucket("b").await.unwrap();
        // Something has received the write.
        assert_refused!(
            store.put("a", "1").await,
            KvWriteError::OutcomeUnknown {
                source: ServiceError::Malformed { .. },
                ..
            }
        );
        for read in [Read::Any, Read::Leader] {
            assert_refused!(
                store.entry_with("a", read).await,
                KvReadError::Service(ServiceError::Malformed { .. })
            );
        }
        assert_refused!(
            store.get_many("a").await,
            KvReadError::Service(ServiceError::Malformed { .. })
        );
        assert_refused!(
            store.watch_all().await,
            KvReadError::Service(ServiceError::Malformed { .. })
        );
        service.abort();
    }
}

/// A lagging replica must not make an update fail.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn updates_are_decided_by_the_leaders_value() {
    let server = server(LATEST).await;
    let client = shizuku::connect(server.url()).await.unwrap();
    let theirs = client.create_bucket("b").await.unwrap();
    theirs.put("seats", "0").await.unwrap();
    let nats = async_nats::connect(server.url()).await.unwrap();
    let old = "$JS.API.DIRECT.GET.KV_b.$KV.b.seats";
    let old = nats.request(old, "".into()).await.unwrap();
    theirs.put("seats", "3").await.unwrap();

    // Forwards everything, but replies to reads like a lagging replica.
    let mut calls = nats.subscribe("fake.>").await.unwrap();
    let service = tokio::spawn(async move {
        while let Some(call) = calls.next().await {
            let path = call.subject.strip_prefix("fake.").unwrap();
            let answer = match (path.starts_with("DIRECT."), path.starts_with("$KV.")) {
                (true, _) => old.clone(),
                (_, is_write) => {
                    let api = if is_write { "" } else { "$JS.API." };
                    let request = async_nats::Request::new()
                        .headers(call.headers.unwrap_or_default())
                        .payload(call.payload);
                    nats.send_request(format!("{api}{path}"), request)
                        .await
                        .unwrap()
                }
            };
            let headers = answer.headers.unwrap_or_default();
            nats.publish_with_headers(call.reply.unwrap(), headers, answer.payload)
                .await
                .unwrap();
        }
    });
    let client = ConnectOptions::new().api_prefix("fake");
    let client = client.connect(server.url()).await.unwrap();
    let store = client.open_bucket("b").await.unwrap();
    assert_eq!(
        store.get("seats").await.unwrap().as_deref(),
        Some(&b"0"[..])
    );
    let book = |current: Option<Entry>| {
        let value = current.and_then(|entry| entry.value).unwrap_or_default();
        let left: u32 = std::str::from_utf8(&value).unwrap().parse().unwrap();
        Some(left.checked_sub(1)?.to_string())
    };
    for left in ["2", "1", "0"] {
        assert!(store.update_with("seats", book).await.unwrap().is_some());
        let value = theirs.get("seats").await.unwrap();
        assert_eq!(value.as_deref(), Some(left.as_bytes()));
    }
    assert_eq!(store.update_with("seats", book).await.unwrap(), None);
    // The same with an error.
    theirs.put("seats", "1").await.unwrap();
    let book = |current| match book(current) {
        Some(left) => Ok(Some(left)),
        None => Err(BoxError::from("sold out")),
    };
    let mut sold = Vec::new();
    for _ in 0..2 {
        let options = UpdateOptions::new();
        sold.push(store.try_update_with("seats", options, book).await);
    }
    assert!(sold[0].as_ref().unwrap().is_some());
    assert_eq!(sold[1].as_ref().unwrap_err().to_string(), "sold out");
    service.abort();
}
