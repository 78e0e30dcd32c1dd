//! What can be said of a certificate: the name of its subject, and in words why it cannot be read
//! or accepted. Pure.

use webpki::Error;

/// The longest subject that a message shows, in characters.
const LONGEST_SUBJECT: usize = 100;

/// The version of a certificate, and its subject such as `CN=prometheus, O=Example`, as far as they
/// can be read. The certificate may be damaged: what comes before the damage counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Sketch {
    /// 1, 2 or 3.
    pub(super) version: Option<u8>,
    /// Without control characters, at most a line long.
    pub(super) subject: Option<String>,
}

impl Sketch {
    pub(super) fn of(der: &[u8]) -> Self {
        let mut sketch = Self::default();
        // Whatever ends early leaves what was found before.
        let _ = sketch.read(der);
        sketch
    }

    fn read(&mut self, der: &[u8]) -> Option<()> {
        let mut certificate = DerReader(DerReader(der).content(SEQUENCE)?);
        let mut fields = DerReader(certificate.content(SEQUENCE)?);
        let version = fields.content(VERSION);
        self.version = match version {
            None => Some(1),
            Some(version) => match DerReader(version).content(INTEGER)? {
                [version @ 0..=2] => Some(version + 1),
                _ => None,
            },
        };
        fields.content(INTEGER)?; // The serial number.
        fields.content(SEQUENCE)?; // The algorithm of the signature.
        fields.content(SEQUENCE)?; // The issuer.
        fields.content(SEQUENCE)?; // From when to when.
        self.subject = name(fields.content(SEQUENCE)?);
        Some(())
    }
}

/// The subject of a certificate, such as `CN=stackstate, O=Example`, without control characters and
/// at most a line long. None if it has none that can be read.
pub(crate) fn subject(der: &[u8]) -> Option<String> {
    Sketch::of(der).subject
}

const INTEGER: u8 = 0x02;
const OBJECT_IDENTIFIER: u8 = 0x06;
const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
/// `[0]` with something within.
const VERSION: u8 = 0xa0;

/// Reads DER from front to back. A certificate cut short still has a front, so lengths that go
/// beyond the end end there.
struct DerReader<'a>(&'a [u8]);

impl<'a> DerReader<'a> {
    /// Tag and content of the next element.
    fn next(&mut self) -> Option<(u8, &'a [u8])> {
        let [tag, first, rest @ ..] = self.0 else {
            return None;
        };
        let (length, rest) = match first {
            0..=0x7f => (usize::from(*first), rest),
            // Nothing in here is longer than what four bytes can say.
            0x81..=0x84 => {
                let (length, rest) = rest.split_at_checked(usize::from(first - 0x80))?;
                let length = length
                    .iter()
                    .fold(0, |length, byte| (length << 8) | usize::from(*byte));
                (length, rest)
            }
            _ => return None,
        };
        let (content, rest) = rest.split_at(length.min(rest.len()));
        self.0 = rest;
        Some((*tag, content))
    }

    /// The content of the next element if it has this tag; otherwise it stays the next.
    fn content(&mut self, tag: u8) -> Option<&'a [u8]> {
        if self.0.first() != Some(&tag) {
            return None;
        }
        self.next().map(|(_, content)| content)
    }
}

/// A name as people write it, the most telling part first. None if it has no part that is known.
fn name(der: &[u8]) -> Option<String> {
    let mut parts = Vec::new();
    let mut sets = DerReader(der);
    while let Some(set) = sets.content(SET) {
        let mut attributes = DerReader(set);
        while let Some(attribute) = attributes.content(SEQUENCE) {
            let mut attribute = DerReader(attribute);
            let kind = attribute.content(OBJECT_IDENTIFIER);
            if let (Some(kind), Some((tag, value))) = (kind.and_then(kind_of), attribute.next()) {
                parts.push(format!("{kind}={}", text(tag, value)));
            }
        }
    }
    // Written from the country down to the common name.
    parts.reverse();
    let shown = parts.join(", ");
    let cut = shown.chars().take(LONGEST_SUBJECT).collect::<String>();
    match shown.len() > cut.len() {
        _ if shown.is_empty() => None,
        true => Some(format!("{cut}…")),
        false => Some(cut),
    }
}

/// The short form of the kinds of a name's parts that are in use.
fn kind_of(identifier: &[u8]) -> Option<&'static str> {
    Some(match identifier {
        [0x55, 0x04, 3] => "CN",
        [0x55, 0x04, 6] => "C",
        [0x55, 0x04, 7] => "L",
        [0x55, 0x04, 8] => "ST",
        [0x55, 0x04, 10] => "O",
        [0x55, 0x04, 11] => "OU",
        [0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 0x01, 0x19] => "DC",
        _ => return None,
    })
}

fn text(tag: u8, value: &[u8]) -> String {
    const UTF_16: u8 = 0x1e;
    let value = &value[..value.len().min(4 * LONGEST_SUBJECT)];
    let text = if tag == UTF_16 {
        let units = value.chunks_exact(2);
        let units = units.map(|unit| u16::from_be_bytes([unit[0], unit[1]]));
        char::decode_utf16(units)
            .map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER))
            .collect()
    } else {
        String::from_utf8_lossy(value).into_owned()
    };
    text.replace(char::is_control, "\u{fffd}")
}

/// Why a certificate cannot be read or accepted, in words that complete "it cannot be accepted:". A
/// reason that is about a name, a time or an issuer has words of its own elsewhere.
pub(crate) fn reason(error: &Error) -> &'static str {
    #[expect(deprecated, reason = "the library may still answer them")]
    match error {
        Error::BadDer | Error::TrailingData(_) => "its encoding (DER) is damaged",
        Error::BadDerTime => "a time in it is not written as X.509 wants it",
        Error::CaUsedAsEndEntity => "it is the certificate of an authority",
        Error::EndEntityUsedAsCa => "one in its chain is not the certificate of an authority",
        Error::CertDistrusted => "it is distrusted",
        Error::CertExpired { .. } | Error::InvalidCertValidity => "it has expired",
        Error::CertNotValidYet { .. } => "it is not valid yet",
        Error::CertNotValidForName(_) => "it is not valid for this name",
        Error::CertRevoked => "it was revoked",
        Error::CrlExpired { .. }
        | Error::InvalidCrlNumber
        | Error::InvalidCrlSignatureForPublicKey
        | Error::IssuerNotCrlSigner
        | Error::UnknownRevocationStatus
        | Error::UnsupportedCrlIssuingDistributionPoint
        | Error::UnsupportedCrlVersion
        | Error::UnsupportedDeltaCrl
        | Error::UnsupportedIndirectCrl
        | Error::UnsupportedRevocationReason
        | Error::UnsupportedRevocationReasonsPartitioning
        | Error::UnsupportedCrlSignatureAlgorithm
        | Error::UnsupportedCrlSignatureAlgorithmContext(_)
        | Error::UnsupportedCrlSignatureAlgorithmForPublicKey
        | Error::UnsupportedCrlSignatureAlgorithmForPublicKeyContext(_) => {
            "its revocation cannot be checked"
        }
        Error::EmptyEkuExtension
        | Error::RequiredEkuNotFound
        | Error::RequiredEkuNotFoundContext(_) => {
            "its extended key usage does not allow this purpose"
        }
        Error::ExtensionValueInvalid | Error::MalformedExtensions => {
            "one of its extensions is malformed"
        }
        Error::UnsupportedCriticalExtension => {
            "it has a critical extension that is not understood here"
        }
        Error::InvalidSerialNumber => "its serial number is malformed",
        Error::InvalidNetworkMaskConstraint
        | Error::MalformedNameConstraint
        | Error::NameConstraintViolation
        | Error::UnsupportedNameType => {
            "its names are not those that its authority may vouch for (name constraints)"
        }
        Error::MalformedDnsIdentifier => "one of its DNS names is malformed",
        Error::MaximumNameConstraintComparisonsExceeded
        | Error::MaximumPathBuildCallsExceeded
        | Error::MaximumPathDepthExceeded
        | Error::MaximumSignatureChecksExceeded => "its chain is too long or too tangled",
        Error::PathLenConstraintViolated => {
            "its chain is longer than one of its authorities allows"
        }
        Error::InvalidSignatureForPublicKey => "its signature is wrong",
        Error::SignatureAlgorithmMismatch => "it names two different algorithms for its signature",
        Error::UnsupportedSignatureAlgorithm
        | Error::UnsupportedSignatureAlgorithmContext(_)
        | Error::UnsupportedSignatureAlgorithmForPublicKey
        | Error::UnsupportedSignatureAlgorithmForPublicKeyContext(_) => {
            "it is signed in a way that is not supported, such as with SHA-1"
        }
        Error::UnknownIssuer => "its authority is not trusted",
        Error::UnsupportedCertVersion => "it is not of version 3",
        // The list may grow.
        _ => "it breaks a rule of X.509",
    }
}

#[cfg(test)]
mod tests;
