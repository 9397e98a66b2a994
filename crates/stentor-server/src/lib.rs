//! Publish and subscribe over HTTP, with Server-Sent Events that resume without loss.
//!
//! [`Stentor`] is a [`tower_service::Service`] over a [`Hub`](stentor_hub::Hub): use it in an axum or
//! hyper program, or serve it with [`serve`].
//!
//! # Example
//!
//! Your own routes, one of them a stream, and the whole HTTP API beside them. It needs the cargo feature
//! `axum`.
//!
#![cfg_attr(feature = "axum", doc = "```no_run")]
#![cfg_attr(not(feature = "axum"), doc = "```ignore")]
//! use axum::extract::State;
//! use axum::http::{HeaderMap, Response, Uri, Version};
//! use axum::routing::get;
//! use axum::Router;
//! use stentor_hub::{Filters, Hub, Start, TopicName};
//! use stentor_server::{Body, Guard, Problem, Stentor, StreamOptions, bind, cursor_of, serve};
//!
//! #[tokio::main]
//! async fn main() -> std::io::Result<()> {
//!     let stentor = Stentor::new(Hub::memory());
//!     let app = Router::new()
//!         .route("/hello", get(|| async { "hello" }))
//!         .route("/mine", get(mine))
//!         .with_state(stentor.clone())
//!         .fallback_service(stentor.clone()); // /topics/NAME, /events, the console at /
//!     let listener = bind(([127, 0, 0, 1], 8080).into())?;
//!     serve(listener, Guard::new().wrap(app), stentor).await
//! }
//!
//! /// Streams the topic `users/ann`, to a subscriber that reconnects after its last event.
//! async fn mine(
//!     State(stentor): State<Stentor>,
//!     version: Version,
//!     headers: HeaderMap,
//!     uri: Uri,
//! ) -> Result<Response<Body>, Problem> {
//!     let start = cursor_of(&headers, &uri).map_or(Start::Now, Start::Cursor);
//!     let topic = Filters::topic(TopicName::new("users/ann")?);
//!     stentor.stream(topic, start, StreamOptions::new(version)).await
//! }
//! ```
//!
//! Publish with `curl -d hello localhost:8080/topics/news`, and subscribe in a browser with
//! `new EventSource("/topics/news")`. The `stentor` given to [`serve`] is the one that the routes use: it
//! counts the connections, and [`Stentor::drain`] stops the server.
//!
//! `axum::serve` runs the same `app`.
//!
//! # Publishing from your program
//!
//! Call `hub.send(&topic, "data").await`. Subscribers over HTTP get the event too.
//!
//! # Streams on your own routes
//!
//! [`Stentor::stream`] turns topic filters and a start position into the response of a handler.
//! [`cursor_of`] reads the position of a subscriber that reconnects.
//!
//! # Serving many subscribers
//!
//! A [`shard`] writes all streams. [`serve`] and [`serve_on_cores`] take the sockets of subscribers over
//! from hyper, with much less memory and processor time for each subscriber. Under `axum::serve`, and
//! over HTTP/2, the shard writes into response bodies. Such a shard starts with the first stream and
//! ends with the last: as a task of a single-threaded runtime, or as a thread beside a multi-threaded
//! one.
//!
//! A layer that replaces, wraps or drops the body of a stream is obeyed by all servers. So a socket is
//! taken over only if the body is known to be untouched: see [`ServeOptions::takeover`].
//!
//! # Access
//!
//! A [`Guard`] checks the headers `Host` and `Origin`, and adds CORS headers. By default it accepts only
//! requests for a loopback host. There is no other access control: a client that can connect can read and
//! publish.
//!
//! # Source map
//!
//! A connection is accepted in `serve.rs` and run in `connection.rs`. Its requests pass the guard
//! (`guard.rs`) and the router (`router.rs`), which has one file for each route in `routes/`. Streams
//! are opened in `stream.rs`. A shard (`shard.rs`, run by `driver.rs`) writes them: to a socket that was
//! taken over from hyper, or into a pipe (`shard/pipe.rs`) whose other end is a response body.
//!
//! The routes share these files:
//!
//! - Reading a request: `path.rs`, `query.rs`, `accept.rs`, `resume.rs`, `idempotency.rs`.
//! - Reading a body: `content.rs`, `peeked.rs`, `incoming.rs`, `budget.rs`, `lines.rs`.
//! - The part of a body that a route leaves unread: `inbound.rs`, `foreign.rs`, `discard.rs`.
//! - Writing a response: `json.rs`, and `problem.rs` for errors.

mod accept;
mod body;
mod budget;
mod capacity;
mod config;
mod connection;
mod connection_waker;
mod content;
mod context;
mod discard;
mod driver;
mod foreign;
mod guard;
mod held;
mod http_service;
mod idempotency;
mod inbound;
mod incoming;
mod json;
mod limits;
mod lines;
mod metrics;
mod pace;
mod path;
mod peeked;
mod peer;
mod pool;
mod problem;
mod query;
mod refusal_log;
mod request_head;
mod response_budget;
mod resume;
mod router;
mod routes;
mod serve;
mod service;
pub mod shard;
mod stream;
mod supervise;

pub use crate::body::{Body, StreamInterrupted};
pub use crate::capacity::raise_file_limit;
pub use crate::config::Config;
pub use crate::context::Stentor;
pub use crate::guard::{AllowedOrigin, Guard, Guarded, GuardedBody, GuardedFuture, OriginError};
pub use crate::http_service::{HttpService, ServiceError, ServiceFuture};
pub use crate::inbound::InboundBody;
pub use crate::metrics::Metrics;
pub use crate::problem::Problem;
pub use crate::resume::cursor_of;
pub use crate::routes::console::BASE_CSS;
pub use crate::serve::{ServeOptions, bind, serve, serve_on_cores, serve_with};
pub use crate::service::StentorFuture;
pub use crate::stream::options::StreamOptions;
pub use crate::stream::session::Session;
pub use crate::supervise::{Restarts, TaskFailed};
