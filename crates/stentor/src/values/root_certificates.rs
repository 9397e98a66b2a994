//! Certificates of a PEM file.

use std::fmt;
use std::io::Read;
use std::path::Path;

use reqwest::Certificate;

use crate::files::open_file;

/// Maximum size of a file of root certificates: 4 MiB. All public roots together take a quarter of a megabyte.
const BYTES_MAX: u64 = 4 << 20;

/// Root certificates to trust, in PEM format.
#[derive(Clone)]
pub(crate) struct RootCertificates {
    pem: Vec<u8>,
    certificates: Vec<Certificate>,
}

impl RootCertificates {
    /// Reads the file at this path.
    ///
    /// # Errors
    /// It cannot be read, or contains no certificate in PEM format.
    pub(crate) fn read(path: &str) -> Result<RootCertificates, String> {
        let mut pem = Vec::new();
        let file =
            open_file(Path::new(path)).map_err(|error| format!("cannot read {path}: {error}"))?;
        let read = file.take(BYTES_MAX + 1).read_to_end(&mut pem);
        read.map_err(|error| format!("cannot read {path}: {error}"))?;
        if pem.len() as u64 > BYTES_MAX {
            return Err(format!("{path} is larger than {} MiB; name a PEM file", BYTES_MAX >> 20));
        }
        let certificates =
            Certificate::from_pem_bundle(&pem).ok().filter(|found| !found.is_empty());
        let certificates = certificates.ok_or_else(|| {
            format!(
                "{path} contains no certificate in PEM format, as in `-----BEGIN CERTIFICATE-----`"
            )
        })?;
        Ok(RootCertificates { pem, certificates })
    }

    /// Returns the content of the file.
    pub(crate) fn pem(&self) -> &[u8] {
        &self.pem
    }

    pub(crate) fn certificates(&self) -> Vec<Certificate> {
        self.certificates.clone()
    }
}

impl fmt::Debug for RootCertificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} certificates", self.certificates.len())
    }
}
