//! Cases that only a browser can show, or that are worth running in one.

use std::time::Duration;

use futures::{TryStreamExt, future::join_all};
use js_sys::Reflect;
use shizuku::{
    Client, ConnectError, ConnectOptions, ConnectionState,
    kv::{BucketError, KvWriteError, ServiceError, Watch, WatchEvent},
};
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_test::wasm_bindgen_test;

use super::{control, sleep, unique, within};

const PATIENCE: Duration = Duration::from_secs(30);

async fn client(url: &str) -> Client {
    shizuku::connect(url).await.unwrap()
}

async fn event(watch: &Watch) -> WatchEvent {
    within(PATIENCE, watch.next_event()).await.unwrap().unwrap()
}

/// The next entry, as its key and value.
async fn entry(watch: &Watch) -> (String, String) {
    loop {
        if let WatchEvent::Entry(entry) = event(watch).await {
            let value = entry.value.unwrap_or_default();
            return (
                entry.key.to_string(),
                String::from_utf8_lossy(&value).into_owned(),
            );
        }
    }
}

async fn connected(client: &Client, epoch: u64) {
    let mut status = client.connection();
    let reached =
        status.wait_for(|now| now.state == ConnectionState::Connected && now.epoch == epoch);
    within(PATIENCE, reached).await.unwrap();
}

#[wasm_bindgen_test]
async fn values_of_a_megabyte_round_trip() {
    let server = control::shared("").await;
    let store = client(&server.ws)
        .await
        .create_bucket(format!("large-{}", unique()))
        .await
        .unwrap();
    let watch = store.watch_all().await.unwrap();
    for size in [1_000_000, 1_040_000] {
        let value: Vec<u8> = (0..size).map(|at| (at * 7 + at / 251) as u8).collect();
        store.put("large", value.clone()).await.unwrap();
        let read = store.get("large").await.unwrap().unwrap();
        assert!(read == value, "the same {size} bytes");
        loop {
            if let WatchEvent::Entry(entry) = event(&watch).await {
                assert!(
                    entry.value.unwrap() == value,
                    "the same {size} bytes in the watch"
                );
                break;
            }
        }
    }
    let too_large = store.put("large", vec![0; 2_000_000]).await;
    assert!(
        matches!(too_large, Err(KvWriteError::TooLarge { .. })),
        "{too_large:?}"
    );
}

#[wasm_bindgen_test]
async fn fifty_thousand_keys_are_listed() {
    const KEYS: usize = 50_000;
    let server = control::start("").await;
    let client = client(&server.ws).await;
    let store = client.create_bucket("many").await.unwrap();
    for chunk in (0..KEYS).collect::<Vec<_>>().chunks(500) {
        let puts = chunk.iter().map(|number| {
            let store = store.clone();
            async move {
                store
                    .put(format!("key.{number}"), "x".repeat(100))
                    .await
                    .unwrap()
            }
        });
        join_all(puts).await;
    }
    let start = js_sys::Date::now();
    let watch = store.watch_all().await.unwrap();
    let mut seen = 0;
    while let WatchEvent::Entry(_) = event(&watch).await {
        seen += 1;
    }
    let took = js_sys::Date::now() - start;
    wasm_bindgen_test::console_log!("first load of {seen} keys: {took} ms");
    assert_eq!(seen, KEYS);
    let keys: Vec<_> = store.keys().await.unwrap().try_collect().await.unwrap();
    assert_eq!(keys.len(), KEYS);
    client.close().await.unwrap();
    server.remove().await;
}

#[wasm_bindgen_test]
async fn a_watch_survives_a_killed_server() {
    let server = control::start("").await;
    let client = client(&server.ws).await;
    let store = client.create_bucket("b").await.unwrap();
    store.put("a", "1").await.unwrap();
    let watch = store.watch_all().await.unwrap();
    assert_eq!(entry(&watch).await, ("a".into(), "1".into()));
    for round in 2..4_u64 {
        server.make("kill").await;
        server.make("restart").await;
        connected(&client, round).await;
        let value = round.to_string();
        store.put("a", value.clone()).await.unwrap();
        assert_eq!(entry(&watch).await, ("a".into(), value));
    }
    server.remove().await;
}

#[wasm_bindgen_test]
async fn a_write_in_flight_at_a_crash_has_an_unknown_outcome() {
    let server = control::start("").await;
    let client = client(&server.ws).await;
    let store = client.create_bucket("b").await.unwrap();
    server.make("pause").await;
    let writing = async { store.put("a", "1").await };
    let killing = async {
        sleep(Duration::from_millis(200)).await;
        server.make("kill").await
    };
    let (written, _) = within(PATIENCE, futures::future::join(writing, killing)).await;
    assert!(
        matches!(written, Err(KvWriteError::OutcomeUnknown { .. })),
        "{written:?}"
    );
    server.remove().await;
}

/// Distinct values that barely compress.
fn noise(number: usize) -> String {
    let mut state = number as u64 + 1;
    let word = |_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005) + 1;
        format!("{:08x}", state >> 32)
    };
    (0..3_000).map(word).collect()
}

async fn cut_in_the_middle_of_a_frame(compression: bool) {
    const KEYS: usize = 100;
    let server = control::start(&format!("compression={compression}")).await;
    let direct = client(&server.ws).await;
    let store = direct.create_bucket("b").await.unwrap();
    // A third of the data that will be sent.
    let proxied = client(&server.cut_after(800_000).await).await;
    let bucket = proxied.open_bucket("b").await.unwrap();
    let watch = bucket.watch_all().await.unwrap();
    // Only then are the values written: a server may send more than a third of them before its last
    // reply to the client that opens a watch.
    assert!(matches!(event(&watch).await, WatchEvent::Current));
    let writing = async {
        for number in 0..KEYS {
            let key = format!("k{number:02}");
            store.put(key, noise(number)).await.unwrap();
        }
    };
    let watching = async {
        let mut interrupted = 0;
        let mut seen = 0;
        while seen < KEYS {
            match event(&watch).await {
                WatchEvent::Entry(entry) => {
                    let key = format!("k{seen:02}");
                    assert_eq!(entry.key.as_str(), key, "in order, each once");
                    assert!(entry.value.unwrap() == noise(seen), "{seen} is whole");
                    seen += 1;
                }
                WatchEvent::Interrupted => interrupted += 1,
                WatchEvent::Current if interrupted == 1 => {}
                other => panic!("{other:?} after {seen}"),
            }
        }
        interrupted
    };
    let ((), interrupted) = futures::future::join(writing, watching).await;
    let cuts = server.cuts().await;
    assert!(
        matches!(cuts[..], [(announced, passed)] if 0 < passed && passed < announced),
        "{cuts:?}"
    );
    assert_eq!(interrupted, 1);
    assert_eq!(proxied.connection().current().epoch, 2);
    store.put("k00", "later").await.unwrap();
    assert_eq!(entry(&watch).await, ("k00".into(), "later".into()));
    server.remove().await;
}

#[wasm_bindgen_test]
async fn a_watch_survives_a_cut_in_the_middle_of_a_small_frame() {
    cut_in_the_middle_of_a_frame(false).await;
}

#[wasm_bindgen_test]
async fn a_watch_survives_a_cut_in_the_middle_of_a_compressed_frame() {
    cut_in_the_middle_of_a_frame(true).await;
}

#[wasm_bindgen_test]
async fn a_frozen_server_is_disconnected_and_reconnected() {
    let server = control::start("").await;
    let options = ConnectOptions::new().request_timeout(Duration::from_secs(1));
    let client = options.connect(&server.ws).await.unwrap();
    let store = client.create_bucket("b").await.unwrap();
    server.make("pause").await;
    let written = store.put("a", "1").await;
    assert!(
        matches!(written, Err(KvWriteError::OutcomeUnknown { .. })),
        "{written:?}"
    );
    // A page that becomes visible again does the same: no reply arrives, so the connection is
    // dropped.
    wake_up();
    let mut status = client.connection();
    let gone = status.wait_for(|now| now.state == ConnectionState::Disconnected);
    within(Duration::from_secs(8), gone).await.unwrap();
    server.make("resume").await;
    connected(&client, 2).await;
    server.remove().await;
}

/// Tells the page that it is online again.
fn wake_up() {
    let event = web_sys::Event::new("online").unwrap();
    let global: web_sys::EventTarget = js_sys::global().unchecked_into();
    global.dispatch_event(&event).unwrap();
}

#[wasm_bindgen_test]
async fn wake_ups_do_not_break_a_live_connection() {
    let server = control::start("").await;
    let client = client(&server.ws).await;
    for _ in 0..20 {
        wake_up();
        sleep(Duration::from_millis(10)).await;
    }
    sleep(Duration::from_secs(4)).await;
    assert_eq!(client.connection().current().epoch, 1);
    client.close().await.unwrap();
    wake_up();
    server.remove().await;
}

#[wasm_bindgen_test]
async fn wrong_credentials_are_refused() {
    let server = control::start("user=ann&password=secret").await;
    let address = server.ws.rsplit(['@', '/']).next().unwrap().to_owned();
    let bare = format!("ws://{address}");
    for options in [
        ConnectOptions::new(),
        ConnectOptions::new().user_and_password("ann", "wrong"),
        ConnectOptions::new().token("t"),
    ] {
        let refused = within(PATIENCE, options.connect(&bare)).await;
        assert!(
            matches!(refused, Err(ConnectError::Authentication { .. })),
            "{refused:?}"
        );
    }
    let right = ConnectOptions::new().user_and_password("ann", "secret");
    right.connect(&bare).await.unwrap();
    client(&format!("ws://ann:secret@{address}")).await;
    server.remove().await;
}

#[wasm_bindgen_test]
async fn a_server_without_jetstream_is_reported() {
    let server = control::start("jetstream=false").await;
    let client = client(&server.ws).await;
    let made = client.create_bucket("b").await;
    let expected = matches!(
        made,
        Err(BucketError::Service(
            ServiceError::JetStreamUnavailable { .. }
        ))
    );
    assert!(expected, "{made:?}");
    server.remove().await;
}

#[wasm_bindgen_test]
async fn a_refused_origin_fails_to_connect() {
    let server = control::start("origins=https://example.com").await;
    let refused = within(PATIENCE, shizuku::connect(&server.ws)).await;
    let Err(error @ ConnectError::Unreachable { .. }) = refused else {
        panic!("{refused:?}");
    };
    let source = std::error::Error::source(&error).unwrap().to_string();
    assert!(source.contains("origin"), "{source}");
    server.remove().await;
}

#[wasm_bindgen_test]
async fn unreachable_servers_are_reported_or_retried() {
    let refused = within(PATIENCE, shizuku::connect("ws://127.0.0.1:1")).await;
    assert!(
        matches!(refused, Err(ConnectError::Unreachable { .. })),
        "{refused:?}"
    );
    let tcp = within(PATIENCE, shizuku::connect("nats://127.0.0.1:4222")).await;
    assert!(tcp.is_err(), "{tcp:?}");
    let server = control::start("").await;
    server.make("kill").await;
    let options = ConnectOptions::new().retry_first_connect(true);
    let later = options.connect(&server.ws).await.unwrap();
    server.make("restart").await;
    connected(&later, 1).await;
    server.remove().await;
}

#[wasm_bindgen_test]
async fn a_client_moves_when_its_server_enters_lame_duck_mode() {
    let server = control::start("").await;
    let other = control::start("").await;
    // Whichever comes first: the client moves to the other server, and does not come back.
    let client = client(&format!("{},{}", server.ws, other.ws)).await;
    let on_first = server.monitor("/varz").await["connections"] == 1;
    let leaving = if on_first { &server } else { &other };
    leaving.make("lame_duck").await;
    connected(&client, 2).await;
    server.remove().await;
    other.remove().await;
}

#[wasm_bindgen_test]
async fn dropped_watches_and_clients_leave_no_consumer_or_connection() {
    let server = control::start("").await;
    let client = client(&server.ws).await;
    let store = client.create_bucket("b").await.unwrap();
    for _ in 0..50 {
        let watch = store.watch_all().await.unwrap();
        assert!(matches!(event(&watch).await, WatchEvent::Current));
    }
    drop((store, client));
    let gone = async {
        while server.monitor("/varz").await["connections"] != 0 {
            sleep(Duration::from_millis(50)).await;
        }
    };
    within(PATIENCE, gone).await;
    server.remove().await;
}

#[wasm_bindgen_test]
async fn many_clients_in_one_page_do_not_interfere() {
    let server = control::shared("").await;
    let name = format!("shared-{}", unique());
    let first = client(&server.ws).await;
    let watch = first
        .create_bucket(name.as_str())
        .await
        .unwrap()
        .watch_all()
        .await
        .unwrap();
    let others = (0..8).map(|number| {
        let (url, name) = (server.ws.clone(), name.clone());
        async move {
            let client = client(&url).await;
            let store = client.open_bucket(name).await.unwrap();
            store.put(format!("k{number}"), "v").await.unwrap();
            client.close().await.unwrap();
            let closed = store.put("k", "v").await;
            let expected = matches!(closed, Err(KvWriteError::Service(ServiceError::Closed)));
            assert!(expected, "{closed:?}");
        }
    });
    join_all(others).await;
    for _ in 0..8 {
        entry(&watch).await;
    }
}

#[wasm_bindgen_test]
fn it_runs_in_a_page() {
    let global: JsValue = js_sys::global().into();
    assert!(Reflect::has(&global, &"document".into()).unwrap());
}
