//! Errors, in the form that the TypeScript expects: `[code, message, fields]`.
//!
//! A Rust message leaves its cause to `source`; in JavaScript one message contains both.
//! `WithCauses` is not used for that: it would make pages download the `dyn Error` code of every
//! error for the few that have a cause.

use std::fmt::Display;

use js_sys::{Array, Object, Reflect};
use shizuku::ConnectError;
use shizuku::kv::{
    BucketError, Conflict, Expect, InvalidKey, InvalidOption, KvReadError, KvWriteError,
    ServiceError,
};
use wasm_bindgen::JsValue;

/// The result of the bindings' functions.
pub(crate) type Result<T> = std::result::Result<T, Fault>;

/// An error on its way to JavaScript. The codes are part of the public API.
///
/// It is a JavaScript value from the start: every function of the bindings passes it on, and a
/// handle takes less code to pass on than its contents.
#[derive(Debug)]
pub(crate) struct Fault(Array);

impl Fault {
    pub(crate) fn new(code: &str, message: &dyn Display) -> Self {
        let message = message.to_string();
        Self(Array::of3(
            &code.into(),
            &message.into(),
            &Object::new().into(),
        ))
    }

    /// An option with an invalid value.
    pub(crate) fn option(option: &str, wanted: &str) -> Self {
        let message = format_args!("invalid {option}: expected {wanted}");
        Self::new("invalid_option", &message).with("option", option)
    }

    pub(crate) fn with(self, name: &str, value: impl Into<JsValue>) -> Self {
        set(&self.0.get(2), name, &value.into());
        self
    }
}

impl From<Fault> for JsValue {
    fn from(fault: Fault) -> Self {
        fault.0.into()
    }
}

/// A message followed by its cause.
#[inline(never)]
pub(crate) fn because(message: &dyn Display, cause: &dyn Display) -> String {
    format!("{message}: {cause}")
}

pub(crate) fn set(object: &JsValue, name: &str, value: &JsValue) {
    // Setting a property of a fresh plain object cannot fail.
    let _ = Reflect::set(object, &name.into(), value);
}

/// A plain object.
pub(crate) fn object(fields: impl IntoIterator<Item = (&'static str, JsValue)>) -> JsValue {
    let object = Object::new();
    for (name, value) in fields {
        set(&object, name, &value);
    }
    object.into()
}

/// A number as JavaScript represents it. Revisions stay far below 2^53.
#[allow(clippy::cast_precision_loss)]
pub(crate) fn number(value: u64) -> f64 {
    value as f64
}

impl From<InvalidKey> for Fault {
    fn from(error: InvalidKey) -> Self {
        Self::new("invalid_key", &error).with("key", error.text)
    }
}

impl From<InvalidOption> for Fault {
    fn from(mut error: InvalidOption) -> Self {
        error.option = named(error.option);
        Self::new("invalid_option", &error).with("option", error.option)
    }
}

/// The TypeScript name of an option or setting.
fn named(option: &'static str) -> &'static str {
    match option {
        "api_prefix" => "apiPrefix",
        "connect_timeout" => "timeout",
        "inbox_prefix" => "inboxPrefix",
        "limit_markers" => "markerTTL",
        "marker_ttl" | "max_age" => "ttl",
        "max_value_size" => "maxValueSize",
        "request_timeout" => "requestTimeout",
        other => other,
    }
}

impl From<Conflict> for Fault {
    fn from(error: Conflict) -> Self {
        let mut fault = Self::new("conflict", &error).with("key", error.key.as_str());
        match error.expected {
            Expect::Revision(revision) => fault = fault.with("expected", number(revision)),
            Expect::Absent => fault = fault.with("expected", 0),
            _ => {}
        }
        if let Some(actual) = error.actual {
            fault = fault.with("actual", number(actual));
        }
        fault
    }
}

impl From<KvReadError> for Fault {
    fn from(error: KvReadError) -> Self {
        match error {
            KvReadError::InvalidKey(error) => error.into(),
            KvReadError::InvalidOption(error) => error.into(),
            KvReadError::Service(error) => error.into(),
            other => Self::new("internal", &other),
        }
    }
}

impl From<KvWriteError> for Fault {
    fn from(error: KvWriteError) -> Self {
        let message = error.to_string();
        match error {
            KvWriteError::InvalidKey(error) => error.into(),
            KvWriteError::InvalidOption(error) => error.into(),
            KvWriteError::Conflict(conflict) => conflict.into(),
            KvWriteError::TooLarge { key, size, limit } => Self::new("too_large", &message)
                .with("key", key.as_str())
                .with("size", size)
                .with("limit", limit),
            KvWriteError::OutcomeUnknown { key, source } => {
                let message = because(&message, &source);
                Self::new("outcome_unknown", &message).with("key", key.as_str())
            }
            KvWriteError::Read(error) => (*error).into(),
            KvWriteError::Service(error) => error.into(),
            _ => Self::new("internal", &message),
        }
    }
}

impl From<BucketError> for Fault {
    fn from(mut error: BucketError) -> Self {
        if let BucketError::Mismatch { differences, .. } = &mut error {
            for found in differences {
                found.setting = named(found.setting);
            }
        }
        let message = error.to_string();
        match error {
            BucketError::InvalidName(error) => error.into(),
            BucketError::InvalidOption(error) => error.into(),
            BucketError::Service(error) => error.into(),
            BucketError::Mismatch {
                bucket,
                differences,
            } => {
                let settings = differences.iter().map(|found| JsValue::from(found.setting));
                Self::new("bucket_mismatch", &message)
                    .with("bucket", bucket.as_ref())
                    .with("settings", settings.collect::<Array>())
            }
            _ => Self::new("internal", &message),
        }
    }
}

impl From<ServiceError> for Fault {
    fn from(error: ServiceError) -> Self {
        Self::of_service(&error, &error)
    }
}

impl Fault {
    /// A service error, with a message that may be more specific.
    pub(crate) fn of_service(error: &ServiceError, message: &dyn Display) -> Self {
        match error {
            ServiceError::BucketNotFound { bucket } => {
                Self::new("bucket_not_found", message).with("bucket", bucket.as_ref())
            }
            ServiceError::JetStreamUnavailable { .. } => {
                Self::new("jetstream_unavailable", message)
            }
            ServiceError::PermissionDenied { subject } => {
                Self::new("permission_denied", message).with("subject", subject.as_str())
            }
            ServiceError::Unsupported { feature, .. } => {
                Self::new("unsupported", message).with("feature", *feature)
            }
            ServiceError::Timeout { .. } => Self::new("timeout", message),
            ServiceError::Disconnected { .. } => Self::new("disconnected", message),
            ServiceError::Closed => Self::new("closed", message),
            ServiceError::Refused { status, code, .. } => Self::new("refused", message)
                .with("status", *status)
                .with("apiCode", code.map(number))
                .with("retryable", error.is_retryable()),
            _ => Self::new("internal", message),
        }
    }
}

impl From<ConnectError> for Fault {
    fn from(error: ConnectError) -> Self {
        let mut message = error.to_string();
        if let ConnectError::Authentication { source }
        | ConnectError::Unreachable { source, .. }
        | ConnectError::Tls { source } = &error
        {
            message = because(&message, source);
        }
        let code = match error {
            ConnectError::InvalidOption(error) => return error.into(),
            ConnectError::Service(error) => return error.into(),
            ConnectError::InvalidUrl { .. } | ConnectError::MissingFeature { .. } => "invalid_url",
            ConnectError::Authentication { .. } => "authentication",
            _ => "unreachable",
        };
        Self::new(code, &message)
    }
}
