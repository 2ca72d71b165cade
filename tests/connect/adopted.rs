//! Adopting a connection made by async-nats.

use std::time::Duration;

use harness::NatsServer;
use shizuku::{Client, ConnectError, ConnectOptions, ConnectionState};

use crate::{PATIENCE, assert_refused, works};

#[tokio::test]
async fn a_connection_of_async_nats_can_be_adopted() {
    let server = NatsServer::start_default().await.unwrap();
    let nats = async_nats::connect(server.url()).await.unwrap();
    let context = async_nats::jetstream::new(nats.clone());
    works(&Client::try_from(context.clone()).unwrap()).await;
    let client = Client::try_from(nats).unwrap();
    let store = works(&client).await;
    let theirs = context.get_key_value("connect").await.unwrap();
    let endless = ConnectOptions::new().request_timeout(Duration::MAX);
    assert_refused!(
        endless.adopt(context.client()),
        ConnectError::InvalidOption(_)
    );
    let same = ConnectOptions::new().adopt(context.client()).unwrap();
    let same = same.open_bucket(&theirs.name).await.unwrap();
    assert_eq!(same.get("key").await.unwrap().unwrap(), "value");

    let watch = store.watch("key").await.unwrap();
    let mut connection = client.connection();
    let epoch = connection.current().epoch;
    server.kill().unwrap();
    server.restart().await.unwrap();
    let again =
        connection.wait_for(|now| now.epoch > epoch && now.state == ConnectionState::Connected);
    tokio::time::timeout(PATIENCE, again)
        .await
        .expect("the reconnect should be noticed")
        .unwrap();
    store.put("key", "after").await.unwrap();
    let seen = async {
        while let Some(entry) = watch.next().await {
            if entry.unwrap().value.as_deref() == Some(b"after") {
                return;
            }
        }
        panic!("the watch ended");
    };
    tokio::time::timeout(PATIENCE, seen).await.unwrap();
}
