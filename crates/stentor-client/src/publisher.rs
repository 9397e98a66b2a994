//! Publishing to a Stentor server.

mod builder;
mod exchange;
mod keys;
mod retry;
mod upload;

use std::time::Duration;

use bytes::Bytes;
use fastrand::Rng;
use reqwest::Client;
use reqwest::header::HeaderMap;
use tokio::time::{Instant, sleep};

pub use self::builder::PublisherBuilder;
use self::exchange::{Call, Failure};
use self::keys::Keys;
use self::retry::{Limits, Retry};
use crate::batch::Batch;
use crate::error::{BuildError, PublishError};
use crate::event_source::EventSource;
use crate::feed::PublishQueue;
use crate::publish::Publish;
use crate::published::Published;
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
/// | to publish | take |
/// | --- | --- |
/// | an event, a picture, the end of a topic | [`publish`](Self::publish), [`end`](Self::end) |
/// | several events, all or none | [`batch`](Self::batch) |
/// | many events, one after the other | [`queue`](Self::queue) |
/// | bytes as they come | [`upload`](Self::upload) |
/// | a file of any size | [`upload_repeatable`](Self::upload_repeatable) |
///
/// # Once
///
/// Each publish has an idempotency key, under which the server publishes once. So a publish whose
/// answer was lost is simply repeated, as is one that the server could not take at the time (it cannot
/// be reached, or answers 408, 429 or 5xx), after a wait that grows, has a random length, and is at
/// least what the server asks for. That ends after [`ATTEMPTS_MAX`](Self::ATTEMPTS_MAX) or
/// [`RETRY_TIME`](Self::RETRY_TIME), and before the server forgets the key, which is after ten
/// minutes. The error then tells the key, and whether the event may be in nonetheless.
#[derive(Clone, Debug)]
pub struct Publisher {
    client: Client,
    server: ServerUrl,
    /// What the caller wants to be sent with each request.
    headers: HeaderMap,
    /// Whether and how keys are made.
    keys: Option<Keys>,
    limits: Limits,
    request_timeout: Duration,
}

impl Publisher {
    /// How long it may take to connect, unless told otherwise.
    pub const CONNECT_TIMEOUT: Duration = EventSource::CONNECT_TIMEOUT;

    /// How long an attempt may take from its start to the whole answer, unless told otherwise.
    pub const REQUEST_TIMEOUT: Duration = Duration::from_mins(1);

    /// How many attempts a publish has, the first one included, unless told otherwise.
    pub const ATTEMPTS_MAX: u32 = 20;

    /// How long after its first failure a publish is still tried, unless told otherwise.
    pub const RETRY_TIME: Duration = Duration::from_mins(1);

    /// A publisher to the server at this address.
    pub fn new(url: impl AsRef<str>) -> Result<Publisher, BuildError> {
        Publisher::builder(url).build()
    }

    /// A publisher to the server at this address, set up differently.
    pub fn builder(url: impl AsRef<str>) -> PublisherBuilder {
        PublisherBuilder::new(url.as_ref())
    }

    /// Publishes to a topic by its exact name, and returns when it is durable and readers have it.
    ///
    /// Of a streamed type (`application/x-ndjson`, `text/event-stream`) the events that are whole are
    /// published even if one behind them is refused; the error tells how many.
    ///
    /// # Errors
    ///
    /// The server's refusal in its own words, or that all attempts failed. See [`Publisher`] for what
    /// is tried again. To drop the future leaves open whether it is published.
    pub async fn publish(
        &self,
        topic: &str,
        publish: impl Into<Publish>,
    ) -> Result<Published, PublishError> {
        let (publish, body) = publish.into().into_parts();
        self.call(Call::new(&self.server, topic, self.keyed(publish))?, body).await
    }

    /// Publishes events to their topics, all or none, at once and in this order.
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
    /// As [`publish`](Self::publish). No event at all is refused too.
    pub async fn batch(&self, batch: Batch) -> Result<Published, PublishError> {
        let (body, key) = batch.into_parts();
        self.publish_together(body, key).await
    }

    /// Ends a topic for this reason, which may be empty.
    ///
    /// # Errors
    ///
    /// As [`publish`](Self::publish). That the topic has ended already is none.
    pub async fn end(&self, topic: &str, reason: &str) -> Result<Published, PublishError> {
        self.publish(topic, Publish::end(reason)).await
    }

    /// Feeds a topic: a queue of events that are sent in the background, in order and together.
    ///
    /// # Errors
    ///
    /// If the topic has no address.
    ///
    /// # Panics
    ///
    /// Outside of a Tokio runtime.
    pub fn queue(&self, topic: &str) -> Result<PublishQueue, PublishError> {
        self.server.topic(topic)?;
        Ok(PublishQueue::begin(self.clone(), topic))
    }

    /// Publishes this batch, all or none of it.
    pub(crate) async fn publish_together(
        &self,
        body: Bytes,
        key: Option<String>,
    ) -> Result<Published, PublishError> {
        let key = key.or_else(|| self.new_key());
        self.call(Call::batch(&self.server, key)?, body).await
    }

    /// The publish with a key, unless it has one or brings one with each event.
    fn keyed(&self, mut publish: Publish<()>) -> Publish<()> {
        if publish.key.is_none() && !publish.dedupe {
            publish.key = self.new_key();
        }
        publish
    }

    /// A key, if keys are made.
    fn new_key(&self) -> Option<String> {
        self.keys.as_ref().map(Keys::next)
    }

    /// Attempts until one gets through, or no further one is any use.
    async fn call(&self, call: Call, body: Bytes) -> Result<Published, PublishError> {
        let mut retry = Retry::new(self.limits, call.key(), Rng::new());
        loop {
            let began = Instant::now();
            let request = call.request(&self.client, &self.headers).timeout(self.request_timeout);
            let Failure { error, asked } = match call.send(request.body(body.clone())).await {
                Ok(published) => return Ok(published),
                Err(failure) => failure,
            };
            sleep(retry.wait(error, asked, began, Instant::now())?).await;
        }
    }
}
