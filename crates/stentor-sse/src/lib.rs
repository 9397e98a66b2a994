//! The `text/event-stream` format of Server-Sent Events: bytes in, values out, and back.
//!
//! Encoding cannot go wrong: an [`Event`] is valid by construction, so nothing a publisher sends can
//! break out of its field. Decoding follows every rule of the
//! [standard](https://html.spec.whatwg.org/multipage/server-sent-events.html), wherever the input
//! happens to be cut, in linear time and bounded memory. There is no async, no clock and no I/O in
//! this crate.
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
//! # Map
//!
//! | to | take |
//! | --- | --- |
//! | say what travels | [`Event`] with its [`EventType`] and [`EventId`] |
//! | write it, once for all readers | [`Event::encode`], [`Frame`] |
//! | write what is not an event | [`encode_comment`], [`encode_retry`], [`encode_id`] |
//! | read a stream, piece by piece | [`Decoder`], which yields [`Item`]s |

mod block;
mod decode;
mod encode;
mod event;
mod field;
mod frame;
mod line;

pub use decode::{DecodeError, Decoder, Item};
pub use encode::{encode_comment, encode_id, encode_retry};
pub use event::Event;
pub use field::{EventId, EventType, FieldError};
pub use frame::Frame;
