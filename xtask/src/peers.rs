//! The locks that `cargo xtask bench locks` compares with ours, and their prerequisites.

use std::env;
use std::path::PathBuf;
use std::process::Command;

use harness::workspace;

use crate::apt;
use crate::run::{Result, cargo, find, run};

/// Builds and runs the second half of the benchmark, which adds to the first half's report.
pub(crate) fn bench() -> Result {
    let protoc = find("protoc").is_some();
    let redis = redis();
    let etcd = etcd()?;
    if !protoc || redis.is_none() {
        need()?;
        // Headers and programs; no package starts a service.
        apt::install(&["protobuf-compiler", "libprotobuf-dev", "redis-tools"])?;
    }
    let redis = redis
        .or_else(self::redis)
        .ok_or("redis-tools has no server")?;
    let target = workspace::target_dir();
    run(cargo()
        .args(["build", "--release", "--locked", "--manifest-path"])
        .arg(workspace::root().join("benches/peers/Cargo.toml"))
        .arg("--target-dir")
        .arg(&target))?;
    run(Command::new(target.join("release/lock-peers"))
        .env("ETCD", etcd)
        .env("REDIS_SERVER", redis))
}

fn need() -> Result {
    match apt::is_there() {
        true => Ok(()),
        false => Err(
            "install etcd, redis-server and protoc, or name the first two in ETCD and REDIS_SERVER"
                .into(),
        ),
    }
}

/// etcd: from `ETCD`, from `PATH`, or unpacked into our tools folder.
fn etcd() -> Result<PathBuf> {
    let found = env::var_os("ETCD").map(PathBuf::from);
    if let Some(etcd) = found.or_else(|| find("etcd")) {
        return Ok(etcd);
    }
    let folder = workspace::tools_dir()?.join("etcd");
    let etcd = folder.join("usr/bin/etcd");
    if !etcd.is_file() {
        need()?;
        apt::install(&[])?; // updates the package lists
        apt::unpack("etcd-server", &folder)?;
    }
    Ok(etcd)
}

/// Redis: from `REDIS_SERVER`, from `PATH`, or from redis-tools. All Redis programs are one binary
/// that acts according to its name.
fn redis() -> Option<PathBuf> {
    let found = env::var_os("REDIS_SERVER").map(PathBuf::from);
    if let Some(redis) = found.or_else(|| find("redis-server")) {
        return Some(redis);
    }
    let program = find("redis-check-rdb")?;
    let link = workspace::tools_dir().ok()?.join("redis-server");
    if !link.exists() {
        std::os::unix::fs::symlink(program, &link).ok()?;
    }
    Some(link)
}
