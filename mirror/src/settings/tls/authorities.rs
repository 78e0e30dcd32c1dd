//! Certificates of authorities.

use std::fmt;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;

use super::sections::{PemError, Skipped, certificates};
use crate::settings::certificate::Sketch;

/// Certificates of authorities, at least one, each of which can be trusted.
#[derive(Clone, PartialEq, Eq)]
pub struct Authorities(Arc<[CertificateDer<'static>]>);

impl Authorities {
    /// From PEM: the certificates that can be read, and what was skipped.
    pub(in crate::settings) fn from_pem(pem: &[u8]) -> Result<(Self, Skipped), PemError> {
        let (certificates, skipped) =
            certificates(pem, "it does not belong to authorities", |der| {
                webpki::anchor_from_trusted_cert(der).map(|_| ())
            })?;
        let certificates = certificates.into_iter().map(|one| one.der);
        Ok((Self(certificates.collect()), skipped))
    }

    /// Whose they are, such as `CN=root, O=Example`, in the order of the file.
    pub fn subjects(&self) -> impl Iterator<Item = String> {
        self.0.iter().map(|certificate| {
            let subject = Sketch::of(certificate).subject;
            subject.unwrap_or_else(|| "one without a name".to_owned())
        })
    }

    /// The certificates.
    #[must_use]
    pub fn certificates(&self) -> &[CertificateDer<'static>] {
        &self.0
    }
}

impl fmt::Debug for Authorities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Authorities({})", self.0.len())
    }
}
