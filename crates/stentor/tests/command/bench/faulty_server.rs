//! A small server of one topic with a fault. Subscribers use `/sub`, publishers `/pub`.

use std::sync::Arc;

use tokio::io::{
    AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader, split,
};
use tokio::net::TcpListener;
use tokio::sync::broadcast;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Fault {
    None,
    /// Does not deliver its second event.
    Loses,
    /// Delivers its second event twice.
    Duplicates,
    /// Delivers its second event after the third.
    Swaps,
    /// Ends all streams instead of delivering its second event.
    Ends,
    /// Closes all connections without ending the streams, instead of delivering its second event.
    Cuts,
    /// Sends events without a publisher, and accepts none.
    Ticks,
}

/// Starts a faulty server. Returns its address.
pub async fn faulty_server(fault: Fault) -> String {
    start("127.0.0.1:0", fault, None).await
}

/// Starts a faulty server with TLS, whose certificate is for `localhost` and 127.0.0.1.
pub async fn faulty_server_with_tls(at: &str, fault: Fault) -> String {
    start(at, fault, Some(acceptor(&["h2", "http/1.1"]))).await
}

/// Accepts TLS connections, with the first of these protocols that the client offers.
pub fn acceptor(protocols: &[&str]) -> TlsAcceptor {
    let certificate = include_bytes!("../../../../stentor-client/tests/support/tls/server.pem");
    let key = include_bytes!("../../../../stentor-client/tests/support/tls/server.key");
    let certificates = vec![CertificateDer::from_pem_slice(certificate).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(key).unwrap();
    let config = ServerConfig::builder().with_no_client_auth();
    let mut config = config.with_single_cert(certificates, key).unwrap();
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
    TlsAcceptor::from(Arc::new(config))
}

async fn start(at: &str, fault: Fault, tls: Option<TlsAcceptor>) -> String {
    let listener = TcpListener::bind(at).await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (events, _) = broadcast::channel(1024);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (events, tls) = (events.clone(), tls.clone());
            tokio::spawn(async move {
                let Some(tls) = tls else { return serve(stream, fault, events).await };
                let Ok(stream) = tls.accept(stream).await else { return };
                assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
                serve(stream, fault, events).await;
            });
        }
    });
    address
}

async fn serve(
    stream: impl AsyncRead + AsyncWrite,
    fault: Fault,
    events: broadcast::Sender<String>,
) {
    let (read, mut write) = split(stream);
    let mut reader = BufReader::new(read);
    let mut seen = Vec::new();
    while let Some((head, body)) = request(&mut reader).await {
        if head.starts_with("GET") {
            return stream_events(write, fault, events.subscribe()).await;
        }
        seen.push(format!("data: {body}\n\n"));
        let frames: Vec<&str> = match (fault, &seen[..]) {
            (Fault::Loses | Fault::Swaps, [_, _]) => vec![],
            (Fault::Duplicates, [_, second]) => vec![second, second],
            (Fault::Swaps, [_, second, third]) => vec![third, second],
            (Fault::Ends | Fault::Cuts, [_, _]) => vec![""],
            (_, seen) => vec![seen.last().unwrap()],
        };
        for frame in frames {
            let _ = events.send(frame.to_owned());
        }
        write.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
        write.flush().await.unwrap();
    }
}

/// Reads the next request. Returns its first line and its body.
async fn request(reader: &mut BufReader<impl AsyncRead + Unpin>) -> Option<(String, String)> {
    let (mut first, mut length) = (String::new(), 0);
    reader.read_line(&mut first).await.ok().filter(|count| *count > 0)?;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).await.ok()?;
        if let Some(value) = line.strip_prefix("Content-Length: ") {
            length = value.trim().parse().unwrap();
        }
        if line == "\r\n" {
            break;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).await.ok()?;
    Some((first, String::from_utf8(body).unwrap()))
}

/// Sends frames as they arrive, until an empty one.
async fn stream_events(
    mut write: impl AsyncWrite + Unpin,
    fault: Fault,
    mut events: broadcast::Receiver<String>,
) {
    let mut frame = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n".to_owned();
    while !frame.is_empty() {
        if write.write_all(frame.as_bytes()).await.is_err() || write.flush().await.is_err() {
            return;
        }
        frame = if fault == Fault::Ticks {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            "data: tick!\n\n".to_owned()
        } else {
            match events.recv().await {
                Ok(frame) => frame,
                Err(_) => return,
            }
        };
    }
    if fault == Fault::Ends {
        let _ = write.shutdown().await;
    }
}
