//! A server with JWT authentication.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nkeys::KeyPair;
use serde_json::{Map, Value, json};

/// A user, and a server configuration that admits it.
pub(crate) struct User {
    pub(crate) config: String,
    pub(crate) jwt: String,
    pub(crate) seed: String,
    account: KeyPair,
    pair: KeyPair,
    claims: Value,
}

impl User {
    pub(crate) fn new() -> Self {
        let (operator, pair) = (KeyPair::new_operator(), KeyPair::new_user());
        let (account, system) = (KeyPair::new_account(), KeyPair::new_account());
        let of_account = |names: &[&str]| {
            let no_limits = no_limits(names);
            json!({ "type": "account", "version": 2, "limits": no_limits })
        };
        let core = [
            "subs", "data", "payload", "imports", "exports", "conn", "leaf",
        ];
        let storage = ["mem_storage", "disk_storage", "streams", "consumer"];
        let mut claims = no_limits(&["subs", "data", "payload"]);
        claims.extend([("type".into(), "user".into()), ("version".into(), 2.into())]);
        let preloaded = [
            (&account, of_account(&[&core[..], &storage].concat())),
            (&system, of_account(&core)),
        ];
        let preloaded = preloaded.map(|(key, claims)| {
            let jwt = sign(&operator, key, &claims, None);
            format!("{}: {jwt:?}", key.public_key())
        });
        let claims = Value::from(claims);
        let itself = json!({ "type": "operator", "version": 2 });
        Self {
            config: format!(
                "operator: {:?}\nsystem_account: {}\nresolver: MEMORY\nresolver_preload {{ {} }}",
                sign(&operator, &operator, &itself, None),
                system.public_key(),
                preloaded.join(", "),
            ),
            jwt: sign(&account, &pair, &claims, None),
            seed: pair.seed().unwrap(),
            account,
            pair,
            claims,
        }
    }

    /// A JWT that expires.
    pub(crate) fn lasting(&self, life: Duration) -> String {
        let end = SystemTime::now() + life;
        let end = end.duration_since(UNIX_EPOCH).unwrap().as_secs();
        sign(&self.account, &self.pair, &self.claims, Some(end))
    }

    /// The contents of its `.creds` file.
    pub(crate) fn creds(&self) -> String {
        let Self { jwt, seed, .. } = self;
        format!(
            "-----BEGIN NATS USER JWT-----\n{jwt}\n------END NATS USER JWT------\n\n\
             -----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------\n"
        )
    }
}

/// Without a claim, a limit is 0.
fn no_limits(names: &[&str]) -> Map<String, Value> {
    let limits = names.iter().map(|name| ((*name).into(), (-1).into()));
    limits.collect()
}

/// A JWT signed by an issuer.
fn sign(issuer: &KeyPair, subject: &KeyPair, claims: &Value, end: Option<u64>) -> String {
    let encode = |bytes: &[u8]| data_encoding::BASE64URL_NOPAD.encode(bytes);
    let body = json!({
        "jti": subject.public_key(),
        "iat": 1_700_000_000,
        "iss": issuer.public_key(),
        "sub": subject.public_key(),
        "exp": end.unwrap_or(0),
        "name": "test",
        "nats": claims,
    });
    let head = encode(br#"{"typ":"JWT","alg":"ed25519-nkey"}"#);
    let text = format!("{head}.{}", encode(body.to_string().as_bytes()));
    let signature = issuer.sign(text.as_bytes()).unwrap();
    format!("{text}.{}", encode(&signature))
}
