//! A request whose body comes piece by piece.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::PATIENCE;
use super::http::{Answer, find};

/// A request with a chunked body that the test holds open. Dropping it breaks the body off.
pub struct Upload(TcpStream);

impl Upload {
    /// Goes on with a socket on which the head was sent, `Transfer-Encoding: chunked` included.
    pub fn new(socket: TcpStream) -> Upload {
        Upload(socket)
    }

    /// Sends a piece of the body.
    pub async fn send(&mut self, piece: impl AsRef<[u8]>) {
        let piece = piece.as_ref();
        let mut chunk = format!("{:x}\r\n", piece.len()).into_bytes();
        chunk.extend_from_slice(piece);
        chunk.extend_from_slice(b"\r\n");
        self.0.write_all(&chunk).await.unwrap();
    }

    /// Ends the body cleanly and reads the answer.
    pub async fn finish(mut self) -> Answer {
        self.0.write_all(b"0\r\n\r\n").await.unwrap();
        self.answer().await
    }

    /// Reads the answer, whether the body has ended or not.
    pub async fn answer(&mut self) -> Answer {
        read_answer(&mut self.0).await
    }
}

/// Reads one answer with a `Content-Length`, and nothing that follows it. An interim answer
/// (`100 Continue`) is skipped.
pub async fn read_answer(socket: &mut TcpStream) -> Answer {
    let answer = timeout(PATIENCE, async {
        loop {
            let head = read_head(socket).await;
            if head.starts_with(b"HTTP/1.1 100") {
                continue;
            }
            let mut answer = Answer::parse(&head);
            let length =
                answer.header("content-length").map_or(0, |length| length.parse().unwrap());
            answer.body = vec![0; length];
            socket.read_exact(&mut answer.body).await.expect("the whole answer");
            return answer;
        }
    });
    answer.await.expect("an answer")
}

/// Reads the head of an answer, whatever its status.
pub async fn read_head(socket: &mut TcpStream) -> Vec<u8> {
    let mut head = Vec::new();
    while find(&head, b"\r\n\r\n").is_none() {
        let byte = timeout(PATIENCE, socket.read_u8()).await.expect("an answer");
        head.push(byte.expect("an answer and not a reset"));
    }
    head
}
