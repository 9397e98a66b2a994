//! Publishes to a Stentor server.

pub(crate) mod batch;
pub(crate) mod builder;
pub(crate) mod error;
pub(crate) mod keys;
pub(crate) mod publish;
pub(crate) mod published;
pub(crate) mod queue;
pub(crate) mod request;
pub(crate) mod retry;
pub(crate) mod upload;

use std::time::Duration;

use bytes::Bytes;
use fastrand::Rng;
use reqwest::Client;
use reqwest::header::HeaderMap;
use tokio::time::{Instant, sleep};

use self::batch::Batch;
use self::error::PublishError;
use self::keys::KeyGenerator;
use self::publish::Publish;
use self::published::Published;
use self::request::PublishRequest;
use self::retry::{Retry, RetryLimits};
use crate::http_client::HttpClient;
use crate::server_url::ServerUrl;

/// Publishes to the topics of a Stentor server. Cheap to clone; all clones share connections.
///
/// ```no_run
/// use stentor_client::{Event, EventType, Publisher};
///
/// # async fn publish() -> Result<(), Box<dyn std::error::Error>> {
/// let publisher = Publisher::new("http://localhost:8080")?;
/// publisher.publish("news", "hello").await?;
///
/// let event = Event::new("21.5").with_type(EventType::new("temperature")?);
/// let published = publisher.publish("sensors/kitchen", event).await?;
/// println!("its id is {:?}", published.last_id);
/// # Ok(())
/// # }
/// ```
///
/// | to publish | use |
/// | --- | --- |
/// | an event, a picture, the end of a topic | [`publish`](Self::publish), [`end`](Self::end) |
/// | several events, all or none | [`batch`](Self::batch) |
/// | many events, in order | [`queue`](Self::queue) |
/// | bytes as they arrive | [`upload`](Self::upload) |
/// | a file of any size | [`upload_repeatable`](Self::upload_repeatable) |
///
/// # Retries
///
/// Retries never publish twice: each publish has an idempotency key, and the server publishes once per key.
///
/// A publish is retried if the response was lost, the server is unreachable, or it responds with 408, 429 or 5xx
/// (except 501 and 505). Delays are randomized, and their maximum doubles from 0.2 s to 10 s. They are added to the
/// wait that the server requests with `Retry-After`.
///
/// Retries end after [`ATTEMPTS_MAX`](Self::ATTEMPTS_MAX) attempts or [`RETRY_TIME`](Self::RETRY_TIME), and in any
/// case before the server forgets the key, after ten minutes. The error then contains the key, and
/// [`may_be_published`](PublishError::may_be_published) returns `true` if the events may be in the log anyway.
#[derive(Clone, Debug)]
pub struct Publisher {
    client: Client,
    server: ServerUrl,
    /// Headers of the caller, sent with each request.
    headers: HeaderMap,
    /// Generates idempotency keys; `None` if disabled.
    keys: Option<KeyGenerator>,
    limits: RetryLimits,
    request_timeout: Duration,
}

impl Publisher {
    /// Default timeout for connecting: 10 s.
    pub const CONNECT_TIMEOUT: Duration = HttpClient::CONNECT_TIMEOUT;

    /// Default timeout of one attempt, from its start to the complete response: 1 min.
    pub const REQUEST_TIMEOUT: Duration = Duration::from_mins(1);

    /// Default maximum number of attempts of a publish, including the first: 20.
    pub const ATTEMPTS_MAX: u32 = 20;

    /// Default maximum time for retries, from the first failure to the last attempt: 1 min.
    pub const RETRY_TIME: Duration = Duration::from_mins(1);

    /// Publishes to a topic. Returns when the events are durable and visible to subscribers.
    ///
    /// A body of a streamed type (`application/x-ndjson`, `text/event-stream`) is not atomic: if an event is refused,
    /// the events before it are published. [`Problem::published`](crate::Problem::published) of the error is their
    /// number.
    ///
    /// # Errors
    ///
    /// [`PublishError`] if the server refuses the publish, or all attempts fail. See [`Publisher`] for retries.
    ///
    /// # Cancel safety
    ///
    /// Not cancel safe: if the future is dropped, the events may or may not be published.
    pub async fn publish(
        &self,
        topic: &str,
        publish: impl Into<Publish>,
    ) -> Result<Published, PublishError> {
        let (publish, body) = publish.into().into_parts();
        let request = PublishRequest::new(&self.server, topic, self.with_key(publish))?;
        self.send_with_retry(request, body).await
    }

    /// Publishes a batch of events to their topics, atomically and in order.
    ///
    /// ```no_run
    /// use stentor_client::{Event, Publisher};
    ///
    /// # async fn publish() -> Result<(), Box<dyn std::error::Error>> {
    /// let publisher = Publisher::new("http://localhost:8080")?;
    /// let paid = [("orders/7", Event::new("paid")), ("mail", Event::new("receipt 7"))];
    /// publisher.batch(paid.into_iter().collect()).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`PublishError`] if the server refuses the batch, or all attempts fail. An empty batch is refused.
    ///
    /// # Cancel safety
    ///
    /// Not cancel safe: if the future is dropped, the batch may or may not be published.
    pub async fn batch(&self, batch: Batch) -> Result<Published, PublishError> {
        let (body, key) = batch.into_parts();
        self.publish_batch(body, key).await
    }

    /// Ends a topic. The reason may be empty. Ending a topic that has already ended is not an error.
    ///
    /// # Errors
    ///
    /// [`PublishError`] if the server refuses the end, or all attempts fail.
    ///
    /// # Cancel safety
    ///
    /// Not cancel safe: if the future is dropped, the topic may or may not end.
    pub async fn end(&self, topic: &str, reason: &str) -> Result<Published, PublishError> {
        self.publish(topic, Publish::end(reason)).await
    }

    /// Publishes an encoded batch atomically.
    pub(crate) async fn publish_batch(
        &self,
        body: Bytes,
        key: Option<String>,
    ) -> Result<Published, PublishError> {
        let key = key.or_else(|| self.new_key());
        self.send_with_retry(PublishRequest::batch(&self.server, key)?, body).await
    }

    /// Adds a generated key, unless the publish has one or each of its events has one.
    fn with_key(&self, mut publish: Publish<()>) -> Publish<()> {
        if publish.key.is_none() && !publish.dedupe {
            publish.key = self.new_key();
        }
        publish
    }

    /// Generates a key; `None` if the generation is disabled.
    fn new_key(&self) -> Option<String> {
        self.keys.as_ref().map(KeyGenerator::next)
    }

    /// Sends a request until an attempt succeeds or a retry is not allowed.
    async fn send_with_retry(
        &self,
        publish: PublishRequest,
        body: Bytes,
    ) -> Result<Published, PublishError> {
        let mut retry = Retry::new(self.limits, publish.key(), Rng::new());
        loop {
            let started = Instant::now();
            let request = publish.to_http(&self.client, &self.headers);
            let request = request.timeout(self.request_timeout).body(body.clone());
            let error = match publish.send(request).await {
                Ok(published) => return Ok(published),
                Err(error) => error,
            };
            sleep(retry.delay(error, started, Instant::now())?).await;
        }
    }
}
