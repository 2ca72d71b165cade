//! One bucket: the API and subjects of its stream, and its capabilities.

use std::{
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use super::{
    call::Api,
    entry::parse_time,
    mailbox::Spare,
    stream::{StreamConfig, StreamInfo, StreamState},
};
use crate::{
    error::ServiceError,
    key::{BucketName, Key},
};

/// A stored revision of this size, in bytes, has a value of about 100: the rest is the subject and 30 bytes
/// of storage overhead.
const SMALL: u64 = 200;

/// After this time without a write a bucket is quiet: the server's counts are then correct.
const QUIET: Duration = Duration::from_secs(1);

/// How long to ask why no server replies.
const ASKING_WHY: Duration = Duration::from_secs(1);

/// A bucket, as the rest of this module works on it.
#[derive(Debug)]
pub(super) struct Bucket {
    pub(super) name: BucketName,
    /// The API of the stream's domain.
    pub(super) api: Api,
    /// Its stream.
    pub(super) stream: String,
    /// The prefix of a key in the stream's subjects: `$KV.<bucket>.`, or that of the origin for a mirror.
    pub(super) subjects: String,
    /// The prefix of a key for writes.
    write_subjects: String,
    /// The prefix of a key for reads.
    read_subjects: String,
    /// The stream that takes the writes: for a mirror, that of the origin.
    pub(super) leader: Origin,
    mirror: bool,
    direct: AtomicBool,
    markers: AtomicBool,
    /// Whether the stream is replicated.
    copies: AtomicBool,
    /// When the stream was created, in ns since 1970: it distinguishes the stream from a later one of the
    /// same name.
    created: AtomicU64,
    /// The average size of a stored revision, in bytes, as far as is known.
    average_size: AtomicU64,
    /// Whether batches of direct gets are supported, which server 2.11 introduced.
    pub(super) batches: Works,
    /// For the replies to a batch.
    pub(super) spare: Spare,
    /// Whether the leader may be asked if a replica is complete.
    pub(super) proofs: Works,
}

/// A stream and the API through which it is reached.
#[derive(Debug)]
pub(super) struct Origin {
    pub(super) api: Api,
    pub(super) stream: String,
}

/// Whether a feature works here, determined by trying it.
#[derive(Debug, Default)]
pub(super) struct Works(AtomicBool);

impl Works {
    /// Whether the feature is worth trying.
    pub(super) fn may_work(&self) -> bool {
        !self.0.load(Ordering::Relaxed)
    }

    pub(super) fn do_not_work(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Bucket {
    /// Creates a bucket from the settings of its stream.
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
        // A mirror keeps the subjects of its origin, and writes go there.
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
            spare: Spare::default(),
            proofs: Works::default(),
        };
        bucket.learn(config);
        bucket
    }

    /// Updates the settings that may have changed.
    fn learn(&self, config: &StreamConfig) {
        // A mirror has no markers of its own; its origin is queried when it matters.
        self.markers.store(has_markers(config), Ordering::Relaxed);
        self.copies
            .store(config.num_replicas > 1, Ordering::Relaxed);
        // But a mirror's own settings decide whether any replica may be asked.
        if !self.mirror {
            self.direct.store(config.allow_direct, Ordering::Relaxed);
        }
    }

    /// Updates the average size.
    pub(super) fn measure(&self, state: &StreamState) {
        if let Some(average) = state.bytes.checked_div(state.messages) {
            self.average_size.store(average, Ordering::Relaxed);
        }
    }

    /// Whether values are so small on average that omitting them saves nothing: a server then sends a
    /// header with the size of each instead, which costs both sides more to build and to parse.
    pub(super) fn has_small_values(&self) -> bool {
        self.average_size.load(Ordering::Relaxed) <= SMALL
    }

    /// Returns the subject for writing a key.
    pub(super) fn write_subject(&self, key: &Key) -> String {
        join(&self.write_subjects, key)
    }

    /// Returns the subject for reading a key from any replica.
    pub(super) fn read_subject(&self, key: &Key) -> String {
        join(&self.read_subjects, key)
    }

    /// Returns the subject under which a key is stored.
    pub(super) fn subject(&self, key: &str) -> String {
        join(&self.subjects, key)
    }

    /// Whether any replica may be asked.
    pub(super) fn is_direct(&self) -> bool {
        self.direct.load(Ordering::Relaxed)
    }

    /// Whether the replica that serves a read may lag behind the stream's leader, as far as is known.
    pub(super) fn has_copies(&self) -> bool {
        self.copies.load(Ordering::Relaxed) || self.mirror
    }

    /// Whether limit markers are on, as far as is known.
    pub(super) fn has_markers(&self) -> bool {
        self.markers.load(Ordering::Relaxed)
    }

    /// When the stream was created, as far as is known.
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

    /// Queries the current state of the stream.
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

    /// Finds out why no server listens on this bucket's subjects. Also updates whether only the leader may
    /// be asked.
    pub(super) async fn why_nobody(&self) -> ServiceError {
        let Origin { api, stream } = &self.leader;
        // A short timeout, because the caller has already waited.
        let api = Api {
            timeout: api.timeout.min(ASKING_WHY),
            ..api.clone()
        };
        match StreamInfo::ask(&api, stream, &self.name).await {
            Ok(info) => self.learn(&info.config),
            Err(ServiceError::Timeout { .. }) => {}
            Err(error) => return error,
        }
        // Retryable: this happens while the stream elects its leader, and the leader is what would have
        // replied.
        ServiceError::Refused {
            status: 503,
            code: None,
            description: format!("no server responds for bucket {}", self.name),
        }
    }
}

/// The identity of a stream, and its position.
#[derive(Clone, Copy, Debug)]
pub(super) struct Identity {
    pub(super) created: u64,
    /// Its last revision, and when that was stored.
    pub(super) last: u64,
    pub(super) last_time: SystemTime,
    /// Whether nothing was written lately.
    pub(super) is_quiet: bool,
}

/// Returns the name of a bucket's stream.
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

/// A duration in the unit of the JetStream API.
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
    async fn a_write_without_a_leader_is_retryable() {
        // A write that no server accepted did not happen, even if the API does not respond either.
        let why = bucket("$JS.API", None).why_nobody().await;
        assert!(why.is_retryable());
        assert!(matches!(why, ServiceError::Refused { status: 503, .. }));
    }

    #[test]
    fn a_mirror_is_a_copy_even_if_its_origin_has_the_same_name() {
        let mirror = StreamSource {
            name: "KV_b".to_owned(),
            external: Some(External {
                api: "$JS.hub.API".to_owned(),
            }),
            subject_transforms: None,
        };
        let bucket = bucket("$JS.API", Some(mirror));
        assert!(bucket.has_copies());
        // Settings of the origin say nothing about the mirror.
        bucket.learn(&StreamConfig::default());
        assert!(bucket.has_copies());
    }

    #[test]
    fn writes_use_the_subject_of_the_stream() {
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
