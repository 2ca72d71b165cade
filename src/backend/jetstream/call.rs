//! Requests to the JetStream API, with timeouts, and refusals converted to our errors.

use std::{fmt::Display, sync::Arc, time::Duration};

use bytes::Bytes;
use futures::future::{BoxFuture, Either, select, select_all};

use super::api::{ApiError, Refusal, code};
use crate::{
    error::ServiceError,
    json::{self, FromJson},
    key::BucketName,
    message::{Message, Outbound, TransportError},
    platform,
    status::ConnectionState,
    transport::Transport,
};

/// After this time without a response, the request is sent again.
pub(super) const SILENCE: Duration = Duration::from_secs(1);

/// The JetStream API of one domain.
#[derive(Clone, Debug)]
pub(super) struct Api {
    pub(super) transport: Arc<dyn Transport>,
    /// `$JS.API`, `$JS.<domain>.API`, or the name under which an account has imported it.
    pub(super) prefix: Arc<str>,
    pub(super) timeout: Duration,
}

/// A request that failed.
#[derive(Debug)]
pub(super) enum Failure {
    /// The server refused it.
    Refused(ApiError),
    /// No response, or a malformed one.
    Service(ServiceError),
}

impl Failure {
    /// Returns the code of a refusal; 0 for other failures.
    pub(super) fn code(&self) -> u64 {
        match self {
            Self::Refused(error) => error.err_code,
            Self::Service(_) => 0,
        }
    }

    pub(super) fn of(self, bucket: &BucketName) -> ServiceError {
        match self {
            Self::Refused(error) => refused(error, Some(bucket)),
            Self::Service(error) => error,
        }
    }
}

impl Api {
    /// The same connection, with the API under another prefix.
    pub(super) fn at(&self, prefix: &str) -> Self {
        Self {
            prefix: prefix.into(),
            ..self.clone()
        }
    }

    /// Whether the connection is closed for good, perhaps because its runtime has ended.
    pub(super) fn is_closed(&self) -> bool {
        let status = self.transport.status();
        status.has_changed().is_err() || status.borrow().state == ConnectionState::Closed
    }

    pub(super) fn subject(&self, verb: &str, stream: &str) -> String {
        let mut subject = String::with_capacity(self.prefix.len() + verb.len() + stream.len() + 2);
        subject.push_str(&self.prefix);
        subject.push('.');
        subject.push_str(verb);
        if !stream.is_empty() {
            subject.push('.');
            subject.push_str(stream);
        }
        subject
    }

    /// Sends a request and returns the response, whatever it contains.
    pub(super) fn request(
        &self,
        subject: String,
        body: Bytes,
    ) -> BoxFuture<'_, Result<Message, TransportError>> {
        let message = Outbound::new(subject, body);
        self.transport.request(message, self.timeout)
    }

    /// Calls a method of the API, and returns the body for [`parse`].
    pub(super) async fn call(
        &self,
        verb: &str,
        stream: &str,
        body: Bytes,
    ) -> Result<Bytes, Failure> {
        let subject = self.subject(verb, stream);
        let answer = match self.request(subject.clone(), body).await {
            Ok(answer) => answer,
            Err(TransportError::NoResponders) => {
                return Err(Failure::Service(ServiceError::JetStreamUnavailable {
                    detail: format!("no responders on {}.>", self.prefix),
                }));
            }
            Err(error) => return Err(Failure::Service(not_answered(error, &subject))),
        };
        let refusal: Refusal = parse(verb, &answer.payload)?;
        match refusal.error {
            Some(error) => Err(Failure::Refused(error)),
            None if !refusal.success && matches!(verb, "STREAM.DELETE" | "STREAM.PURGE") => {
                Err(Failure::Service(malformed(verb, "no `success` in it")))
            }
            None => Ok(answer.payload),
        }
    }
}

/// Sends a request, and repeats it in parallel at growing intervals while there is no response. The first
/// result counts, whether it is a response or an error.
///
/// A cluster that is electing a leader drops requests silently, and has a leader long before the caller
/// gives up. Only for requests that may be sent twice.
pub(super) async fn insist<'a, T>(ask: impl Fn() -> BoxFuture<'a, T>) -> T {
    let mut asked = Vec::new();
    let mut patience = SILENCE;
    loop {
        asked.push(ask());
        // Created when first polled, as there may be no runtime; the request reports that.
        let silence = Box::pin(async { platform::sleep(patience).await });
        match select(select_all(asked), silence).await {
            Either::Left(((answer, ..), _)) => return answer,
            Either::Right(((), waiting)) => asked = waiting.into_inner(),
        }
        patience *= 2;
    }
}

/// Parses a response.
pub(super) fn parse<'a, T: FromJson<'a>>(operation: &str, answer: &'a [u8]) -> Result<T, Failure> {
    json::read(answer).map_err(|error| Failure::Service(malformed(operation, error)))
}

pub(super) fn malformed(operation: &str, detail: impl Display) -> ServiceError {
    // Not generic, so that it is compiled once.
    fn make(operation: &str, detail: &dyn Display) -> ServiceError {
        ServiceError::Malformed {
            operation: operation.to_owned(),
            detail: detail.to_string(),
        }
    }
    make(operation, &detail)
}

/// Converts the reason for a missing response.
pub(super) fn not_answered(error: TransportError, subject: &str) -> ServiceError {
    match error {
        TransportError::Timeout(after) => ServiceError::Timeout {
            operation: subject.to_owned(),
            after,
        },
        TransportError::NoResponders => ServiceError::Refused {
            status: 503,
            code: None,
            description: format!("no responders on {subject}"),
        },
        TransportError::Lost => ServiceError::Disconnected {
            detail: "the connection was lost before the response".to_owned(),
        },
        TransportError::NotConnected(detail) => ServiceError::Disconnected { detail },
        TransportError::PermissionDenied(subject) | TransportError::Unheard(subject) => {
            ServiceError::PermissionDenied { subject }
        }
        TransportError::TooLarge { size, limit } => ServiceError::Refused {
            status: 413,
            code: None,
            description: format!("{size} bytes exceed the server's limit of {limit}"),
        },
        TransportError::Invalid(description) => ServiceError::Refused {
            status: 400,
            code: None,
            description,
        },
        TransportError::Closed => ServiceError::Closed,
        TransportError::NoRuntime => ServiceError::NoRuntime,
    }
}

/// Converts a refusal.
pub(super) fn refused(error: ApiError, bucket: Option<&BucketName>) -> ServiceError {
    match (error.err_code, bucket) {
        (code::NO_STREAM, Some(bucket)) => ServiceError::BucketNotFound {
            bucket: bucket.clone(),
        },
        (code::NOT_ENABLED | code::NOT_ENABLED_FOR_ACCOUNT, _) => {
            ServiceError::JetStreamUnavailable {
                detail: error.description,
            }
        }
        (code::API_LEVEL, _) => ServiceError::Unsupported {
            feature: "a setting",
            remedy: format!("a newer server is required: {}", error.description),
        },
        _ => ServiceError::Refused {
            status: error.code,
            code: (error.err_code != 0).then_some(error.err_code),
            description: error.description,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::jetstream::testing::Says;

    fn error(err_code: u64) -> ApiError {
        ApiError {
            code: 500,
            err_code,
            description: "as the server says".to_owned(),
        }
    }

    #[tokio::test]
    async fn deletes_and_purges_require_a_success_flag() {
        let call = async |verb, answer| {
            let api = Api {
                transport: Arc::new(Says(Some(answer))),
                prefix: "$JS.API".into(),
                timeout: Duration::from_secs(5),
            };
            api.call(verb, "KV_b", Bytes::new()).await
        };
        for verb in ["STREAM.DELETE", "STREAM.PURGE"] {
            assert!(call(verb, r#"{"success":true}"#).await.is_ok());
            for no in ["{}", r#"{"success":false}"#, r#"{"success":"true"}"#] {
                assert!(
                    matches!(
                        call(verb, no).await,
                        Err(Failure::Service(ServiceError::Malformed { operation, .. }))
                            if operation == verb
                    ),
                    "{no}"
                );
            }
            let refused = r#"{"error":{"code":404,"err_code":10059,"description":"no"}}"#;
            assert!(matches!(call(verb, refused).await, Err(failure) if failure.code() == 10059));
        }
        // Other responses carry data and no success flag.
        assert!(call("STREAM.INFO", "{}").await.is_ok());
    }

    #[test]
    fn error_codes_are_mapped_to_errors() {
        let bucket = BucketName::new("b").ok();
        let refused = |code| refused(error(code), bucket.as_ref());
        assert!(matches!(
            refused(10059),
            ServiceError::BucketNotFound { .. }
        ));
        for code in [10039, 10076] {
            let found = refused(code);
            assert!(matches!(found, ServiceError::JetStreamUnavailable { .. }));
        }
        for code in [10047, 10023, 10008, 10167] {
            assert!(refused(code).is_retryable(), "{code}");
        }
        assert!(!refused(10052).is_retryable());
        assert!(matches!(refused(10185), ServiceError::Unsupported { .. }));
    }
}
