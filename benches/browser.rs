//! How fast the Rust client is in Chromium, and how fast it could be: against a raw WebSocket in the
//! same page that only counts bytes. Prints what it finds.
//!
//! Run in release by `cargo xtask bench browser`.
#![cfg(target_arch = "wasm32")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../tests/browser/control.rs"]
#[allow(dead_code)] // it can do more than is needed here
mod control;

use futures::future::join_all;
use js_sys::{Array, Function, Promise, Reflect};
use shizuku::{Store, kv::WatchEvent};
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use wasm_bindgen_test::{console_log, wasm_bindgen_test};

wasm_bindgen_test::wasm_bindgen_test_configure!(run_in_browser);

const KEYS: usize = 50_000;
const ROUNDS: usize = 7;

/// Reads the whole bucket over a WebSocket and looks at nothing but the number of bytes. Without an
/// expected number it ends, with the time of the last frame, when nothing more comes.
const RAW: &str = r#"
    const start = performance.now();
    const socket = new WebSocket(url);
    socket.binaryType = 'arraybuffer';
    const text = new TextDecoder('latin1');
    let bytes = 0, frames = 0, loading = false, timer;
    const config = { deliver_subject: 'raw.' + Math.random(), deliver_policy: 'last_per_subject',
        ack_policy: 'none', max_deliver: 1, mem_storage: true, num_replicas: 1,
        inactive_threshold: 60e9, filter_subject: '$KV.' + bucket + '.>' };
    const body = JSON.stringify({ stream_name: 'KV_' + bucket, config, action: 'create' });
    return new Promise((done, fail) => {
        socket.onerror = () => fail('socket');
        socket.onmessage = ({ data }) => {
            bytes += data.byteLength;
            frames += 1;
            if (!loading) {
                if (text.decode(data).includes('PONG')) {
                    loading = true;
                    bytes = frames = 0;
                    const create = '$JS.API.CONSUMER.CREATE.KV_' + bucket;
                    socket.send(`SUB ${config.deliver_subject} 1\r\nPUB ${create} x ${body.length}\r\n${body}\r\n`);
                }
                return;
            }
            if (bytes < expected) return;
            const took = performance.now() - start;
            const end = () => { socket.close(); done([took, frames, bytes]); };
            clearTimeout(timer);
            if (expected > 0) end();
            else timer = setTimeout(end, 1000);
        };
        socket.onopen = () => socket.send(
            'CONNECT {"verbose":false,"pedantic":false,"headers":true,"no_responders":true}\r\nPING\r\n');
    });
"#;

async fn raw(url: &str, bucket: &str, expected: f64) -> (f64, f64, f64) {
    let function = Function::new_with_args("url, bucket, expected", RAW);
    let (url, bucket) = (JsValue::from(url), JsValue::from(bucket));
    let promise = function
        .call3(&JsValue::NULL, &url, &bucket, &JsValue::from(expected))
        .unwrap();
    let result: Array = JsFuture::from(promise.unchecked_into::<Promise>())
        .await
        .unwrap()
        .unchecked_into();
    let number = |at| result.get(at).as_f64().unwrap();
    (number(0), number(1), number(2))
}

fn now() -> f64 {
    let performance = Reflect::get(&js_sys::global(), &"performance".into()).unwrap();
    let now: Function = Reflect::get(&performance, &"now".into())
        .unwrap()
        .unchecked_into();
    now.call0(&performance).unwrap().as_f64().unwrap()
}

/// The whole bucket, from the connect on.
async fn first_load(url: &str, bucket: &str) -> f64 {
    let start = now();
    let client = shizuku::connect(url).await.unwrap();
    let watch = client
        .open_bucket(bucket)
        .await
        .unwrap()
        .watch_all()
        .await
        .unwrap();
    let mut seen = 0;
    while let WatchEvent::Entry(_) = watch.next_event().await.unwrap().unwrap() {
        seen += 1;
    }
    let took = now() - start;
    assert_eq!(seen, KEYS);
    client.close().await.unwrap();
    took
}

async fn fill(store: &Store) {
    let keys: Vec<_> = (0..KEYS).collect();
    for chunk in keys.chunks(500) {
        join_all(chunk.iter().map(|number| async move {
            store
                .put(format!("key.{number}"), "x".repeat(64))
                .await
                .unwrap();
        }))
        .await;
    }
}

fn median(mut samples: Vec<f64>) -> f64 {
    samples.sort_by(f64::total_cmp);
    samples[samples.len() / 2]
}

#[wasm_bindgen_test]
async fn first_loads() {
    for compression in [false, true] {
        let server = control::start(&format!("compression={compression}")).await;
        let client = shizuku::connect(&server.ws).await.unwrap();
        let store = client.create_bucket("b").await.unwrap();
        fill(&store).await;
        // All but the answers to requests, whose length varies a little.
        let expected = raw(&server.ws, "b", 0.0).await.2 - 1000.0;
        let (mut ours, mut limit, mut frames) = (Vec::new(), Vec::new(), 0.0);
        let mut bytes = 0.0;
        for _ in 0..ROUNDS {
            ours.push(first_load(&server.ws, "b").await);
            let raw = raw(&server.ws, "b", expected).await;
            limit.push(raw.0);
            (frames, bytes) = (raw.1, raw.2);
        }
        let (ours, limit) = (median(ours), median(limit));
        console_log!(
            "compression {compression}: ours {ours:.0} ms, raw {limit:.0} ms \
             ({frames} frames, {bytes} bytes), ratio {:.2}",
            ours / limit
        );
        server.remove().await;
    }
}

#[wasm_bindgen_test]
async fn puts_and_gets() {
    const OPERATIONS: usize = 2000;
    let server = control::start("").await;
    let client = shizuku::connect(&server.ws).await.unwrap();
    let store = client.create_bucket("b").await.unwrap();
    let each = |start: f64| (now() - start) * 1000.0 / OPERATIONS as f64;
    for _ in 0..3 {
        let start = now();
        for number in 0..OPERATIONS {
            store
                .put(format!("k{}", number % 100), "value")
                .await
                .unwrap();
        }
        let put = each(start);
        let start = now();
        for number in 0..OPERATIONS {
            store
                .get(format!("k{}", number % 100))
                .await
                .unwrap()
                .unwrap();
        }
        let get = each(start);
        let start = now();
        let workers = (0..64).map(|worker| {
            let store = &store;
            async move {
                for number in 0..OPERATIONS / 64 {
                    store
                        .put(format!("k{worker}.{number}"), "value")
                        .await
                        .unwrap();
                }
            }
        });
        join_all(workers).await;
        console_log!(
            "put {put:.0} µs, get {get:.0} µs, 64 in flight {:.0} µs",
            each(start)
        );
    }
    server.remove().await;
}
