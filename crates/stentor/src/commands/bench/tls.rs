//! Encrypted connections: whom to trust, and what goes wrong in words.

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

pub(super) type TlsStream = StreamOwned<ClientConnection, TcpStream>;

/// How connections to one host are encrypted.
#[derive(Clone, Debug)]
pub(super) struct Tls {
    config: Arc<ClientConfig>,
    host: ServerName<'static>,
}

impl Tls {
    pub(super) fn new(config: Arc<ClientConfig>, host: &str) -> anyhow::Result<Tls> {
        let name = ServerName::try_from(host.to_owned());
        let host = name.with_context(|| format!("no certificate can be for {host:?}"))?;
        Ok(Tls { config, host })
    }

    /// Encrypts a connection; the handshake goes on as it is read and written.
    pub(super) fn over(&self, stream: TcpStream) -> io::Result<TlsStream> {
        let connection = ClientConnection::new(self.config.clone(), self.host.clone());
        Ok(StreamOwned::new(connection.map_err(io::Error::other)?, stream))
    }
}

/// Trusts what the system trusts, and the certificates of a file.
pub(super) fn config(roots: Option<&Path>) -> anyhow::Result<Arc<ClientConfig>> {
    let roots = roots.map(read_roots).transpose()?.unwrap_or_default();
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier = Verifier::new_with_extra_roots(roots, provider.clone()).context(
        "there are no certificates to know servers by; name one with --root-certificate",
    )?;
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    // Each reader stands for one of its own, which knows nothing of the sessions of the others.
    config.resumption = Resumption::disabled();
    Ok(Arc::new(config))
}

fn read_roots(path: &Path) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    let name = path.display();
    let pem = fs::read(path).with_context(|| format!("{name} cannot be read"))?;
    let roots: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    let roots = roots.with_context(|| format!("{name} is no PEM"))?;
    if roots.is_empty() {
        bail!("{name} holds no certificate in PEM");
    }
    Ok(roots)
}

/// Says of an error what it means, and what to do about it.
pub(super) fn in_words(error: io::Error, is_handshaking: bool) -> io::Error {
    let kind = error.kind();
    let cause = error.get_ref().and_then(|cause| cause.downcast_ref::<rustls::Error>());
    let words = match (cause, kind) {
        (Some(rustls::Error::InvalidCertificate(reason)), _) => certificate(reason),
        (Some(rustls::Error::InvalidMessage(_)), _) if is_handshaking => {
            "the server speaks no TLS here; try http://".to_owned()
        }
        (Some(rustls::Error::AlertReceived(AlertDescription::NoApplicationProtocol)), _) => {
            "the server speaks no HTTP/1.1 over TLS".to_owned()
        }
        (Some(rustls::Error::AlertReceived(alert)), _) => {
            format!("the server broke TLS off: {alert:?}")
        }
        (Some(cause), _) => format!("TLS failed: {cause}"),
        (None, ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset | ErrorKind::BrokenPipe)
            if is_handshaking =>
        {
            "the connection was closed amid the TLS handshake; does the server speak TLS?"
                .to_owned()
        }
        (None, ErrorKind::UnexpectedEof) => {
            "the connection was cut: TLS was not ended (close_notify)".to_owned()
        }
        (None, _) => return error,
    };
    io::Error::new(kind, words)
}

fn certificate(reason: &CertificateError) -> String {
    match reason {
        CertificateError::UnknownIssuer => {
            "the server's certificate is not trusted: nobody vouches for it whom this system knows; \
             name its root with --root-certificate"
                .to_owned()
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            format!("the server's certificate is for another name: {reason}")
        }
        _ => format!("the server's certificate is not accepted: {reason}"),
    }
}
