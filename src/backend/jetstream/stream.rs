//! A stream in the requests and responses of the JetStream API: settings, identity and state.

use std::{borrow::Cow, collections::BTreeMap};

use bytes::Bytes;

use super::call::{Api, insist, parse};
use crate::{
    error::ServiceError,
    json::{Fields, FromJson, Writer},
    key::BucketName,
};

/// The response to `STREAM.INFO`, `CREATE` and `UPDATE`.
pub(super) struct StreamInfo {
    pub(super) created: String,
    /// The server's time of the response.
    pub(super) now: Option<String>,
    pub(super) config: StreamConfig,
    pub(super) state: StreamState,
}

impl FromJson<'_> for StreamInfo {
    fn from_json(fields: &mut Fields<'_>) -> Self {
        Self {
            created: fields.string("created"),
            now: fields.maybe_string("ts"),
            config: fields.need("config"),
            state: fields.maybe("state").unwrap_or_default(),
        }
    }
}

impl StreamInfo {
    /// Queries the current state of a stream, on behalf of a bucket.
    pub(super) async fn ask(
        api: &Api,
        stream: &str,
        bucket: &BucketName,
    ) -> Result<Self, ServiceError> {
        let operation = "STREAM.INFO";
        let answer = insist(|| Box::pin(api.call(operation, stream, Bytes::new()))).await;
        let info = answer.and_then(|answer| parse(operation, &answer));
        info.map_err(|failure| failure.of(bucket))
    }
}

#[derive(Debug, Default)]
pub(super) struct StreamState {
    pub(super) messages: u64,
    pub(super) bytes: u64,
    pub(super) first_seq: u64,
    pub(super) last_seq: u64,
    pub(super) num_subjects: u64,
    pub(super) last_ts: Option<String>,
}

impl FromJson<'_> for StreamState {
    fn from_json(fields: &mut Fields<'_>) -> Self {
        Self {
            messages: fields.number("messages"),
            bytes: fields.number("bytes"),
            first_seq: fields.number("first_seq"),
            last_seq: fields.number("last_seq"),
            num_subjects: fields.number("num_subjects"),
            last_ts: fields.maybe_string("last_ts"),
        }
    }
}

/// A stream's settings, as far as they concern a bucket. To a server, `null` means "not set".
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
            // The server's own metadata is not a setting, and it accepts it from no client.
            metadata: fields.string_map("metadata", "_nats."),
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
    /// Returns the request that creates or updates this stream.
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
