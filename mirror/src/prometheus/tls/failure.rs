//! Why a TLS connection failed, in words.

use rustls::{AlertDescription, CertificateError};

use super::pinning::{beneath, is_authoritys};
use crate::prometheus::http::Failed;
use crate::settings::{TargetTls, Trust, certificate};

/// Why a TLS connection failed.
#[derive(Clone, Debug)]
pub(in crate::prometheus) enum Failure {
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
pub(in crate::prometheus) fn failure(error: &Failed) -> Option<Failure> {
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
    pub(in crate::prometheus) fn message(&self, wanted: &str) -> String {
        match self {
            Self::Certificate(reason) => of_certificate(reason, wanted),
            Self::Ours(alert) => format!("does not accept the client certificate: {alert:?}"),
            Self::Refused(alert) => format!("refused the TLS connection: {alert:?}"),
            Self::NotTls => "does not speak TLS on this port".to_owned(),
            Self::Other(error) => format!("cannot be reached over TLS: {}", of_protocol(error)),
        }
    }

    /// What the user can change about a target so that it works.
    pub(in crate::prometheus) fn hint(&self, tls: &TargetTls) -> Option<&'static str> {
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
            Self::Refused(AlertDescription::ProtocolVersion) if tls.only_tls13 => {
                Some("it may speak TLS 1.2 only, and tls.minVersion demands TLS 1.3")
            }
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
        | Of::InvalidOcspResponse => "its revocation cannot be checked",
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
