//! Operations on whole buckets: create, change, open, delete, list, report.

use std::{sync::Arc, time::Duration, vec::IntoIter};

use bytes::Bytes;
use futures::{StreamExt, stream, stream::BoxStream};

use super::{
    JetStream,
    api::{Account, Birth, StreamNames, code},
    bucket::{Bucket, stream_name},
    call::{Api, Failure, malformed, parse, refused},
    config::{from_stream, lay_over, to_stream},
    entry::parse_time,
    stream::{StreamConfig, StreamInfo},
};
use crate::{
    backend::CreateMode,
    error::ServiceError,
    json,
    key::BucketName,
    kv::{BucketConfig, BucketError, BucketStatus, LimitMarkers},
    platform,
};

/// How often a bucket may appear or disappear while it is created or updated.
const UPDATE_ATTEMPTS: usize = 16;

/// The timeout of the first query for a stream.
const INFO_PATIENCE: Duration = Duration::from_secs(1);

/// How long a cluster may take to create a stream.
const SETTLES: Duration = Duration::from_millis(250);

impl JetStream {
    pub(super) async fn make(
        &self,
        config: &BucketConfig,
        mode: CreateMode,
    ) -> Result<Arc<Bucket>, BucketError> {
        let name = config.bucket()?;
        // Queried each time: the server may have been upgraded since, and this is not a hot path.
        let answer = self.api.call("INFO", "", Bytes::new()).await;
        let account = answer.and_then(|answer| parse("INFO", &answer));
        let account: Account = account.map_err(|failure| failure.of(&name))?;
        let has_ttl = account.level >= 1;
        let markers = markers(config, has_ttl)?;
        let wanted = || to_stream(&name, config, markers, has_ttl);
        let mut attempt = 1;
        loop {
            let existing = match mode {
                CreateMode::Create => None,
                CreateMode::CreateOrUpdate => self.existing(&name).await?,
            };
            let (verb, request) = match existing {
                None => ("STREAM.CREATE", wanted().to_json()),
                Some(info) => ("STREAM.UPDATE", change(&name, config, wanted(), &info)?),
            };
            let failure = match self.save(verb, &name, request).await {
                Ok(bucket) => return Ok(bucket),
                Err(failure) => failure,
            };
            match (mode, failure.code()) {
                (CreateMode::Create, code::NAME_IN_USE) => return self.take(&name, config).await,
                // Another client created or deleted it between our query and our request.
                (CreateMode::CreateOrUpdate, code::NAME_IN_USE | code::NO_STREAM)
                    if attempt < UPDATE_ATTEMPTS =>
                {
                    attempt += 1;
                }
                _ => return Err(failure.of(&name).into()),
            }
        }
    }

    /// Returns the current state of a bucket's stream, as sent by the server; `None` if there is none.
    async fn existing(&self, name: &BucketName) -> Result<Option<Bytes>, ServiceError> {
        let stream = stream_name(name);
        let mut api = self.api.clone();
        api.timeout = api.timeout.min(INFO_PATIENCE);
        loop {
            match api.call("STREAM.INFO", &stream, Bytes::new()).await {
                Ok(answer) if is_being_made(&answer) => platform::sleep(SETTLES).await,
                Ok(answer) => return Ok(Some(answer)),
                Err(failure) if failure.code() == code::NO_STREAM => return Ok(None),
                // In a cluster, a stream that is being created never responds to this request, or only
                // late.
                Err(Failure::Service(ServiceError::Timeout { .. }))
                    if api.timeout < self.api.timeout =>
                {
                    api.timeout = self.api.timeout;
                }
                Err(failure) => return Err(failure.of(name)),
            }
        }
    }

    /// Opens an existing bucket whose settings differ for the server, if they are equivalent for us.
    async fn take(
        &self,
        name: &BucketName,
        wanted: &BucketConfig,
    ) -> Result<Arc<Bucket>, BucketError> {
        let (bucket, status) = self.look(name).await?;
        let differences = wanted.differences(&status.config);
        if differences.is_empty() {
            return Ok(bucket);
        }
        Err(BucketError::Mismatch {
            bucket: name.clone(),
            differences,
        })
    }

    /// Sends a stream's settings, and returns the resulting bucket.
    async fn save(
        &self,
        verb: &str,
        name: &BucketName,
        request: Bytes,
    ) -> Result<Arc<Bucket>, Failure> {
        let answer = self.api.call(verb, &stream_name(name), request).await?;
        Ok(Arc::new(open(&self.api, name, &parse(verb, &answer)?)?))
    }

    /// Opens a bucket and reports on it.
    pub(super) async fn look(
        &self,
        name: &BucketName,
    ) -> Result<(Arc<Bucket>, BucketStatus), ServiceError> {
        let info = StreamInfo::ask(&self.api, &stream_name(name), name).await?;
        let bucket = open(&self.api, name, &info).map_err(|failure| failure.of(name))?;
        Ok((Arc::new(bucket), report(name, info)?))
    }

    pub(super) async fn drop_bucket(&self, name: &BucketName) -> Result<(), BucketError> {
        let stream = stream_name(name);
        match self.api.call("STREAM.DELETE", &stream, Bytes::new()).await {
            Ok(_) => Ok(()),
            Err(failure) => Err(failure.of(name).into()),
        }
    }

    /// Streams the names of all buckets, page by page.
    pub(super) fn names(&self) -> BoxStream<'_, Result<BucketName, BucketError>> {
        // By name, not by subject, because a mirror has no subjects.
        let start = (Vec::new().into_iter(), Some(0));
        let names = stream::try_unfold(start, move |(mut page, mut next)| async move {
            loop {
                let bucket = |stream: String| BucketName::new(stream.strip_prefix("KV_")?).ok();
                if let Some(name) = page.by_ref().find_map(bucket) {
                    return Ok(Some((name, (page, next))));
                }
                let Some(offset) = next else {
                    return Ok(None);
                };
                (page, next) = self.page_of_names(offset).await?;
            }
        });
        names.boxed()
    }

    /// Returns the names of streams from an offset on, and the offset of the next page.
    async fn page_of_names(
        &self,
        offset: usize,
    ) -> Result<(IntoIter<String>, Option<usize>), ServiceError> {
        let request = Bytes::from(format!(r#"{{"offset":{offset}}}"#));
        let answer = match self.api.call("STREAM.NAMES", "", request).await {
            Ok(answer) => answer,
            Err(Failure::Refused(error)) => return Err(refused(error, None)),
            Err(Failure::Service(error)) => return Err(error),
        };
        let page: StreamNames =
            json::read(&answer).map_err(|error| malformed("STREAM.NAMES", error))?;
        let end = offset + page.streams.len();
        let next = (!page.streams.is_empty() && end < page.total).then_some(end);
        Ok((page.streams.into_iter(), next))
    }
}

impl Bucket {
    /// Returns settings and state.
    pub(super) async fn status(&self) -> Result<BucketStatus, ServiceError> {
        let info = StreamInfo::ask(&self.api, &self.stream, &self.name).await?;
        report(&self.name, info)
    }
}

/// Whether a cluster has only just created this stream. If a client changes it before the cluster has
/// responded to its creator, neither of the two gets a response.
fn is_being_made(info: &[u8]) -> bool {
    let age = |birth: Birth| {
        let (created, now) = (
            parse_time(&birth.created).ok()?,
            parse_time(&birth.now).ok()?,
        );
        now.duration_since(created).ok()
    };
    let birth = json::read::<Birth>(info).ok();
    birth
        .filter(|birth| birth.in_cluster)
        .and_then(age)
        .is_some_and(|age| age < SETTLES)
}

/// Returns new settings for an existing bucket, combined with those that others set on its stream.
fn change(
    name: &BucketName,
    config: &BucketConfig,
    mut wanted: StreamConfig,
    info: &[u8],
) -> Result<Bytes, ServiceError> {
    let malformed = |error| malformed("STREAM.INFO", error);
    let existing: StreamInfo = json::read(info).map_err(malformed)?;
    // `Auto` accepts the markers that the bucket has.
    if config.limit_markers == LimitMarkers::Auto && existing.config.subject_delete_marker_ttl > 0 {
        wanted.subject_delete_marker_ttl = existing.config.subject_delete_marker_ttl;
    }
    let raw = json::object(info).map_err(malformed)?;
    // To a server, a source is more than a bucket's name: keep filters and subjects set by others.
    let there = from_stream(name, existing.config);
    let mut kept = Vec::new();
    // Any larger value on the server reads as 64.
    if config.history == there.history {
        kept.push("max_msgs_per_subject");
    }
    if config.sources == there.sources {
        kept.push("sources");
    }
    if config.mirror == there.mirror {
        kept.push("mirror");
    }
    lay_over(raw.get("config"), wanted, &kept).map_err(malformed)
}

fn open(api: &Api, name: &BucketName, info: &StreamInfo) -> Result<Bucket, Failure> {
    let created = parse_time(&info.created).map_err(Failure::Service)?;
    Ok(Bucket::new(
        api.clone(),
        name.clone(),
        &info.config,
        created,
    ))
}

fn report(name: &BucketName, info: StreamInfo) -> Result<BucketStatus, ServiceError> {
    let state = info.state;
    Ok(BucketStatus {
        bucket: name.clone(),
        config: from_stream(name, info.config),
        values: state.messages,
        keys: state.num_subjects,
        bytes: state.bytes,
        // An emptied stream reports the next sequence as its first.
        first_revision: if state.messages == 0 {
            0
        } else {
            state.first_seq
        },
        last_revision: state.last_seq,
        created: parse_time(&info.created)?,
    })
}

/// Returns the value of limit markers on this server.
fn markers(config: &BucketConfig, has_ttl: bool) -> Result<Option<Duration>, ServiceError> {
    // A mirror has those of its origin.
    if config.mirror.is_some() {
        return Ok(None);
    }
    match (config.limit_markers, has_ttl) {
        (LimitMarkers::For(_), false) => Err(ServiceError::Unsupported {
            feature: "limit markers",
            remedy: format!(
                "bucket {} needs server 2.11 or newer, or `LimitMarkers::Off`",
                config.name
            ),
        }),
        (_, false) => Ok(None),
        (markers, true) => Ok(markers.duration()),
    }
}
