//! Bodies that come piece by piece.

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
use super::exchange::{Call, Failure};
use super::retry::Retry;
use crate::error::PublishError;
use crate::publish::Publish;
use crate::published::Published;

type BoxError = Box<dyn Error + Send + Sync>;

/// How far a stream came.
#[derive(Default)]
struct Progress {
    /// When its last piece was taken.
    last_piece: Option<Instant>,
    /// Whether it ended whole, or with the cause of its failure.
    end: Option<Result<(), String>>,
}

/// An attempt that failed.
struct Failed {
    failure: Failure,
    last_piece: Option<Instant>,
}

impl Publisher {
    /// Publishes a stream of bytes as it comes, without ever holding more of it than the piece that is
    /// being sent: the output of a program, or a live feed that goes on for days. Each line of
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
    /// A stream comes only once, so nothing is tried again: see
    /// [`upload_repeatable`](Self::upload_repeatable). A caller that will have the same stream again
    /// later gives it a key ([`Publish::with_idempotency_key`]) and then uploads it from its
    /// beginning: only what is missing is published, if no more than ten minutes passed since the
    /// last event. Or it uploads an event stream from anywhere, with [`Publish::dedupe_by_id`].
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
        self.send(&call, pieces)
            .await
            .map_err(|failed| Retry::only(failed.failure.error, call.key()))
    }

    /// Uploads as [`upload`](Self::upload) does what can be had again from its beginning, such as a
    /// file: it is tried again as [`publish`](Self::publish) is, under one key, and the server
    /// publishes only what is missing. Time counts from where the last attempt broke off.
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
    /// As [`upload`](Self::upload); and if it is another stream the second time, the server refuses it
    /// where it differs (422).
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
        let (publish, mut pieces) = upload.into_parts();
        let call = Call::new(&self.server, topic, self.keyed(publish))?;
        let mut retry = Retry::new(self.limits, call.key(), Rng::new());
        loop {
            let Failed { failure: Failure { error, asked }, last_piece } =
                match self.send(&call, pieces()).await {
                    Ok(published) => return Ok(published),
                    Err(failed) => failed,
                };
            let now = Instant::now();
            if let Some(last_piece) = last_piece {
                retry.renew(last_piece);
            }
            sleep(retry.wait(error, asked, last_piece.unwrap_or(now), now)?).await;
        }
    }

    /// One attempt.
    async fn send<S, E>(&self, call: &Call, pieces: S) -> Result<Published, Failed>
    where
        S: Stream<Item = Result<Bytes, E>> + Send + 'static,
        E: Into<BoxError>,
    {
        let (body, mut progress) = body(pieces);
        let last_piece = progress.clone();
        let request = call.request(&self.client, &self.headers).body(body);
        let too_long = pin!(async {
            let ended = progress.wait_for(|progress| progress.end.is_some()).await;
            match ended.map(|progress| progress.end.clone()) {
                Ok(Some(Err(cause))) => return PublishError::Stream { cause },
                Ok(_) => {}
                // The stream was dropped before its end: there is an answer, or none.
                Err(_) => std::future::pending().await,
            }
            sleep(self.request_timeout).await;
            PublishError::too_slow()
        });
        // In this order, for a stream that fails also breaks the exchange off.
        let failure = match select(too_long, pin!(call.send(request))).await {
            Either::Right((Ok(published), _)) => return Ok(published),
            Either::Right((Err(failure), _)) => failure,
            Either::Left((error, _)) => error.into(),
        };
        let last_piece = last_piece.borrow().last_piece;
        Err(Failed { failure, last_piece })
    }
}

/// A body of these pieces, and how far it came.
fn body<S, E>(pieces: S) -> (Body, watch::Receiver<Progress>)
where
    S: Stream<Item = Result<Bytes, E>> + Send + 'static,
    E: Into<BoxError>,
{
    let (told, progress) = watch::channel(Progress::default());
    let body = try_unfold((Box::pin(pieces), told), |(mut pieces, told)| async move {
        match pieces.next().await {
            Some(Ok(piece)) => {
                told.send_modify(|progress| progress.last_piece = Some(Instant::now()));
                Ok(Some((piece, (pieces, told))))
            }
            Some(Err(error)) => {
                let error: BoxError = error.into();
                told.send_modify(|progress| progress.end = Some(Err(error.to_string())));
                Err(error)
            }
            None => {
                told.send_modify(|progress| progress.end = Some(Ok(())));
                Ok(None)
            }
        }
    });
    (Body::wrap_stream(body), progress)
}
