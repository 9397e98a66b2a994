//! Topics as logs, subscribers as cursors.

mod cursor;
mod filter;
mod form;
mod publish;
mod record;
pub mod storage;
mod timestamp;
mod topic;

pub use crate::cursor::{Check, Cursor, CursorError, Epoch, Offset};
pub use crate::filter::{Filters, FiltersError, Glob, TopicFilter};
pub use crate::form::{END_EVENT, EventObject, Form};
pub use crate::publish::{Entry, Key, KeyContent, Publish, PublishError, Published};
pub use crate::record::{Attributes, Body, END_REASON_BYTES_MAX, Record};
pub use crate::timestamp::{Timestamp, TimestampError};
pub use crate::topic::{TopicError, TopicName};
