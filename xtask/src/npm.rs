//! `cargo xtask npm`: builds the npm package from the bindings and their TypeScript.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use harness::control::Control;
use harness::workspace;
use serde::Deserialize;

use crate::browser::Browser;
use crate::run::{Result, find, path_with, run};
use crate::wasm;

/// The contents of `wasm-pack.toml`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    package: String,
    #[serde(rename = "crate")]
    bindings: PathBuf,
    profile: String,
    out: PathBuf,
    build: Vec<Build>,
    limits: serde_json::Map<String, serde_json::Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Build {
    name: String,
    target: String,
    features: Vec<String>,
}

pub(crate) fn npm(arguments: &[String]) -> Result {
    if let Some(unexpected) = arguments.first() {
        return Err(format!("unexpected {unexpected}").into());
    }
    install()?;
    build()
}

/// Installs the packages of the lockfile into `js/node_modules`; returns the path of `js/`.
pub(crate) fn install() -> Result<PathBuf> {
    let folder = workspace::root().join("js");
    if find("npm").is_none() {
        return Err("the npm package needs Node.js 20 or newer with npm".into());
    }
    // npm keeps a copy of the lockfile that it installed; if that is as new, there is nothing to
    // do.
    let age = |file: &str| fs::metadata(folder.join(file)).and_then(|meta| meta.modified());
    let is_fresh = match (
        age("node_modules/.package-lock.json"),
        age("package-lock.json"),
    ) {
        (Ok(installed), Ok(wanted)) => installed >= wanted,
        _ => false,
    };
    if !is_fresh {
        run(Command::new("npm")
            .args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"])
            .current_dir(&folder))?;
    }
    Ok(folder)
}

/// Builds everything into `js/dist`.
pub(crate) fn build() -> Result {
    let root = workspace::root();
    let settings: Settings = toml::from_str(&fs::read_to_string(root.join("wasm-pack.toml"))?)?;
    let manifest = fs::read_to_string(root.join("js/package.json"))?;
    let manifest: serde_json::Value = serde_json::from_str(&manifest)?;
    if manifest["name"] != settings.package.as_str() {
        return Err("wasm-pack.toml and js/package.json disagree on the package's name".into());
    }
    if manifest["version"] != env!("CARGO_PKG_VERSION") {
        return Err("js/package.json has another version than the workspace".into());
    }

    let tools = wasm::tools()?;
    let path = path_with(&tools)?;
    for build in &settings.build {
        pack(&settings, build, &tools, &path)?;
    }
    let code = |build: &Build| {
        root.join(&settings.out)
            .join(&build.name)
            .join("shizuku_bg.wasm")
    };
    check_imports(settings.build.iter().map(code))?;
    let names = settings.build.iter().map(|build| &build.name);
    run(Command::new("node")
        .arg("scripts/shrink.mjs")
        .args(names)
        .current_dir(root.join("js")))?;
    for build in &settings.build {
        zip(&root.join(&settings.out).join(&build.name))?;
    }
    let limits = serde_json::Value::Object(settings.limits).to_string();
    run(Command::new("node")
        .args(["scripts/build.mjs", &limits])
        .current_dir(root.join("js")))
}

/// Benchmarks the Rust client and the package against @nats-io/kv, in one page of one browser.
pub(crate) fn bench(cases: &[String], report: &Path) -> Result {
    let folder = install()?;
    build()?;
    // Optimised for speed, and without wasm-opt: the result of a plain `--release`.
    let rust = wasm::Build {
        package: "shizuku-web-bench",
        profile: "web-bench",
    };
    rust.bindings(&folder.join("gen/bench"), "bench")?;
    let browser = Browser::find_or_install()?;
    let control = Control::start()?;
    let mut command = Command::new("node");
    command
        .arg("bench/run.mjs")
        .args(cases)
        .current_dir(folder)
        .env("SHIZUKU_CONTROL", control.url())
        .env("SHIZUKU_BENCH_REPORT", report);
    browser.drive(&mut command)?;
    run(&mut command)
}

/// The download size of a page in Rust, built as small as possible.
pub(crate) fn size() -> Result {
    let folder = install()?;
    let path = folder.join("gen/minimal/minimal");
    let small = wasm::Build {
        package: "shizuku-browser-example",
        profile: "npm",
    };
    small.bindings(&folder.join("gen/minimal"), "minimal")?;
    let code = path.with_file_name("minimal_bg.wasm");
    run(Command::new(folder.join("node_modules/.bin/wasm-opt"))
        .args(["-Oz", "--output"])
        .args([&code, &code]))?;
    check_imports([code])?;
    run(Command::new("node")
        .args(["scripts/minimal.mjs".as_ref(), path.as_os_str()])
        .current_dir(folder))
}

/// Checks that a page needs only the files that wasm-bindgen wrote for it.
fn check_imports(code: impl IntoIterator<Item = PathBuf>) -> Result {
    run(Command::new("node")
        .arg("scripts/imports.mjs")
        .args(code)
        .current_dir(workspace::root().join("js")))
}

/// Compresses the code as far as gzip can; it is embedded in this form.
fn zip(folder: &Path) -> Result {
    let code = fs::read(folder.join("shizuku.folded"))?;
    let file = fs::File::create(folder.join("shizuku.folded.gz"))?;
    let options = zopfli::Options {
        // It contains about forty streams, and each needs its own Huffman code.
        maximum_block_splits: 60,
        ..zopfli::Options::default()
    };
    zopfli::compress(options, zopfli::Format::Gzip, &*code, file)?;
    Ok(())
}

fn pack(settings: &Settings, build: &Build, tools: &Path, path: &std::ffi::OsStr) -> Result {
    let root = workspace::root();
    let mut command = Command::new(tools.join("wasm-pack"));
    command
        .args([
            "build",
            "--mode",
            "no-install",
            "--no-typescript",
            "--no-pack",
        ])
        .args(["--target", &build.target])
        .args(["--profile", &settings.profile])
        .args(["--out-name", "shizuku", "--out-dir"])
        .arg(root.join(&settings.out).join(&build.name))
        .arg(root.join(&settings.bindings))
        .args(["--features", &build.features.join(",")])
        .current_dir(&root)
        .env("PATH", path)
        .env("CARGO_ENCODED_RUSTFLAGS", flags(&root));
    run(&mut command)
}

fn flags(root: &Path) -> String {
    let home = env::var_os("CARGO_HOME").map(PathBuf::from).or_else(|| {
        let home = env::var_os("HOME")?;
        Some(Path::new(&home).join(".cargo"))
    });
    // Messages contain the names of source files: shortened, and without the builder's folders. If
    // two prefixes match, the later one counts.
    let mut flags = Vec::new();
    let sources = home.map(|home| home.join("registry/src"));
    let registries = sources.and_then(|sources| fs::read_dir(sources).ok());
    for registry in registries.into_iter().flatten().flatten() {
        flags.push(format!(
            "--remap-path-prefix={}=",
            registry.path().display()
        ));
    }
    flags.push(format!("--remap-path-prefix={}=", root.display()));
    // Tells js/scripts/data.mjs where each piece of data is.
    flags.push("-Clink-arg=--emit-relocs".to_owned());
    flags.join("\u{1f}")
}
