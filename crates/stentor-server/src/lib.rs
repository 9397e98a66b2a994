//! Stentor over HTTP: publish with a POST, receive with an `EventSource`, nothing lost or doubled.
//!
//! In one's own axum program:
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
//! The program publishes with `hub.send(&topic, "data")`, others with `POST /topics/NAME`. For
//! routes of one's own [`Stentor::stream`] turns filters and a start into the answer to a reader.
//!
//! A map of the crate. A connection: [`bind`] and [`serve`] (`serve.rs`: listening, and the driver of
//! the shard) -> `connection.rs` (HTTP/1.1 or HTTP/2 by hyper, and the takeover of a reader's socket) ->
//! [`Guard`] (`guard.rs`) -> [`Stentor`] (`service.rs`: the API on one screen) -> one file for each
//! route in `routes/`. What routes share: `query.rs`, `path.rs`, `accept.rs`, `resume.rs` read a
//! request; `content.rs`, `peeked.rs`, `incoming.rs`, `budget.rs`, `lines.rs`, `idempotency.rs` take in
//! a body; `json.rs` and [`Problem`] (`problem.rs`, the only place where errors become statuses) write
//! answers. A stream is written by a [`shard`] of the core, or as a body by `stream.rs`; `control.rs`
//! is what both say.

mod accept;
mod app;
mod body;
mod budget;
mod config;
mod connection;
mod content;
mod context;
mod control;
mod driver;
mod guard;
mod idempotency;
mod incoming;
mod json;
mod lines;
mod metrics;
mod path;
mod peeked;
mod problem;
mod query;
mod resume;
mod router;
mod routes;
mod serve;
mod service;
pub mod shard;
mod stream;

pub use crate::app::{Answer, AnswerError, App};
pub use crate::body::{Body, StreamCut};
pub use crate::config::Config;
pub use crate::context::Stentor;
pub use crate::guard::{AllowedOrigin, Guard, Guarded, GuardedBody, GuardedFuture, OriginError};
pub use crate::metrics::Metrics;
pub use crate::problem::Problem;
pub use crate::resume::cursor_of;
pub use crate::routes::console::BASE_CSS;
pub use crate::serve::{ServeOptions, bind, serve, serve_on_cores};
pub use crate::service::StentorFuture;
pub use crate::stream::StreamOptions;
