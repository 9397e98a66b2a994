//! TLS: trusted certificates, and error texts that say what to do.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, bail};
use mio::net::TcpStream;
use rustls::client::Resumption;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{AlertDescription, CertificateError, ClientConfig, ClientConnection, StreamOwned};
use rustls_platform_verifier::Verifier;

/// ALPN names of HTTP versions.
pub(crate) const HTTP1: &[u8] = b"http/1.1";
pub(crate) const HTTP2: &[u8] = b"h2";

pub(crate) type TlsStream = StreamOwned<ClientConnection, TcpStream>;

/// TLS configuration of connections to one host.
#[derive(Clone, Debug)]
pub(crate) struct Tls {
    config: Arc<ClientConfig>,
    host: ServerName<'static>,
}

impl Tls {
    pub(crate) fn new(config: Arc<ClientConfig>, host: &str) -> anyhow::Result<Tls> {
        let name = ServerName::try_from(host.to_owned());
        let host = name
            .ok()
            .with_context(|| format!("TLS needs a valid host name, which {host:?} is not"))?;
        Ok(Tls { config, host })
    }

    /// Wraps a connection. The handshake takes place during reads and writes.
    pub(crate) fn over(&self, stream: TcpStream) -> io::Result<TlsStream> {
        let connection = ClientConnection::new(self.config.clone(), self.host.clone());
        Ok(StreamOwned::new(connection.map_err(io::Error::other)?, stream))
    }
}

/// A configuration that trusts the system's root certificates and those in the file `roots`.
pub(crate) fn config(roots: Option<&Path>) -> anyhow::Result<Arc<ClientConfig>> {
    let roots = roots.map(read_roots).transpose()?.unwrap_or_default();
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier = Verifier::new_with_extra_roots(roots, provider.clone())
        .context("this system has no root certificates; name a file with --root-certificate")?;
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    config.alpn_protocols = vec![HTTP1.to_vec()];
    // Each subscriber represents a separate client, which cannot resume the TLS session of another one.
    config.resumption = Resumption::disabled();
    Ok(Arc::new(config))
}

/// The configuration with another ALPN protocol.
pub(crate) fn with_protocol(config: &ClientConfig, protocol: &[u8]) -> Arc<ClientConfig> {
    let mut config = config.clone();
    config.alpn_protocols = vec![protocol.to_vec()];
    Arc::new(config)
}

fn read_roots(path: &Path) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    let name = path.display();
    let pem = fs::read(path).with_context(|| format!("cannot read {name}"))?;
    let roots: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    let roots = roots.with_context(|| format!("{name} is not a valid PEM file"))?;
    if roots.is_empty() {
        bail!("{name} contains no certificate in PEM format");
    }
    Ok(roots)
}

/// Replaces the text of a TLS error by one that says what happened and what to do.
pub(crate) fn explain(error: io::Error, is_handshaking: bool) -> io::Error {
    let kind = error.kind();
    let cause = error.get_ref().and_then(|cause| cause.downcast_ref::<rustls::Error>());
    let words = match (cause, kind) {
        (Some(rustls::Error::InvalidCertificate(reason)), _) => certificate(reason),
        (Some(rustls::Error::InvalidMessage(_)), _) if is_handshaking => {
            "the server does not use TLS on this port; try http://".to_owned()
        }
        (Some(rustls::Error::AlertReceived(AlertDescription::NoApplicationProtocol)), _) => {
            "the server does not support this version of HTTP over TLS; the version is HTTP/1.1, or \
             HTTP/2 with --http2"
                .to_owned()
        }
        (Some(rustls::Error::AlertReceived(alert)), _) => {
            format!("the server closed TLS with the alert {alert:?}")
        }
        (Some(cause), _) => format!("TLS failed: {cause}"),
        (None, ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset | ErrorKind::BrokenPipe)
            if is_handshaking =>
        {
            "the connection was closed during the TLS handshake; does the server use TLS on this port?"
                .to_owned()
        }
        (None, ErrorKind::UnexpectedEof) => {
            "the connection was cut: the server sent no TLS close_notify".to_owned()
        }
        (None, _) => return error,
    };
    io::Error::new(kind, words)
}

fn certificate(reason: &CertificateError) -> String {
    match reason {
        CertificateError::UnknownIssuer => {
            "the server's certificate is not trusted: this system does not know its issuer; \
             name the issuer's root certificate with --root-certificate"
                .to_owned()
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            format!("the server's certificate is for another name: {reason}")
        }
        _ => format!("the server's certificate is not valid: {reason}"),
    }
}
