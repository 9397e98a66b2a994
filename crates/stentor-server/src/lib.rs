//! Publish and subscribe over HTTP, with Server-Sent Events that resume without loss.
//!
//! [`Stentor`] is a [`tower_service::Service`] over a [`Hub`](stentor_hub::Hub): use it in an axum or
//! hyper program, or serve it with [`serve`].
//!
//! # Example
//!
//! ```no_run
//! use axum::Router;
//! use stentor_hub::Hub;
//! use stentor_server::{Guard, Stentor};
//!
//! #[tokio::main]
//! async fn main() -> std::io::Result<()> {
//!     let hub = Hub::memory();
//!     let stentor = Guard::new().wrap(Stentor::new(hub.clone()));
//!     let app = Router::new()
//!         .route("/hello", axum::routing::get(|| async { "hello" }))
//!         .fallback_service(stentor); // /topics/NAME, /events, the console at /
//!     let listener = tokio::net::TcpListener::bind("127.0.0.1:8080").await?;
//!     axum::serve(listener, app).await
//! }
//! ```
//!
//! Publish with `curl -d hello localhost:8080/topics/news`, and subscribe in a browser with
//! `new EventSource("/topics/news")`.
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
//! A [`Guard`] checks the headers `Host` and `Origin`, and adds CORS headers. There is no other access
//! control: a client that can connect can read and publish.
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
//! - Writing a response: `json.rs`, and `problem.rs` for errors.

mod accept;
mod body;
mod budget;
mod config;
mod connection;
mod content;
mod context;
mod driver;
mod guard;
mod http_service;
mod idempotency;
mod incoming;
mod json;
mod limits;
mod lines;
mod metrics;
mod path;
mod peeked;
mod problem;
mod query;
mod refusal_log;
mod resume;
mod router;
mod routes;
mod serve;
mod service;
pub mod shard;
mod stream;
mod supervise;

pub use crate::body::{Body, StreamInterrupted};
pub use crate::config::Config;
pub use crate::context::Stentor;
pub use crate::guard::{AllowedOrigin, Guard, Guarded, GuardedBody, GuardedFuture, OriginError};
pub use crate::http_service::{HttpService, ServiceError, ServiceFuture};
pub use crate::metrics::Metrics;
pub use crate::problem::Problem;
pub use crate::resume::cursor_of;
pub use crate::routes::console::BASE_CSS;
pub use crate::serve::{ServeOptions, bind, serve, serve_on_cores, serve_with};
pub use crate::service::StentorFuture;
pub use crate::stream::options::StreamOptions;
pub use crate::stream::session::Session;
pub use crate::supervise::{Restarts, TaskFailed};
