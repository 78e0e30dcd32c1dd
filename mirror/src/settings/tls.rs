//! Certificates from PEM, of targets and of the API port: parsed, and each key matched to its certificate, when a document is loaded.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use crds::{Fault, field_path};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{RootCertStore, ServerConfig};
use serde_json::Value;

use super::Source;
use super::files::{Kind, Reference};

/// Secrets and ConfigMaps hold no more.
const MOST_PEM_BYTES: u64 = 1 << 20;

/// How a target's certificate is checked, and what the mirror presents. The default: well-known authorities, and nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TargetTls {
    /// Whose certificates are good.
    pub trust: Trust,
    /// The mirror's own certificate.
    pub identity: Option<Identity>,
    /// A DNS name: what the certificate must be valid for and the TLS handshake asks for, if not the URL's host.
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

/// A certificate with its chain, and the private key that fits. Its `Debug` prints nothing of the key.
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
    #[error("holds no private key in PEM form that is not encrypted (BEGIN PRIVATE KEY)")]
    NoKey,
    #[error("is not sound PEM: a section is cut off or holds something else than base64")]
    Broken,
    #[error("holds a certificate that cannot be read")]
    NotACertificate,
    #[error("holds a private key of a kind that cannot be used, or that cannot be read")]
    UnusableKey,
    #[error("holds a private key that does not belong to the certificate beside it")]
    OtherKey,
}

impl Authorities {
    pub(super) fn from_pem(pem: &[u8]) -> Result<Self, PemError> {
        let certificates = certificates(pem)?;
        let mut store = RootCertStore::empty();
        for certificate in &certificates {
            store
                .add(certificate.clone())
                .map_err(|_| PemError::NotACertificate)?;
        }
        Ok(Self(certificates.into()))
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
    /// From the content of `tls.crt` and of `tls.key`. The error says which of them is wrong.
    pub(super) fn from_pem(certificate: &[u8], key: &[u8]) -> Result<Self, (File, PemError)> {
        let chain = certificates(certificate).map_err(|error| (File::Certificate, error))?;
        let in_key = |error| (File::Key, error);
        let private = PrivateKeyDer::from_pem_slice(key).map_err(|error| {
            in_key(match error {
                rustls::pki_types::pem::Error::NoItemsFound => PemError::NoKey,
                _ => PemError::Broken,
            })
        })?;
        // Of a key that can be used, the public half; only then can it be compared.
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        let signing = provider.key_provider.load_private_key(private);
        let signing = signing.map_err(|_| in_key(PemError::UnusableKey))?;
        let certified = CertifiedKey::new(chain, signing);
        match certified.keys_match() {
            Ok(()) | Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::Unknown)) => {}
            Err(rustls::Error::InconsistentKeys(_)) => return Err(in_key(PemError::OtherKey)),
            Err(_) => return Err((File::Certificate, PemError::NotACertificate)),
        }
        Ok(Self {
            pem: [certificate, b"\n", key].concat().into(),
            certified: Arc::new(certified),
        })
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
pub(super) fn server_tls(
    source: &Source,
    tls: &Value,
    faults: &mut Vec<Fault>,
) -> Option<ServerTls> {
    let clients = &tls["clientCaSecretName"];
    let authorities = if clients.is_null() {
        Some(None)
    } else {
        let reference = Reference {
            field: "spec.server.tls.clientCaSecretName",
            what: "the certificates of authorities",
            kind: Kind::Secret,
        };
        let folder = reference.folder(source, clients, faults);
        let file = folder.map(|folder| folder.join("ca.crt"));
        file.and_then(|file| self::authorities(&reference, &file, faults))
            .map(Some)
    };
    let field = "spec.server.tls.secretName";
    let identity = identity(source, field, &tls["secretName"], faults);
    let (identity, authorities) = (identity?, authorities?);
    let made = ServerTls::new(&identity, authorities.as_ref());
    made.map_err(|error| faults.push(Fault::new(field, format!("cannot be used: {error}"))))
        .ok()
}

/// One of the two files of an [`Identity`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum File {
    Certificate,
    Key,
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, PemError> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match found {
        Ok(found) if found.is_empty() => Err(PemError::NoCertificate),
        Ok(found) => Ok(found),
        Err(_) => Err(PemError::Broken),
    }
}

/// Reads what a target's `tls`, at `path`, refers to. None if something is wrong, which is reported.
pub(super) fn target_tls(
    source: &Source,
    path: &str,
    tls: &Value,
    faults: &mut Vec<Fault>,
) -> Option<TargetTls> {
    let at = |field: &str| field_path(path, field);
    let before = faults.len();
    let authorities = [
        ("caSecretRef", Kind::Secret),
        ("caConfigMapRef", Kind::ConfigMap),
    ];
    let authorities = authorities
        .into_iter()
        .filter(|(field, _)| !tls[*field].is_null())
        .filter_map(|(field, kind)| {
            let field_at = at(field);
            let reference = Reference {
                field: &field_at,
                what: "the certificates of authorities",
                kind,
            };
            let file = reference.file(source, &tls[field], None, faults)?;
            self::authorities(&reference, &file, faults)
        })
        .next();
    let trust = match authorities {
        Some(authorities) => Trust::Authorities(authorities),
        None if tls["insecureSkipVerify"] == true => Trust::Anyone,
        None => Trust::System,
    };
    let own = &tls["clientCertificateSecretRef"];
    let identity = if own.is_null() {
        None
    } else {
        let field = at("clientCertificateSecretRef");
        identity(source, &field, &own["name"], faults)
    };
    let server_name = tls["serverName"].as_str().map(str::to_owned);
    if let Some(name) = &server_name
        && name.parse::<std::net::IpAddr>().is_ok()
    {
        let fault = Fault::new(at("serverName"), "must be a name, not an address");
        faults.push(fault.hint("name one that the server's certificate has"));
    }
    let is_sound =
        faults.len() == before && !faults.iter().any(|fault| fault.path.starts_with(path));
    is_sound.then_some(TargetTls {
        trust,
        identity,
        server_name,
    })
}

/// The authorities in a file.
pub(super) fn authorities(
    reference: &Reference,
    file: &Path,
    faults: &mut Vec<Fault>,
) -> Option<Authorities> {
    let read = reference.required(file, MOST_PEM_BYTES).and_then(|pem| {
        Authorities::from_pem(&pem)
            .map_err(|error| reference.fault(format!("the file {} {error}", file.display())))
    });
    read.map_err(|fault| faults.push(fault)).ok()
}

/// Certificate and key of a Secret of type kubernetes.io/tls, by its name.
pub(super) fn identity(
    source: &Source,
    field: &str,
    name: &Value,
    faults: &mut Vec<Fault>,
) -> Option<Identity> {
    let of = |what| Reference {
        field,
        what,
        kind: Kind::Secret,
    };
    let (certificate, key) = (of("the certificate"), of("its private key"));
    let folder = certificate.folder(source, name, faults)?;
    let files = [folder.join("tls.crt"), folder.join("tls.key")];
    let read = (
        certificate.required(&files[0], MOST_PEM_BYTES),
        key.required(&files[1], MOST_PEM_BYTES),
    );
    let fault = match read {
        (Ok(certificate_pem), Ok(key_pem)) => {
            match Identity::from_pem(&certificate_pem, &key_pem) {
                Ok(identity) => return Some(identity),
                Err((wrong, error)) => {
                    let file = &files[usize::from(wrong == File::Key)];
                    [
                        Some(certificate.fault(format!("the file {} {error}", file.display()))),
                        None,
                    ]
                }
            }
        }
        (certificate, key) => [certificate.err(), key.err()],
    };
    faults.extend(fault.into_iter().flatten());
    None
}
