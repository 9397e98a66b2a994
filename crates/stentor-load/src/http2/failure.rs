//! Texts of HTTP/2 errors for the user.

use std::io::ErrorKind;

use h2::Error;

pub(crate) const CLOSED_EARLY: &str = "the connection was closed without a response";
const CLOSED_LATE: &str = "the connection was closed in the middle of the stream";

/// The text of an error. `is_open` is `true` after the response head.
pub(crate) fn text(error: &Error, is_open: bool) -> String {
    let reason = error.reason();
    match (error.get_io(), reason) {
        // The kinds that `h2` uses for a connection that was closed without an error code.
        (Some(io), _) if matches!(io.kind(), ErrorKind::BrokenPipe | ErrorKind::UnexpectedEof) => {
            if is_open { CLOSED_LATE } else { CLOSED_EARLY }.to_owned()
        }
        (Some(io), _) => io.to_string(),
        (None, Some(reason)) if error.is_go_away() && error.is_remote() => {
            format!("the server closed the connection with GOAWAY ({reason:?})")
        }
        (None, Some(reason)) if error.is_reset() && error.is_remote() => {
            format!("the server reset the stream ({reason:?})")
        }
        (None, Some(reason)) if error.is_library() => {
            format!("the server violated the HTTP/2 protocol ({reason:?})")
        }
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use h2::Reason;

    use super::*;

    #[test]
    fn a_code_without_a_sender_keeps_its_own_text() {
        let error = Error::from(Reason::REFUSED_STREAM);
        assert!(text(&error, true).contains("refused"), "{error}");
    }
}
