//! Server permissions (src/permissions.md), and what happens without them.

use std::{
    error::Error,
    time::{Duration, Instant},
};

use futures::{StreamExt, TryStreamExt, future::join_all, stream};
use harness::{Builder, LATEST, NatsServer, V2_10};
use shizuku::{
    Client, ConnectOptions, Store,
    kv::{
        BoxError, BucketConfig, KvReadError, KvWriteError, Read, ServiceError, WatchEvent,
        rw_lock::DistroRwLock,
    },
};

use tokio::time::sleep;

use crate::{next, until};

/// More than a server sends without a reply to flow control.
const MANY: usize = 1_500;

async fn sign_in(address: &str, user: &str, password: &str) -> Client {
    let options = ConnectOptions::new().user_and_password(user, password);
    options.connect(address).await.unwrap()
}

/// The prefixes of an address, for every transport in this build.
fn protocols() -> impl Iterator<Item = &'static str> {
    let web = cfg!(feature = "web").then_some("web+");
    [""].into_iter().chain(web)
}

/// A server with a user `all`, and a user `less` with these permissions.
fn restricted(less: &str) -> Builder {
    NatsServer::builder().config(format!(
        "authorization {{ users = [
            {{ user: all, password: all }}
            {{ user: less, password: less, permissions: {{ {less} }} }}
        ] }}"
    ))
}

async fn fill(store: &Store) {
    let value = vec![b'x'; 4096];
    let puts = stream::iter(0..MANY).map(|n| store.put(format!("app.{n}"), value.clone()));
    let _: Vec<u64> = puts.buffer_unordered(64).try_collect().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_denied_flow_control_reply_ends_a_watch() {
    for (version, protocol) in [(LATEST, ""), (V2_10, ""), (LATEST, "web+")] {
        if !protocol.is_empty() && cfg!(not(feature = "web")) {
            continue;
        }
        let users = r#"authorization { users = [
            { user: all, password: all }
            { user: less, password: less, permissions: { publish: { deny: ["$JS.FC.>"] } } }
        ] }"#;
        let builder = NatsServer::builder().version(version).config(users);
        let server = builder.start().await.unwrap();
        let address = format!("{protocol}{}", server.url());
        let all = sign_in(&address, "all", "all").await;
        fill(&all.create_bucket("b").await.unwrap()).await;

        let less = sign_in(&address, "less", "less").await;
        let watch = less.open_bucket("b").await.unwrap().watch_all().await;
        let watch = watch.unwrap();
        let begin = Instant::now();
        let error = loop {
            match next(&watch).await {
                Ok(WatchEvent::Entry(_)) => {}
                Ok(other) => panic!("{version}: {other:?}"),
                Err(error) => break error,
            }
        };
        let KvReadError::Service(ServiceError::PermissionDenied { subject }) = error else {
            panic!("{version}: {error}");
        };
        assert!(subject.starts_with("$JS.FC.KV_b."), "{version}: {subject}");
        // The server's next heartbeat reports the stall.
        assert!(begin.elapsed() < Duration::from_secs(15), "{version}");
    }
}

/// The subscription to replies is denied while a client is connected.
#[tokio::test]
async fn a_write_reported_as_denied_was_not_stored() {
    for protocol in protocols() {
        let server = restricted("").start().await.unwrap();
        let address = format!("{protocol}{}", server.url());
        let all = sign_in(&address, "all", "all").await;
        let there = all.create_bucket("b").await.unwrap();
        let less = sign_in(&address, "less", "less").await;
        let store = less.open_bucket("b").await.unwrap();
        server.reconfigure(|_| restricted(r#"subscribe: { deny: "_INBOX.>" }"#));
        server.reload().unwrap();
        let (mut begun, mut denied) = (0, Vec::new());
        while denied.len() < 10 {
            // Several writes are in flight when the server denies.
            let keys: Vec<_> = (begun..begun + 5).map(|n| format!("a.{n}")).collect();
            begun += 5;
            let written = join_all(keys.iter().map(|key| store.put(key.as_str(), "x"))).await;
            for (key, written) in keys.into_iter().zip(written) {
                match written {
                    Ok(_) | Err(KvWriteError::OutcomeUnknown { .. }) => {}
                    Err(KvWriteError::Service(ServiceError::PermissionDenied { subject })) => {
                        assert!(subject.starts_with("_INBOX."), "{subject}");
                        denied.push(key);
                    }
                    Err(error) => panic!("{error}"),
                }
            }
        }
        for key in denied {
            assert_eq!(there.get(key).await.unwrap(), None, "{address}");
        }
    }
}

/// A batch of direct gets has several replies, so it is no request of the transport.
#[tokio::test]
async fn a_denied_batch_is_reported_as_denied() {
    let less = r#"publish: { deny: "$JS.API.DIRECT.GET.KV_b" }"#;
    for protocol in protocols() {
        let builder = restricted(less).version(LATEST);
        let server = builder.start().await.unwrap();
        let address = format!("{protocol}{}", server.url());
        let all = sign_in(&address, "all", "all").await;
        all.create_bucket("b").await.unwrap();
        let less = sign_in(&address, "less", "less").await;
        let store = less.open_bucket("b").await.unwrap();
        let begin = Instant::now();
        let error = store.get_many(["a", "b"]).await.unwrap_err();
        let KvReadError::Service(ServiceError::PermissionDenied { subject }) = error else {
            panic!("{address}: {error} after {:?}", begin.elapsed());
        };
        assert_eq!(subject, "$JS.API.DIRECT.GET.KV_b");
        assert!(begin.elapsed() < Duration::from_secs(3), "{address}");
    }
}

/// The subscription to the replies is kept for the next batch, but may have been denied in the meantime.
#[tokio::test]
async fn batches_whose_replies_are_denied_are_reported_as_denied() {
    for protocol in protocols() {
        let server = restricted("").start().await.unwrap();
        let address = format!("{protocol}{}", server.url());
        let less = sign_in(&address, "less", "less").await;
        let store = less.create_bucket("b").await.unwrap();
        store.put("a", "1").await.unwrap();
        assert_eq!(store.get_many("a").await.unwrap().len(), 1);
        server.reconfigure(|_| restricted(r#"subscribe: { deny: "_INBOX.>" }"#));
        server.reload().unwrap();
        until("the reply subjects are denied", || async {
            store.get("a").await.is_err()
        })
        .await;
        // With the subscription that was kept, and with a new one.
        for _ in 0..2 {
            let error = store.get_many("a").await.unwrap_err();
            let KvReadError::Service(ServiceError::PermissionDenied { subject }) = error else {
                panic!("{address}: {error}");
            };
            assert!(subject.starts_with("_INBOX."), "{address}: {subject}");
        }
    }
}

/// Each user can do what the text says, and needs every line of its permissions.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn documented_permissions_are_sufficient_and_minimal() {
    let users = users();
    let configs: Vec<_> = users.iter().flat_map(User::configs).collect();
    let server = NatsServer::builder()
        .version(LATEST)
        .config(format!(
            "authorization {{ users = [ {{ user: all, password: all }}\n{} ] }}",
            configs.join("\n")
        ))
        .start()
        .await
        .unwrap();
    let all = sign_in(&server.url(), "all", "all").await;
    for user in &users {
        let uses = async |name: &str| {
            let config = BucketConfig::new("settings").history(5);
            let store = all.create_or_update_bucket(config).await.unwrap();
            let removed = store.delete("app.removed").await.unwrap();
            assert!(removed > 0);
            if store.get("app.0").await.unwrap().is_none() {
                fill(&store).await;
            }
            user.uses(&sign_in(&server.url(), name, "…").await).await
        };
        uses(user.name).await.unwrap();
        let violation = format!("user:{}\" - ", user.name);
        assert!(!server.log().contains(&violation), "{}", server.log());
        user.is_refused(&sign_in(&server.url(), user.name, "…").await)
            .await;
        for (number, line) in user.subjects().enumerate() {
            // For these users too little is sent here to need flow control.
            if matches!(user.name, "worker" | "admin") && line.contains("$JS.FC.") {
                continue;
            }
            let name = user.less(number);
            if let Err(error) = uses(&name).await {
                assert!(is_refusal(&*error), "{name} without {line}: {error}");
            }
            let violation = format!("user:{name}\" - Publish Violation");
            until(&format!("{name} misses {line}"), || async {
                server.log().contains(&violation)
            })
            .await;
        }
    }
}

fn is_refusal(error: &dyn Error) -> bool {
    error.to_string().contains("permission denied for $") || error.source().is_some_and(is_refusal)
}

/// A user in the text: the name, and the definition after it.
struct User {
    name: &'static str,
    given: &'static str,
}

fn users() -> Vec<User> {
    let text = include_str!("../../src/permissions.md");
    let config = text.split("```").nth(1).unwrap();
    let given = config.split("{ user: ").skip(1);
    given
        .map(|given| User {
            name: given.split_once(',').unwrap().0,
            given: given.trim_end().trim_end_matches("\n] }"),
        })
        .collect()
}

impl User {
    /// The lines that grant something.
    fn subjects(&self) -> impl Iterator<Item = &'static str> {
        let lines = self.given.lines().map(str::trim);
        lines.filter(|line| line.starts_with("\"$"))
    }

    /// The user's definition, and one without each line.
    fn configs(&self) -> Vec<String> {
        let mut configs = vec![format!("{{ user: {}", self.given)];
        for (number, line) in self.subjects().enumerate() {
            let less = self.given.replacen(line, "", 1);
            let less = less.replacen(self.name, &self.less(number), 1);
            configs.push(format!("{{ user: {less}"));
        }
        configs
    }

    fn less(&self, number: usize) -> String {
        format!("{}_less_{number}", self.name)
    }

    /// Does everything that the text promises.
    async fn uses(&self, client: &Client) -> Result<(), BoxError> {
        match self.name {
            "reader" => reads(&client.open_bucket("settings").await?).await,
            "app_reader" => reads_app(&client.open_bucket("settings").await?).await,
            "writer" => writes(&client.open_bucket("settings").await?).await,
            "worker" => locks(client).await,
            "admin" => administers(client).await,
            other => panic!("who is {other}?"),
        }
    }

    /// Tries everything that this user may not do.
    async fn is_refused(&self, client: &Client) {
        let store = client.open_bucket("settings").await.unwrap();
        let lock = DistroRwLock::new(&store, "job").unwrap();
        let refusals: [Result<(), BoxError>; 4] = [
            store.put("app.0", "1").await.map(drop).map_err(Into::into),
            store.get("other").await.map(drop).map_err(Into::into),
            store.watch_all().await.map(drop).map_err(Into::into),
            lock.write().await.map(drop).map_err(Into::into),
        ];
        // put, get, watch_all, lock
        let may = match self.name {
            "reader" => [false, true, true, false],
            "writer" => [true, false, false, false],
            "worker" => [false, false, false, true],
            "admin" => [false, false, true, false],
            _ => [false; 4],
        };
        for (result, may) in refusals.into_iter().zip(may) {
            match result {
                Ok(()) => assert!(may, "{} may too much", self.name),
                Err(error) => assert!(!may && is_refusal(&*error), "{}: {error}", self.name),
            }
        }
    }
}

async fn reads(store: &Store) -> Result<(), BoxError> {
    assert!(store.status().await?.values > 0);
    assert!(store.get("app.0").await?.is_some());
    let entry = store.entry_with("app.0", Read::Leader).await?.unwrap();
    assert_eq!(store.entry_at("app.0", entry.revision).await?, Some(entry));
    assert_eq!(store.get_many("app.1").await?.len(), 1);
    let keys: Vec<_> = store.keys().await?.try_collect().await?;
    assert_eq!(keys.len(), MANY);
    assert_eq!(store.history("app.0").await?.len(), 1);
    let watch = store.watch_all().await?;
    while !matches!(watch.next_event().await.unwrap()?, WatchEvent::Current) {}
    Ok(())
}

async fn reads_app(store: &Store) -> Result<(), BoxError> {
    assert!(store.get("app.0").await?.is_some());
    let keys: Vec<_> = store.keys_matching("app.>").await?.try_collect().await?;
    assert_eq!(keys.len(), MANY);
    let watch = store.watch("app.>").await?;
    while !matches!(watch.next_event().await.unwrap()?, WatchEvent::Current) {}
    Ok(())
}

async fn writes(store: &Store) -> Result<(), BoxError> {
    let revision = store.put("app.0", "1").await?;
    store.update("app.0", "2", revision).await?;
    store.purge("app.0").await?;
    store.create("app.removed", "3").await?;
    store.delete("app.removed").await?;
    Ok(())
}

async fn locks(client: &Client) -> Result<(), BoxError> {
    let mine = DistroRwLock::new(&client.open_bucket("settings").await?, "job")?;
    let theirs = DistroRwLock::new(&client.open_bucket("settings").await?, "job")?;
    let held = mine.write().await?;
    let waiting = tokio::spawn(async move { theirs.write().await?.release().await });
    // A waiter has opened a watch.
    while mine.holders().await?.len() < 2 && !waiting.is_finished() {
        sleep(Duration::from_millis(20)).await;
    }
    held.release().await?;
    waiting.await??;
    Ok(())
}

async fn administers(client: &Client) -> Result<(), BoxError> {
    let config = BucketConfig::new("settings");
    let names: Vec<_> = client.bucket_names().try_collect().await?;
    assert_eq!(names, ["settings"]);
    let changed = config.clone().history(7);
    let store = client.create_or_update_bucket(changed).await?;
    assert!(store.purge_deletes(Duration::ZERO).await? > 0);
    client.delete_bucket("settings").await?;
    client.create_bucket(config).await?;
    Ok(())
}
