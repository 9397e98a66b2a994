//! A Chromium of its own for a test, driven through `chromedriver`.

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

/// The pause between two looks at something that is to change.
pub const GLANCE: Duration = Duration::from_millis(20);

/// One browser at a time: several at once would starve each other on a small machine.
static TURN: Mutex<()> = Mutex::const_new(());

/// A browser with an empty profile. It is killed when it is dropped.
pub struct Browser {
    client: Client,
    driver: Child,
    _profile: TempDir,
    _turn: MutexGuard<'static, ()>,
}

/// One of its tabs.
pub type Tab = WindowHandle;

impl Browser {
    pub async fn start() -> Browser {
        for program in [CHROMIUM, CHROMEDRIVER] {
            let advice =
                "install chromium and chromium-driver (apt-get install chromium chromium-driver)";
            assert!(Path::new(program).exists(), "there is no {program}; {advice}");
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

    /// Loads a page into the tab at hand.
    pub async fn open(&self, url: &str) -> Tab {
        self.client.goto(url).await.unwrap();
        self.client.window().await.unwrap()
    }

    /// Loads a page into a new tab, which is at hand then.
    pub async fn open_tab(&self, url: &str) -> Tab {
        let tab = self.client.new_window(true).await.unwrap().handle;
        self.turn_to(&tab).await;
        self.open(url).await
    }

    /// Takes a tab to hand.
    pub async fn turn_to(&self, tab: &Tab) {
        self.client.switch_to_window(tab.clone()).await.unwrap();
    }

    pub async fn reload(&self) {
        self.client.refresh().await.unwrap();
    }

    /// Runs a script in the page; what it returns is the answer.
    pub async fn run(&self, script: &str) -> Value {
        let answer = self.client.execute(script, Vec::new()).await;
        answer.unwrap_or_else(|error| panic!("{script}: {error}"))
    }

    /// The value of an expression in the page.
    pub async fn value(&self, expression: &str) -> Value {
        self.run(&format!("return ({expression});")).await
    }

    /// The same, of a text.
    pub async fn text(&self, expression: &str) -> String {
        let value = self.value(expression).await;
        value.as_str().unwrap_or_else(|| panic!("{expression} is {value}")).to_owned()
    }

    /// Waits until an expression in the page is true.
    pub async fn until(&self, expression: &str) {
        if !self.comes_true(expression).await {
            let page = self.text("location.href + '\\n' + document.body.innerText").await;
            panic!("never came true: {expression}\non {page}");
        }
    }

    /// Waits until an expression in the page has this value.
    pub async fn until_is(&self, expression: &str, value: impl Into<Value>) {
        let value = value.into();
        if !self
            .comes_true(&format!("JSON.stringify({expression}) === {}", json!(value.to_string())))
            .await
        {
            panic!("{expression} is {} and not {value}", self.value(expression).await);
        }
    }

    async fn comes_true(&self, expression: &str) -> bool {
        // What an expression looks into may not be in the page yet.
        let glance = format!(
            "try {{ return !!({expression}); }}
            catch (error) {{ if (error instanceof TypeError) return false; throw error; }}"
        );
        let look = async {
            while self.run(&glance).await != true {
                sleep(GLANCE).await;
            }
        };
        timeout(TIMEOUT, look).await.is_ok()
    }

    /// Clicks what a person could click.
    pub async fn click(&self, selector: &str) {
        self.find(selector).await.click().await.unwrap();
    }

    /// Types into a field, behind what is there.
    pub async fn type_into(&self, selector: &str, text: &str) {
        self.find(selector).await.send_keys(text).await.unwrap();
    }

    /// Empties a field and types into it.
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
    /// Chromium lives in the process group of its driver and would outlive it.
    fn drop(&mut self) {
        if let Some(group) = self.driver.id() {
            let group = format!("-{group}");
            let _ = std::process::Command::new("kill").args(["-s", "KILL", "--", &group]).status();
        }
    }
}

/// Starts chromedriver, which picks a free port and says which.
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
