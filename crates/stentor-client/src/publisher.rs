//! Publishing to a Stentor server.

use reqwest::Client;
use reqwest::header::{CONTENT_TYPE, HeaderValue};

use crate::error::{BuildError, PublishError, cause};
use crate::event_source::EventSource;
use crate::problem::{Problem, read_up_to};
use crate::publish::{Publish, Published};
use crate::server_url::ServerUrl;
use crate::transport;

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
#[derive(Clone, Debug)]
pub struct Publisher {
    client: Client,
    server: ServerUrl,
}

impl Publisher {
    /// The bound of an answer that is read.
    const ANSWER_BYTES_MAX: usize = 64 * 1024;

    /// A publisher to the server at this address.
    pub fn new(url: impl AsRef<str>) -> Result<Publisher, BuildError> {
        let server = ServerUrl::new(url.as_ref())?;
        let client = transport::client(server.as_url(), EventSource::CONNECT_TIMEOUT)?;
        Ok(Publisher { client, server })
    }

    /// Publishes to a topic by its exact name, and returns when it is durable and readers have it.
    ///
    /// # Errors
    ///
    /// The server's refusal in its own words, or that it cannot be reached. It is not tried again:
    /// of a connection that broke nobody knows whether the event is in.
    pub async fn publish(
        &self,
        topic: &str,
        publish: impl Into<Publish>,
    ) -> Result<Published, PublishError> {
        let Publish { content_type, body, query } = publish.into();
        let mut url = self.server.topic(topic)?;
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let content_type = HeaderValue::try_from(&content_type)
            .map_err(|_| PublishError::ContentType { content_type })?;
        let request = self.client.post(url).header(CONTENT_TYPE, content_type).body(body);
        let unreachable = |error| PublishError::Unreachable { cause: cause(&error) };
        let response = request.send().await.map_err(unreachable)?;
        let status = response.status();
        if !status.is_success() {
            return Err(PublishError::Refused { status, problem: Problem::read(response).await });
        }
        let answer = read_up_to(response, Self::ANSWER_BYTES_MAX).await;
        answer.as_deref().and_then(Published::read).ok_or(PublishError::Answer)
    }

    /// Ends a topic for this reason, which may be empty.
    ///
    /// # Errors
    ///
    /// As [`publish`](Self::publish). That the topic has ended already is none.
    pub async fn end(&self, topic: &str, reason: &str) -> Result<Published, PublishError> {
        self.publish(topic, Publish::end(reason)).await
    }
}
