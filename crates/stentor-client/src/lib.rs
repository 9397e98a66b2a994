//! Client for Server-Sent Events: an [`EventSource`] that follows the
//! [standard](https://html.spec.whatwg.org/multipage/server-sent-events.html) and works with any server, and a
//! [`Publisher`] for Stentor servers.
//!
//! ```no_run
//! use stentor_client::EventSource;
//!
//! # async fn subscribe() -> Result<(), Box<dyn std::error::Error>> {
//! let mut source = EventSource::new("http://localhost:8080/topics/news")?;
//! while let Some(event) = source.next().await {
//!     println!("{}", event?.data());
//! }
//! # Ok(())
//! # }
//! ```
//!
//! Reconnecting is automatic: after a lost connection the loop continues with the next event. It ends when the server
//! has nothing more to send (204), or with a permanent error.
//!
//! # Overview
//!
//! | to | use |
//! | --- | --- |
//! | receive events | [`EventSource`], which is also a `Stream` |
//! | set headers, a body, timeouts, a proxy and more | [`EventSourceBuilder`] |
//! | receive JSON as values of a type | [`EventSource::json`] |
//! | continue where the last run of the program stopped | a [`cursor`] store and [`EventSource::commit`] |
//! | behave exactly like a browser | [`Mode::Spec`](reconnect::Mode::Spec) |
//! | observe the connection | [`EventSource::state`], [`EventSource::states`] |
//! | see comments, ids or raw bytes | [`EventSource::next_chunk`] |
//! | recognize Stentor's own events (gap, end) | [`Control`] |
//! | read the events of many topics from one stream | [`EventObject`] |
//! | publish an event | [`Publisher::publish`] with a [`Publish`] |
//! | set a token, timeouts or the number of attempts | [`PublisherBuilder`] |
//! | publish several events, all or none | [`Publisher::batch`] with a [`Batch`] |
//! | publish many events in order | [`Publisher::queue`], a [`PublishQueue`] |
//! | publish a stream of bytes as it arrives | [`Publisher::upload`] |
//! | build the URL of a topic | [`ServerUrl`] |
//!
//! # Layers
//!
//! Each layer can be used alone. [`Decoder`] turns bytes into events. [`reconnect`] decides if and when to connect
//! again. Neither does I/O or reads a clock. [`EventSource`] combines them with HTTP.
#![forbid(unsafe_code)]

mod build_error;
mod control;
pub mod cursor;
mod event_object;
mod event_source;
mod http_client;
mod problem;
mod publisher;
pub mod reconnect;
mod retry_after;
mod server_url;

pub use reqwest::header::HeaderMap;
pub use reqwest::{StatusCode, Url, Version};
pub use stentor_sse::{DecodeError, Decoder, Event, EventId, EventType, Item};

pub use crate::build_error::BuildError;
pub use crate::control::{Control, End, Gap};
pub use crate::event_object::EventObject;
pub use crate::event_source::EventSource;
pub use crate::event_source::builder::EventSourceBuilder;
pub use crate::event_source::error::EventSourceError;
pub use crate::event_source::json::{JsonError, JsonEvents};
pub use crate::event_source::open_stream::Chunk;
pub use crate::event_source::redirect::RedirectError;
pub use crate::event_source::response_head::ResponseHead;
pub use crate::event_source::state::State;
pub use crate::problem::Problem;
pub use crate::publisher::Publisher;
pub use crate::publisher::batch::Batch;
pub use crate::publisher::builder::PublisherBuilder;
pub use crate::publisher::error::{Attempts, PublishError};
pub use crate::publisher::publish::Publish;
pub use crate::publisher::published::Published;
pub use crate::publisher::queue::PublishQueue;
pub use crate::publisher::queue::ack::PublishAck;
pub use crate::publisher::queue::error::PublishQueueError;
pub use crate::server_url::{ServerUrl, UrlError};
