//! TLS of a target: from settings to an HTTP client, and from its failures to words.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::{Certificate, ClientBuilder};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::sign::SingleCertAndKey;
use rustls::{
    AlertDescription, CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore,
    SignatureScheme,
};
use url::Url;

use crate::settings::certificate;
use crate::settings::{Authorities, OAuth2, TargetSettings, TargetTls, Trust};

/// Applies a target's `tls`.
pub(super) fn configure(
    mut builder: ClientBuilder,
    settings: &TargetSettings,
) -> reqwest::Result<ClientBuilder> {
    // The system's roots cost about a mebibyte.
    let nobody = std::iter::empty;
    if settings.url.scheme() != "https" {
        return Ok(builder.tls_certs_only(nobody()));
    }
    let TargetTls {
        trust,
        identity,
        server_name,
    } = &settings.tls;
    builder = match trust {
        Trust::System => builder,
        Trust::Authorities(authorities) => match pinning(authorities, settings) {
            Ok(config) => builder.tls_backend_preconfigured(config),
            // Cannot be: the certificates were read when the document was loaded. Nobody else is
            // trusted then, either.
            Err(_) => builder.tls_certs_only(certificates(authorities)?),
        },
        Trust::Anyone => builder
            .tls_certs_only(nobody())
            .tls_danger_accept_invalid_certs(true),
    };
    if let Some(identity) = identity {
        builder = builder.identity(reqwest::Identity::from_pem(identity.pem())?);
    }
    if server_name.is_some()
        && let Some(host) = settings.url.host_str()
    {
        // In HTTP/2 there is one name for both, in HTTP/1 the Host header is still the URL's.
        builder = builder
            .http1_only()
            .dns_resolver(Arc::new(Always(host.to_owned())));
    }
    Ok(builder)
}

/// A client's TLS with these authorities and no others.
fn pinning(
    authorities: &Authorities,
    settings: &TargetSettings,
) -> Result<ClientConfig, Box<dyn std::error::Error>> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(authorities.certificates().iter().cloned());
    let usual = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
        .build()?;
    let verifier = Pinning {
        usual,
        authorities: authorities.clone(),
    };
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier));
    let mut config = match &settings.tls.identity {
        None => builder.with_no_client_auth(),
        Some(identity) => {
            let only = SingleCertAndKey::from(Arc::clone(identity.certified()));
            builder.with_client_cert_resolver(Arc::new(only))
        }
    };
    config.alpn_protocols = match settings.tls.server_name {
        None => vec![b"h2".to_vec(), b"http/1.1".to_vec()],
        Some(_) => vec![b"http/1.1".to_vec()],
    };
    Ok(config)
}

/// Verifies as usual, except that a server may present the certificate of an authority as its own
/// (`openssl req -x509` makes such ones) if exactly this certificate was declared. Only the holder
/// of its key can present it, who could as well issue any other certificate that is accepted here.
/// Its time and its names are checked as usual.
#[derive(Debug)]
struct Pinning {
    usual: Arc<WebPkiServerVerifier>,
    authorities: Authorities,
}

impl ServerCertVerifier for Pinning {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let verified = self.usual.verify_server_cert(
            end_entity,
            intermediates,
            server_name,
            ocsp_response,
            now,
        );
        match verified {
            // It is only found to be an authority's after its time was found to be right.
            Err(rustls::Error::InvalidCertificate(reason))
                if is_authoritys(&reason)
                    && self.authorities.certificates().contains(end_entity) =>
            {
                verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)?;
                Ok(ServerCertVerified::assertion())
            }
            verified => verified,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.usual.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.usual.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.usual.supported_verify_schemes()
    }
}

/// What rustls passes on from the library below it.
fn beneath(reason: &CertificateError) -> Option<&webpki::Error> {
    match reason {
        CertificateError::Other(other) => other.0.downcast_ref(),
        _ => None,
    }
}

fn is_authoritys(reason: &CertificateError) -> bool {
    matches!(beneath(reason), Some(webpki::Error::CaUsedAsEndEntity))
}

/// The same for where its tokens come from. That may be a well-known server or one of the
/// authorities of `tls`; whatever `tls` says of the target, the client's secret goes to nobody who
/// is not verified.
pub(super) fn configure_token_endpoint(
    builder: ClientBuilder,
    settings: &TargetSettings,
    oauth2: &OAuth2,
) -> reqwest::Result<ClientBuilder> {
    if oauth2.token_url.scheme() != "https" {
        return Ok(builder.tls_certs_only(std::iter::empty()));
    }
    match &settings.tls.trust {
        Trust::Authorities(authorities) => Ok(builder.tls_certs_merge(certificates(authorities)?)),
        Trust::System | Trust::Anyone => Ok(builder),
    }
}

fn certificates(authorities: &Authorities) -> reqwest::Result<Vec<Certificate>> {
    let certificates = authorities.certificates().iter();
    certificates.map(|one| Certificate::from_der(one)).collect()
}

/// The URL to connect to: with `serverName` in the host's place, because the client takes from
/// there which name it asks for and verifies; [`Always`] leads it to the host all the same. Beside
/// it what the Host header then must say.
pub(super) fn named(settings: &TargetSettings) -> (Url, Option<String>) {
    let mut url = settings.url.clone();
    let Some(name) = &settings.tls.server_name else {
        return (url, None);
    };
    if url.scheme() != "https" || url.set_host(Some(name)).is_err() {
        return (settings.url.clone(), None);
    }
    let host = settings.url.host_str().unwrap_or_default();
    let port = settings.url.port();
    let host = port.map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
    (url, Some(host))
}

/// Finds the addresses of one host, whatever it is asked for.
struct Always(String);

impl Resolve for Always {
    fn resolve(&self, _: Name) -> Resolving {
        let host = self.0.trim_matches(['[', ']']).to_owned();
        Box::pin(async move {
            // The port is the URL's.
            let found: Vec<SocketAddr> = match host.parse::<IpAddr>() {
                Ok(address) => vec![(address, 0).into()],
                Err(_) => tokio::net::lookup_host((host, 0)).await?.collect(),
            };
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

/// Why a TLS connection failed.
#[derive(Clone, Debug)]
pub(super) enum Failure {
    /// The server's certificate is not good.
    Certificate(CertificateError),
    /// The server wants another certificate of ours, or one at all.
    Ours(AlertDescription),
    /// The server ended it for another reason.
    Refused(AlertDescription),
    /// The server does not speak TLS.
    NotTls,
    /// Anything else.
    Other(rustls::Error),
}

/// What a server sends when it does not like the client's certificate, or gets none.
const ABOUT_OURS: [AlertDescription; 8] = [
    AlertDescription::CertificateRequired,
    AlertDescription::BadCertificate,
    AlertDescription::UnsupportedCertificate,
    AlertDescription::CertificateRevoked,
    AlertDescription::CertificateExpired,
    AlertDescription::CertificateUnknown,
    AlertDescription::UnknownCA,
    AlertDescription::AccessDenied,
];

/// What a failed request says of TLS; none if it failed for another reason.
pub(super) fn failure(error: &reqwest::Error) -> Option<Failure> {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if let Some(found) = error.downcast_ref::<rustls::Error>() {
            return Some(Failure::of(found));
        }
        // HTTP/2 keeps only the words. With TLS 1.3 what a server says of our certificate comes
        // when it reads from it first.
        let words = error.to_string();
        if let Some(name) = words.strip_prefix("received fatal alert: ") {
            let known = ABOUT_OURS
                .into_iter()
                .find(|alert| format!("{alert:?}") == name);
            if let Some(alert) = known {
                return Some(Failure::Ours(alert));
            }
        }
        // What an I/O error wraps is not its source: that is the source of what it wraps.
        cause = match error.downcast_ref::<std::io::Error>() {
            Some(io) => io.get_ref().map(|inner| inner as _),
            None => error.source(),
        };
    }
    None
}

impl Failure {
    fn of(error: &rustls::Error) -> Self {
        match error {
            rustls::Error::InvalidCertificate(reason) => Self::Certificate(reason.clone()),
            rustls::Error::InvalidMessage(_) => Self::NotTls,
            rustls::Error::AlertReceived(alert) if ABOUT_OURS.contains(alert) => Self::Ours(*alert),
            rustls::Error::AlertReceived(alert) => Self::Refused(*alert),
            other => Self::Other(other.clone()),
        }
    }

    /// Words that complete "target a …". `wanted` is the name that was asked for.
    pub(super) fn message(&self, wanted: &str) -> String {
        match self {
            Self::Certificate(reason) => of_certificate(reason, wanted),
            Self::Ours(alert) => format!("does not accept the client certificate: {alert:?}"),
            Self::Refused(alert) => format!("refused the TLS connection: {alert:?}"),
            Self::NotTls => "does not speak TLS on this port".to_owned(),
            Self::Other(error) => format!("cannot be reached over TLS: {}", of_protocol(error)),
        }
    }

    /// What the user can change about a target so that it works.
    pub(super) fn hint(&self, tls: &TargetTls) -> Option<&'static str> {
        match self {
            Self::Certificate(CertificateError::UnknownIssuer) => Some(match tls.trust {
                Trust::System | Trust::Anyone => {
                    "name the certificate of its authority in tls.caSecretRef or tls.caConfigMapRef"
                }
                Trust::Authorities(_) => "only those that tls names are trusted",
            }),
            Self::Certificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            ) => Some("tls.serverName says which name it must be valid for"),
            Self::Certificate(reason) if is_authoritys(reason) => {
                Some("or name exactly this certificate in tls.caSecretRef or tls.caConfigMapRef")
            }
            Self::Ours(_) => Some(match tls.identity {
                None => "name one in tls.clientCertificateSecretRef",
                Some(_) => {
                    "is the one in tls.clientCertificateSecretRef of an authority that the server knows?"
                }
            }),
            Self::NotTls => Some("is the URL right? http:// instead of https://"),
            _ => None,
        }
    }
}

fn of_certificate(reason: &CertificateError, wanted: &str) -> String {
    match reason {
        CertificateError::UnknownIssuer => {
            "presents a certificate of an authority that is not trusted".to_owned()
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "presents a certificate that has expired".to_owned()
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "presents a certificate that is not valid yet".to_owned()
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            let valid = match reason {
                CertificateError::NotValidForNameContext { presented, .. }
                    if !presented.is_empty() =>
                {
                    // rustls shows its own types: DnsName("a").
                    let names = presented.iter().take(5);
                    let names = names.map(|name| name.split('"').nth(1).unwrap_or(name));
                    format!(", only for {}", names.collect::<Vec<_>>().join(", "))
                }
                _ => String::new(),
            };
            format!("presents a certificate that is not valid for {wanted}{valid}")
        }
        CertificateError::Revoked => "presents a certificate that was revoked".to_owned(),
        authoritys if is_authoritys(authoritys) => {
            "presents an authority's certificate as its own; make one with CA:FALSE".to_owned()
        }
        other => format!(
            "presents a certificate that cannot be accepted: {}",
            why(other)
        ),
    }
}

/// Why a certificate is not accepted, when nothing in particular can be done about it here.
fn why(reason: &CertificateError) -> &'static str {
    use CertificateError as Of;
    #[expect(deprecated, reason = "the library may still answer it")]
    match reason {
        Of::BadEncoding => "its encoding (DER) is damaged",
        Of::UnhandledCriticalExtension => "it has a critical extension that is not understood here",
        Of::UnknownRevocationStatus
        | Of::ExpiredRevocationList
        | Of::ExpiredRevocationListContext { .. }
        | Of::InvalidOcspResponse => "whether it was revoked cannot be told",
        Of::BadSignature => "its signature is wrong",
        Of::UnsupportedSignatureAlgorithm
        | Of::UnsupportedSignatureAlgorithmContext { .. }
        | Of::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => {
            "it is signed in a way that is not supported, such as with SHA-1"
        }
        Of::InvalidPurpose | Of::InvalidPurposeContext { .. } => {
            "its extended key usage does not allow it to be a server's"
        }
        other => beneath(other).map_or("it breaks a rule of X.509", certificate::reason),
    }
}

/// Why a handshake failed for a reason that is not a certificate.
fn of_protocol(error: &rustls::Error) -> &'static str {
    use rustls::Error as Of;
    match error {
        Of::PeerIncompatible(_) => {
            "the server and the mirror have no version or method of TLS in common"
        }
        Of::InappropriateMessage { .. }
        | Of::InappropriateHandshakeMessage { .. }
        | Of::PeerMisbehaved(_)
        | Of::PeerSentOversizedRecord
        | Of::DecryptError
        | Of::NoApplicationProtocol => "the server does not keep to TLS",
        Of::NoCertificatesPresented => "the server presents no certificate",
        Of::UnsupportedNameType => {
            "its host cannot be in a certificate; tls.serverName can name another"
        }
        _ => "the handshake failed",
    }
}
