//! What the JetStream API says and is told, as JSON. Only the fields that are used stand here.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

/// A refusal.
#[derive(Debug, Deserialize)]
pub(super) struct ApiError {
    #[serde(default)]
    pub(super) code: u16,
    #[serde(default)]
    pub(super) err_code: u64,
    #[serde(default)]
    pub(super) description: String,
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
#[derive(Deserialize)]
pub(super) struct Refusal {
    pub(super) error: Option<ApiError>,
}

/// An answer that says nothing but that it worked.
#[derive(Deserialize)]
pub(super) struct Done {}

/// The answer to a write.
#[derive(Deserialize)]
pub(super) struct Ack {
    pub(super) error: Option<ApiError>,
    #[serde(default)]
    pub(super) seq: u64,
}

/// The answer to `INFO`.
#[derive(Deserialize)]
pub(super) struct Account {
    #[serde(default)]
    pub(super) api: ApiLevel,
}

#[derive(Default, Deserialize)]
pub(super) struct ApiLevel {
    /// 0 before server 2.11, which does not have it.
    #[serde(default)]
    pub(super) level: u32,
}

/// The answer to `STREAM.INFO`, `CREATE` and `UPDATE`.
#[derive(Deserialize)]
pub(super) struct StreamInfo<'a> {
    #[serde(borrow)]
    pub(super) created: Cow<'a, str>,
    pub(super) config: StreamConfig,
    #[serde(borrow, default)]
    pub(super) state: StreamState<'a>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct StreamState<'a> {
    pub(super) messages: u64,
    pub(super) bytes: u64,
    pub(super) first_seq: u64,
    pub(super) last_seq: u64,
    pub(super) num_subjects: u64,
    #[serde(borrow)]
    pub(super) last_ts: Option<Cow<'a, str>>,
}

/// A stream's settings, as far as they are a bucket's. `null` is what a server takes for "not set".
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(default)]
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
    pub(super) metadata: Option<std::collections::BTreeMap<String, String>>,
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

#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub(super) struct StreamPlacement {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) cluster: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) tags: Option<Vec<String>>,
}

#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub(super) struct StreamRepublish {
    pub(super) src: String,
    pub(super) dest: String,
    pub(super) headers_only: bool,
}

#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub(super) struct StreamSource {
    pub(super) name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) external: Option<External>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) subject_transforms: Option<Vec<Transform>>,
}

#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub(super) struct External {
    /// The API prefix of the other domain.
    pub(super) api: String,
}

#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub(super) struct Transform {
    pub(super) src: String,
    pub(super) dest: String,
}

/// The answer to `STREAM.NAMES`.
#[derive(Deserialize)]
pub(super) struct StreamNames<'a> {
    #[serde(default)]
    pub(super) total: usize,
    /// `null` where there are none.
    #[serde(borrow)]
    pub(super) streams: Option<Vec<Cow<'a, str>>>,
}

/// The answer to `STREAM.MSG.GET`.
#[derive(Deserialize)]
pub(super) struct Stored<'a> {
    #[serde(borrow)]
    pub(super) message: StoredMessage<'a>,
}

#[derive(Deserialize)]
pub(super) struct StoredMessage<'a> {
    #[serde(borrow)]
    pub(super) subject: Cow<'a, str>,
    pub(super) seq: u64,
    /// The header block, base64.
    #[serde(borrow)]
    pub(super) hdrs: Option<Cow<'a, str>>,
    /// The body, base64.
    #[serde(borrow)]
    pub(super) data: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub(super) time: Cow<'a, str>,
}

/// The request to `CONSUMER.CREATE`.
#[derive(Serialize)]
pub(super) struct CreateConsumer<'a> {
    pub(super) stream_name: &'a str,
    pub(super) action: &'static str,
    pub(super) config: ConsumerConfig<'a>,
}

#[derive(Serialize)]
pub(super) struct ConsumerConfig<'a> {
    pub(super) name: &'a str,
    pub(super) deliver_subject: &'a str,
    pub(super) deliver_policy: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) opt_start_seq: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) filter_subject: Option<&'a str>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
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

/// The answer to `CONSUMER.CREATE`.
#[derive(Deserialize)]
pub(super) struct ConsumerInfo {
    pub(super) delivered: Delivered,
    #[serde(default)]
    pub(super) num_pending: u64,
}

#[derive(Deserialize)]
pub(super) struct Delivered {
    /// For a consumer that starts with what is new: the last sequence that it leaves out.
    #[serde(default)]
    pub(super) stream_seq: u64,
}
