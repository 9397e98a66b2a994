//! The options of a stream.

use http::Version;
use stentor_hub::Form;

/// Options of a stream of events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamOptions {
    /// The form of the events.
    pub form: Form,
    /// `true` if positions, gaps and ends are sent as named events (`stentor.cursor`, `stentor.gap`,
    /// `stentor.end`). With `false` they are blocks with only an id, for parsers that cannot ignore
    /// events by name; in NDJSON they are left out.
    pub control: bool,
    /// `true` if the response has the header `Connection: close`. HTTP/1 needs it: the socket of a
    /// stream is not used for another request.
    pub close: bool,
}

impl StreamOptions {
    /// Returns the defaults for a request of this HTTP version: plain events, control events on. An axum
    /// handler gets the version as an argument of the type [`Version`].
    pub fn new(version: Version) -> StreamOptions {
        StreamOptions { form: Form::Plain, control: true, close: version < Version::HTTP_2 }
    }
}
