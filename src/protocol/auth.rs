//! Authentication.

use std::{fmt, future::ready};

use futures::future::BoxFuture;

use super::ServerUrl;
use crate::{
    error::BoxError,
    json::Writer,
    options::{Credentials, CredentialsProvider, parse_creds},
};

/// Gets the credentials for a server that sent this nonce. Those in the server's URL are used only if there
/// are no others.
pub(crate) fn login(
    provider: Option<&CredentialsProvider>,
    nonce: Option<String>,
    server: &ServerUrl,
) -> BoxFuture<'static, Result<Login, BoxError>> {
    match (provider, server.login()) {
        (Some(provider), _) => {
            let credentials = provider();
            Box::pin(async move { Login::new(credentials.await?, nonce.as_deref()) })
        }
        (None, Some((user, Some(password)))) => Box::pin(ready(Ok(Login {
            user: Some(user.to_owned()),
            pass: Some(password.to_owned()),
            ..Login::default()
        }))),
        (None, Some((token, None))) => Box::pin(ready(Ok(Login {
            auth_token: Some(token.to_owned()),
            ..Login::default()
        }))),
        (None, None) => Box::pin(ready(Ok(Login::default()))),
    }
}

/// The authentication fields of CONNECT.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct Login {
    user: Option<String>,
    pass: Option<String>,
    auth_token: Option<String>,
    jwt: Option<String>,
    nkey: Option<String>,
    sig: Option<String>,
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login").finish_non_exhaustive()
    }
}

impl Login {
    /// Writes the fields that are set.
    pub(super) fn write(&self, json: &mut Writer) {
        json.maybe_text("user", self.user.as_deref());
        json.maybe_text("pass", self.pass.as_deref());
        json.maybe_text("auth_token", self.auth_token.as_deref());
        json.maybe_text("jwt", self.jwt.as_deref());
        json.maybe_text("nkey", self.nkey.as_deref());
        json.maybe_text("sig", self.sig.as_deref());
    }

    fn new(credentials: Credentials, nonce: Option<&str>) -> Result<Self, BoxError> {
        let mut login = Self::default();
        match credentials {
            Credentials::UserPassword { user, password } => {
                login.user = Some(user);
                login.pass = Some(password);
            }
            Credentials::Token(token) => login.auth_token = Some(token),
            Credentials::NKey { seed } => {
                let (nkey, signature) = sign(&seed, nonce)?;
                login.nkey = Some(nkey);
                login.sig = Some(signature);
            }
            // The JWT contains the public key.
            Credentials::Jwt { jwt, seed } => {
                login.sig = seed
                    .map(|seed| sign(&seed, nonce))
                    .transpose()?
                    .map(|(_, sig)| sig);
                login.jwt = Some(jwt);
            }
            Credentials::Creds(text) => {
                let (jwt, seed) = parse_creds(&text)?;
                login.sig = Some(sign(&seed, nonce)?.1);
                login.jwt = Some(jwt);
            }
        }
        Ok(login)
    }
}

/// The public key of a seed, and its signature of the nonce.
#[cfg(feature = "nkeys")]
fn sign(seed: &str, nonce: Option<&str>) -> Result<(String, String), BoxError> {
    let nonce = nonce.ok_or("the server asks for no signature: it knows nothing of NKeys")?;
    let key = super::nkey::UserKey::from_seed(seed.trim())?;
    Ok((key.public(), base64_url(&key.sign(nonce.as_bytes()))))
}

#[cfg(not(feature = "nkeys"))]
fn sign(_seed: &str, _nonce: Option<&str>) -> Result<(String, String), BoxError> {
    Err("to sign with the seed of an NKey, build with the feature `nkeys`".into())
}

/// URL-safe base64 without padding.
#[cfg(any(feature = "nkeys", test))]
fn base64_url(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let byte = |at: usize| u32::from(chunk.get(at).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for digit in 0..=chunk.len() {
            let value = bits >> (18 - 6 * digit) & 63;
            text.push(char::from(DIGITS[value as usize]));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    };

    use futures::FutureExt;
    use serde_json::{Value, json};

    use super::*;

    fn shown(credentials: Option<Credentials>, url: &str) -> Value {
        let provider: Option<CredentialsProvider> = credentials.map(|credentials| {
            let provider: CredentialsProvider =
                Arc::new(move || Box::pin(ready(Ok(credentials.clone()))));
            provider
        });
        let server = ServerUrl::parse(url).unwrap();
        let login = login(provider.as_ref(), Some("nonce".into()), &server);
        let mut json = Writer::new();
        login.now_or_never().unwrap().unwrap().write(&mut json);
        serde_json::from_slice(&json.finish()).unwrap()
    }

    #[test]
    fn only_configured_credentials_are_sent() {
        let token = Credentials::Token("t".into());
        assert_eq!(shown(Some(token), "ws://h"), json!({"auth_token": "t"}));
        assert_eq!(shown(None, "ws://h"), json!({}));
    }

    #[test]
    fn credentials_in_the_address_are_a_fallback() {
        let expected = json!({"user": "ann", "pass": "p@ss"});
        assert_eq!(shown(None, "ws://ann:p%40ss@h"), expected);
        assert_eq!(
            shown(None, "ws://secret@h"),
            json!({"auth_token": "secret"})
        );
        let given = Credentials::Token("t".into());
        assert_eq!(
            shown(Some(given), "ws://ann:pw@h"),
            json!({"auth_token": "t"})
        );
    }

    #[test]
    fn a_provider_is_called_for_every_connection() {
        let asked = Arc::new(AtomicU32::new(0));
        let counter = asked.clone();
        let provider: CredentialsProvider = Arc::new(move || {
            let turn = counter.fetch_add(1, Ordering::Relaxed);
            Box::pin(ready(Ok(Credentials::Token(turn.to_string()))))
        });
        let server = ServerUrl::parse("ws://h").unwrap();
        for turn in ["0", "1"] {
            let login = login(Some(&provider), None, &server)
                .now_or_never()
                .unwrap()
                .unwrap();
            assert_eq!(login.auth_token.as_deref(), Some(turn));
        }
    }

    #[test]
    #[cfg(feature = "nkeys")]
    fn a_credentials_file_yields_a_jwt_and_a_signature() {
        let file = "-----BEGIN NATS USER JWT-----\r\neyJ0\r\n------END NATS USER JWT------\r\n\
            -----BEGIN USER NKEY SEED-----\n\
            SUACSSL3UAHUDXKFSNVUZRF5UHPMWZ6BFDTJ7M6USDXIEDNPPQYYYCU3VY\n";
        let shown = shown(Some(Credentials::Creds(file.into())), "ws://h");
        assert_eq!(shown["jwt"], "eyJ0");
        assert_eq!(shown["sig"].as_str().unwrap().len(), 86);
        assert!(shown.get("nkey").is_none());
    }

    /// As in a file: with a line break.
    #[test]
    #[cfg(feature = "nkeys")]
    fn whitespace_around_a_seed_is_ignored() {
        let seed = "SUACSSL3UAHUDXKFSNVUZRF5UHPMWZ6BFDTJ7M6USDXIEDNPPQYYYCU3VY\n".to_owned();
        let jwt = "eyJ0".to_owned();
        let nkey = shown(Some(Credentials::NKey { seed: seed.clone() }), "ws://h");
        assert_eq!(nkey["nkey"].as_str().unwrap().len(), 56);
        let seed = Some(seed);
        let with_seed = Credentials::Jwt {
            jwt: jwt.clone(),
            seed,
        };
        let shown_jwt = shown(Some(with_seed), "ws://h");
        assert_eq!(shown_jwt, json!({"jwt": "eyJ0", "sig": nkey["sig"]}));
        let bearer = Credentials::Jwt { jwt, seed: None };
        assert_eq!(shown(Some(bearer), "ws://h"), json!({"jwt": "eyJ0"}));
    }

    #[test]
    fn base64_has_no_padding() {
        for (bytes, text) in [("", ""), ("f", "Zg"), ("fo", "Zm8"), ("foo", "Zm9v")] {
            assert_eq!(base64_url(bytes.as_bytes()), text);
        }
        assert_eq!(base64_url(&[0xff, 0xef]), "_-8");
    }
}
