//! Streams over TLS. The certificates are signed by a test root that no system trusts.

use std::sync::Arc;

use stentor_client::{EventSource, EventSourceBuilder, EventSourceError, RedirectError};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::support::{NO_CONTENT, Server, response, stream};
use crate::{data_of, fatal_error, until_waiting};

const ROOT: &[u8] = include_bytes!("../support/tls/root.pem");

struct TlsServer {
    listener: TcpListener,
    acceptor: TlsAcceptor,
}

impl TlsServer {
    async fn start() -> TlsServer {
        let certificate = include_bytes!("../support/tls/server.pem");
        let certificates = vec![CertificateDer::from_pem_slice(certificate).unwrap()];
        let key = include_bytes!("../support/tls/server.key");
        let key = PrivateKeyDer::from_pem_slice(key).unwrap();
        let config = ServerConfig::builder().with_no_client_auth();
        let config = config.with_single_cert(certificates, key).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        TlsServer { listener, acceptor: TlsAcceptor::from(Arc::new(config)) }
    }

    fn source(&self) -> EventSourceBuilder {
        let port = self.listener.local_addr().unwrap().port();
        EventSource::builder(format!("https://localhost:{port}/"))
    }

    /// Sends one response to each connection in turn. Skips a connection whose TLS handshake fails.
    async fn respond<const N: usize>(&self, responses: [&str; N]) {
        for response in responses {
            let (socket, _) = self.listener.accept().await.unwrap();
            let Ok(mut socket) = self.acceptor.accept(socket).await else { continue };
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(socket.read_u8().await.unwrap());
            }
            socket.write_all(response.as_bytes()).await.unwrap();
            socket.shutdown().await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_server_with_a_given_root_certificate_is_trusted() {
    let server = TlsServer::start().await;
    let body = stream("retry: 0\ndata: a\n\n");
    for builder in [
        server.source().root_certificates(ROOT),
        server.source().danger_accept_invalid_certificates(),
    ] {
        let mut source = builder.build().unwrap();
        let (data, ()) = tokio::join!(data_of(&mut source), server.respond([&body, NO_CONTENT]));
        assert_eq!(data, ["a"]);
    }
}

#[tokio::test]
async fn an_untrusted_server_gets_no_request() {
    let server = TlsServer::start().await;
    let mut source = server.source().build().unwrap();
    let ((_, reason), ()) = tokio::join!(until_waiting(&mut source), server.respond([NO_CONTENT]));
    assert!(matches!(reason, EventSourceError::Unreachable { .. }), "{reason}");
    assert!(reason.to_string().contains("certificate"), "{reason}");
}

#[tokio::test]
async fn a_redirect_from_https_to_http_is_fatal() {
    let (server, plain) = (TlsServer::start().await, Server::start().await);
    let mut source =
        server.source().root_certificates(ROOT).header("cookie", "secret").build().unwrap();
    let away = response("302 Found", &format!("location: {}\r\n", plain.url("/")), "");
    let (error, ()) = tokio::join!(fatal_error(&mut source), server.respond([&away]));
    assert!(matches!(error, EventSourceError::Redirect(RedirectError::Insecure { .. })), "{error}");
}
