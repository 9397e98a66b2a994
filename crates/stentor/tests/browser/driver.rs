//! A Chromium for one test, controlled through `chromedriver`.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use fantoccini::elements::Element;
use fantoccini::wd::{Capabilities, WindowHandle};
use fantoccini::{Client, ClientBuilder, Locator};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::{Mutex, MutexGuard};
use tokio::time::{sleep, timeout};

use crate::harness::TIMEOUT;

const CHROMIUM: &str = "/usr/bin/chromium";
const CHROMEDRIVER: &str = "/usr/bin/chromedriver";

/// Interval for polling a condition.
pub const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// Allows one browser at a time. Several browsers would slow each other down too much on a small machine.
static TURN: Mutex<()> = Mutex::const_new(());

/// A browser with an empty profile. Dropping it kills the process.
pub struct Browser {
    client: Client,
    driver: Child,
    _profile: TempDir,
    _turn: MutexGuard<'static, ()>,
}

/// A tab of the browser.
pub type Tab = WindowHandle;

impl Browser {
    pub async fn start() -> Browser {
        for program in [CHROMIUM, CHROMEDRIVER] {
            let advice =
                "install chromium and chromium-driver (apt-get install chromium chromium-driver)";
            assert!(Path::new(program).exists(), "{program} is missing; {advice}");
        }
        let turn = TURN.lock().await;
        let profile = tempfile::tempdir().unwrap();
        let (driver, address) = start_driver().await;
        let session = ClientBuilder::new(HttpConnector::new())
            .capabilities(capabilities(profile.path()))
            .connect(&address)
            .await;
        let client = session.expect("a session of chromedriver");
        Browser { client, driver, _profile: profile, _turn: turn }
    }

    /// Loads a page into the current tab.
    pub async fn open(&self, url: &str) -> Tab {
        self.client.goto(url).await.unwrap();
        self.client.window().await.unwrap()
    }

    /// Loads a page into a new tab, and makes it the current one.
    pub async fn open_tab(&self, url: &str) -> Tab {
        let tab = self.client.new_window(true).await.unwrap().handle;
        self.switch_to(&tab).await;
        self.open(url).await
    }

    /// Makes a tab the current one.
    pub async fn switch_to(&self, tab: &Tab) {
        self.client.switch_to_window(tab.clone()).await.unwrap();
    }

    pub async fn reload(&self) {
        self.client.refresh().await.unwrap();
    }

    /// Runs a script in the page, and returns its result.
    pub async fn run(&self, script: &str) -> Value {
        let result = self.client.execute(script, Vec::new()).await;
        result.unwrap_or_else(|error| panic!("{script}: {error}"))
    }

    /// Returns the value of an expression in the page.
    pub async fn value(&self, expression: &str) -> Value {
        self.run(&format!("return ({expression});")).await
    }

    /// Returns the value of an expression in the page, which must be a text.
    pub async fn text(&self, expression: &str) -> String {
        let value = self.value(expression).await;
        value.as_str().unwrap_or_else(|| panic!("{expression} is {value}")).to_owned()
    }

    /// Waits until an expression in the page is true.
    pub async fn until(&self, expression: &str) {
        if !self.becomes_true(expression).await {
            let page = self.text("location.href + '\\n' + document.body.innerText").await;
            panic!("timeout: {expression} is not true\non {page}");
        }
    }

    /// Waits until an expression in the page has this value.
    pub async fn until_is(&self, expression: &str, value: impl Into<Value>) {
        let value = value.into();
        if !self
            .becomes_true(&format!("JSON.stringify({expression}) === {}", json!(value.to_string())))
            .await
        {
            panic!("{expression} is {}, expected {value}", self.value(expression).await);
        }
    }

    async fn becomes_true(&self, expression: &str) -> bool {
        // An element that the expression uses may not be in the page yet.
        let script = format!(
            "try {{ return !!({expression}); }}
            catch (error) {{ if (error instanceof TypeError) return false; throw error; }}"
        );
        let poll = async {
            while self.run(&script).await != true {
                sleep(POLL_INTERVAL).await;
            }
        };
        timeout(TIMEOUT, poll).await.is_ok()
    }

    /// Clicks an element, which must be visible.
    pub async fn click(&self, selector: &str) {
        self.find(selector).await.click().await.unwrap();
    }

    /// Types into a field, after its current text.
    pub async fn type_into(&self, selector: &str, text: &str) {
        self.find(selector).await.send_keys(text).await.unwrap();
    }

    /// Replaces the text of a field.
    pub async fn fill(&self, selector: &str, text: &str) {
        let field = self.find(selector).await;
        field.clear().await.unwrap();
        field.send_keys(text).await.unwrap();
    }

    async fn find(&self, selector: &str) -> Element {
        let found = self.client.find(Locator::Css(selector)).await;
        found.unwrap_or_else(|error| panic!("{selector}: {error}"))
    }
}

impl Drop for Browser {
    /// Kills the process group of chromedriver. It contains Chromium, which would otherwise keep running.
    fn drop(&mut self) {
        if let Some(group) = self.driver.id() {
            let group = format!("-{group}");
            let _ = std::process::Command::new("kill").args(["-s", "KILL", "--", &group]).status();
        }
    }
}

/// Starts chromedriver on a free port. Returns its address.
async fn start_driver() -> (Child, String) {
    let mut driver = Command::new(CHROMEDRIVER)
        .arg("--port=0")
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(driver.stdout.take().unwrap()).lines();
    let port = timeout(TIMEOUT, async {
        while let Some(line) = lines.next_line().await.unwrap() {
            if let Some((_, port)) = line.split_once("started successfully on port ") {
                return port.trim_end_matches('.').to_owned();
            }
        }
        panic!("chromedriver ended before it listened");
    });
    let port = port.await.expect("chromedriver listens");
    tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    (driver, format!("http://localhost:{port}"))
}

fn capabilities(profile: &Path) -> Capabilities {
    let options = json!({
        "binary": CHROMIUM,
        "args": [
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--disable-dev-shm-usage",
            "--window-size=1400,1000",
            format!("--user-data-dir={}", profile.display()),
        ],
    });
    Capabilities::from_iter([("goog:chromeOptions".to_owned(), options)])
}
