//! PEM as people have it: the sections of a file, each sound or with what is wrong with it. Pure.
//!
//! Files are joined without a line break, edited on Windows, indented by templates, kept in one
//! line with `\n` for line breaks, and hold what `openssl x509 -text` prints around the
//! certificate. None of that hides a section, and a damaged one does not hide the others. What is
//! found is rewritten in the one form that every library reads.

mod body;
mod boundary;

use std::borrow::Cow;
use std::fmt;

use self::body::section;
use self::boundary::Boundary;

/// More sections than any bundle has: the authorities of all the world are some 150.
pub(super) const MOST_SECTIONS: usize = 2_000;

/// What stands between a BEGIN and its END.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Section {
    /// Such as `CERTIFICATE`, in upper case.
    pub(super) label: String,
    /// The section by itself as RFC 7468 has it, or why there is none.
    pub(super) pem: Result<Vec<u8>, Defect>,
    /// Its header says that a password is needed to read it (`Proc-Type: 4,ENCRYPTED`).
    pub(super) is_encrypted: bool,
}

/// Why a section cannot be read, in words that go on after "the 2nd of 3 certificates is skipped:".
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Defect {
    #[error("it is cut off, its END line is missing")]
    CutOff,
    #[error("it has an END line but no BEGIN line")]
    NoBegin,
    #[error("it ends with END {0}")]
    OtherEnd(String),
    #[error("it is empty")]
    Empty,
    #[error("its {0} line does not have five dashes at both ends")]
    Boundary(&'static str),
    #[error("it holds {0:?}, which is not base64")]
    NotBase64(char),
    #[error("its base64 is incomplete")]
    Incomplete,
}

/// There are more than [`MOST_SECTIONS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TooMany;

/// All sections in the order in which they begin. Takes time linear in the length of `bytes`.
pub(super) fn sections(bytes: &[u8]) -> Result<Vec<Section>, TooMany> {
    let text = &*ascii(bytes);
    let mut sections = Vec::new();
    let mut open: Option<(String, usize, bool)> = None;
    let mut at = 0;
    while let Some(boundary) = Boundary::next(text, at) {
        at = boundary.end;
        let closed = match (open.take(), boundary.is_begin) {
            (None, true) => None,
            (Some((label, ..)), true) => Some(broken(label, Defect::CutOff)),
            (None, false) => Some(broken(boundary.label.clone(), Defect::NoBegin)),
            (Some((label, ..)), false) if label != boundary.label => {
                Some(broken(label, Defect::OtherEnd(boundary.label.clone())))
            }
            (Some((label, _, false)), false) => Some(broken(label, Defect::Boundary("BEGIN"))),
            (Some((label, ..)), false) if !boundary.is_sound => {
                Some(broken(label, Defect::Boundary("END")))
            }
            (Some((label, from, true)), false) => {
                let body = text.get(from..boundary.start).unwrap_or_default();
                Some(section(label, body))
            }
        };
        sections.extend(closed);
        if sections.len() > MOST_SECTIONS {
            return Err(TooMany);
        }
        if boundary.is_begin {
            open = Some((boundary.label, boundary.end, boundary.is_sound));
        }
    }
    sections.extend(open.map(|(label, ..)| broken(label, Defect::CutOff)));
    Ok(sections)
}

fn broken(label: String, defect: Defect) -> Section {
    Section {
        label,
        pem: Err(defect),
        is_encrypted: false,
    }
}

/// Text in UTF-16, which is what Windows writes when nobody says otherwise, byte by byte; other
/// text as it is.
fn ascii(bytes: &[u8]) -> Cow<'_, [u8]> {
    let low = match bytes {
        [0xff, 0xfe, rest @ ..] => (rest, 0),
        [0xfe, 0xff, rest @ ..] => (rest, 1),
        _ => return Cow::Borrowed(bytes),
    };
    let (units, low) = low;
    let units = units.chunks_exact(2);
    // Nothing that counts is beyond ASCII.
    units
        .map(|unit| if unit[1 - low] == 0 { unit[low] } else { 0xff })
        .collect()
}

/// What a file is that holds no PEM at all, where its first bytes tell.
pub(super) fn other_format(bytes: &[u8]) -> Option<&'static str> {
    match bytes {
        // A SEQUENCE of more than 255 bytes.
        [0x30, 0x82, ..] => Some(
            "is binary (DER or PKCS #12): convert it with openssl x509 -inform der, openssl pkey -inform der or openssl pkcs12 -nodes",
        ),
        [0xfe, 0xed, 0xfe, 0xed, ..] => {
            Some("is a Java key store: export what it holds with keytool -exportcert -rfc")
        }
        // `-----BEGIN` in base64: a manifest whose `data` was encoded twice.
        [
            b'L',
            b'S',
            b'0',
            b't',
            b'L',
            b'S',
            b'1',
            b'C',
            b'R',
            b'U',
            b'd',
            ..,
        ] => Some(
            "is PEM in base64, so it was encoded twice: decode it once, or write it under the Secret's stringData",
        ),
        _ => None,
    }
}

/// `1st`, `2nd`, `3rd`, `4th`, …
pub(super) struct Ordinal(pub(super) usize);

impl fmt::Display for Ordinal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ending = match (self.0 % 10, self.0 % 100) {
            (_, 11..=13) => "th",
            (1, _) => "st",
            (2, _) => "nd",
            (3, _) => "rd",
            _ => "th",
        };
        write!(f, "{}{ending}", self.0)
    }
}

#[cfg(test)]
mod tests;
