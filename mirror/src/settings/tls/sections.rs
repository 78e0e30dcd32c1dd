//! Certificates and keys in the sections of PEM files, and why some of them are not used.

use std::fmt;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::SigningKey;

use crate::settings::certificate::{Sketch, reason};
use crate::settings::pem::{self, Ordinal, Section, TooMany};

const CERTIFICATE: &str = "CERTIFICATE";

/// What is wrong with PEM, for a message that goes on after "the file F".
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(in crate::settings) enum PemError {
    #[error("holds no certificate in PEM form (BEGIN CERTIFICATE)")]
    NoCertificate,
    #[error("holds no private key in PEM form (BEGIN PRIVATE KEY)")]
    NoKey,
    #[error("{0}")]
    OtherFormat(&'static str),
    #[error("holds more than {} sections", pem::MOST_SECTIONS)]
    TooMany,
    #[error("holds no certificate that can be used: {0}")]
    NoneUsable(Skipped),
    #[error("holds no private key that can be used: {0}")]
    UnusableKey(Skipped),
    #[error("holds a private key that does not belong to the certificate beside it{}", .0.in_brackets())]
    OtherKey(Skipped),
}

impl From<TooMany> for PemError {
    fn from(_: TooMany) -> Self {
        Self::TooMany
    }
}

/// Sections of a file that are not used, each with the reason: `the 2nd of 3 certificates (CN=b):
/// its encoding (DER) is damaged`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::settings) struct Skipped(pub(super) Vec<String>);

impl Skipped {
    /// So many are named.
    const MOST_NAMED: usize = 10;

    pub(super) fn in_brackets(&self) -> String {
        match self.0.is_empty() {
            true => String::new(),
            false => format!(" (skipped in the other file: {self})"),
        }
    }
}

impl fmt::Display for Skipped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = &self.0[..self.0.len().min(Self::MOST_NAMED)];
        f.write_str(&named.join("; "))?;
        match self.0.len() - named.len() {
            0 => Ok(()),
            more => write!(f, "; and {more} more"),
        }
    }
}

/// A certificate that can be read, and the section it came from.
pub(super) struct Readable {
    pub(super) der: CertificateDer<'static>,
    pub(super) pem: Vec<u8>,
}

/// The certificates of a file that pass `check`, at least one, and what was skipped. `misplaced` is
/// said of private keys.
pub(super) fn certificates(
    pem: &[u8],
    misplaced: &'static str,
    check: impl Fn(&CertificateDer) -> Result<(), webpki::Error>,
) -> Result<(Vec<Readable>, Skipped), PemError> {
    let sections = pem::sections(pem)?;
    if sections.is_empty() {
        let other = pem::other_format(pem);
        return Err(other.map_or(PemError::NoCertificate, PemError::OtherFormat));
    }
    let is_certificate = |section: &&Section| section.label == CERTIFICATE;
    let count = sections.iter().filter(is_certificate).count();
    let (mut readable, mut skipped, mut nth) = (Vec::new(), Skipped::default(), 0);
    for (index, section) in sections.iter().enumerate() {
        if section.label != CERTIFICATE {
            let reason = no_certificate(&section.label, misplaced);
            let place = place(section, index, &sections);
            skipped.0.push(format!("{place}: {reason}"));
            continue;
        }
        nth += 1;
        match certificate(section, &check) {
            Ok(certificate) => readable.push(certificate),
            Err((subject, reason)) => {
                let place = match count {
                    1 => "the only certificate".to_owned(),
                    _ => format!("the {} of {count} certificates", Ordinal(nth)),
                };
                let subject = subject.map_or_else(String::new, |subject| format!(" ({subject})"));
                skipped.0.push(format!("{place}{subject}: {reason}"));
            }
        }
    }
    match readable.is_empty() {
        true if count == 0 && skipped.0.iter().all(|one| one.contains("PRIVATE KEY")) => {
            Err(PemError::NoCertificate)
        }
        true => Err(PemError::NoneUsable(skipped)),
        false => Ok((readable, skipped)),
    }
}

/// The certificate in a section, or whose it is and why it is not used.
fn certificate(
    section: &Section,
    check: impl Fn(&CertificateDer) -> Result<(), webpki::Error>,
) -> Result<Readable, (Option<String>, String)> {
    let pem = section.pem.as_ref();
    let pem = pem.map_err(|defect| (None, defect.to_string()))?;
    let der = CertificateDer::from_pem_slice(pem)
        .map_err(|_| (None, "its base64 is incomplete".to_owned()))?;
    match check(&der) {
        Ok(()) => Ok(Readable {
            der,
            pem: pem.clone(),
        }),
        Err(error) => {
            let sketch = Sketch::of(&der);
            let reason = match sketch.version {
                Some(version @ (1 | 2)) => format!("it is of version {version}, not 3"),
                _ => reason(&error).to_owned(),
            };
            Err((sketch.subject, reason))
        }
    }
}

/// Whether a section is one of a private key.
pub(super) fn is_key(label: &str) -> bool {
    label.ends_with("PRIVATE KEY")
}

/// `the X509 CRL (2nd of 3 sections)`.
pub(super) fn place(section: &Section, index: usize, all: &[Section]) -> String {
    match all.len() {
        1 => format!("the {}", section.label),
        several => format!(
            "the {} ({} of {several} sections)",
            section.label,
            Ordinal(index + 1)
        ),
    }
}

/// Why a section that is not a certificate is skipped among certificates.
fn no_certificate(label: &str, misplaced: &'static str) -> &'static str {
    match label {
        "TRUSTED CERTIFICATE" => "only OpenSSL reads this form, openssl x509 rewrites it",
        "PKCS7" | "CMS" => "openssl pkcs7 -print_certs takes the certificates out of it",
        "X509 CRL" => "lists of revoked certificates are not used",
        key if is_key(key) => misplaced,
        _ => "it is not a certificate",
    }
}

/// The key in a section of a key's file, or why it is not used.
pub(super) fn key(section: &Section) -> Result<Arc<dyn SigningKey>, String> {
    if section.is_encrypted || section.label == "ENCRYPTED PRIVATE KEY" {
        return Err("it is encrypted, openssl pkey writes it without a password".to_owned());
    }
    match section.label.as_str() {
        "PRIVATE KEY" | "RSA PRIVATE KEY" | "EC PRIVATE KEY" => {}
        CERTIFICATE => return Err("certificates are taken from the other file".to_owned()),
        "EC PARAMETERS" => return Err("the key itself says which curve it is on".to_owned()),
        _ => return Err("it is not a key for TLS".to_owned()),
    }
    let pem = section.pem.as_deref().map_err(ToString::to_string)?;
    let unusable = "it is of a kind that cannot be used, or damaged";
    let private = PrivateKeyDer::from_pem_slice(pem).map_err(|_| unusable.to_owned())?;
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    let signing = provider.key_provider.load_private_key(private);
    signing.map_err(|_| unusable.to_owned())
}
