//! The Rust client in a page: the cases of `js/bench/page.ts`, step by step, in Rust.

use futures::future::try_join_all;
use js_sys::Reflect;
use shizuku::{
    Client, Store,
    kv::{KvWriteError, WatchEvent},
};
use wasm_bindgen::{JsCast, JsError, prelude::wasm_bindgen};
use web_sys::Performance;

type Result<T> = std::result::Result<T, JsError>;

/// One sample of a case.
#[wasm_bindgen]
#[allow(
    clippy::needless_pass_by_value,
    reason = "what crosses the boundary is owned"
)]
pub async fn run(
    case: String,
    url: String,
    bucket: String,
    count: u32,
    value: String,
) -> Result<f64> {
    let client = shizuku::connect(&url).await?;
    let store = client.open_bucket(&bucket).await?;
    let sample = match case.as_str() {
        "put" => put(&store, count, &value).await,
        "get" => get(&store, count, &value).await,
        "64 in flight" => in_flight(&store, count, &value).await,
        "live update" => live_update(&store, count, &value).await,
        "first load" => first_load(&store, count).await,
        _ => Err(JsError::new("no such case")),
    };
    close(client).await?;
    sample
}

async fn close(client: Client) -> Result<()> {
    Ok(client.close().await?)
}

/// Microseconds per put.
async fn put(store: &Store, count: u32, value: &str) -> Result<f64> {
    store.put("bench", value.to_owned()).await?;
    let start = now()?;
    for _ in 0..count {
        store.put("bench", value.to_owned()).await?;
    }
    Ok((now()? - start) * 1000.0 / f64::from(count))
}

async fn get(store: &Store, count: u32, value: &str) -> Result<f64> {
    store.put("bench", value.to_owned()).await?;
    let start = now()?;
    for _ in 0..count {
        store.get("bench").await?;
    }
    Ok((now()? - start) * 1000.0 / f64::from(count))
}

/// Writes per second, with 64 in flight.
async fn in_flight(store: &Store, count: u32, value: &str) -> Result<f64> {
    store.put("bench", value.to_owned()).await?;
    let left = std::cell::Cell::new(count);
    let start = now()?;
    let workers = (0..64).map(|number| {
        let left = &left;
        async move {
            while left.get() > 0 {
                left.set(left.get() - 1);
                store
                    .put(format!("bench.{number}"), value.to_owned())
                    .await?;
            }
            Ok::<_, KvWriteError>(())
        }
    });
    try_join_all(workers).await?;
    Ok(f64::from(count) * 1000.0 / (now()? - start))
}

/// Microseconds from the call of put until a watch on the same connection delivers the change.
async fn live_update(store: &Store, count: u32, value: &str) -> Result<f64> {
    let watch = store.watch("live").await?;
    while !matches!(
        watch.next_event().await.transpose()?,
        Some(WatchEvent::Current)
    ) {}
    let start = now()?;
    for _ in 0..count {
        let (store, value) = (store.clone(), value.to_owned());
        wasm_bindgen_futures::spawn_local(async move {
            // If this fails, the change never arrives.
            _ = store.put("live", value).await;
        });
        watch.next().await.transpose()?;
    }
    Ok((now()? - start) * 1000.0 / f64::from(count))
}

/// Seconds until every key and value was delivered.
async fn first_load(store: &Store, count: u32) -> Result<f64> {
    let (mut seen, mut bytes) = (0, 0);
    let start = now()?;
    let watch = store.watch("key.>").await?;
    while seen < count {
        let Some(entry) = watch.next().await.transpose()? else {
            return Err(JsError::new("the watch ended"));
        };
        seen += 1;
        bytes += entry.key.len() + entry.value.map_or(0, |value| value.len());
    }
    let took = now()? - start;
    if bytes < 64 * count as usize {
        return Err(JsError::new("the values are missing"));
    }
    Ok(took / 1000.0)
}

/// Milliseconds, from the page's clock.
fn now() -> Result<f64> {
    let performance = Reflect::get(&js_sys::global(), &"performance".into());
    let performance = performance.map_err(|_| JsError::new("there is no clock"))?;
    Ok(performance.unchecked_into::<Performance>().now())
}
