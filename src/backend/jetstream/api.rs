//! What the JetStream API says and is told, as JSON. Only the fields that are used stand here.

use std::{borrow::Cow, collections::BTreeMap};

use bytes::Bytes;

use crate::json::{Fields, FromJson, Writer};

/// A refusal.
#[derive(Debug)]
pub(super) struct ApiError {
    pub(super) code: u16,
    pub(super) err_code: u64,
    pub(super) description: String,
}

impl FromJson<'_> for ApiError {
    fn from_json(fields: &mut Fields<'_>) -> Self {
        Self {
            code: fields.small("code"),
            err_code: fields.number("err_code"),
            description: fields.string("description"),
        }
    }
}

/// The codes that mean something to us.
pub(super) mod code {
    pub(crate) const NAME_IN_USE: u64 = 10058;
    pub(crate) const NO_STREAM: u64 = 10059;
    pub(crate) const NO_CONSUMER: u64 = 10014;
    pub(crate) const NOT_ENABLED: u64 = 10076;
    pub(crate) const NOT_ENABLED_FOR_ACCOUNT: u64 = 10039;
    pub(crate) const WRONG_LAST_SEQUENCE: u64 = 10071;
    pub(crate) const WRONG_LAST_SEQUENCE_IN_FLIGHT: u64 = 10164;
    pub(crate) const MESSAGE_TOO_LARGE: u64 = 10054;
    pub(crate) const TTL_INVALID: u64 = 10165;
    pub(crate) const TTL_DISABLED: u64 = 10166;
    pub(crate) const API_LEVEL: u64 = 10185;
}

/// Any answer, as far as it is a refusal.
pub(super) struct Refusal {
    pub(super) error: Option<ApiError>,
}

impl FromJson<'_> for Refusal {
    fn from_json(fields: &mut Fields<'_>) -> Self {
        Self {
            error: fields.maybe("error"),
        }
    }
}

/// An answer that says nothing but that it worked.
pub(super) struct Done {}

impl FromJson<'_> for Done {
    fn from_json(_: &mut Fields<'_>) -> Self {
        Self {}
    }
}

/// The answer to a write.
pub(super) struct Ack {
    pub(super) error: Option<ApiError>,
    pub(super) seq: u64,
}

impl FromJson<'_> for Ack {
    fn from_json(fields: &mut Fields<'_>) -> Self {
        Self {
            error: fields.maybe("error"),
            seq: fields.number("seq"),
        }
    }
}

/// The answer to `INFO`.
pub(super) struct Account {
    /// 0 before server 2.11, which does not have it.
    pub(super) level: u32,
}

struct ApiLevel(u32);

impl FromJson<'_> for ApiLevel {
    fn from_json(fields: &mut Fields<'_>) -> Self {
        Self(fields.small("level"))
    }
}

impl FromJson<'_> for Account {
    fn from_json(fields: &mut Fields<'_>) -> Self {
        let ApiLevel(level) = fields.maybe("api").unwrap_or(ApiLevel(0));
        Self { level }
    }
}

/// The answer to `STREAM.INFO`, `CREATE` and `UPDATE`.
pub(super) struct StreamInfo<'a> {
    pub(super) created: Cow<'a, str>,
    pub(super) config: StreamConfig,
    pub(super) state: StreamState<'a>,
}

impl<'a> FromJson<'a> for StreamInfo<'a> {
    fn from_json(fields: &mut Fields<'a>) -> Self {
        Self {
            created: fields.text("created"),
            config: fields.need("config"),
            state: fields.maybe("state").unwrap_or_default(),
        }
    }
}

#[derive(Debug, Default)]
pub(super) struct StreamState<'a> {
    pub(super) messages: u64,
    pub(super) bytes: u64,
    pub(super) first_seq: u64,
    pub(super) last_seq: u64,
    pub(super) num_subjects: u64,
    pub(super) last_ts: Option<Cow<'a, str>>,
}

impl<'a> FromJson<'a> for StreamState<'a> {
    fn from_json(fields: &mut Fields<'a>) -> Self {
        Self {
            messages: fields.number("messages"),
            bytes: fields.number("bytes"),
            first_seq: fields.number("first_seq"),
            last_seq: fields.number("last_seq"),
            num_subjects: fields.number("num_subjects"),
            last_ts: fields.maybe_text("last_ts"),
        }
    }
}

/// A stream's settings, as far as they are a bucket's. `null` is what a server takes for "not set".
#[derive(Debug, Default)]
pub(super) struct StreamConfig {
    pub(super) name: String,
    pub(super) description: Option<String>,
    pub(super) subjects: Option<Vec<String>>,
    pub(super) max_msgs_per_subject: i64,
    pub(super) max_bytes: i64,
    pub(super) max_age: u64,
    pub(super) max_msg_size: i64,
    pub(super) storage: Cow<'static, str>,
    pub(super) num_replicas: u8,
    pub(super) compression: Option<Cow<'static, str>>,
    pub(super) placement: Option<StreamPlacement>,
    pub(super) republish: Option<StreamRepublish>,
    pub(super) mirror: Option<StreamSource>,
    pub(super) sources: Option<Vec<StreamSource>>,
    pub(super) metadata: Option<BTreeMap<String, String>>,
    pub(super) allow_direct: bool,
    pub(super) mirror_direct: bool,
    pub(super) allow_msg_ttl: bool,
    pub(super) subject_delete_marker_ttl: u64,
    pub(super) duplicate_window: u64,
    pub(super) discard: Cow<'static, str>,
    pub(super) retention: Cow<'static, str>,
    pub(super) max_msgs: i64,
    pub(super) max_consumers: i64,
    pub(super) allow_rollup_hdrs: bool,
    pub(super) deny_delete: bool,
}

impl FromJson<'_> for StreamConfig {
    fn from_json(fields: &mut Fields<'_>) -> Self {
        Self {
            name: fields.string("name"),
            description: fields.maybe_string("description"),
            subjects: fields.maybe_strings("subjects"),
            max_msgs_per_subject: fields.signed("max_msgs_per_subject"),
            max_bytes: fields.signed("max_bytes"),
            max_age: fields.number("max_age"),
            max_msg_size: fields.signed("max_msg_size"),
            storage: fields.string("storage").into(),
            num_replicas: fields.small("num_replicas"),
            compression: fields.maybe_string("compression").map(Cow::Owned),
            placement: fields.maybe("placement"),
            republish: fields.maybe("republish"),
            mirror: fields.maybe("mirror"),
            sources: fields.all("sources"),
            metadata: fields.string_map("metadata"),
            allow_direct: fields.flag("allow_direct"),
            mirror_direct: fields.flag("mirror_direct"),
            allow_msg_ttl: fields.flag("allow_msg_ttl"),
            subject_delete_marker_ttl: fields.number("subject_delete_marker_ttl"),
            duplicate_window: fields.number("duplicate_window"),
            discard: fields.string("discard").into(),
            retention: fields.string("retention").into(),
            max_msgs: fields.signed("max_msgs"),
            max_consumers: fields.signed("max_consumers"),
            allow_rollup_hdrs: fields.flag("allow_rollup_hdrs"),
            deny_delete: fields.flag("deny_delete"),
        }
    }
}

impl StreamConfig {
    /// The request that makes this stream, or changes it.
    pub(super) fn to_json(&self) -> Bytes {
        let mut json = Writer::new();
        json.text("name", &self.name);
        json.text_or_null("description", self.description.as_deref());
        match &self.subjects {
            Some(subjects) => json.texts("subjects", subjects),
            None => json.null("subjects"),
        }
        json.signed("max_msgs_per_subject", self.max_msgs_per_subject);
        json.signed("max_bytes", self.max_bytes);
        json.number("max_age", self.max_age);
        json.signed("max_msg_size", self.max_msg_size);
        json.text("storage", &self.storage);
        json.number("num_replicas", self.num_replicas.into());
        json.text_or_null("compression", self.compression.as_deref());
        match &self.placement {
            None => json.null("placement"),
            Some(placement) => {
                json.open("placement");
                json.maybe_text("cluster", placement.cluster.as_deref());
                if let Some(tags) = &placement.tags {
                    json.texts("tags", tags);
                }
                json.close();
            }
        }
        match &self.republish {
            None => json.null("republish"),
            Some(republish) => {
                json.open("republish");
                json.text("src", &republish.src);
                json.text("dest", &republish.dest);
                json.flag("headers_only", republish.headers_only);
                json.close();
            }
        }
        match &self.mirror {
            None => json.null("mirror"),
            Some(mirror) => {
                json.open("mirror");
                mirror.write(&mut json);
                json.close();
            }
        }
        match &self.sources {
            None => json.null("sources"),
            Some(sources) => {
                json.open_list("sources");
                for source in sources {
                    json.open_item();
                    source.write(&mut json);
                    json.close();
                }
                json.close_list();
            }
        }
        match &self.metadata {
            None => json.null("metadata"),
            Some(metadata) => {
                json.open("metadata");
                for (name, value) in metadata {
                    json.text(name, value);
                }
                json.close();
            }
        }
        json.flag("allow_direct", self.allow_direct);
        json.flag("mirror_direct", self.mirror_direct);
        json.flag("allow_msg_ttl", self.allow_msg_ttl);
        let marker_ttl = self.subject_delete_marker_ttl;
        json.number("subject_delete_marker_ttl", marker_ttl);
        json.number("duplicate_window", self.duplicate_window);
        json.text("discard", &self.discard);
        json.text("retention", &self.retention);
        json.signed("max_msgs", self.max_msgs);
        json.signed("max_consumers", self.max_consumers);
        json.flag("allow_rollup_hdrs", self.allow_rollup_hdrs);
        json.flag("deny_delete", self.deny_delete);
        json.finish()
    }
}

#[derive(Debug, Default)]
pub(super) struct StreamPlacement {
    pub(super) cluster: Option<String>,
    pub(super) tags: Option<Vec<String>>,
}

impl FromJson<'_> for StreamPlacement {
    fn from_json(fields: &mut Fields<'_>) -> Self {
        Self {
            cluster: fields.maybe_string("cluster"),
            tags: fields.maybe_strings("tags"),
        }
    }
}

#[derive(Debug, Default)]
pub(super) struct StreamRepublish {
    pub(super) src: String,
    pub(super) dest: String,
    pub(super) headers_only: bool,
}

impl FromJson<'_> for StreamRepublish {
    fn from_json(fields: &mut Fields<'_>) -> Self {
        Self {
            src: fields.string("src"),
            dest: fields.string("dest"),
            headers_only: fields.flag("headers_only"),
        }
    }
}

#[derive(Debug, Default)]
pub(super) struct StreamSource {
    pub(super) name: String,
    pub(super) external: Option<External>,
    pub(super) subject_transforms: Option<Vec<Transform>>,
}

impl FromJson<'_> for StreamSource {
    fn from_json(fields: &mut Fields<'_>) -> Self {
        Self {
            name: fields.string("name"),
            external: fields.maybe("external"),
            subject_transforms: fields.all("subject_transforms"),
        }
    }
}

impl StreamSource {
    fn write(&self, json: &mut Writer) {
        json.text("name", &self.name);
        if let Some(external) = &self.external {
            json.open("external");
            json.text("api", &external.api);
            json.close();
        }
        if let Some(transforms) = &self.subject_transforms {
            json.open_list("subject_transforms");
            for transform in transforms {
                json.open_item();
                json.text("src", &transform.src);
                json.text("dest", &transform.dest);
                json.close();
            }
            json.close_list();
        }
    }
}

#[derive(Debug, Default)]
pub(super) struct External {
    /// The API prefix of the other domain.
    pub(super) api: String,
}

impl FromJson<'_> for External {
    fn from_json(fields: &mut Fields<'_>) -> Self {
        let api = fields.string("api");
        Self { api }
    }
}

#[derive(Debug, Default)]
pub(super) struct Transform {
    pub(super) src: String,
    pub(super) dest: String,
}

impl FromJson<'_> for Transform {
    fn from_json(fields: &mut Fields<'_>) -> Self {
        Self {
            src: fields.string("src"),
            dest: fields.string("dest"),
        }
    }
}

/// The answer to `STREAM.NAMES`.
pub(super) struct StreamNames {
    pub(super) total: usize,
    pub(super) streams: Vec<String>,
}

impl FromJson<'_> for StreamNames {
    fn from_json(fields: &mut Fields<'_>) -> Self {
        Self {
            total: fields.small("total"),
            streams: fields.strings("streams"),
        }
    }
}

/// The answer to `STREAM.MSG.GET`.
pub(super) struct Stored<'a> {
    pub(super) message: StoredMessage<'a>,
}

impl<'a> FromJson<'a> for Stored<'a> {
    fn from_json(fields: &mut Fields<'a>) -> Self {
        Self {
            message: fields.need("message"),
        }
    }
}

pub(super) struct StoredMessage<'a> {
    pub(super) subject: Cow<'a, str>,
    pub(super) seq: u64,
    /// The header block, base64.
    pub(super) hdrs: Option<Cow<'a, str>>,
    /// The body, base64.
    pub(super) data: Option<Cow<'a, str>>,
    pub(super) time: Cow<'a, str>,
}

impl<'a> FromJson<'a> for StoredMessage<'a> {
    fn from_json(fields: &mut Fields<'a>) -> Self {
        Self {
            subject: fields.text("subject"),
            seq: fields.number("seq"),
            hdrs: fields.maybe_text("hdrs"),
            data: fields.maybe_text("data"),
            time: fields.text("time"),
        }
    }
}

/// The request to `CONSUMER.CREATE`.
pub(super) struct CreateConsumer<'a> {
    pub(super) stream_name: &'a str,
    pub(super) action: &'static str,
    pub(super) config: ConsumerConfig<'a>,
}

pub(super) struct ConsumerConfig<'a> {
    pub(super) name: &'a str,
    pub(super) deliver_subject: &'a str,
    pub(super) deliver_policy: &'static str,
    pub(super) opt_start_seq: Option<u64>,
    pub(super) filter_subject: Option<&'a str>,
    pub(super) filter_subjects: &'a [String],
    pub(super) headers_only: bool,
    pub(super) ack_policy: &'static str,
    pub(super) max_deliver: u8,
    pub(super) flow_control: bool,
    /// Nanoseconds, as all durations here.
    pub(super) idle_heartbeat: u64,
    pub(super) inactive_threshold: u64,
    pub(super) num_replicas: u8,
    pub(super) mem_storage: bool,
}

impl CreateConsumer<'_> {
    pub(super) fn to_json(&self) -> Bytes {
        let config = &self.config;
        let mut json = Writer::new();
        json.text("stream_name", self.stream_name);
        json.text("action", self.action);
        json.open("config");
        json.text("name", config.name);
        json.text("deliver_subject", config.deliver_subject);
        json.text("deliver_policy", config.deliver_policy);
        json.maybe_number("opt_start_seq", config.opt_start_seq);
        json.maybe_text("filter_subject", config.filter_subject);
        if !config.filter_subjects.is_empty() {
            json.texts("filter_subjects", config.filter_subjects);
        }
        json.flag("headers_only", config.headers_only);
        json.text("ack_policy", config.ack_policy);
        json.number("max_deliver", config.max_deliver.into());
        json.flag("flow_control", config.flow_control);
        json.number("idle_heartbeat", config.idle_heartbeat);
        json.number("inactive_threshold", config.inactive_threshold);
        json.number("num_replicas", config.num_replicas.into());
        json.flag("mem_storage", config.mem_storage);
        json.close();
        json.finish()
    }
}

/// The answer to `CONSUMER.CREATE`.
pub(super) struct ConsumerInfo {
    /// For a consumer that starts with what is new: the last sequence that it leaves out.
    pub(super) floor: u64,
    pub(super) num_pending: u64,
}

struct Delivered(u64);

impl FromJson<'_> for Delivered {
    fn from_json(fields: &mut Fields<'_>) -> Self {
        Self(fields.number("stream_seq"))
    }
}

impl FromJson<'_> for ConsumerInfo {
    fn from_json(fields: &mut Fields<'_>) -> Self {
        let Delivered(floor) = fields.need("delivered");
        Self {
            floor,
            num_pending: fields.number("num_pending"),
        }
    }
}
