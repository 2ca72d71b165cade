//! Creates and recreates consumers on the server.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
    time::Duration,
};

use futures::future::{Either, join, select};
use tokio::sync::watch;

use super::{
    api::{ConsumerConfig, ConsumerInfo, CreateConsumer},
    bucket::{Bucket, nanos},
    call::{Api, insist, not_answered, parse},
    consumer::{Consumer, Why},
    consumer_removal::OnServer,
    entry::Stamp,
    filters::Filters,
};
use crate::{
    backend::WatchRequest,
    error::{ServiceError, WithCauses},
    kv::Deliver,
    platform::{self, Instant},
    random::Random,
    status::{ConnectionState, ConnectionStatus},
    transport::Subscription,
};

/// How often an otherwise idle consumer sends a heartbeat.
pub(super) const HEARTBEAT: Duration = Duration::from_secs(5);

/// How long a consumer may lack a listener before the server removes it. A reconnect creates a new consumer
/// anyway, so this only matters for consumers whose program or page is gone: they count against the
/// stream's limits, for which 1000 may be too many.
pub(super) const INACTIVE: Duration = Duration::from_secs(60);

/// The delay between failed attempts to recreate a consumer.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// The part of a watch that is the same for all its consumers.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) bucket: Arc<Bucket>,
    pub(super) filters: Filters,
    /// The filters as subjects.
    pub(super) subjects: Vec<String>,
    pub(super) request: WatchRequest,
}

/// The position of a watch, where the next consumer starts.
#[derive(Clone, Copy, Debug)]
pub(super) struct Progress {
    /// The last revision that was seen or must be skipped; `None` if not known yet.
    pub(super) last: Option<u64>,
    /// When its stream was created.
    pub(super) created: u64,
    /// Whether the stream was recreated during the watch, so that everything in it is new.
    pub(super) anew: bool,
}

impl Progress {
    pub(super) fn new(bucket: &Bucket) -> Self {
        Self {
            last: None,
            created: bucket.created(),
            anew: false,
        }
    }
}

/// A consumer that was created.
#[derive(Debug)]
pub(super) struct Started {
    pub(super) subscription: Subscription,
    pub(super) consumer: Consumer,
    /// Removes the consumer from the server.
    pub(super) on_server: OnServer,
    /// The connection on which it was created.
    pub(super) epoch: u64,
    /// How many messages are pending.
    pub(super) pending: u64,
    /// The sequence after which it starts, according to the server.
    floor: u64,
    /// The last revision of the bucket before it was created; 0 if unknown.
    pub(super) before: u64,
    /// Whether the bucket was idle at that time, as far as is known.
    pub(super) is_quiet: bool,
}

/// The result of recreating a consumer.
#[derive(Debug)]
pub(super) struct Restarted {
    pub(super) started: Started,
    pub(super) progress: Progress,
    /// The last revision of the bucket at that time.
    pub(super) last: Stamp,
}

impl Plan {
    pub(super) fn new(bucket: Arc<Bucket>, filters: Filters, request: WatchRequest) -> Self {
        let subjects = filters
            .wire
            .iter()
            .map(|filter| bucket.subject(filter))
            .collect();
        Self {
            bucket,
            filters,
            subjects,
            request,
        }
    }

    /// Whether this lists keys, each once.
    pub(super) fn is_listing(&self) -> bool {
        self.request.once && self.request.deliver == Deliver::Latest
    }

    /// Creates the first consumer.
    pub(super) async fn begin(&self, progress: &mut Progress) -> Result<Started, ServiceError> {
        // The handle may predate the bucket, which may have been recreated since. Querying it concurrently,
        // and first, takes no extra time.
        let (now, started) = join(self.bucket.state(), self.start(progress)).await;
        let (mut started, now) = (started?, now?);
        progress.created = now.created;
        started.before = now.last;
        started.is_quiet = now.is_quiet;
        if self.request.deliver == Deliver::Updates {
            // Start here even if nothing arrives before the first interruption.
            progress.last = Some(started.floor);
        }
        Ok(started)
    }

    /// Whether the server should omit the values.
    fn leaves_values_out(&self) -> bool {
        // A watch is long-lived, and its values may grow.
        self.request.metadata_only && !(self.request.once && self.bucket.has_small_values())
    }

    /// The position where a consumer starts.
    fn policy(&self, progress: &Progress) -> (&'static str, Option<u64>) {
        // A listing cannot resume in the middle: keys that it has shown may have changed since, and older
        // revisions would be mixed in. It starts over, and skips keys already shown.
        if self.is_listing() {
            return ("last_per_subject", None);
        }
        match (progress.last, self.request.deliver) {
            (Some(last), _) => ("by_start_sequence", Some(last + 1)),
            (None, Deliver::Latest) => ("last_per_subject", None),
            (None, _) if progress.anew => ("all", None),
            (None, Deliver::History | Deliver::From(0)) => ("all", None),
            (None, Deliver::Updates) => ("new", None),
            (None, Deliver::From(first)) => ("by_start_sequence", Some(first)),
        }
    }

    /// Creates a consumer. The request may be sent twice, because each one creates its own consumer, which
    /// is removed if it is not needed.
    async fn start(&self, progress: &Progress) -> Result<Started, ServiceError> {
        insist(|| Box::pin(self.ask(progress))).await
    }

    async fn ask(&self, progress: &Progress) -> Result<Started, ServiceError> {
        let Api {
            transport, timeout, ..
        } = &self.bucket.api;
        // Read first, so that the driver notices if the connection changes in the meantime.
        let epoch = transport.status().borrow().epoch;
        let inbox = transport.new_inbox();
        // Subscribe before anything can be sent to the inbox.
        let subscription = transport
            .subscribe(inbox.clone())
            .await
            .map_err(|error| not_answered(error, &inbox))?;
        let name = short_name(&inbox);
        // From here on the consumer may exist, whatever the server replies.
        let mut on_server = OnServer::new(&self.bucket, &name);
        let (deliver_policy, opt_start_seq) = self.policy(progress);
        let single = match &*self.subjects {
            [subject] => Some(&**subject),
            _ => None,
        };
        let request = CreateConsumer {
            stream_name: &self.bucket.stream,
            action: "create",
            config: ConsumerConfig {
                name: &name,
                deliver_subject: &inbox,
                deliver_policy,
                opt_start_seq,
                filter_subject: single,
                filter_subjects: if single.is_some() {
                    &[]
                } else {
                    &self.subjects
                },
                headers_only: self.leaves_values_out(),
                ack_policy: "none",
                max_deliver: 1,
                flow_control: true,
                idle_heartbeat: nanos(HEARTBEAT),
                inactive_threshold: nanos(INACTIVE),
                num_replicas: 1,
                mem_storage: true,
            },
        };
        let mut path = format!("{}.{name}", self.bucket.stream);
        // A single filter is part of the request subject, so that permissions can depend on it.
        if let Some(subject) = single {
            path.push('.');
            path.push_str(subject);
        }
        tracing::trace!(bucket = %self.bucket.name, consumer = name, deliver_policy, opt_start_seq, ?timeout, "creating a consumer");
        let operation = "CONSUMER.CREATE";
        let answer = self.bucket.api.call(operation, &path, request.to_json());
        let info = answer.await.and_then(|answer| parse(operation, &answer));
        let info: ConsumerInfo = info.map_err(|failure| failure.of(&self.bucket.name))?;
        on_server.confirm();
        Ok(Started {
            subscription,
            consumer: Consumer::new(HEARTBEAT, Instant::now()),
            on_server,
            epoch,
            pending: info.num_pending,
            floor: info.floor,
            before: 0,
            is_quiet: false,
        })
    }

    /// Recreates a consumer, retrying for as long as necessary.
    ///
    /// Fails only for permanent reasons: the bucket is gone, a permission is missing, or the client was
    /// closed.
    pub(super) async fn restart(
        self: Arc<Self>,
        mut progress: Progress,
        why: Why,
        old: Option<OnServer>,
    ) -> Result<Restarted, ServiceError> {
        let bucket = &self.bucket;
        tracing::info!(bucket = %bucket.name, reason = why.as_str(), last = progress.last, "a watch restarts");
        let mut status = bucket.api.transport.status();
        let mut pauses = Pauses::new(&bucket.api.transport.new_inbox());
        let mut was_missing = false;
        connected(&mut status).await?;
        drop(old); // now that a removal can reach the server
        loop {
            connected(&mut status).await?;
            let error = match self.try_restart(&mut progress).await {
                Ok(Some(restarted)) => return Ok(restarted),
                // The bucket was recreated: start from its beginning at once.
                Ok(None) => continue,
                Err(error) => error,
            };
            match &error {
                ServiceError::PermissionDenied { .. } | ServiceError::Closed => return Err(error),
                // A cluster that has just started may not know its streams yet, so try more than once.
                ServiceError::BucketNotFound { .. } if was_missing => return Err(error),
                ServiceError::BucketNotFound { .. } => was_missing = true,
                _ => was_missing = false,
            }
            let pause = pauses.next();
            tracing::warn!(bucket = %bucket.name, error = %WithCauses(&error), ?pause, "a watch cannot restart yet");
            // Retry at once if the connection changes.
            let changed = Box::pin(status.changed());
            if let Either::Right((Err(_), _)) = select(platform::sleep(pause), changed).await {
                return Err(ServiceError::Closed);
            }
        }
    }

    /// Creates a consumer that resumes at the watch's position. Returns `None` if the stream is not the one
    /// on which the watch began; then the watch must start over.
    async fn try_restart(
        &self,
        progress: &mut Progress,
    ) -> Result<Option<Restarted>, ServiceError> {
        let started = self.start(progress).await?;
        // Queried after creating the consumer, so that it is the stream that the consumer reads.
        let now = self.bucket.state().await?;
        let last = progress.last.unwrap_or(0);
        if now.created != progress.created || now.last < last {
            tracing::warn!(bucket = %self.bucket.name, "the bucket was recreated during a watch");
            *progress = Progress {
                last: None,
                created: now.created,
                anew: true,
            };
            return Ok(None);
        }
        Ok(Some(Restarted {
            started,
            progress: *progress,
            last: Stamp {
                revision: now.last,
                created: now.last_time,
                delta: 0,
            },
        }))
    }
}

/// Waits for a connection.
pub(super) async fn connected(
    status: &mut watch::Receiver<ConnectionStatus>,
) -> Result<(), ServiceError> {
    let settled = status
        .wait_for(|status| status.state != ConnectionState::Disconnected)
        .await;
    match settled {
        Ok(status) if status.state == ConnectionState::Connected => Ok(()),
        _ => Err(ServiceError::Closed),
    }
}

/// Derives a short, unique name from the unique inbox. The name is part of every message that the consumer
/// sends: a whole inbox would make up a tenth of an initial load of small values.
fn short_name(inbox: &str) -> String {
    const DIGITS: &[u8; 32] = b"0123456789abcdefghijklmnopqrstuv";
    let mut hash = hash(inbox);
    // Fifty bits, slightly more than in the names that servers generate.
    let mut name = String::with_capacity(10);
    for _ in 0..10 {
        name.push(char::from(DIGITS[(hash & 31) as usize]));
        hash >>= 5;
    }
    name
}

fn hash(inbox: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    inbox.hash(&mut hasher);
    hasher.finish()
}

/// Growing delays, different for each watch.
struct Pauses {
    longest: Duration,
    random: Random,
}

impl Pauses {
    /// Creates delays that differ from those of other watches, because each inbox is unique.
    fn new(inbox: &str) -> Self {
        Self {
            longest: FIRST_PAUSE,
            random: Random::new(hash(inbox)),
        }
    }

    /// Returns a delay between half of the current maximum and all of it; the maximum doubles each time.
    fn next(&mut self) -> Duration {
        let pause = self.random.pause(self.longest / 2, self.longest);
        self.longest = (self.longest * 2).min(LONGEST_PAUSE);
        pause
    }
}

#[cfg(test)]
mod tests {
    use super::super::{
        stream::{StreamConfig, StreamInfo},
        testing::{self, DropsFirst, Says, bucket_of},
    };
    use super::*;
    use crate::key::KeyFilter;

    #[test]
    fn a_listing_restarts_and_a_watch_resumes() {
        let policy = |request, last| {
            let bucket = testing::bucket(None);
            let mut progress = Progress::new(&bucket);
            progress.last = last;
            Plan::new(bucket, Filters::new(&[KeyFilter::all()]), request).policy(&progress)
        };
        let watch = WatchRequest {
            once: false,
            ..WatchRequest::listing(true)
        };
        let all = ("last_per_subject", None);
        for last in [None, Some(5)] {
            assert_eq!(policy(WatchRequest::listing(true), last), all);
        }
        assert_eq!(policy(watch, None), all);
        assert_eq!(policy(watch, Some(5)), ("by_start_sequence", Some(6)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_dropped_for_lack_of_a_leader_is_repeated() {
        let answer = concat!(
            r#"{"num_pending":7,"delivered":{"stream_seq":0},"config":{},"state":{},"#,
            r#""created":"2026-01-01T00:00:00Z"}"#
        );
        let bucket = || {
            let transport = DropsFirst {
                came: false.into(),
                then: Says(Some(answer)),
            };
            bucket_of(transport, "$JS.API", &StreamConfig::default())
        };
        let began = Instant::now();
        let request = WatchRequest {
            deliver: Deliver::Latest,
            metadata_only: false,
            once: false,
            complete: false,
        };
        let plan = Plan::new(Arc::new(bucket()), Filters::new(&[]), request);
        let started = plan.start(&Progress::new(&plan.bucket)).await.unwrap();
        assert_eq!(started.pending, 7);

        let Bucket {
            api, stream, name, ..
        } = bucket();
        StreamInfo::ask(&api, &stream, &name).await.unwrap();
        assert!(began.elapsed() < Duration::from_secs(3));
    }

    #[test]
    fn backoff_grows_to_a_limit_with_jitter() {
        let (mut a, mut b) = (Pauses::new("_INBOX.a"), Pauses::new("_INBOX.b"));
        let mut longest = FIRST_PAUSE;
        let mut same = 0;
        for _ in 0..20 {
            let (pause, other) = (a.next(), b.next());
            assert!(pause >= longest / 2 && pause <= longest, "{pause:?}");
            same += usize::from(pause == other);
            longest = (longest * 2).min(LONGEST_PAUSE);
        }
        assert!(same < 3);
    }
}
