//! Reads one key: from any replica, from the leader, or one given revision.

use bytes::Bytes;
use bytestring::ByteString;

use super::{
    api::Stored,
    bucket::{Bucket, Origin},
    call::{Failure, malformed, not_answered, parse},
    entry::{Stamp, decode_base64, parse_headers, parse_time},
};
use crate::{
    error::ServiceError,
    json::Writer,
    key::Key,
    kv::{Entry, Read},
    message::{Message, TransportError},
};

/// A request for one message of a stream.
struct Which<'a> {
    seq: Option<u64>,
    last_by_subj: Option<&'a str>,
    next_by_subj: Option<&'a str>,
}

impl Which<'_> {
    fn to_json(&self) -> Bytes {
        let mut json = Writer::new();
        json.maybe_number("seq", self.seq);
        json.maybe_text("last_by_subj", self.last_by_subj);
        json.maybe_text("next_by_subj", self.next_by_subj);
        json.finish()
    }
}

impl Bucket {
    /// Returns the last revision of a key, or one given revision.
    pub(super) async fn get(
        &self,
        key: &Key,
        revision: Option<u64>,
        read: Read,
    ) -> Result<Option<Entry>, ServiceError> {
        let entry = loop {
            let direct = matches!(read, Read::Any) && self.is_direct();
            let entry = if direct {
                let (subject, body, known) = match revision {
                    None => (self.read_subject(key), Bytes::new(), Some(key)),
                    Some(_) => {
                        let subject = self.api.subject("DIRECT.GET", &self.stream);
                        let which = Which {
                            seq: revision,
                            last_by_subj: None,
                            next_by_subj: None,
                        };
                        (subject, which.to_json(), None)
                    }
                };
                self.get_direct(subject, body, known).await
            } else {
                self.get_from_leader(key, revision).await
            };
            match entry {
                // Only the leader may be asked now.
                Err(_) if direct && !self.is_direct() => {}
                entry => break entry?,
            }
        };
        // The revision may belong to another key.
        Ok(entry.filter(|entry| entry.key == *key))
    }

    async fn get_direct(
        &self,
        subject: String,
        body: Bytes,
        key: Option<&Key>,
    ) -> Result<Option<Entry>, ServiceError> {
        let operation = || subject.clone();
        let message = match self.api.request(subject.clone(), body).await {
            Ok(message) => message,
            Err(TransportError::NoResponders) => return Err(self.why_nobody().await),
            Err(error) => return Err(not_answered(error, &operation())),
        };
        match message.status {
            None => self.entry_of_direct(message, key),
            Some(404) => Ok(None),
            Some(503) => Err(self.why_nobody().await),
            Some(status) => Err(refusal(status, message)),
        }
    }

    /// Asks the leader of the stream that takes the writes: for a mirror, that of the origin.
    pub(super) async fn get_from_leader(
        &self,
        key: &Key,
        revision: Option<u64>,
    ) -> Result<Option<Entry>, ServiceError> {
        let Origin { api, stream } = &self.leader;
        let subject = self.subject(key);
        let which = Which {
            seq: revision,
            last_by_subj: revision.is_none().then_some(&*subject),
            next_by_subj: None,
        };
        let operation = "STREAM.MSG.GET";
        let answer = match api.call(operation, stream, which.to_json()).await {
            Ok(answer) => answer,
            Err(Failure::Refused(error)) if is_no_message(error.code, error.err_code) => {
                return Ok(None);
            }
            Err(failure) => return Err(failure.of(&self.name)),
        };
        let Stored { message } =
            parse(operation, &answer).map_err(|failure| failure.of(&self.name))?;
        let Some(key) = self.key_of(ByteString::from(&*message.subject)) else {
            return Ok(None);
        };
        let decode = |text: Option<&str>| {
            decode_base64(text.unwrap_or_default())
                .ok_or_else(|| malformed(operation, "it is not base64"))
        };
        let stamp = Stamp {
            revision: message.seq,
            created: parse_time(&message.time)?,
            delta: 0,
        };
        let headers = match message.hdrs.as_deref() {
            Some(block) => parse_headers(&decode(Some(block))?),
            None => Default::default(),
        };
        let payload = decode(message.data.as_deref())?;
        Ok(Some(self.entry(key, stamp, headers, payload.into(), false)))
    }

    /// Returns the first revision from `seq` on with such a subject, from the leader of this very stream.
    pub(super) async fn next_revision(
        &self,
        subject: &str,
        seq: u64,
    ) -> Result<Option<u64>, ServiceError> {
        let which = Which {
            seq: Some(seq),
            last_by_subj: None,
            next_by_subj: Some(subject),
        };
        let operation = "STREAM.MSG.GET";
        let answer = self.api.call(operation, &self.stream, which.to_json());
        match answer.await.and_then(|answer| {
            let Stored { message } = parse(operation, &answer)?;
            Ok(message.seq)
        }) {
            Ok(seq) => Ok(Some(seq)),
            Err(Failure::Refused(error)) if is_no_message(error.code, error.err_code) => Ok(None),
            Err(failure) => Err(failure.of(&self.name)),
        }
    }
}

/// Whether a refusal means that there is no such message, rather than no such stream.
fn is_no_message(status: u16, code: u64) -> bool {
    status == 404 && code != super::api::code::NO_STREAM
}

/// Converts a response that consists only of a status.
pub(super) fn refusal(status: u16, message: Message) -> ServiceError {
    ServiceError::Refused {
        status,
        code: None,
        description: message.description.unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use futures::FutureExt;

    use super::super::testing;
    use super::*;

    #[test]
    fn only_message_not_found_means_no_entry() {
        let get = |answer| {
            let bucket = testing::bucket(Some(answer));
            let key = Key::new("a").unwrap();
            let get = bucket.get_from_leader(&key, None).now_or_never();
            get.unwrap().map(|entry| entry.map(|entry| entry.revision))
        };
        let none = r#"{"error":{"code":404,"err_code":10037,"description":"no message found"}}"#;
        assert!(matches!(get(none), Ok(None)));
        let stream = r#"{"error":{"code":404,"err_code":10059,"description":"stream not found"}}"#;
        assert!(matches!(
            get(stream),
            Err(ServiceError::BucketNotFound { .. })
        ));
        let other = r#"{"error":{"code":500,"err_code":10001,"description":"whatever"}}"#;
        assert!(matches!(
            get(other),
            Err(ServiceError::Refused {
                code: Some(10001),
                ..
            })
        ));
        let there = |subject| {
            let time = "2024-01-01T00:00:00Z";
            let json =
                format!(r#"{{"message":{{"subject":"{subject}","seq":7,"time":"{time}"}}}}"#);
            get(json.leak())
        };
        assert!(matches!(there("$KV.b.a"), Ok(Some(7))));
        // Anything else in the stream does not belong to the bucket.
        for subject in ["other", "$KV.c.a", "$KV.b."] {
            assert!(matches!(there(subject), Ok(None)), "{subject}");
        }
    }
}
