//! Bodies that come piece by piece.

use std::error::Error;
use std::pin::pin;

use bytes::Bytes;
use futures_core::Stream;
use futures_util::future::{Either, select};
use futures_util::stream::{StreamExt, try_unfold};
use reqwest::Body;
use tokio::sync::oneshot;
use tokio::time::sleep;

use super::Publisher;
use super::exchange::{Call, Failure};
use super::retry::Retry;
use crate::error::{PublishError, Tried};
use crate::publish::Publish;
use crate::published::Published;

type BoxError = Box<dyn Error + Send + Sync>;

/// How a stream ended: whole, or with the cause of its failure.
type End = Result<(), String>;

impl Publisher {
    /// Publishes a stream of bytes as it comes, without ever holding more of it than the piece that is
    /// being sent: a file of any size, or a live feed that goes on for days. Each line of
    /// `application/x-ndjson` and each event of a `text/event-stream` is published as soon as it is
    /// whole.
    ///
    /// ```no_run
    /// use std::convert::Infallible;
    /// use futures_util::stream;
    /// use stentor_client::{Publish, Publisher};
    ///
    /// # async fn publish() -> Result<(), Box<dyn std::error::Error>> {
    /// let publisher = Publisher::new("http://localhost:8080")?;
    /// let lines = stream::iter((0..1_000_000).map(|n| Ok::<_, Infallible>(format!("{n}\n").into())));
    /// let upload = Publish::stream("application/x-ndjson", lines).and_end("done");
    /// let published = publisher.upload("numbers", upload).await?;
    /// println!("{} events up to {:?}", published.count, published.last_id);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// As [`publish`](Self::publish), as soon as the server refuses anything; the
    /// [`Problem`](crate::Problem) tells how many events are published and the id of the last. An
    /// error of the stream breaks the upload off, and the events that were whole by then are
    /// published.
    ///
    /// A stream comes only once, so nothing is tried again. A caller that can produce it again gives
    /// it a key ([`Publish::with_idempotency_key`]) and uploads it again from its beginning: only what
    /// is missing is published, if no more than ten minutes passed since the last event. Or it
    /// uploads an event stream from anywhere, with [`Publish::dedupe_by_id`].
    pub async fn upload<S, E>(
        &self,
        topic: &str,
        upload: Publish<S>,
    ) -> Result<Published, PublishError>
    where
        S: Stream<Item = Result<Bytes, E>> + Send + 'static,
        E: Into<BoxError>,
    {
        let (publish, pieces) = upload.into_parts();
        let call = Call::new(&self.server, topic, publish)?;
        let (body, ended) = body(pieces);
        let exchange = pin!(call.send(call.request(&self.client, &self.headers).body(body)));
        let too_long = pin!(async {
            match ended.await {
                Ok(Ok(())) => sleep(self.request_timeout).await,
                Ok(Err(cause)) => return PublishError::Stream { cause },
                // The stream was dropped before its end, for there is an answer.
                Err(_) => std::future::pending().await,
            }
            let cause = "it took too long".to_owned();
            PublishError::Unanswered { cause, tried: Tried::default() }
        });
        // In this order, for a stream that fails also breaks the exchange off.
        let error = match select(too_long, exchange).await {
            Either::Right((Ok(published), _)) => return Ok(published),
            Either::Right((Err(Failure { error, .. }), _)) | Either::Left((error, _)) => error,
        };
        Err(Retry::only(error, call.key()))
    }
}

/// A body of these pieces, and how it ended.
fn body<S, E>(pieces: S) -> (Body, oneshot::Receiver<End>)
where
    S: Stream<Item = Result<Bytes, E>> + Send + 'static,
    E: Into<BoxError>,
{
    let (end, ended) = oneshot::channel::<End>();
    let body = try_unfold((Box::pin(pieces), end), |(mut pieces, end)| async move {
        match pieces.next().await {
            Some(Ok(piece)) => Ok(Some((piece, (pieces, end)))),
            Some(Err(error)) => {
                let error: BoxError = error.into();
                // Whoever uploads may have gone.
                let _ = end.send(Err(error.to_string()));
                Err(error)
            }
            None => {
                let _ = end.send(Ok(()));
                Ok(None)
            }
        }
    });
    (Body::wrap_stream(body), ended)
}
