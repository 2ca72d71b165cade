//! Real nats-servers for tests and benchmarks.
