//! A connection.

use std::{cell::RefCell, pin::pin, rc::Rc};

use futures::{
    StreamExt,
    future::{Either, LocalBoxFuture, select},
};
use js_sys::{Array, Function, Object, Promise};
use shizuku::{
    ConnectOptions, ConnectionState, ConnectionWatch, Credentials,
    kv::{BoxError, BucketConfig, BucketError, LimitMarkers, Storage},
};
use tokio::sync::{mpsc, oneshot};
use wasm_bindgen::{JsCast, JsValue, prelude::wasm_bindgen};
use wasm_bindgen_futures::{JsFuture, future_to_promise, spawn_local};

use crate::{
    error::{Fault, Result, number},
    options::{Options, STRINGS},
    store::RawStore,
};

/// A promise of the result of `work`. Boxed, so that the code that drives it is compiled only once.
pub(crate) fn promise(work: impl Future<Output = Result<JsValue>> + 'static) -> Promise {
    drive(Box::pin(work))
}

fn drive(work: LocalBoxFuture<'static, Result<JsValue>>) -> Promise {
    future_to_promise(async move { work.await.map_err(JsValue::from) })
}

/// Spawns a task. Boxed for the same reason.
pub(crate) fn spawn(task: LocalBoxFuture<'static, ()>) {
    spawn_local(task);
}

/// A promise of a [`RawClient`].
#[wasm_bindgen]
#[allow(unreachable_pub, reason = "JavaScript reaches it")]
pub fn connect(url: String, options: JsValue, credentials: Option<Function>) -> Promise {
    promise(async move {
        let options = connect_options(&Options(options), credentials)?;
        let client = options.connect(url).await?;
        let states = Rc::new(RefCell::new(client.connection()));
        Ok(RawClient { client, states }.into())
    })
}

/// A connection.
#[wasm_bindgen]
#[derive(Debug)]
pub struct RawClient {
    client: shizuku::Client,
    states: Rc<RefCell<ConnectionWatch>>,
}

#[wasm_bindgen]
impl RawClient {
    /// A promise of a [`RawStore`], for a bucket that is created if it does not exist. `update` applies these
    /// settings to an existing one. Settings that are not given keep their values.
    pub fn create(&self, name: String, options: JsValue, update: bool) -> Promise {
        let client = self.client.clone();
        promise(async move {
            let options = Options(options);
            let config = bucket_config(BucketConfig::new(name.clone()), &options)?;
            match client.create_bucket(config).await {
                Err(BucketError::Mismatch { .. }) => {}
                made => return Ok(RawStore::new(made?).into()),
            }
            let there = client.open_bucket(name).await?.status().await?.config;
            let config = bucket_config(there, &options)?;
            let store = if update {
                client.create_or_update_bucket(config).await?
            } else {
                client.create_bucket(config).await?
            };
            Ok(RawStore::new(store).into())
        })
    }

    /// A promise of a [`RawStore`], for an existing bucket.
    pub fn open(&self, name: String) -> Promise {
        let client = self.client.clone();
        promise(async move { Ok(RawStore::new(client.open_bucket(name).await?).into()) })
    }

    /// Deletes a bucket.
    pub fn destroy(&self, name: String) -> Promise {
        let client = self.client.clone();
        promise(async move {
            client.delete_bucket(name).await?;
            Ok(JsValue::UNDEFINED)
        })
    }

    /// A promise of the names of all buckets.
    pub fn names(&self) -> Promise {
        let client = self.client.clone();
        promise(async move {
            let mut names = client.bucket_names();
            let list = Array::new();
            while let Some(name) = names.next().await {
                list.push(&name?.as_ref().into());
            }
            Ok(list.into())
        })
    }

    /// The current `[state, epoch, reason]`.
    pub fn state(&self) -> Array {
        let status = self.client.connection().current();
        let reason = status.reason.as_deref();
        Array::of3(
            &name(status.state).into(),
            &number(status.epoch).into(),
            &reason.map_or(JsValue::UNDEFINED, JsValue::from_str),
        )
    }

    /// A promise of true once the state has changed, of false if it never will again.
    pub fn changed(&self) -> Promise {
        let states = Rc::clone(&self.states);
        promise(async move {
            // The clone tracks what has been seen; it replaces the original.
            let mut seen = states.borrow().clone();
            let changed = seen.changed().await;
            states.replace(seen);
            Ok(changed.is_some().into())
        })
    }

    /// Flushes and closes.
    pub fn close(&self) -> Promise {
        let client = self.client.clone();
        promise(async move {
            client.close().await?;
            Ok(JsValue::UNDEFINED)
        })
    }
}

fn name(state: ConnectionState) -> &'static str {
    match state {
        ConnectionState::Connected => "connected",
        ConnectionState::Closed => "closed",
        _ => "disconnected",
    }
}

fn connect_options(given: &Options, credentials: Option<Function>) -> Result<ConnectOptions> {
    let mut options = ConnectOptions::new()
        .retry_first_connect(given.flag("waitOnFirstConnect")?.unwrap_or(false))
        .ignore_discovered_servers(given.flag("ignoreClusterUpdates")?.unwrap_or(false));
    if let Some(name) = given.text("name")? {
        options = options.name(name);
    }
    if let Some(timeout) = given.millis("timeout")? {
        options = options.connect_timeout(timeout);
    }
    if let Some(timeout) = given.millis("requestTimeout")? {
        options = options.request_timeout(timeout);
    }
    if let Some(domain) = given.text("domain")? {
        options = options.domain(domain);
    }
    if let Some(prefix) = given.text("apiPrefix")? {
        options = options.api_prefix(prefix);
    }
    if let Some(prefix) = given.text("inboxPrefix")? {
        options = options.inbox_prefix(prefix);
    }
    if let Some(provider) = credentials {
        options = ask(options, provider);
    } else if let Some(credentials) = read_credentials(given)? {
        options = options.credentials(credentials);
    }
    Ok(options)
}

fn read_credentials(given: &Options) -> Result<Option<Credentials>> {
    if let Some(text) = given.text("creds")? {
        return Ok(Some(Credentials::Creds(text)));
    }
    if let Some(jwt) = given.text("jwt")? {
        let seed = given.text("nkey")?;
        return Ok(Some(Credentials::Jwt { jwt, seed }));
    }
    if let Some(seed) = given.text("nkey")? {
        return Ok(Some(Credentials::NKey { seed }));
    }
    if let Some(token) = given.text("token")? {
        return Ok(Some(Credentials::Token(token)));
    }
    let Some(user) = given.text("user")? else {
        return Ok(None);
    };
    let password = given.text("pass")?.unwrap_or_default();
    Ok(Some(Credentials::UserPassword { user, password }))
}

type Answer = oneshot::Sender<std::result::Result<Credentials, BoxError>>;

/// Gets the credentials from a JavaScript function on every connect. The library's futures must be `Send`
/// and JavaScript values are not, so a separate task calls it.
fn ask(options: ConnectOptions, provider: Function) -> ConnectOptions {
    let (questions, mut asked) = mpsc::channel::<Answer>(1);
    spawn(Box::pin(async move {
        while let Some(mut answer) = asked.recv().await {
            let given = match select(pin!(call(&provider)), pin!(answer.closed())).await {
                Either::Left((given, _)) => given,
                // That connect was given up; a callback that never settles is called again by the next.
                Either::Right(_) => continue,
            };
            let _ = answer.send(given.map_err(BoxError::from));
        }
    }));
    options.credentials_from(move || {
        let questions = questions.clone();
        async move {
            let (answer, answered) = oneshot::channel();
            questions.send(answer).await?;
            answered.await?
        }
    })
}

async fn call(provider: &Function) -> std::result::Result<Credentials, String> {
    let failed = |error: JsValue| {
        let message = error
            .dyn_ref::<js_sys::Error>()
            .map(|error| String::from(error.message()));
        let message = message.or_else(|| error.as_string()).unwrap_or_default();
        format!("the credentials callback failed: {message}")
    };
    let answer = provider.call0(&JsValue::UNDEFINED).map_err(failed)?;
    let answer = JsFuture::from(Promise::resolve(&answer))
        .await
        .map_err(failed)?;
    match read_credentials(&Options(answer)) {
        Ok(Some(credentials)) => Ok(credentials),
        _ => Err("the credentials callback returned no credentials".into()),
    }
}

/// `config` with the given settings applied.
#[inline(never)]
fn bucket_config(mut config: BucketConfig, given: &Options) -> Result<BucketConfig> {
    if let Some(text) = given.text("description")? {
        config.description = text;
    }
    config.history = given.whole("history")?.unwrap_or(config.history);
    config.replicas = given.whole("replicas")?.unwrap_or(config.replicas);
    if let Some(age) = given.millis("ttl")? {
        config.max_age = (!age.is_zero()).then_some(age);
    }
    if let Some(limit) = given.limit("maxValueSize")? {
        config.max_value_size = limit;
    }
    if let Some(limit) = given.limit("max_bytes")? {
        config.max_bytes = limit;
    }
    config.compression = given.flag("compression")?.unwrap_or(config.compression);
    if let Some(ttl) = given.millis("markerTTL")? {
        config.limit_markers = match ttl.is_zero() {
            true => LimitMarkers::Off,
            false => LimitMarkers::For(ttl),
        };
    }
    config.storage = match given.text("storage")?.as_deref() {
        None => config.storage,
        Some("file") => Storage::File,
        Some("memory") => Storage::Memory,
        Some(_) => {
            return Err(Fault::option("storage", "\"file\" or \"memory\""));
        }
    };
    if let Some(metadata) = given.options("metadata")? {
        config.metadata.clear();
        for name in Object::keys(metadata.0.unchecked_ref::<Object>()) {
            let Some(name) = name.as_string() else {
                continue;
            };
            let value = metadata.value(&name).and_then(|value| value.as_string());
            let value = value.ok_or_else(|| Fault::option("metadata", STRINGS))?;
            config.metadata.insert(name, value);
        }
    }
    Ok(config)
}
