//! Responses that are streams of events.

pub(crate) mod body;
pub(crate) mod encoder;
pub(crate) mod head;
pub(crate) mod log;
pub(crate) mod options;
pub(crate) mod session;
pub(crate) mod shards;
pub(crate) mod slot;

use bytes::BytesMut;
use http::header::{CACHE_CONTROL, CONNECTION, CONTENT_TYPE};
use http::{HeaderValue, Response, StatusCode};
use stentor_hub::{Filters, Form, Start, SubscribeError, Subscribed, Subscription};

use self::body::StreamBody;
use self::encoder::{StreamEncoder, unavailable_retry};
use self::options::StreamOptions;
use self::session::Session;
use self::slot::{NewStream, StreamSlot};
use crate::body::Body;
use crate::context::Stentor;
use crate::metrics::OpenCount;
use crate::problem::Problem;
use crate::refusal_log::log_stream_error;

impl Stentor {
    /// Subscribes, and returns a response that streams the events. For routes of your own program.
    ///
    /// A browser never reconnects after an error status, so some failures are successful responses:
    ///
    /// - 204 if the start is a cursor after which no further event can match.
    /// - A stream with only a `retry:` of 5 to 15 s if the server drains or the log cannot be read. The
    ///   subscriber reconnects after that time.
    ///
    /// # Errors
    ///
    /// Returns a problem with status 400 if the start requests more events than the hub allows.
    pub async fn stream(
        &self,
        filters: Filters,
        start: Start,
        options: StreamOptions,
    ) -> Result<Response<Body>, Problem> {
        self.stream_with(filters, start, options, Session::new()).await
    }

    /// Subscribes like [`Stentor::stream`], for a reader with an identity or an expiry.
    ///
    /// # Errors
    ///
    /// Returns a problem with status 400 if the start requests more events than the hub allows.
    pub async fn stream_with(
        &self,
        filters: Filters,
        start: Start,
        options: StreamOptions,
        session: Session,
    ) -> Result<Response<Body>, Problem> {
        if self.is_draining() {
            return Ok(unavailable(options));
        }
        match self.hub().subscribe(filters, start).await {
            Ok(Subscribed::Open(subscription)) => Ok(open(self, subscription, options, session)),
            Ok(Subscribed::Finished) => Ok(finished()),
            Err(SubscribeError::Storage(error)) => {
                log_stream_error("the log cannot be read", &error);
                Ok(unavailable(options))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Returns the head of the response that [`Stentor::stream`] would give, for `HEAD` requests.
    pub(crate) async fn stream_head(
        &self,
        filters: Filters,
        start: Start,
        options: StreamOptions,
    ) -> Result<Response<Body>, Problem> {
        match self.hub().subscribe(filters, start).await {
            Ok(Subscribed::Finished) => Ok(finished()),
            Ok(Subscribed::Open(_)) | Err(SubscribeError::Storage(_)) => {
                Ok(stream_response(options))
            }
            Err(error) => Err(error.into()),
        }
    }
}

/// Returns a response that streams this subscription.
fn open(
    stentor: &Stentor,
    subscription: Box<Subscription>,
    options: StreamOptions,
    session: Session,
) -> Response<Body> {
    let metrics = stentor.metrics();
    metrics.streams.inc();
    let open = OpenCount::one(&metrics.streams_open);
    let session = stentor.keys().open(session);
    let stream = NewStream { stentor: stentor.clone(), subscription, options, session, open };
    let slot = StreamSlot::new(stream);
    let mut response = stream_response(options);
    response.extensions_mut().insert(slot.link());
    *response.body_mut() = Body::stream(StreamBody::New(slot));
    response
}

/// Returns a stream with only a reconnection time, for a server that drains or is full, and an unreadable log.
pub(crate) fn unavailable(options: StreamOptions) -> Response<Body> {
    let mut out = BytesMut::new();
    StreamEncoder::new(options).retry(&mut out, unavailable_retry());
    let mut response = stream_response(options);
    *response.body_mut() = Body::full(out.freeze());
    response
}

/// Returns 204: no further event can match. It stops an `EventSource` from reconnecting.
fn finished() -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    insert_stream_headers(&mut response);
    response
}

/// Returns the head of a stream, with an empty body.
fn stream_response(options: StreamOptions) -> Response<Body> {
    let content_type = match options.form {
        Form::Plain | Form::Envelope => "text/event-stream; charset=utf-8",
        Form::Ndjson => "application/x-ndjson",
    };
    let mut response = Response::new(Body::empty());
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    if options.close {
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    insert_stream_headers(&mut response);
    response
}

/// Inserts the headers that keep proxies from caching, changing or buffering a stream.
fn insert_stream_headers(response: &mut Response<Body>) {
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache, no-store, no-transform"));
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
}
