//! Certificates from PEM, of targets and of the API port: parsed, and each key matched to its
//! certificate, when a document is loaded.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use crds::{Fault, field_path};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::sign::{CertifiedKey, SigningKey, SingleCertAndKey};
use rustls::{RootCertStore, ServerConfig};
use serde_json::Value;
use webpki::EndEntityCert;

use super::Found;
use super::certificate::{self, Sketch};
use super::files::{File, Files};
use super::pem::{self, Ordinal, Section, TooMany};

/// Secrets and ConfigMaps hold no more.
const MOST_PEM_BYTES: u64 = 1 << 20;

/// So many keys of a file are tried on its certificates.
const MOST_KEYS: usize = 16;

/// How a target's certificate is checked, and what the mirror presents. The default: well-known
/// authorities, and nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TargetTls {
    /// Whose certificates are good.
    pub trust: Trust,
    /// The mirror's own certificate.
    pub identity: Option<Identity>,
    /// A DNS name: what the certificate must be valid for and the TLS handshake asks for, if not
    /// the URL's host.
    pub server_name: Option<String>,
}

/// Whose certificates are good.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Trust {
    /// Those of the system's authorities.
    #[default]
    System,
    /// Those of these authorities and no others.
    Authorities(Authorities),
    /// Anyone's: `insecureSkipVerify`.
    Anyone,
}

/// Certificates of authorities, at least one, each of which can be trusted.
#[derive(Clone, PartialEq, Eq)]
pub struct Authorities(Arc<[CertificateDer<'static>]>);

/// A certificate with its chain, and the private key that fits. Its `Debug` prints nothing of the
/// key.
#[derive(Clone)]
pub struct Identity {
    pem: Arc<[u8]>,
    certified: Arc<CertifiedKey>,
}

/// What is wrong with PEM, for a message that goes on after "the file F".
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum PemError {
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
pub(super) struct Skipped(Vec<String>);

impl Skipped {
    /// So many are named.
    const MOST_NAMED: usize = 10;

    fn in_brackets(&self) -> String {
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

impl Authorities {
    /// From PEM: the certificates that can be read, and what was skipped.
    pub(super) fn from_pem(pem: &[u8]) -> Result<(Self, Skipped), PemError> {
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

impl Identity {
    /// From the content of `tls.crt` and of `tls.key`, and what was skipped in the one and in the
    /// other. The error says which of them is wrong.
    ///
    /// The first key that fits a certificate is used. That certificate is sent first, then its
    /// issuer, and so on, however the file orders them; certificates that are not of this chain
    /// come last.
    pub(super) fn from_pem(
        certificate: &[u8],
        key: &[u8],
    ) -> Result<(Self, [Skipped; 2]), (Part, PemError)> {
        let own = |der: &CertificateDer| EndEntityCert::try_from(der).map(|_| ());
        let (chain, skipped) = certificates(certificate, "it is not looked for in this file", own)
            .map_err(|error| (Part::Certificate, error))?;
        let in_key = |error| (Part::Key, error);
        let keys = pem::sections(key).map_err(|error| in_key(error.into()))?;
        if !keys.iter().any(|section| is_key(&section.label)) {
            let other = pem::other_format(key).filter(|_| keys.is_empty());
            return Err(in_key(other.map_or(PemError::NoKey, PemError::OtherFormat)));
        }
        let mut of_key = Skipped::default();
        let (mut found, mut is_another, mut tried) = (None, false, 0);
        for (index, section) in keys.iter().enumerate() {
            tried += usize::from(is_key(&section.label));
            let reason = match self::key(section) {
                _ if is_key(&section.label) && found.is_some() => "another key is used".to_owned(),
                _ if tried > MOST_KEYS => format!("only {MOST_KEYS} keys are tried"),
                Err(reason) => reason,
                Ok(signing) => match leaf(&chain, signing.as_ref()) {
                    Some(leaf) => {
                        found = Some((section, signing, leaf));
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
        let Some((section, signing, leaf)) = found else {
            return Err(in_key(match is_another {
                true => PemError::OtherKey(skipped),
                false => PemError::UnusableKey(of_key),
            }));
        };
        let chain = ordered(chain, leaf);
        let mut text: Vec<u8> = chain.iter().flat_map(|one| one.pem.clone()).collect();
        text.extend_from_slice(section.pem.as_deref().unwrap_or_default());
        let chain = chain.into_iter().map(|one| one.der).collect();
        let identity = Self {
            pem: text.into(),
            certified: Arc::new(CertifiedKey::new(chain, signing)),
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

/// How the API port answers over TLS.
#[derive(Clone)]
pub struct ServerTls(Arc<ServerConfig>);

impl ServerTls {
    /// With this certificate; with authorities, clients must present a certificate of one of them.
    fn new(identity: &Identity, clients: Option<&Authorities>) -> Result<Self, String> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?;
        let builder = match clients {
            None => builder.with_no_client_auth(),
            Some(authorities) => {
                let mut store = RootCertStore::empty();
                store.add_parsable_certificates(authorities.certificates().iter().cloned());
                let verifier =
                    WebPkiClientVerifier::builder_with_provider(Arc::new(store), provider)
                        .build()
                        .map_err(|error| error.to_string())?;
                builder.with_client_cert_verifier(verifier)
            }
        };
        let only = SingleCertAndKey::from(Arc::clone(identity.certified()));
        let mut config = builder.with_cert_resolver(Arc::new(only));
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self(Arc::new(config)))
    }

    /// For a handshake.
    #[must_use]
    pub fn config(&self) -> &Arc<ServerConfig> {
        &self.0
    }
}

impl fmt::Debug for ServerTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ServerTls")
    }
}

/// Reads what `spec.server.tls` refers to. None if something is wrong, which is reported.
pub(super) fn server_tls(files: &Files, tls: &Value, found: &mut Found) -> Option<ServerTls> {
    let clients = "spec.server.tls.clientCaSecretName";
    let authorities = if tls["clientCaSecretName"].is_null() {
        Some(None)
    } else {
        let file = files.find(clients, AUTHORITIES, &mut found.faults);
        file.and_then(|file| self::authorities(&file, found))
            .map(Some)
    };
    let field = "spec.server.tls.secretName";
    let identity = identity(files, field, found);
    let (identity, authorities) = (identity?, authorities?);
    let made = ServerTls::new(&identity, authorities.as_ref());
    made.map_err(|error| {
        found
            .faults
            .push(Fault::new(field, format!("cannot be used: {error}")))
    })
    .ok()
}

/// One of the two files of an [`Identity`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Certificate,
    Key,
}

/// A certificate that can be read, and the section it came from.
struct Readable {
    der: CertificateDer<'static>,
    pem: Vec<u8>,
}

/// The certificates of a file that pass `check`, at least one, and what was skipped. `misplaced` is
/// said of private keys.
fn certificates(
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
        let (subject, reason) = match &section.pem {
            Err(defect) => (None, defect.to_string()),
            Ok(pem) => match CertificateDer::from_pem_slice(pem) {
                Err(_) => (None, "its base64 is incomplete".to_owned()),
                Ok(der) => match check(&der) {
                    Ok(()) => {
                        let pem = pem.clone();
                        readable.push(Readable { der, pem });
                        continue;
                    }
                    Err(error) => {
                        let sketch = Sketch::of(&der);
                        let reason = match sketch.version {
                            Some(version @ (1 | 2)) => format!("it is of version {version}, not 3"),
                            _ => certificate::reason(&error).to_owned(),
                        };
                        (sketch.subject, reason)
                    }
                },
            },
        };
        let place = match count {
            1 => "the only certificate".to_owned(),
            _ => format!("the {} of {count} certificates", Ordinal(nth)),
        };
        let subject = subject.map_or_else(String::new, |subject| format!(" ({subject})"));
        skipped.0.push(format!("{place}{subject}: {reason}"));
    }
    match readable.is_empty() {
        true if count == 0 && skipped.0.iter().all(|one| one.contains("PRIVATE KEY")) => {
            Err(PemError::NoCertificate)
        }
        true => Err(PemError::NoneUsable(skipped)),
        false => Ok((readable, skipped)),
    }
}

const CERTIFICATE: &str = "CERTIFICATE";

fn is_key(label: &str) -> bool {
    label.ends_with("PRIVATE KEY")
}

/// `the X509 CRL (2nd of 3 sections)`.
fn place(section: &Section, index: usize, all: &[Section]) -> String {
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
fn key(section: &Section) -> Result<Arc<dyn SigningKey>, String> {
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

/// Says what was skipped in a file, if something was.
fn note(file: &File, used: &str, skipped: &Skipped, notices: &mut Vec<Fault>) {
    if !skipped.0.is_empty() {
        let path = file.path.display();
        let message = format!("uses {used} of the file {path} and skips {skipped}");
        notices.push(file.fault(message));
    }
}

fn counted(certificates: usize) -> String {
    match certificates {
        1 => "1 certificate".to_owned(),
        several => format!("{several} certificates"),
    }
}

/// Reads what a target's `tls`, at `path`, refers to. None if something is wrong, which is
/// reported.
pub(super) fn target_tls(
    files: &Files,
    path: &str,
    tls: &Value,
    found: &mut Found,
) -> Option<TargetTls> {
    let at = |field: &str| field_path(path, field);
    let before = found.faults.len();
    let authorities = ["caSecretRef", "caConfigMapRef"]
        .into_iter()
        .filter_map(|field| {
            let field = at(field);
            let file = files.find(&field, AUTHORITIES, &mut found.faults)?;
            self::authorities(&file, found)
        })
        .next();
    let trust = match authorities {
        Some(authorities) => Trust::Authorities(authorities),
        None if tls["insecureSkipVerify"] == true => Trust::Anyone,
        None => Trust::System,
    };
    let identity = if tls["clientCertificateSecretRef"].is_null() {
        None
    } else {
        identity(files, &at("clientCertificateSecretRef"), found)
    };
    let server_name = tls["serverName"].as_str().map(str::to_owned);
    if let Some(name) = &server_name
        && name.parse::<std::net::IpAddr>().is_ok()
    {
        let fault = Fault::new(at("serverName"), "must be a name, not an address");
        found
            .faults
            .push(fault.hint("name one that the server's certificate has"));
    }
    let is_sound = found.faults.len() == before
        && !found
            .faults
            .iter()
            .any(|fault| fault.path.starts_with(path));
    is_sound.then_some(TargetTls {
        trust,
        identity,
        server_name,
    })
}

/// What a file of authorities must hold.
const AUTHORITIES: &str = "the certificates of authorities";

/// The authorities in a file.
fn authorities(file: &File, found: &mut Found) -> Option<Authorities> {
    let read = file.required(MOST_PEM_BYTES).and_then(|pem| {
        Authorities::from_pem(&pem)
            .map_err(|error| file.fault(format!("the file {} {error}", file.path.display())))
    });
    match read {
        Ok((authorities, skipped)) => {
            let used = counted(authorities.0.len());
            note(file, &used, &skipped, &mut found.notices);
            Some(authorities)
        }
        Err(fault) => {
            found.faults.push(fault);
            None
        }
    }
}

/// Certificate and key of a Secret of type kubernetes.io/tls that a field names.
fn identity(files: &Files, field: &str, found: &mut Found) -> Option<Identity> {
    let what = ["the certificate", "its private key"];
    let files = files.find_all(field, what, &mut found.faults)?;
    let [certificate, key] = &files;
    let read = (
        certificate.required(MOST_PEM_BYTES),
        key.required(MOST_PEM_BYTES),
    );
    let fault = match read {
        (Ok(certificate_pem), Ok(key_pem)) => {
            match Identity::from_pem(&certificate_pem, &key_pem) {
                Ok((identity, skipped)) => {
                    let used = counted(identity.certified.cert.len());
                    for ((file, used), skipped) in files.iter().zip([&used, "1 key"]).zip(&skipped)
                    {
                        note(file, used, skipped, &mut found.notices);
                    }
                    return Some(identity);
                }
                Err((wrong, error)) => {
                    let file = &files[usize::from(wrong == Part::Key)];
                    let message = format!("the file {} {error}", file.path.display());
                    [Some(file.fault(message)), None]
                }
            }
        }
        (certificate, key) => [certificate.err(), key.err()],
    };
    found.faults.extend(fault.into_iter().flatten());
    None
}
