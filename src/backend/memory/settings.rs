//! The settings that the embedded backend accepts, and how they may be changed.

use crate::{
    error::ServiceError,
    kv::{BucketConfig, LimitMarkers},
};

/// Returns the settings of a new bucket, with automatic ones resolved.
pub(super) fn accept(config: &BucketConfig) -> Result<BucketConfig, ServiceError> {
    let asks_too_much = [
        (config.replicas > 1, "more than one replica"),
        (
            config
                .placement
                .as_ref()
                .is_some_and(|placement| placement.cluster.is_some() || !placement.tags.is_empty()),
            "placement",
        ),
        (config.republish.is_some(), "republish"),
        (config.mirror.is_some(), "a mirror"),
        (!config.sources.is_empty(), "sources"),
    ];
    if let Some((_, feature)) = asks_too_much.iter().find(|(asked, _)| *asked) {
        return Err(ServiceError::Unsupported {
            feature,
            remedy: format!(
                "bucket {} is embedded in this process; connect to a nats-server for it",
                config.name
            ),
        });
    }
    let mut config = config.clone();
    config.limit_markers = match config.limit_markers.duration() {
        Some(ttl) => LimitMarkers::For(ttl),
        None => LimitMarkers::Off,
    };
    Ok(config)
}

/// Returns the settings of an existing bucket, changed to the wanted ones; refuses changes that a server
/// cannot make.
pub(super) fn change(
    wanted: &BucketConfig,
    actual: &BucketConfig,
) -> Result<BucketConfig, ServiceError> {
    let mut config = accept(wanted)?;
    // If they were off, this turns them on.
    if wanted.limit_markers == LimitMarkers::Auto && actual.limit_markers != LimitMarkers::Off {
        config.limit_markers = actual.limit_markers;
    }
    if config.storage != actual.storage {
        return Err(ServiceError::Refused {
            status: 500,
            code: Some(10052),
            description: "stream configuration update can not change storage type".into(),
        });
    }
    Ok(config)
}
