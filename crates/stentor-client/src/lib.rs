//! A client of Server-Sent Events: an [`EventSource`] for Rust that follows every rule of the
//! [standard](https://html.spec.whatwg.org/multipage/server-sent-events.html) against any server,
//! and a [`Publisher`] for the Stentor event server.
//!
//! ```no_run
//! use stentor_client::EventSource;
//!
//! # async fn follow() -> Result<(), Box<dyn std::error::Error>> {
//! let mut source = EventSource::new("http://localhost:8080/topics/news")?;
//! while let Some(event) = source.next().await {
//!     println!("{}", event?.data());
//! }
//! # Ok(())
//! # }
//! ```
//!
//! The source reconnects by itself and goes on behind the last event that it saw; that is no error.
//! The loop ends when the server says that nothing more is to come, or with the one error that no
//! further attempt can mend.
//!
//! # Map
//!
//! | to | take |
//! | --- | --- |
//! | receive | [`EventSource`], which is also a `Stream`; [`EventSourceBuilder`] for headers, bodies, times, proxies and more |
//! | receive values | [`EventSource::json`] |
//! | go on where the last run of the program stopped | a [`cursor`], with [`EventSource::commit`] |
//! | do as browsers do, to the letter | [`Mode::Spec`](reconnect::Mode::Spec) |
//! | see how the connection fares | [`State`], from [`EventSource::state`] or [`EventSource::states`] |
//! | see comments, or the bytes themselves | [`EventSource::next_chunk`] |
//! | publish | [`Publisher`] with a [`Publish`]; [`PublisherBuilder`] for tokens, times and attempts |
//! | publish several events or none | [`Publisher::batch`] with a [`Batch`] |
//! | publish many events in order | [`PublishQueue`] |
//! | publish bytes as they come | [`Publisher::upload`] |
//! | find the address of a topic | [`ServerUrl`] |
//! | tell Stentor's own events from data | [`Control`] |
//! | read the events of many topics in one stream | [`EventObject`] |
//!
//! # Layers
//!
//! Each can be used alone: what bytes mean ([`Decoder`]), what to do when there are no more
//! ([`reconnect`]), both without I/O or clock; and over them [`EventSource`] with HTTP.
#![forbid(unsafe_code)]

mod attempt;
mod batch;
mod builder;
mod connection;
mod control;
pub mod cursor;
mod error;
mod event_object;
mod event_source;
mod feed;
mod head;
mod http_client;
mod idle;
mod json;
mod problem;
mod publish;
mod published;
mod publisher;
mod reading;
pub mod reconnect;
mod redirect;
mod renewal;
mod request;
mod server_url;
mod state;
mod transport;

pub use reqwest::header::HeaderMap;
pub use reqwest::{StatusCode, Url, Version};
pub use stentor_sse::{DecodeError, Decoder, Event, EventId, EventType, Item};

pub use crate::batch::Batch;
pub use crate::builder::EventSourceBuilder;
pub use crate::control::{Control, End, Gap};
pub use crate::error::{Attempts, BuildError, EventSourceError, PublishError};
pub use crate::event_object::EventObject;
pub use crate::event_source::EventSource;
pub use crate::feed::{PublishAck, PublishQueue, PublishQueueError};
pub use crate::head::ResponseHead;
pub use crate::json::{JsonError, JsonEvents};
pub use crate::problem::Problem;
pub use crate::publish::Publish;
pub use crate::published::Published;
pub use crate::publisher::{Publisher, PublisherBuilder};
pub use crate::reading::Chunk;
pub use crate::redirect::RedirectError;
pub use crate::server_url::{ServerUrl, UrlError};
pub use crate::state::State;
