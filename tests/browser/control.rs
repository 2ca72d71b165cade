//! Servers on demand; see `harness::control`.

use gloo_net::http::Request;
use serde::{Deserialize, de::DeserializeOwned};

/// A server that runs somewhere else.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Server {
    pub(crate) id: String,
    pub(crate) ws: String,
}

/// A new server, of which a test may do what it wants. `options` are those of `/start`.
pub(crate) async fn start(options: &str) -> Server {
    ask(&format!("/start?{options}")).await
}

/// The server of a version that all tests share; the newest without one.
pub(crate) async fn shared(version: &str) -> Server {
    match version {
        "" => ask("/shared").await,
        version => ask(&format!("/shared?version={version}")).await,
    }
}

impl Server {
    /// Does something with it: `kill`, `restart`, `pause`, `resume`, `lame_duck`.
    pub(crate) async fn make(&self, what: &str) -> Self {
        ask(&format!("/{what}?id={}", self.id)).await
    }

    /// What its monitoring says.
    pub(crate) async fn monitor(&self, path: &str) -> serde_json::Value {
        ask(&format!("/monitor?id={}&path={path}", self.id)).await
    }

    /// A way to it that is cut, once, in the middle of the first frame after so many bytes.
    pub(crate) async fn cut_after(&self, bytes: u64) -> String {
        let proxy: serde_json::Value = ask(&format!("/cut?id={}&after={bytes}", self.id)).await;
        proxy["ws"].as_str().unwrap().to_owned()
    }

    /// Which frames were cut: how many bytes they had, and how many of those came through.
    pub(crate) async fn cuts(&self) -> Vec<(u64, u64)> {
        let answer: serde_json::Value = ask(&format!("/cuts?id={}", self.id)).await;
        let number = |cut: &serde_json::Value, field: &str| cut[field].as_u64().unwrap();
        let cuts = answer["cuts"].as_array().unwrap().iter();
        cuts.map(|cut| (number(cut, "announced"), number(cut, "passed")))
            .collect()
    }

    /// Ends it.
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
