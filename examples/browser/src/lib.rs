//! A minimal web page on a bucket: connects, opens, reads, writes and watches.
//!
//! ```html
//! <script type="module">
//!   import init, { follow } from "./minimal.js";
//!   await init();
//!   await follow("wss://nats.example.com", "settings", "banner", (text) => { document.title = text; });
//! </script>
//! ```

use js_sys::Function;
use shizuku::kv::KvWriteError;
use wasm_bindgen::{JsError, JsValue, prelude::wasm_bindgen};

/// Writes a key if it has no value, then shows its value and every change.
///
/// # Errors
/// If there is no server or no such bucket, or if `show` throws.
#[wasm_bindgen]
#[allow(
    clippy::needless_pass_by_value,
    reason = "what crosses the boundary is owned"
)]
pub async fn follow(
    url: String,
    bucket: String,
    key: String,
    show: Function,
) -> Result<(), JsError> {
    let client = shizuku::connect(&url).await?;
    let store = client.open_bucket(&bucket).await?;
    match store.create(key.as_str(), "hello").await {
        Ok(_) | Err(KvWriteError::Conflict(_)) => {}
        Err(error) => return Err(error.into()),
    }
    let watch = store.watch(key.as_str()).await?;
    while let Some(entry) = watch.next().await.transpose()? {
        let value = entry.value.unwrap_or_default();
        let text = String::from_utf8_lossy(&value);
        show.call1(&JsValue::NULL, &text.as_ref().into())
            .map_err(|_| JsError::new("the page cannot show it"))?;
    }
    Ok(())
}
