//! Typed key-value and locks on NATS JetStream.
