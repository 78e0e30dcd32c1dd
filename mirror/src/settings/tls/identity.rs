//! A certificate with its chain, and the key that fits.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::sign::{CertifiedKey, SigningKey};
use webpki::EndEntityCert;

use super::sections::{self, PemError, Readable, Skipped, certificates, is_key, place};
use crate::settings::pem;

/// So many keys of a file are tried on its certificates.
const MOST_KEYS: usize = 16;

/// A certificate with its chain, and the private key that fits. Its `Debug` prints nothing of the
/// key.
#[derive(Clone)]
pub struct Identity {
    pem: Arc<[u8]>,
    certified: Arc<CertifiedKey>,
}

/// One of the two files of an [`Identity`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::settings) enum Part {
    Certificate,
    Key,
}

impl Identity {
    /// From the content of `tls.crt` and of `tls.key`, and what was skipped in the one and in the
    /// other. The error says which of them is wrong.
    ///
    /// The first key that fits a certificate is used. That certificate is sent first, then its
    /// issuer, and so on, however the file orders them; certificates that are not of this chain
    /// come last.
    pub(in crate::settings) fn from_pem(
        certificate: &[u8],
        key: &[u8],
    ) -> Result<(Self, [Skipped; 2]), (Part, PemError)> {
        let own = |der: &CertificateDer| EndEntityCert::try_from(der).map(|_| ());
        let (chain, skipped) = certificates(certificate, "it is not looked for in this file", own)
            .map_err(|error| (Part::Certificate, error))?;
        let (key, leaf, of_key) =
            key_of(&chain, key, &skipped).map_err(|error| (Part::Key, error))?;
        let chain = ordered(chain, leaf);
        let mut text: Vec<u8> = chain.iter().flat_map(|one| one.pem.clone()).collect();
        text.extend_from_slice(&key.pem);
        let chain = chain.into_iter().map(|one| one.der).collect();
        let identity = Self {
            pem: text.into(),
            certified: Arc::new(CertifiedKey::new(chain, key.signing)),
        };
        Ok((identity, [skipped, of_key]))
    }

    /// Certificates and key, in PEM.
    #[must_use]
    pub fn pem(&self) -> &[u8] {
        &self.pem
    }

    /// Certificates and key, ready to sign.
    #[must_use]
    pub fn certified(&self) -> &Arc<CertifiedKey> {
        &self.certified
    }
}

impl PartialEq for Identity {
    fn eq(&self, other: &Self) -> bool {
        self.pem == other.pem
    }
}

impl Eq for Identity {}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Identity")
    }
}

/// A private key.
struct Key {
    pem: Vec<u8>,
    signing: Arc<dyn SigningKey>,
}

/// The first key of a file that fits one of the certificates, which one that is, and what was
/// skipped in the file. `skipped` is what was skipped in that of the certificates.
fn key_of(
    chain: &[Readable],
    key: &[u8],
    skipped: &Skipped,
) -> Result<(Key, usize, Skipped), PemError> {
    let keys = pem::sections(key)?;
    if !keys.iter().any(|section| is_key(&section.label)) {
        let other = pem::other_format(key).filter(|_| keys.is_empty());
        return Err(other.map_or(PemError::NoKey, PemError::OtherFormat));
    }
    let mut of_key = Skipped::default();
    let (mut found, mut is_another, mut tried) = (None, false, 0);
    for (index, section) in keys.iter().enumerate() {
        tried += usize::from(is_key(&section.label));
        let reason = match sections::key(section) {
            _ if is_key(&section.label) && found.is_some() => "another key is used".to_owned(),
            _ if tried > MOST_KEYS => format!("only {MOST_KEYS} keys are tried"),
            Err(reason) => reason,
            Ok(signing) => match leaf(chain, signing.as_ref()) {
                Some(leaf) => {
                    let pem = section.pem.clone().unwrap_or_default();
                    found = Some((Key { pem, signing }, leaf));
                    continue;
                }
                None => {
                    is_another = true;
                    "it does not belong to the certificate".to_owned()
                }
            },
        };
        of_key
            .0
            .push(format!("{}: {reason}", place(section, index, &keys)));
    }
    match found {
        Some((key, leaf)) => Ok((key, leaf, of_key)),
        None if is_another => Err(PemError::OtherKey(skipped.clone())),
        None => Err(PemError::UnusableKey(of_key)),
    }
}

/// Which of the certificates belongs to this key.
fn leaf(chain: &[Readable], key: &dyn SigningKey) -> Option<usize> {
    let public = key.public_key()?;
    chain.iter().position(|one| {
        EndEntityCert::try_from(&one.der)
            .is_ok_and(|own| own.subject_public_key_info().as_ref() == public.as_ref())
    })
}

/// The leaf, its issuer, the issuer's issuer, …; then the others as they came.
fn ordered(chain: Vec<Readable>, leaf: usize) -> Vec<Readable> {
    let names = |one: &Readable| {
        let read = EndEntityCert::try_from(&one.der).ok();
        read.map(|read| (read.subject().to_vec(), read.issuer().to_vec()))
            .unwrap_or_default()
    };
    let names: Vec<_> = chain.iter().map(names).collect();
    let subjects = names.iter().enumerate().rev();
    let by_subject: HashMap<_, _> = subjects.map(|(at, (subject, _))| (subject, at)).collect();
    let mut rest: Vec<_> = chain.into_iter().map(Some).collect();
    let mut ordered = Vec::with_capacity(rest.len());
    let mut next = Some(leaf);
    while let Some(at) = next
        && let Some(one) = rest[at].take()
    {
        ordered.push(one);
        next = by_subject.get(&names[at].1).copied();
    }
    ordered.extend(rest.into_iter().flatten());
    ordered
}
