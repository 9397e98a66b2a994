use thiserror::Error;

/// Error of a [`Decoder`](crate::Decoder). It is permanent: the decoder cannot be used afterwards.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum DecodeError {
    /// The data of one event, or one line, is larger than the decoder's limit.
    #[error(
        "an event in the stream is larger than {limit} bytes; send smaller events or raise the decoder's limit"
    )]
    TooLong {
        /// The limit, in bytes as received.
        limit: usize,
    },
}
