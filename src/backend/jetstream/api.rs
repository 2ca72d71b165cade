//! Requests and responses of the JetStream API, as JSON. Only the fields in use are defined.

use std::borrow::Cow;

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

/// The codes that this module handles.
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

/// Any response, if it is a refusal.
pub(super) struct Refusal {
    pub(super) error: Option<ApiError>,
    /// Set in a response without any other data.
    pub(super) success: bool,
}

impl FromJson<'_> for Refusal {
    fn from_json(fields: &mut Fields<'_>) -> Self {
        Self {
            error: fields.maybe("error"),
            success: fields.flag("success"),
        }
    }
}

/// The response to a write.
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

/// The response to `INFO`.
pub(super) struct Account {
    /// 0 before server 2.11, which does not send it.
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

/// The part of the response to `STREAM.INFO` that tells the stream's age.
pub(super) struct Birth {
    pub(super) created: String,
    /// The server's time of the response.
    pub(super) now: String,
    pub(super) in_cluster: bool,
}

struct Cluster(bool);

impl FromJson<'_> for Cluster {
    fn from_json(fields: &mut Fields<'_>) -> Self {
        Self(fields.maybe_text("name").is_some())
    }
}

impl FromJson<'_> for Birth {
    fn from_json(fields: &mut Fields<'_>) -> Self {
        let Cluster(in_cluster) = fields.maybe("cluster").unwrap_or(Cluster(false));
        Self {
            created: fields.string("created"),
            now: fields.string("ts"),
            in_cluster,
        }
    }
}

/// The response to `STREAM.NAMES`.
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

/// The response to `STREAM.MSG.GET`.
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
    /// Nanoseconds, like all durations here.
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

/// The response to `CONSUMER.CREATE`.
pub(super) struct ConsumerInfo {
    /// For a consumer of new messages: the last sequence that it skips.
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
