//! What the JetStream API says and is told, as JSON. Only the fields that are used stand here.

use std::{borrow::Cow, collections::BTreeMap};

use bytes::Bytes;

use crate::json::{Error, FromJson, Object, Value, Writer};

/// A refusal.
#[derive(Debug)]
pub(super) struct ApiError {
    pub(super) code: u16,
    pub(super) err_code: u64,
    pub(super) description: String,
}

impl FromJson<'_> for ApiError {
    fn from_json(object: &Object<'_>) -> Result<Self, Error> {
        Ok(Self {
            code: object.number("code")?.unwrap_or_default(),
            err_code: object.number("err_code")?.unwrap_or_default(),
            description: object.owned("description")?.unwrap_or_default(),
        })
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
    fn from_json(object: &Object<'_>) -> Result<Self, Error> {
        Ok(Self {
            error: maybe(object, "error")?,
        })
    }
}

/// An answer that says nothing but that it worked.
pub(super) struct Done {}

impl FromJson<'_> for Done {
    fn from_json(_: &Object<'_>) -> Result<Self, Error> {
        Ok(Self {})
    }
}

/// The answer to a write.
pub(super) struct Ack {
    pub(super) error: Option<ApiError>,
    pub(super) seq: u64,
}

impl FromJson<'_> for Ack {
    fn from_json(object: &Object<'_>) -> Result<Self, Error> {
        Ok(Self {
            error: maybe(object, "error")?,
            seq: object.number("seq")?.unwrap_or_default(),
        })
    }
}

/// The answer to `INFO`.
pub(super) struct Account {
    /// 0 before server 2.11, which does not have it.
    pub(super) level: u32,
}

impl FromJson<'_> for Account {
    fn from_json(object: &Object<'_>) -> Result<Self, Error> {
        let level = match object.object("api")? {
            Some(api) => api.number("level")?.unwrap_or_default(),
            None => 0,
        };
        Ok(Self { level })
    }
}

/// The answer to `STREAM.INFO`, `CREATE` and `UPDATE`.
pub(super) struct StreamInfo<'a> {
    pub(super) created: Cow<'a, str>,
    pub(super) config: StreamConfig,
    pub(super) state: StreamState<'a>,
}

impl<'a> FromJson<'a> for StreamInfo<'a> {
    fn from_json(object: &Object<'a>) -> Result<Self, Error> {
        Ok(Self {
            created: needed(object, "created")?,
            config: maybe(object, "config")?.ok_or(Error::missing("config"))?,
            state: maybe(object, "state")?.unwrap_or_default(),
        })
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
    fn from_json(object: &Object<'a>) -> Result<Self, Error> {
        let number = |name| Ok(object.number(name)?.unwrap_or_default());
        Ok(Self {
            messages: number("messages")?,
            bytes: number("bytes")?,
            first_seq: number("first_seq")?,
            last_seq: number("last_seq")?,
            num_subjects: number("num_subjects")?,
            last_ts: object.text("last_ts")?.cloned(),
        })
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
    fn from_json(object: &Object<'_>) -> Result<Self, Error> {
        let number = |name| Ok(object.number(name)?.unwrap_or_default());
        let signed = |name| Ok(object.signed(name)?.unwrap_or_default());
        let text = |name| Ok(object.owned(name)?.unwrap_or_default());
        Ok(Self {
            name: text("name")?,
            description: object.owned("description")?,
            subjects: texts(object, "subjects")?,
            max_msgs_per_subject: signed("max_msgs_per_subject")?,
            max_bytes: signed("max_bytes")?,
            max_age: number("max_age")?,
            max_msg_size: signed("max_msg_size")?,
            storage: text("storage")?.into(),
            num_replicas: object.number("num_replicas")?.unwrap_or_default(),
            compression: object.owned("compression")?.map(Cow::Owned),
            placement: maybe(object, "placement")?,
            republish: maybe(object, "republish")?,
            mirror: maybe(object, "mirror")?,
            sources: all(object, "sources")?,
            metadata: metadata(object)?,
            allow_direct: object.flag("allow_direct")?,
            mirror_direct: object.flag("mirror_direct")?,
            allow_msg_ttl: object.flag("allow_msg_ttl")?,
            subject_delete_marker_ttl: number("subject_delete_marker_ttl")?,
            duplicate_window: number("duplicate_window")?,
            discard: text("discard")?.into(),
            retention: text("retention")?.into(),
            max_msgs: signed("max_msgs")?,
            max_consumers: signed("max_consumers")?,
            allow_rollup_hdrs: object.flag("allow_rollup_hdrs")?,
            deny_delete: object.flag("deny_delete")?,
        })
    }
}

fn metadata(object: &Object<'_>) -> Result<Option<BTreeMap<String, String>>, Error> {
    let Some(fields) = object.object("metadata")? else {
        return Ok(None);
    };
    let mut metadata = BTreeMap::new();
    for (name, value) in &fields.0 {
        let Value::Text(value) = value else {
            return Err(Error::expected("texts", "metadata"));
        };
        metadata.insert(String::from(&**name), String::from(&**value));
    }
    Ok(Some(metadata))
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
    fn from_json(object: &Object<'_>) -> Result<Self, Error> {
        Ok(Self {
            cluster: object.owned("cluster")?,
            tags: texts(object, "tags")?,
        })
    }
}

#[derive(Debug, Default)]
pub(super) struct StreamRepublish {
    pub(super) src: String,
    pub(super) dest: String,
    pub(super) headers_only: bool,
}

impl FromJson<'_> for StreamRepublish {
    fn from_json(object: &Object<'_>) -> Result<Self, Error> {
        Ok(Self {
            src: object.owned("src")?.unwrap_or_default(),
            dest: object.owned("dest")?.unwrap_or_default(),
            headers_only: object.flag("headers_only")?,
        })
    }
}

#[derive(Debug, Default)]
pub(super) struct StreamSource {
    pub(super) name: String,
    pub(super) external: Option<External>,
    pub(super) subject_transforms: Option<Vec<Transform>>,
}

impl FromJson<'_> for StreamSource {
    fn from_json(object: &Object<'_>) -> Result<Self, Error> {
        Ok(Self {
            name: object.owned("name")?.unwrap_or_default(),
            external: maybe(object, "external")?,
            subject_transforms: all(object, "subject_transforms")?,
        })
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
    fn from_json(object: &Object<'_>) -> Result<Self, Error> {
        let api = object.owned("api")?.unwrap_or_default();
        Ok(Self { api })
    }
}

#[derive(Debug, Default)]
pub(super) struct Transform {
    pub(super) src: String,
    pub(super) dest: String,
}

impl FromJson<'_> for Transform {
    fn from_json(object: &Object<'_>) -> Result<Self, Error> {
        Ok(Self {
            src: object.owned("src")?.unwrap_or_default(),
            dest: object.owned("dest")?.unwrap_or_default(),
        })
    }
}

/// The answer to `STREAM.NAMES`.
pub(super) struct StreamNames<'a> {
    pub(super) total: usize,
    pub(super) streams: Vec<Cow<'a, str>>,
}

impl<'a> FromJson<'a> for StreamNames<'a> {
    fn from_json(object: &Object<'a>) -> Result<Self, Error> {
        let mut streams = Vec::new();
        for name in object.list("streams")? {
            let Value::Text(name) = name else {
                return Err(Error::expected("texts", "streams"));
            };
            streams.push(name.clone());
        }
        Ok(Self {
            total: object.number("total")?.unwrap_or_default(),
            streams,
        })
    }
}

/// The answer to `STREAM.MSG.GET`.
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
    fn from_json(object: &Object<'a>) -> Result<Self, Error> {
        let message = object.object("message")?;
        let message = message.ok_or(Error::missing("message"))?;
        Ok(Self {
            subject: needed(message, "subject")?,
            seq: message.number("seq")?.ok_or(Error::missing("seq"))?,
            hdrs: message.text("hdrs")?.cloned(),
            data: message.text("data")?.cloned(),
            time: needed(message, "time")?,
        })
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

impl FromJson<'_> for ConsumerInfo {
    fn from_json(object: &Object<'_>) -> Result<Self, Error> {
        let delivered = object.object("delivered")?;
        let delivered = delivered.ok_or(Error::missing("delivered"))?;
        Ok(Self {
            floor: delivered.number("stream_seq")?.unwrap_or_default(),
            num_pending: object.number("num_pending")?.unwrap_or_default(),
        })
    }
}

fn needed<'a>(object: &Object<'a>, name: &'static str) -> Result<Cow<'a, str>, Error> {
    object.text(name)?.cloned().ok_or(Error::missing(name))
}

fn maybe<'a, T: FromJson<'a>>(object: &Object<'a>, name: &'static str) -> Result<Option<T>, Error> {
    object.object(name)?.map(T::from_json).transpose()
}

fn texts(object: &Object<'_>, name: &'static str) -> Result<Option<Vec<String>>, Error> {
    match object.get(name) {
        Value::Null => Ok(None),
        _ => object.texts(name).map(Some),
    }
}

fn all<'a, T: FromJson<'a>>(
    object: &Object<'a>,
    name: &'static str,
) -> Result<Option<Vec<T>>, Error> {
    if *object.get(name) == Value::Null {
        return Ok(None);
    }
    let mut all = Vec::new();
    for value in object.list(name)? {
        let Value::Object(object) = value else {
            return Err(Error::expected("objects", name));
        };
        all.push(T::from_json(object)?);
    }
    Ok(Some(all))
}
