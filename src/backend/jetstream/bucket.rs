//! One bucket: the API and subjects of its stream, and what it can do.

use std::{
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use super::{
    call::Api,
    entry::parse_time,
    stream::{StreamConfig, StreamInfo, StreamState},
};
use crate::{
    error::ServiceError,
    key::{BucketName, Key},
};

/// A stored revision of this size, in bytes, has a value of about 100: the rest is the subject and
/// 30 bytes that the store needs.
const SMALL: u64 = 200;

/// After this time without a write a bucket is quiet: the server's counts are right then.
const QUIET: Duration = Duration::from_secs(1);

/// How long to ask why no server answers.
const ASKING_WHY: Duration = Duration::from_secs(1);

/// A bucket, as the rest of this module works on it.
#[derive(Debug)]
pub(super) struct Bucket {
    pub(super) name: BucketName,
    /// The API of the stream's domain.
    pub(super) api: Api,
    /// Its stream.
    pub(super) stream: String,
    /// The prefix of a key in the stream's subjects: `$KV.<bucket>.`, or that of the origin if this is
    /// a mirror.
    pub(super) subjects: String,
    /// The prefix of a key when it is written.
    write_subjects: String,
    /// The prefix of a key when it is read.
    read_subjects: String,
    /// The stream that takes the writes: that of the origin if this is a mirror.
    pub(super) leader: Origin,
    mirror: bool,
    direct: AtomicBool,
    markers: AtomicBool,
    /// Whether the stream is replicated.
    copies: AtomicBool,
    /// When the stream was made, in ns since 1970: it tells one stream from a later one of the
    /// same name.
    created: AtomicU64,
    /// How large a stored revision is on average, in bytes, as far as is known.
    average_size: AtomicU64,
    /// Whether there are batches of direct gets, which server 2.11 introduced.
    pub(super) batches: Works,
    /// Whether the leader may be asked if a copy is complete.
    pub(super) proofs: Works,
}

/// A stream and the API that it is reached by.
#[derive(Debug)]
pub(super) struct Origin {
    pub(super) api: Api,
    pub(super) stream: String,
}

/// Whether something works here, which is found out by trying it.
#[derive(Debug, Default)]
pub(super) struct Works(AtomicBool);

impl Works {
    /// Whether it is worth a try.
    pub(super) fn may_work(&self) -> bool {
        !self.0.load(Ordering::Relaxed)
    }

    pub(super) fn do_not_work(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Bucket {
    /// A bucket as its stream's settings describe it.
    pub(super) fn new(
        api: Api,
        name: BucketName,
        config: &StreamConfig,
        created: SystemTime,
    ) -> Self {
        let stream = stream_name(&name);
        let mut origin = Origin {
            api: api.clone(),
            stream: stream.clone(),
        };
        let mut of = name.as_str();
        // A mirror keeps the subjects of its origin, and what is written goes there.
        if let Some(mirror) = &config.mirror {
            if let Some(external) = &mirror.external {
                origin.api = api.at(&external.api);
            }
            origin.stream = mirror.name.clone();
            of = mirror.name.strip_prefix("KV_").unwrap_or(&mirror.name);
        }
        let subjects = format!("$KV.{of}.");
        let write_subjects = match &*origin.api.prefix {
            "$JS.API" => subjects.clone(),
            prefix => format!("{prefix}.{subjects}"),
        };
        let read_subjects = format!("{}.DIRECT.GET.{stream}.{subjects}", api.prefix);
        let bucket = Self {
            name,
            api,
            stream,
            subjects,
            write_subjects,
            read_subjects,
            leader: origin,
            mirror: config.mirror.is_some(),
            direct: AtomicBool::new(config.allow_direct),
            markers: AtomicBool::new(false),
            copies: AtomicBool::new(false),
            created: AtomicU64::new(epoch_nanos(created)),
            average_size: AtomicU64::new(u64::MAX),
            batches: Works::default(),
            proofs: Works::default(),
        };
        bucket.learn(config);
        bucket
    }

    /// Updates the settings that may have changed.
    fn learn(&self, config: &StreamConfig) {
        // A mirror has no markers of its own; whether its origin has them is asked when it matters.
        self.markers.store(has_markers(config), Ordering::Relaxed);
        self.copies
            .store(config.num_replicas > 1, Ordering::Relaxed);
        // And its own settings say whether any replica may be asked.
        if !self.mirror {
            self.direct.store(config.allow_direct, Ordering::Relaxed);
        }
    }

    /// Updates how much there is.
    pub(super) fn measure(&self, state: &StreamState) {
        if let Some(average) = state.bytes.checked_div(state.messages) {
            self.average_size.store(average, Ordering::Relaxed);
        }
    }

    /// Whether values are so small on average that leaving them out saves nothing: a server then
    /// sends a header with the size of each instead, which costs both sides more to make and to
    /// read.
    pub(super) fn has_small_values(&self) -> bool {
        self.average_size.load(Ordering::Relaxed) <= SMALL
    }

    /// The subject that a key is written to.
    pub(super) fn write_subject(&self, key: &Key) -> String {
        join(&self.write_subjects, key)
    }

    /// The subject that asks any replica for a key.
    pub(super) fn read_subject(&self, key: &Key) -> String {
        join(&self.read_subjects, key)
    }

    /// The subject that a key is stored under.
    pub(super) fn subject(&self, key: &str) -> String {
        join(&self.subjects, key)
    }

    /// Whether any replica may be asked.
    pub(super) fn is_direct(&self) -> bool {
        self.direct.load(Ordering::Relaxed)
    }

    /// Whether the copy that answers a read may lag behind the stream's leader, as far as is known.
    pub(super) fn has_copies(&self) -> bool {
        self.copies.load(Ordering::Relaxed) || self.mirror
    }

    /// Whether limit markers are on, as far as is known.
    pub(super) fn has_markers(&self) -> bool {
        self.markers.load(Ordering::Relaxed)
    }

    /// When the stream was made, as far as is known.
    pub(super) fn created(&self) -> u64 {
        self.created.load(Ordering::Relaxed)
    }

    /// Asks the stream that takes the writes whether it has limit markers.
    pub(super) async fn ask_for_markers(&self) -> Result<bool, ServiceError> {
        let Origin { api, stream } = &self.leader;
        let info = StreamInfo::ask(api, stream, &self.name).await?;
        self.learn(&info.config);
        Ok(self.has_markers())
    }

    /// What the stream is now.
    pub(super) async fn state(&self) -> Result<Identity, ServiceError> {
        let info = StreamInfo::ask(&self.api, &self.stream, &self.name).await?;
        let created = epoch_nanos(parse_time(&info.created)?);
        if !self.mirror {
            self.learn(&info.config);
        }
        self.created.store(created, Ordering::Relaxed);
        self.measure(&info.state);
        let time = |text: Option<&str>| text.and_then(|text| parse_time(text).ok());
        // A stream without messages has no valid time.
        let last_time = time(info.state.last_ts.as_deref()).unwrap_or(UNIX_EPOCH);
        let silent = time(info.now.as_deref()).and_then(|now| now.duration_since(last_time).ok());
        Ok(Identity {
            created,
            last: info.state.last_seq,
            last_time,
            is_quiet: silent.is_some_and(|silent| silent >= QUIET),
        })
    }

    /// Finds out why no server listens on this bucket's subjects. Also notices if only the leader may be
    /// asked by now.
    pub(super) async fn why_nobody(&self) -> ServiceError {
        let Origin { api, stream } = &self.leader;
        // The caller has waited before.
        let api = Api {
            timeout: api.timeout.min(ASKING_WHY),
            ..api.clone()
        };
        match StreamInfo::ask(&api, stream, &self.name).await {
            Ok(info) => self.learn(&info.config),
            Err(ServiceError::Timeout { .. }) => {}
            Err(error) => return error,
        }
        // Retryable: an election of the stream's leader looks like this, and it is the leader that
        // would have answered.
        ServiceError::Refused {
            status: 503,
            code: None,
            description: format!("nobody answers for bucket {} now", self.name),
        }
    }
}

/// Which stream it is, and how far it has come.
#[derive(Clone, Copy, Debug)]
pub(super) struct Identity {
    pub(super) created: u64,
    /// Its last revision, and when that was stored.
    pub(super) last: u64,
    pub(super) last_time: SystemTime,
    /// Whether nothing was written lately.
    pub(super) is_quiet: bool,
}

/// The stream of a bucket.
pub(super) fn stream_name(bucket: &BucketName) -> String {
    join("KV_", bucket)
}

/// Whether expired values leave markers.
pub(super) fn has_markers(config: &StreamConfig) -> bool {
    config.allow_msg_ttl && config.subject_delete_marker_ttl > 0
}

fn join(prefix: &str, rest: &str) -> String {
    let mut text = String::with_capacity(prefix.len() + rest.len());
    text.push_str(prefix);
    text.push_str(rest);
    text
}

/// Nanoseconds since 1970.
pub(super) fn epoch_nanos(time: SystemTime) -> u64 {
    nanos(time.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO))
}

/// A duration as the JetStream API has them.
pub(super) fn nanos(duration: Duration) -> u64 {
    duration.as_nanos().try_into().unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::super::stream::{External, StreamSource};
    use super::super::testing::{Says, bucket_of};
    use super::*;

    fn bucket(prefix: &str, mirror: Option<StreamSource>) -> Bucket {
        let config = StreamConfig {
            mirror,
            ..StreamConfig::default()
        };
        bucket_of(Says(None), prefix, &config)
    }

    #[tokio::test]
    async fn a_stream_without_a_leader_is_no_lost_answer() {
        // A write that no server took did not happen, even if the API is silent too.
        let why = bucket("$JS.API", None).why_nobody().await;
        assert!(why.is_retryable());
        assert!(matches!(why, ServiceError::Refused { status: 503, .. }));
    }

    #[test]
    fn a_mirror_is_a_copy_also_where_its_origin_has_its_name() {
        let mirror = StreamSource {
            name: "KV_b".to_owned(),
            external: Some(External {
                api: "$JS.hub.API".to_owned(),
            }),
            subject_transforms: None,
        };
        let bucket = bucket("$JS.API", Some(mirror));
        assert!(bucket.has_copies());
        // What is learned about the origin says nothing about the mirror.
        bucket.learn(&StreamConfig::default());
        assert!(bucket.has_copies());
    }

    #[test]
    fn writes_go_where_the_stream_listens() {
        let Ok(key) = Key::new("k") else {
            unreachable!()
        };
        let mirror = |api: Option<&str>| {
            Some(StreamSource {
                name: "KV_origin".to_owned(),
                external: api.map(|api| External {
                    api: api.to_owned(),
                }),
                subject_transforms: None,
            })
        };
        for (prefix, mirror, write, read) in [
            (
                "$JS.API",
                None,
                "$KV.b.k",
                "$JS.API.DIRECT.GET.KV_b.$KV.b.k",
            ),
            (
                "$JS.hub.API",
                None,
                "$JS.hub.API.$KV.b.k",
                "$JS.hub.API.DIRECT.GET.KV_b.$KV.b.k",
            ),
            (
                "$JS.API",
                mirror(None),
                "$KV.origin.k",
                "$JS.API.DIRECT.GET.KV_b.$KV.origin.k",
            ),
            (
                "$JS.API",
                mirror(Some("$JS.hub.API")),
                "$JS.hub.API.$KV.origin.k",
                "$JS.API.DIRECT.GET.KV_b.$KV.origin.k",
            ),
        ] {
            let bucket = bucket(prefix, mirror);
            assert_eq!(bucket.write_subject(&key), write);
            assert_eq!(bucket.read_subject(&key), read);
        }
    }
}
