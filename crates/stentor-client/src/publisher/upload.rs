//! Uploads: request bodies that are streams.

use std::error::Error;
use std::pin::pin;

use bytes::Bytes;
use fastrand::Rng;
use futures_core::Stream;
use futures_util::future::{Either, select};
use futures_util::stream::{StreamExt, try_unfold};
use reqwest::Body;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use super::Publisher;
use super::error::PublishError;
use super::publish::Publish;
use super::published::Published;
use super::request::PublishRequest;
use super::retry::Retry;

type BoxError = Box<dyn Error + Send + Sync>;

/// Progress of the stream of an upload.
#[derive(Default)]
struct Progress {
    /// Time at which the last chunk was taken from the stream.
    last_chunk: Option<Instant>,
    /// Set at the end of the stream, with its error if it failed.
    end: Option<Result<(), String>>,
}

/// A failed attempt of an upload.
struct UploadFailure {
    error: PublishError,
    last_chunk: Option<Instant>,
}

impl Publisher {
    /// Publishes a stream of bytes as it arrives, for example the output of a program.
    ///
    /// Each line of `application/x-ndjson` and each event of `text/event-stream` is published as soon as it is
    /// complete. The stream may run for days; only the chunk being sent is in memory.
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
    /// A stream cannot be read twice, so an upload is not retried. To repeat it:
    ///
    /// - [`upload_repeatable`](Self::upload_repeatable) retries automatically, if the stream can be created again.
    /// - With a key ([`Publish::with_idempotency_key`]), upload the same stream again from its start. The server adds
    ///   only the missing events, within ten minutes of the last one.
    /// - With [`Publish::dedupe_by_id`], upload an event stream again from any earlier event.
    ///
    /// # Errors
    ///
    /// [`PublishError`] as soon as the server refuses an event. Its [`Problem`](crate::Problem) contains the number of
    /// published events and the id of the last one. If the stream fails, the upload ends with
    /// [`PublishError::Stream`]; complete events that were sent before are published.
    ///
    /// # Cancel safety
    ///
    /// Not cancel safe: if the future is dropped, the upload is aborted. Complete events that were sent before may be
    /// published.
    pub async fn upload<S, E>(
        &self,
        topic: &str,
        upload: Publish<S>,
    ) -> Result<Published, PublishError>
    where
        S: Stream<Item = Result<Bytes, E>> + Send + 'static,
        E: Into<BoxError>,
    {
        let (publish, stream) = upload.into_parts();
        let request = PublishRequest::new(&self.server, topic, publish)?;
        self.send_stream(&request, stream)
            .await
            .map_err(|failed| Retry::single_attempt(failed.error, request.key()))
    }

    /// Publishes a stream of bytes that can be created again from its start, such as a file.
    ///
    /// Like [`upload`](Self::upload), but with retries: each attempt sends the whole stream with the same idempotency
    /// key, and the server adds only the missing events. The time limit of the retries restarts after an attempt that
    /// sent data.
    ///
    /// ```no_run
    /// use std::convert::Infallible;
    /// use futures_util::stream;
    /// use stentor_client::{Publish, Publisher};
    ///
    /// # async fn publish() -> Result<(), Box<dyn std::error::Error>> {
    /// let publisher = Publisher::new("http://localhost:8080")?;
    /// let lines = || stream::iter((0..1_000_000).map(|n| Ok::<_, Infallible>(format!("{n}\n").into())));
    /// publisher.upload_repeatable("numbers", Publish::stream("application/x-ndjson", lines)).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`PublishError`] as for [`upload`](Self::upload). If a repeated stream differs from the first, the server
    /// refuses it at the first difference (422).
    ///
    /// # Cancel safety
    ///
    /// Not cancel safe: if the future is dropped, the upload is aborted. Complete events that were sent before may be
    /// published.
    pub async fn upload_repeatable<F, S, E>(
        &self,
        topic: &str,
        upload: Publish<F>,
    ) -> Result<Published, PublishError>
    where
        F: FnMut() -> S,
        S: Stream<Item = Result<Bytes, E>> + Send + 'static,
        E: Into<BoxError>,
    {
        let (publish, mut new_stream) = upload.into_parts();
        let request = PublishRequest::new(&self.server, topic, self.with_key(publish))?;
        let mut retry = Retry::new(self.limits, request.key(), Rng::new());
        loop {
            let UploadFailure { error, last_chunk } =
                match self.send_stream(&request, new_stream()).await {
                    Ok(published) => return Ok(published),
                    Err(failed) => failed,
                };
            let now = Instant::now();
            if let Some(last_chunk) = last_chunk {
                retry.restart(last_chunk);
            }
            sleep(retry.delay(error, last_chunk.unwrap_or(now), now)?).await;
        }
    }

    /// Sends the stream once.
    async fn send_stream<S, E>(
        &self,
        publish: &PublishRequest,
        stream: S,
    ) -> Result<Published, UploadFailure>
    where
        S: Stream<Item = Result<Bytes, E>> + Send + 'static,
        E: Into<BoxError>,
    {
        let (body, mut progress) = body(stream);
        let last_chunk = progress.clone();
        let request = publish.to_http(&self.client, &self.headers).body(body);
        let stream_error_or_timeout = pin!(async {
            let ended = progress.wait_for(|progress| progress.end.is_some()).await;
            match ended.map(|progress| progress.end.clone()) {
                Ok(Some(Err(cause))) => return PublishError::Stream { cause },
                Ok(_) => {}
                // The stream was dropped before its end: the request is over, with or without a response.
                Err(_) => std::future::pending().await,
            }
            sleep(self.request_timeout).await;
            PublishError::timed_out()
        });
        // Poll the stream's error first: a stream that fails also aborts the request.
        let error = match select(stream_error_or_timeout, pin!(publish.send(request))).await {
            Either::Right((Ok(published), _)) => return Ok(published),
            Either::Right((Err(error), _)) | Either::Left((error, _)) => error,
        };
        let last_chunk = last_chunk.borrow().last_chunk;
        Err(UploadFailure { error, last_chunk })
    }
}

/// Creates a body from a stream, and a receiver of its progress.
fn body<S, E>(stream: S) -> (Body, watch::Receiver<Progress>)
where
    S: Stream<Item = Result<Bytes, E>> + Send + 'static,
    E: Into<BoxError>,
{
    let (sender, progress) = watch::channel(Progress::default());
    let body = try_unfold((Box::pin(stream), sender), |(mut stream, sender)| async move {
        match stream.next().await {
            Some(Ok(chunk)) => {
                sender.send_modify(|progress| progress.last_chunk = Some(Instant::now()));
                Ok(Some((chunk, (stream, sender))))
            }
            Some(Err(error)) => {
                let error: BoxError = error.into();
                sender.send_modify(|progress| progress.end = Some(Err(error.to_string())));
                Err(error)
            }
            None => {
                sender.send_modify(|progress| progress.end = Some(Ok(())));
                Ok(None)
            }
        }
    });
    (Body::wrap_stream(body), progress)
}
