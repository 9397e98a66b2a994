//! Encoder and decoder for `text/event-stream`, the wire format of Server-Sent Events (SSE).
//!
//! - **Encoding is infallible.** An [`Event`] is valid by construction: no data, type or id can break out of its field.
//! - **Decoding follows the [standard](https://html.spec.whatwg.org/multipage/server-sent-events.html).** Input may be
//!   cut anywhere. Decoding takes linear time and bounded memory.
//! - The crate is synchronous, reads no clock and does no I/O.
//!
//! ```
//! use stentor_sse::{Decoder, Event, EventId, EventType, Item};
//!
//! let event = Event::new("two\nlines")
//!     .with_type(EventType::new("note")?)
//!     .with_id(EventId::new("42")?);
//!
//! let mut wire = Vec::new();
//! event.encode(&mut wire);
//! assert_eq!(wire, b"id: 42\nevent: note\ndata: two\ndata: lines\n\n");
//!
//! let mut decoder = Decoder::new();
//! let mut input = wire.as_slice();
//! while let Some(item) = decoder.decode(&mut input) {
//!     assert_eq!(item?, Item::Event(event.clone()));
//! }
//! assert_eq!(decoder.last_event_id(), "42");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Overview
//!
//! | to | use |
//! | --- | --- |
//! | build an event | [`Event`] with its [`EventType`] and [`EventId`] |
//! | encode an event | [`Event::encode`] |
//! | encode an event once and share the bytes between many readers | [`Frame`] |
//! | encode a comment, a reconnection time or an id alone | [`encode_comment`], [`encode_retry`], [`encode_id`] |
//! | decode a stream piece by piece | [`Decoder`], which returns [`Item`]s |

mod block;
mod decoder;
mod encode;
mod error;
mod event;
mod field;
mod frame;
mod item;
mod line;

pub use decoder::Decoder;
pub use encode::{encode_comment, encode_id, encode_retry};
pub use error::DecodeError;
pub use event::Event;
pub use field::{EventId, EventType, FieldError};
pub use frame::Frame;
pub use item::Item;
