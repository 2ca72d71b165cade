//! Derive macros of shizuku-kv.
