//! Connection options.

use std::{fmt, path::PathBuf, sync::Arc, time::Duration};

use futures::future::BoxFuture;

use crate::{
    client::{Client, ConnectError},
    error::{BoxError, InvalidOption},
    platform,
    words::Quoted,
};

/// The maximum timeout: clocks cannot represent arbitrarily distant times.
const A_YEAR: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// Credentials for authentication.
///
/// `Debug` prints the kind, but no secrets.
///
/// ```no_run
/// use shizuku::{ConnectOptions, Credentials};
///
/// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let seed = std::env::var("NATS_SEED")?;
/// let options = ConnectOptions::new().credentials(Credentials::NKey { seed });
/// let client = options.connect("tls://nats.example.com").await?;
/// # Ok(()) }
/// ```
#[derive(Clone)]
#[non_exhaustive]
pub enum Credentials {
    /// User name and password.
    UserPassword {
        /// The user name.
        user: String,
        /// The password.
        password: String,
    },
    /// A token.
    Token(String),
    /// An `NKey`, given as its seed (`SU…`), which signs the server's nonce.
    NKey {
        /// The seed.
        seed: String,
    },
    /// A user JWT, with the seed of its `NKey`. Without a seed it is a bearer JWT.
    Jwt {
        /// The JWT.
        jwt: String,
        /// The seed.
        seed: Option<String>,
    },
    /// The text of a `.creds` file: a JWT and a seed between their markers.
    Creds(String),
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::UserPassword { .. } => "UserPassword",
            Self::Token(_) => "Token",
            Self::NKey { .. } => "NKey",
            Self::Jwt { .. } => "Jwt",
            Self::Creds(_) => "Creds",
        })
    }
}

/// Returns the current credentials; called at every connect and reconnect.
pub(crate) type CredentialsProvider =
    Arc<dyn Fn() -> BoxFuture<'static, Result<Credentials, BoxError>> + Send + Sync>;

/// Connection options; [`shizuku::connect`](crate::connect) uses the defaults.
///
/// ```
/// use std::time::Duration;
/// use shizuku::ConnectOptions;
///
/// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let client = ConnectOptions::new()
///     .name("billing")
///     .request_timeout(Duration::from_secs(2))
///     .connect("memory:")
///     .await?;
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct ConnectOptions {
    pub(crate) name: Option<String>,
    pub(crate) credentials: Option<CredentialsProvider>,
    pub(crate) connect_timeout: Duration,
    pub(crate) request_timeout: Duration,
    pub(crate) api_prefix: String,
    pub(crate) inbox_prefix: String,
    pub(crate) retry_first_connect: bool,
    pub(crate) ignore_discovered_servers: bool,
    pub(crate) tls_required: bool,
    pub(crate) root_certificates: Vec<PathBuf>,
    pub(crate) client_certificate: Option<(PathBuf, PathBuf)>,
}

impl Default for ConnectOptions {
    fn default() -> Self {
        Self {
            name: None,
            credentials: None,
            connect_timeout: Duration::from_secs(5),
            request_timeout: Duration::from_secs(5),
            api_prefix: "$JS.API".into(),
            inbox_prefix: "_INBOX".into(),
            retry_first_connect: false,
            ignore_discovered_servers: false,
            tls_required: false,
            root_certificates: Vec::new(),
            client_certificate: None,
        }
    }
}

impl ConnectOptions {
    /// Creates the default options: no credentials, 5 s for a connect and for a request, no JetStream
    /// domain.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets a name for this client, shown in the server's monitoring.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Sets fixed credentials.
    #[must_use]
    pub fn credentials(self, credentials: Credentials) -> Self {
        self.credentials_from(move || {
            let credentials = credentials.clone();
            async move { Ok(credentials) }
        })
    }

    /// Sets a credentials provider, called at every connect and reconnect: for tokens that expire.
    ///
    /// If the provider fails, the first connect fails too; a reconnect is retried with backoff, as if
    /// the server were unreachable, and likewise if the provider takes longer than the server waits (2 s
    /// by default). Credentials that the server rejects twice in a row close the client over `web`;
    /// natively they are retried forever.
    #[must_use]
    pub fn credentials_from<F, Fut>(mut self, provider: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Credentials, BoxError>> + Send + 'static,
    {
        self.credentials = Some(Arc::new(move || Box::pin(provider())));
        self
    }

    /// Uses a `.creds` file, read again at every connect. Native only.
    #[must_use]
    pub fn credentials_file(self, path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        self.credentials_from(move || {
            let path = path.clone();
            platform::apart(move || match std::fs::read_to_string(&path) {
                Ok(text) => Ok(Credentials::Creds(text)),
                Err(error) => Err(format!("cannot read {}: {error}", path.display()).into()),
            })
        })
    }

    /// Sets a user name and password.
    #[must_use]
    pub fn user_and_password(self, user: impl Into<String>, password: impl Into<String>) -> Self {
        self.credentials(Credentials::UserPassword {
            user: user.into(),
            password: password.into(),
        })
    }

    /// Sets a token.
    #[must_use]
    pub fn token(self, token: impl Into<String>) -> Self {
        self.credentials(Credentials::Token(token.into()))
    }

    /// Sets the timeout of a connect, from the dial to the server's greeting. Default 5 s; zero and more
    /// than a year are [rejected](ConnectError::InvalidOption).
    #[must_use]
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// Sets the timeout of a request, including the wait for a reconnect. Default 5 s; zero and more
    /// than a year are [rejected](ConnectError::InvalidOption).
    ///
    /// Over `web`, up to 1024 requests wait for a connection; further ones fail immediately with
    /// [`ServiceError::Disconnected`](crate::kv::ServiceError::Disconnected).
    #[must_use]
    pub fn request_timeout(mut self, timeout: Duration) -> Self {
        self.request_timeout = timeout;
        self
    }

    /// Sets the JetStream domain, such as that of a leaf node: requests go to `$JS.<domain>.API`.
    #[must_use]
    pub fn domain(self, domain: impl AsRef<str>) -> Self {
        self.api_prefix(format!("$JS.{}.API", domain.as_ref()))
    }

    /// Sets the prefix of the JetStream API, for accounts that import it under another name. Default
    /// `$JS.API`. The export should have `response_type: stream`, or reading many keys at once takes
    /// longer; the [inboxes](Self::inbox_prefix) of watches must be imported too.
    #[must_use]
    pub fn api_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.api_prefix = prefix.into();
        self
    }

    /// Sets the prefix of this client's reply subjects. Default `_INBOX`.
    #[must_use]
    pub fn inbox_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.inbox_prefix = prefix.into();
        self
    }

    /// If the first connect fails, keeps trying in the background; calls wait for it within their own
    /// deadline. Off by default, so that a wrong address is detected immediately.
    #[must_use]
    pub fn retry_first_connect(mut self, retry: bool) -> Self {
        self.retry_first_connect = retry;
        self
    }

    /// Uses only the servers in the address, and ignores others that they announce.
    #[must_use]
    pub fn ignore_discovered_servers(mut self, ignore: bool) -> Self {
        self.ignore_discovered_servers = ignore;
        self
    }

    /// Requires TLS. `tls://` and `wss://` imply it. In a browser only the scheme decides.
    ///
    /// Native builds use rustls with ring. If another crate in your program builds rustls with another
    /// provider too, choose one for the process before connecting (`CryptoProvider::install_default`):
    /// rustls panics where it would have to choose.
    #[must_use]
    pub fn require_tls(mut self, required: bool) -> Self {
        self.tls_required = required;
        self
    }

    /// Trusts the certificates in a PEM file instead of the system's. May be called several times.
    /// Native only: rejected over `web`.
    #[must_use]
    pub fn root_certificates(mut self, pem: impl Into<PathBuf>) -> Self {
        self.root_certificates.push(pem.into());
        self
    }

    /// Presents this client certificate to the server; both files are PEM. Native only: rejected over
    /// `web`.
    #[must_use]
    pub fn client_certificate(
        mut self,
        certificate: impl Into<PathBuf>,
        key: impl Into<PathBuf>,
    ) -> Self {
        self.client_certificate = Some((certificate.into(), key.into()));
        self
    }

    /// Connects; see [`shizuku::connect`](crate::connect) for the address formats.
    ///
    /// # Errors
    /// [`ConnectError`], with what is wrong with the address or the options, or why the server could not
    /// be reached.
    pub async fn connect(self, url: impl AsRef<str>) -> Result<Client, ConnectError> {
        self.check()?;
        crate::client::open(url.as_ref(), &self).await
    }

    pub(crate) fn check(&self) -> Result<(), InvalidOption> {
        for (option, prefix) in [
            ("api_prefix", &self.api_prefix),
            ("inbox_prefix", &self.inbox_prefix),
        ] {
            let bad = |character: char| {
                character.is_whitespace()
                    || character.is_control()
                    || matches!(character, '*' | '>')
            };
            if prefix.split('.').any(str::is_empty) || prefix.contains(bad) {
                return Err(InvalidOption::new(
                    option,
                    format!(
                        "{} is not a valid subject without wildcards",
                        Quoted(prefix)
                    ),
                ));
            }
        }
        for (option, timeout) in [
            ("connect_timeout", self.connect_timeout),
            ("request_timeout", self.request_timeout),
        ] {
            if timeout.is_zero() {
                return Err(InvalidOption::new(option, "must be longer than 0"));
            }
            if timeout > A_YEAR {
                return Err(InvalidOption::new(option, "must not be longer than a year"));
            }
        }
        Ok(())
    }
}

impl fmt::Debug for ConnectOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectOptions")
            .field("name", &self.name)
            .field("has_credentials", &self.credentials.is_some())
            .field("connect_timeout", &self.connect_timeout)
            .field("request_timeout", &self.request_timeout)
            .field("api_prefix", &self.api_prefix)
            .field("inbox_prefix", &self.inbox_prefix)
            .finish_non_exhaustive()
    }
}

/// Extracts the JWT and the seed from the text of a `.creds` file: each is on its own line after its
/// `BEGIN` marker.
#[cfg(any(feature = "native", feature = "web"))]
#[cfg_attr(not(feature = "web"), allow(dead_code))] // in a browser
pub(crate) fn parse_creds(text: &str) -> Result<(String, String), BoxError> {
    let after = |marker: [&str; 3]| {
        let mut lines = text.lines().map(str::trim);
        let has = |line: &str, word: &str| line.split([' ', '-']).any(|part| part == word);
        lines.find(|line| marker.iter().all(|word| has(line, word)))?;
        lines.find(|line| !line.is_empty()).map(str::to_owned)
    };
    match (
        after(["BEGIN", "USER", "JWT"]),
        after(["BEGIN", "NKEY", "SEED"]),
    ) {
        (Some(jwt), Some(seed)) => Ok((jwt, seed)),
        (None, _) => Err("the credentials text has no user JWT".into()),
        (_, None) => Err("the credentials text has no NKey seed".into()),
    }
}

#[cfg(all(test, any(feature = "native", feature = "web")))]
mod tests {
    use super::{BoxError, parse_creds};

    #[test]
    fn a_credentials_file_requires_a_jwt_and_a_seed() -> Result<(), BoxError> {
        let text = "-----BEGIN NATS USER JWT-----\neyJ0.e.s\n------END NATS USER JWT------\n\n\
                    ****** IMPORTANT ******\n\n\
                    -----BEGIN USER NKEY SEED-----\nSUAB\n------END USER NKEY SEED------\n";
        assert_eq!(parse_creds(text)?, ("eyJ0.e.s".into(), "SUAB".into()));
        assert!(parse_creds("nothing").is_err());
        Ok(())
    }
}
