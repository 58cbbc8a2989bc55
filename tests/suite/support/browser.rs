//! A browser, driven over `WebDriver`: Debian's chromium and chromium-driver.

use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
    time::Duration,
};

use fantoccini::{Client, ClientBuilder, Locator, elements::Element};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};
use tempfile::TempDir;

/// Long enough for a busy machine.
const PATIENCE: Duration = Duration::from_mins(1);

const FLAGS: [&str; 9] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1200,2400",
];

/// A browser with a profile of its own.
pub(crate) struct Browser {
    page: Client,
    driver: Driver,
    _profile: TempDir,
}

/// The program that drives it, ended with the test.
struct Driver {
    child: Child,
    url: String,
}

impl Browser {
    pub(crate) async fn start() -> Self {
        let driver = Driver::start();
        let profile = tempfile::tempdir().unwrap();
        let mut flags: Vec<String> = FLAGS.map(str::to_owned).into();
        flags.push(format!("--user-data-dir={}", profile.path().display()));
        let capabilities = json!({
            "browserName": "chrome",
            "goog:loggingPrefs": { "browser": "ALL" },
            "goog:chromeOptions": { "args": flags },
        });
        let mut builder = ClientBuilder::new(HttpConnector::new());
        builder.capabilities(capabilities.as_object().unwrap().clone());
        let page = builder.connect(&driver.url).await.expect("the browser starts");
        Self { page, driver, _profile: profile }
    }

    pub(crate) async fn open(&self, url: &str) {
        self.page.goto(url).await.unwrap();
    }

    /// Clicks the first element of this selector, once it is there and can be clicked.
    pub(crate) async fn click(&self, selector: &str) {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            match self.element(selector).await.click().await {
                Ok(()) => return,
                // It moved, or something is still in front of it.
                Err(error) if tokio::time::Instant::now() > deadline => panic!("{selector}: {error}"),
                Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
            }
        }
    }

    pub(crate) async fn write(&self, selector: &str, text: &str) {
        self.element(selector).await.send_keys(text).await.unwrap();
    }

    /// The text of the first element of this selector, once it is there.
    pub(crate) async fn text(&self, selector: &str) -> String {
        self.element(selector).await.text().await.unwrap()
    }

    /// Waits until the text of the first element of this selector holds `wanted`.
    pub(crate) async fn wait_for_text(&self, selector: &str, wanted: &str) -> String {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            // The page may take the element away between finding and reading it.
            let text = self.element(selector).await.text().await.unwrap_or_default();
            if text.contains(wanted) {
                return text;
            }
            assert!(tokio::time::Instant::now() < deadline, "{selector} never said {wanted:?}, but {text:?}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Presses keys without going to an element first.
    pub(crate) async fn press(&self, keys: &str) {
        let focused = self.page.active_element().await.unwrap();
        focused.send_keys(keys).await.unwrap();
    }

    /// Returns the value of a script.
    pub(crate) async fn run(&self, script: &str) -> Value {
        self.page.execute(script, Vec::new()).await.unwrap()
    }

    /// Waits until the address holds `wanted`.
    pub(crate) async fn wait_for_address(&self, wanted: &str) {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            let address = self.page.current_url().await.unwrap();
            if address.as_str().contains(wanted) {
                return;
            }
            assert!(tokio::time::Instant::now() < deadline, "the address stayed {address}, without {wanted}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Shows the page as a screen of this size does.
    pub(crate) async fn resize(&self, width: u32, height: u32) {
        let metrics = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        let command = json!({ "cmd": "Emulation.setDeviceMetricsOverride", "params": metrics });
        self.command("goog/cdp/execute", &command).await;
    }

    /// Returns a picture of the page as PNG.
    pub(crate) async fn picture(&self) -> Vec<u8> {
        self.page.screenshot().await.unwrap()
    }

    /// Returns the entries of the browser's console since the last call.
    pub(crate) async fn console(&self) -> Vec<String> {
        let answer = self.command("se/log", &json!({ "type": "browser" })).await;
        let entries = answer["value"].as_array().unwrap();
        entries.iter().map(|entry| entry["message"].as_str().unwrap().to_owned()).collect()
    }

    /// Sends a command of the driver that the client does not know.
    async fn command(&self, path: &str, body: &Value) -> Value {
        let session = self.page.session_id().await.unwrap().unwrap();
        let url = format!("{}/session/{session}/{path}", self.driver.url);
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let request = http.post(url).header("content-type", "application/json").body(body.to_string());
        serde_json::from_str(&request.send().await.unwrap().text().await.unwrap()).unwrap()
    }

    /// Ends the browser; one that a failed test leaves behind ends with its driver.
    pub(crate) async fn close(self) {
        self.page.clone().close().await.unwrap();
    }

    async fn element(&self, selector: &str) -> Element {
        let found = self.page.wait().at_most(PATIENCE).for_element(Locator::Css(selector)).await;
        found.unwrap_or_else(|error| panic!("{selector}: {error}"))
    }
}

impl Driver {
    /// Starts it. It ends at once if the free port that it has found for IPv4 is taken for IPv6, and is started again then.
    fn start() -> Self {
        (0..5).find_map(|_| Self::try_start()).expect("chromedriver says its port")
    }

    fn try_start() -> Option<Self> {
        let mut child = Command::new("chromedriver")
            .arg("--port=0")
            .stdout(Stdio::piped())
            .spawn()
            .expect("chromedriver starts (Debian's package chromium-driver)");
        let output = BufReader::new(child.stdout.take().unwrap());
        let port = output.lines().map_while(Result::ok).find_map(|line| {
            Some(line.split("started successfully on port ").nth(1)?.trim_end_matches('.').to_owned())
        });
        let Some(port) = port else {
            child.wait().unwrap();
            return None;
        };
        Some(Self { child, url: format!("http://127.0.0.1:{port}") })
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
