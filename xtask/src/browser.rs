//! Chromium, and the settings for tests that drive it.

use std::path::PathBuf;
use std::process::{self, Command};
use std::{env, fs};

use harness::workspace;
use serde_json::json;

use crate::apt;
use crate::run::{Result, find};

/// Headless, and without requests to the internet, which no test needs and not every machine can
/// reach.
const ARGUMENTS: &[&str] = &[
    "--headless",
    // Chromium refuses to run sandboxed as root, as in containers; it only loads our own pages.
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1 , EXCLUDE localhost",
];

/// A browser, its driver, and a private folder for their files.
pub(crate) struct Browser {
    browser: PathBuf,
    driver: PathBuf,
    folder: PathBuf,
}

impl Browser {
    /// Finds it through `CHROME` and `CHROMEDRIVER`, else in `PATH`, else in the system's packages.
    pub(crate) fn find_or_install() -> Result<Self> {
        let found = || {
            let browser = env::var_os("CHROME").map(PathBuf::from);
            let browser =
                browser.or_else(|| ["chromium", "google-chrome"].into_iter().find_map(find))?;
            let driver = env::var_os("CHROMEDRIVER")
                .map(PathBuf::from)
                .or_else(|| find("chromedriver"))?;
            Some((browser, driver))
        };
        let (browser, driver) = match found() {
            Some(both) => both,
            None => {
                install()?;
                found().ok_or("chromium and chromedriver were installed, but are not in PATH")?
            }
        };
        let folder = workspace::target_dir().join(format!("tmp/browser-{}", process::id()));
        fs::create_dir_all(&folder)?;
        Ok(Self {
            browser,
            driver,
            folder,
        })
    }

    /// Makes a command use this browser: wasm-bindgen's test runner, or tests with their own
    /// driver.
    pub(crate) fn drive(&self, command: &mut Command) -> Result {
        let settings = self.folder.join("webdriver.json");
        let options =
            json!({ "goog:chromeOptions": { "binary": self.browser, "args": ARGUMENTS } });
        fs::write(&settings, options.to_string())?;
        command
            .env("CHROME", &self.browser)
            .env("CHROMEDRIVER", &self.driver)
            .env("WASM_BINDGEN_TEST_WEBDRIVER_JSON", settings)
            // For the whole binary; the default is 20 seconds.
            .env("WASM_BINDGEN_TEST_TIMEOUT", "600")
            .env("WASM_BINDGEN_TEST_DRIVER_TIMEOUT", "30")
            // ChromeDriver leaves a profile behind in every run.
            .env("TMPDIR", &self.folder);
        Ok(())
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // It is in the target folder anyway, so it does not matter if Chromium is still writing
        // there.
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn install() -> Result {
    if !apt::is_there() {
        return Err("the browser tests need Chromium and ChromeDriver: install them, or name them in CHROME and CHROMEDRIVER".into());
    }
    apt::install(&["chromium", "chromium-driver"])
}
