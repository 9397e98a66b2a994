//! Reads a response of HTTP/1 byte by byte.

/// A reader of one response.
#[derive(Debug, Default)]
pub(crate) struct ResponseReader {
    bytes: Vec<u8>,
    state: State,
}

#[derive(Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Head,
    /// The body ends with the connection.
    Raw,
    ChunkSize,
    /// Bytes left of a chunk, with its line break.
    Chunk(usize),
    Over,
}

impl ResponseReader {
    /// Takes bytes, and returns those of the body.
    ///
    /// # Errors
    ///
    /// A text that says what is wrong with the response.
    pub(crate) fn read(&mut self, bytes: &[u8]) -> Result<Vec<u8>, String> {
        let mut body = Vec::new();
        for byte in bytes {
            match &mut self.state {
                State::Head => {
                    self.bytes.push(*byte);
                    if self.bytes.ends_with(b"\r\n\r\n") {
                        self.state = self.after_head()?;
                        self.bytes.clear();
                    }
                }
                State::Raw => body.push(*byte),
                State::ChunkSize => {
                    self.bytes.push(*byte);
                    if self.bytes.ends_with(b"\r\n") {
                        let size = chunk_size(&self.bytes)?;
                        // The last chunk has a line break, too.
                        self.state = State::Chunk(size + 2);
                        if size == 0 {
                            self.state = State::Over;
                        }
                        self.bytes.clear();
                    }
                }
                State::Chunk(rest) => {
                    *rest -= 1;
                    if *rest >= 2 {
                        body.push(*byte);
                    } else if *byte != [b'\n', b'\r'].get(*rest).copied().unwrap_or_default() {
                        return Err("a chunk does not end with a line break".to_owned());
                    }
                    if *rest == 0 {
                        self.state = State::ChunkSize;
                    }
                }
                State::Over => {
                    self.bytes.push(*byte);
                    if !b"\r\n".starts_with(&self.bytes) {
                        return Err("bytes follow the last chunk".to_owned());
                    }
                }
            }
        }
        Ok(body)
    }

    /// Returns `true` if the response ended with its last chunk.
    pub(crate) fn is_complete(&self) -> bool {
        self.state == State::Over && self.bytes == b"\r\n"
    }

    fn after_head(&self) -> Result<State, String> {
        let head = String::from_utf8_lossy(&self.bytes).to_ascii_lowercase();
        if !head.starts_with("http/1.1 200") && !head.starts_with("http/1.0 200") {
            return Err(format!("the head of a stream is {head:?}"));
        }
        let is_chunked = head.contains("transfer-encoding: chunked");
        Ok(if is_chunked { State::ChunkSize } else { State::Raw })
    }
}

fn chunk_size(line: &[u8]) -> Result<usize, String> {
    let text = String::from_utf8_lossy(line);
    usize::from_str_radix(text.trim_end(), 16).map_err(|_| format!("{text:?} is not a chunk size"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chunked_body_is_read_byte_by_byte() {
        let response =
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
        let mut reader = ResponseReader::default();
        let body: Vec<u8> =
            response.iter().flat_map(|byte| reader.read(&[*byte]).unwrap_or_default()).collect();
        assert_eq!(body, b"abc");
        assert!(reader.is_complete());
        assert!(reader.read(b"x").is_err());
    }

    #[test]
    fn a_body_without_a_length_ends_with_the_connection() {
        let mut reader = ResponseReader::default();
        assert_eq!(reader.read(b"HTTP/1.0 200 OK\r\n\r\nabc"), Ok(b"abc".to_vec()));
        assert!(!reader.is_complete());
    }
}
