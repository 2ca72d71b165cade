//! Servers on demand; see `harness::control`.

use gloo_net::http::Request;
use serde::{Deserialize, de::DeserializeOwned};

/// A server outside the page.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Server {
    pub(crate) id: String,
    pub(crate) ws: String,
}

/// Starts a server that a test may disturb. `options` are those of `/start`.
pub(crate) async fn start(options: &str) -> Server {
    ask(&format!("/start?{options}")).await
}

/// The shared server of this version; the newest version if empty.
pub(crate) async fn shared(version: &str) -> Server {
    match version {
        "" => ask("/shared").await,
        version => ask(&format!("/shared?version={version}")).await,
    }
}

impl Server {
    /// Controls the server: `kill`, `restart`, `pause`, `resume`, `lame_duck`.
    pub(crate) async fn make(&self, what: &str) -> Self {
        ask(&format!("/{what}?id={}", self.id)).await
    }

    /// A reply of the server's monitoring endpoint.
    pub(crate) async fn monitor(&self, path: &str) -> serde_json::Value {
        ask(&format!("/monitor?id={}&path={path}", self.id)).await
    }

    /// The URL of a proxy that cuts the connection once, in the middle of the first frame after
    /// this many bytes.
    pub(crate) async fn cut_after(&self, bytes: u64) -> String {
        let proxy: serde_json::Value = ask(&format!("/cut?id={}&after={bytes}", self.id)).await;
        proxy["ws"].as_str().unwrap().to_owned()
    }

    /// The frames that were cut: their sizes, and how many bytes of each came through.
    pub(crate) async fn cuts(&self) -> Vec<(u64, u64)> {
        let answer: serde_json::Value = ask(&format!("/cuts?id={}", self.id)).await;
        let number = |cut: &serde_json::Value, field: &str| cut[field].as_u64().unwrap();
        let cuts = answer["cuts"].as_array().unwrap().iter();
        cuts.map(|cut| (number(cut, "announced"), number(cut, "passed")))
            .collect()
    }

    /// Removes the server.
    pub(crate) async fn remove(self) {
        let _: serde_json::Value = ask(&format!("/remove?id={}", self.id)).await;
    }
}

async fn ask<T: DeserializeOwned>(what: &str) -> T {
    let Some(control) = option_env!("SHIZUKU_CONTROL") else {
        panic!("run this with `cargo xtask test browser`");
    };
    let answer = Request::get(&format!("{control}{what}"))
        .send()
        .await
        .unwrap();
    let text = answer.text().await.unwrap();
    assert!(answer.ok(), "{what}: {text}");
    serde_json::from_str(&text).unwrap()
}
