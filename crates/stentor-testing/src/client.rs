//! The requests that most tests send.

use std::fmt::{Display, Write};

use serde_json::Value;
use tokio::time::timeout;

use crate::{EventStream, Request, TIMEOUT, Upload};

/// A client of the server at one address. Each request has its own connection.
#[derive(Clone, Debug)]
pub struct TestClient {
    /// The address of the server, such as `127.0.0.1:8080`.
    pub address: String,
}

impl TestClient {
    /// Creates a client of the server at `address`.
    pub fn new(address: impl Into<String>) -> TestClient {
        TestClient { address: address.into() }
    }

    /// Returns the absolute URL of `path`.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Builds a request with any method.
    pub fn request(&self, method: &str, path: &str) -> Request {
        Request::new(&self.address, method, path)
    }

    /// Builds a GET request.
    pub fn get(&self, path: &str) -> Request {
        self.request("GET", path)
    }

    /// Builds a POST request.
    pub fn post(&self, path: &str, body: impl Into<Vec<u8>>) -> Request {
        self.request("POST", path).body(body)
    }

    /// Builds a DELETE request.
    pub fn delete(&self, path: &str) -> Request {
        self.request("DELETE", path)
    }

    /// Publishes an event and returns its id.
    pub async fn publish(&self, path: &str, body: impl Into<Vec<u8>>) -> String {
        let response = self.post(path, body).send().await;
        assert!(matches!(response.status, 200 | 201), "{response:?}");
        response.json()["id"].as_str().unwrap().to_owned()
    }

    /// Publishes each item as one event, all in one upload, and returns the last id.
    pub async fn publish_each(
        &self,
        path: &str,
        data: impl IntoIterator<Item = impl Display>,
    ) -> String {
        let mut body = String::new();
        for line in data {
            let _ = writeln!(body, "{line}");
        }
        let post = self.post(path, body).header("Content-Type", "application/x-ndjson");
        let response = post.send().await;
        assert_eq!(response.status, 201, "{response:?}");
        response.json()["last_id"].as_str().unwrap().to_owned()
    }

    /// Starts an upload: a request whose body the test sends in pieces.
    pub async fn upload(&self, path: &str, content_type: &str) -> Upload {
        self.request("POST", path).header("Content-Type", content_type).upload().await
    }

    /// Returns a JSON page, which must have the status 200.
    pub async fn page(&self, path: &str) -> Value {
        let page = self.get(path).header("Accept", "application/json").send().await;
        assert_eq!(page.status, 200, "{page:?}");
        assert_eq!(page.header("content-type"), Some("application/json"));
        page.json()
    }

    /// Returns the events of a page of history.
    pub async fn history(&self, path: &str) -> Vec<Value> {
        self.page(path).await["events"].as_array().unwrap().clone()
    }

    /// Returns the data of the events of a page of history.
    pub async fn history_data(&self, path: &str) -> Vec<String> {
        let events = self.history(path).await;
        events.iter().map(|event| event["data"].as_str().unwrap().to_owned()).collect()
    }

    /// Opens an event stream; the status of the response must be 200.
    pub async fn subscribe(&self, path: &str) -> EventStream {
        self.get(path).header("Accept", "text/event-stream").open().await
    }

    /// Opens an event stream after a cursor; the status of the response must be 200.
    pub async fn resume(&self, path: &str, cursor: &str) -> EventStream {
        self.get(path).header("Last-Event-ID", cursor).open().await
    }

    /// Returns the value of a metric.
    pub async fn metric(&self, name: &str) -> i64 {
        let text = self.get("/metrics").send().await.text();
        let line = text.lines().find(|line| line.split(' ').next() == Some(name));
        line.and_then(|line| line.rsplit(' ').next()?.parse().ok())
            .unwrap_or_else(|| panic!("{name} in {text}"))
    }

    /// Waits until a metric has this value.
    pub async fn until_metric(&self, name: &str, wanted: i64) {
        let reached = timeout(TIMEOUT, async {
            while self.metric(name).await != wanted {
                tokio::task::yield_now().await;
            }
        });
        let reached = reached.await.is_ok();
        assert!(reached, "{name} is {} instead of {wanted}", self.metric(name).await);
    }

    /// Waits until ten reads of a metric give the same value.
    ///
    /// The server has then probably done all it can do for now. A test must not depend on that: it only
    /// knows that the server had time.
    pub async fn until_stable(&self, name: &str) {
        let (mut last, mut same) = (self.metric(name).await, 0);
        while same < 10 {
            let now = self.metric(name).await;
            same = if now == last { same + 1 } else { 0 };
            last = now;
        }
    }
}
