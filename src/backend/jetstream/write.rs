//! Writing: put, create, remove, compact. Every write is sent once.

use std::time::Duration;

use bytes::Bytes;

use super::{
    api::{Ack, ApiError, code},
    bucket::{Bucket, Origin},
    call::{malformed, not_answered, refused},
    entry::header,
};
use crate::{
    error::{InvalidOption, ServiceError},
    headers::Headers,
    json::{self, Writer},
    key::Key,
    kv::{Conflict, Expect, KvWriteError, PutOptions, Removal, RemoveOptions},
    message::{Outbound, TransportError},
};

/// How often a create may find that the removal to be replaced was itself replaced by another one.
const CREATE_ATTEMPTS: usize = 16;

impl Bucket {
    /// Writes a value.
    pub(super) async fn put(
        &self,
        key: &Key,
        value: Bytes,
        options: PutOptions,
    ) -> Result<u64, KvWriteError> {
        let PutOptions {
            expect,
            ttl,
            mut headers,
        } = options;
        // Cases rarer than a plain write are boxed, to keep this future small.
        if let Some(ttl) = ttl {
            Box::pin(self.check_ttl()).await?;
            set_ttl(&mut headers, ttl);
        }
        if expect == Expect::Absent {
            return Box::pin(self.create(key, value, headers)).await;
        }
        if let Expect::Revision(revision) = expect {
            headers.append(header::EXPECTED, revision.to_string());
        }
        self.write(key, value, headers, expect).await
    }

    /// Writes a value if there is none. A removal is replaced with the same headers, so the TTL is kept.
    async fn create(
        &self,
        key: &Key,
        value: Bytes,
        mut headers: Headers,
    ) -> Result<u64, KvWriteError> {
        let mut last = 0;
        let mut attempt = 1;
        loop {
            headers.insert(header::EXPECTED, last.to_string());
            let lost = match self
                .write(key, value.clone(), headers.clone(), Expect::Absent)
                .await
            {
                Err(KvWriteError::Conflict(conflict)) => conflict,
                other => return other,
            };
            // Only the leader knows the current last revision; a replica may be behind.
            last = match self.get_from_leader(key, None).await? {
                Some(entry) if !entry.is_removal() => {
                    return Err(Conflict {
                        actual: Some(entry.revision),
                        ..lost
                    }
                    .into());
                }
                Some(entry) => entry.revision,
                None => 0, // the removal has just been removed itself
            };
            if attempt == CREATE_ATTEMPTS {
                return Err(lost.into());
            }
            attempt += 1;
        }
    }

    /// Removes a key.
    pub(super) async fn remove(
        &self,
        key: &Key,
        options: RemoveOptions,
    ) -> Result<u64, KvWriteError> {
        let mut headers = Headers::new();
        match options.removal {
            Removal::Delete => headers.append(header::OPERATION, "DEL"),
            Removal::Purge => {
                headers.append(header::OPERATION, "PURGE");
                headers.append(header::ROLLUP, "sub");
            }
        }
        if let Some(ttl) = options.marker_ttl {
            self.check_ttl().await?;
            set_ttl(&mut headers, ttl);
        }
        match options.expect {
            Expect::Any => {}
            Expect::Absent => headers.append(header::EXPECTED, "0"),
            Expect::Revision(revision) => headers.append(header::EXPECTED, revision.to_string()),
        }
        self.write(key, Bytes::new(), headers, options.expect).await
    }

    /// Removes every revision of a key that is older than `before`.
    pub(super) async fn compact(&self, key: &Key, before: u64) -> Result<(), KvWriteError> {
        let Origin { api, stream } = &self.leader;
        let mut purge = Writer::new();
        purge.text("filter", &self.subject(key));
        // The first sequence to keep.
        purge.number("seq", before);
        match api.call("STREAM.PURGE", stream, purge.finish()).await {
            Ok(_) => Ok(()),
            Err(failure) => Err(failure.of(&self.name).into()),
        }
    }

    /// Refuses a TTL if the server would not apply it: older servers silently ignore it.
    async fn check_ttl(&self) -> Result<(), ServiceError> {
        // The known settings may be outdated, and this is not a hot path.
        if self.has_markers() || self.ask_for_markers().await? {
            return Ok(());
        }
        Err(ServiceError::no_ttl(&self.name))
    }

    /// Sends a write, and returns its outcome.
    async fn write(
        &self,
        key: &Key,
        value: Bytes,
        headers: Headers,
        expect: Expect,
    ) -> Result<u64, KvWriteError> {
        let size = headers.wire_size() + value.len();
        let message = Outbound {
            subject: self.write_subject(key).into(),
            reply: None,
            headers,
            payload: value,
        };
        let unknown = |source| KvWriteError::OutcomeUnknown {
            key: key.clone(),
            source,
        };
        let answer = match self.api.transport.request(message, self.api.timeout).await {
            Ok(answer) => answer,
            Err(TransportError::NoResponders) => {
                return Err(Box::pin(self.why_nobody()).await.into());
            }
            Err(TransportError::TooLarge { size: all, limit }) => {
                return Err(KvWriteError::TooLarge {
                    key: key.clone(),
                    size: all.max(size),
                    limit: Some(limit),
                });
            }
            Err(
                error @ (TransportError::Timeout(_)
                | TransportError::Lost
                | TransportError::Unheard(_)),
            ) => {
                return Err(unknown(not_answered(error, &self.write_subject(key))));
            }
            Err(error) => return Err(not_answered(error, &self.write_subject(key)).into()),
        };
        if answer.status == Some(503) {
            return Err(Box::pin(self.why_nobody()).await.into());
        }
        match json::read(&answer.payload) {
            Ok(Ack { error: None, seq }) if seq > 0 => Ok(seq),
            Ok(Ack { error: None, .. }) => {
                let source = malformed("a write", "the acknowledgement has no sequence");
                Err(unknown(source))
            }
            Ok(Ack {
                error: Some(error), ..
            }) => Err(self.write_refused(key, error, expect, size)),
            // A subscriber received the message, so the value may have been stored.
            Err(error) => Err(unknown(malformed("a write", error))),
        }
    }

    fn write_refused(
        &self,
        key: &Key,
        error: ApiError,
        expected: Expect,
        size: usize,
    ) -> KvWriteError {
        match error.err_code {
            code::WRONG_LAST_SEQUENCE | code::WRONG_LAST_SEQUENCE_IN_FLIGHT => {
                let actual = actual_revision(&error.description);
                tracing::debug!(
                    bucket = %self.name, %key, ?expected, actual,
                    code = error.err_code, "a write lost its race"
                );
                KvWriteError::Conflict(Conflict {
                    key: key.clone(),
                    expected,
                    actual,
                })
            }
            code::MESSAGE_TOO_LARGE => KvWriteError::TooLarge {
                key: key.clone(),
                size,
                limit: None, // the bucket's limit, which the server does not report
            },
            code::TTL_DISABLED => ServiceError::no_ttl(&self.name).into(),
            code::TTL_INVALID => InvalidOption::new("ttl", error.description).into(),
            _ => refused(error, Some(&self.name)).into(),
        }
    }
}

fn set_ttl(headers: &mut Headers, ttl: Duration) {
    headers.insert(header::TTL, ttl.as_secs().to_string());
}

/// Parses the revision in `wrong last sequence: 7`, the only place that contains it.
fn actual_revision(description: &str) -> Option<u64> {
    let (_, number) = description.rsplit_once(':')?;
    number.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::actual_revision;

    #[test]
    fn the_actual_revision_is_parsed_from_the_text() {
        assert_eq!(actual_revision("wrong last sequence: 7"), Some(7));
        assert_eq!(actual_revision("wrong last sequence"), None);
        assert_eq!(actual_revision("wrong last sequence: constraint"), None);
    }
}
