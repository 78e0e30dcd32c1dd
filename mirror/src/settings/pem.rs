//! PEM as people have it: the sections of a file, each sound or with what is wrong with it. Pure.
//!
//! Files are joined without a line break, edited on Windows, indented by templates, kept in one
//! line with `\n` for line breaks, and hold what `openssl x509 -text` prints around the
//! certificate. None of that hides a section, and a damaged one does not hide the others. What is
//! found is rewritten in the one form that every library reads.

use std::borrow::Cow;
use std::fmt;

/// More sections than any bundle has: the authorities of all the world are some 150.
pub(super) const MOST_SECTIONS: usize = 2_000;

/// The longest label that a message shows, in bytes. `CERTIFICATE REQUEST` has 19.
const LONGEST_LABEL: usize = 64;

/// The columns of a line that is written.
const COLUMNS: usize = 64;

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

/// A BEGIN or an END with its label and the dashes around it.
struct Boundary {
    is_begin: bool,
    label: String,
    /// Where its dashes begin.
    start: usize,
    /// Where what follows begins.
    end: usize,
    /// Whether there are dashes at both ends.
    is_sound: bool,
}

impl Boundary {
    /// The next one at or after `from`.
    fn next(text: &[u8], from: usize) -> Option<Self> {
        (from..text.len()).find_map(|at| {
            let (is_begin, word) = match text[at] {
                b'B' | b'b' => (true, b"BEGIN ".as_slice()),
                b'E' | b'e' => (false, b"END ".as_slice()),
                _ => return None,
            };
            let label_at = at + word.len();
            let found = text.get(at..label_at)?;
            if !found.eq_ignore_ascii_case(word) {
                return None;
            }
            Self::around(text, is_begin, at, label_at)
        })
    }

    fn around(text: &[u8], is_begin: bool, word: usize, label_at: usize) -> Option<Self> {
        let rest = &text[label_at..];
        let length = rest
            .iter()
            .take(LONGEST_LABEL)
            .take_while(|byte| byte.is_ascii_alphanumeric() || b" #._".contains(byte))
            .count();
        let label = str::from_utf8(&rest[..length]).ok()?;
        let mut label = label.trim().to_ascii_uppercase();
        if label == "X509 CERTIFICATE" {
            // What OpenSSL wrote before 0.9.5, and some devices still do.
            "CERTIFICATE".clone_into(&mut label);
        }
        let spaces = text[..word].iter().rev();
        let spaces = spaces.take_while(|byte| b" \t".contains(byte)).count();
        let before = &text[..word - spaces];
        // Dashes of an END that follows right on are also those of the next BEGIN's start.
        let leading = dashes(before.iter().rev());
        let trailing = dashes(rest[length..].iter());
        let is_ours = label.ends_with("CERTIFICATE") || label.ends_with("PRIVATE KEY");
        let is_sound = match (leading, trailing) {
            (5.., 5..) => true,
            // Something between text and boundary: said, not passed over, where it is about what we
            // look for.
            (1.., 1..) if is_ours => true,
            _ if !is_ours || label.is_empty() => return None,
            (0, 0) => return None,
            _ => false,
        };
        let start = before.len() - leading;
        // Ten dashes are the end of one boundary and the beginning of another.
        let consumed = if trailing >= 10 { 5 } else { trailing };
        Some(Self {
            is_begin,
            label,
            start,
            end: label_at + length + consumed,
            is_sound,
        })
    }
}

/// How many dashes come first, as far as it makes a difference.
fn dashes<'a>(bytes: impl Iterator<Item = &'a u8>) -> usize {
    bytes.take(10).take_while(|byte| **byte == b'-').count()
}

fn section(label: String, body: &[u8]) -> Section {
    let unescaped = unescaped(body);
    let lines: Vec<_> = unescaped
        .split(|byte| b"\r\n".contains(byte))
        .map(<[u8]>::trim_ascii)
        .collect();
    let (headers, data) = lines.split_at(headers(&lines));
    let is_encrypted = headers.iter().any(|line| {
        line.starts_with(b"Proc-Type:") && line.windows(9).any(|word| word == b"ENCRYPTED")
    });
    Section {
        pem: data_of(data).map(|base64| written(&label, &base64)),
        label,
        is_encrypted,
    }
}

/// In values that went through JSON or an environment variable, line breaks are a backslash and a
/// letter. Base64 has no backslash.
fn unescaped(body: &[u8]) -> Cow<'_, [u8]> {
    if !body.contains(&b'\\') {
        return Cow::Borrowed(body);
    }
    let mut bytes = body.iter().copied().peekable();
    let mut text = Vec::with_capacity(body.len());
    while let Some(byte) = bytes.next() {
        let is_break = byte == b'\\' && bytes.next_if(|next| b"rnt".contains(next)).is_some();
        text.push(if is_break { b'\n' } else { byte });
    }
    Cow::Owned(text)
}

/// How many of the lines are headers (RFC 1421): those with a colon, and what follows them up to
/// the empty line.
fn headers(lines: &[&[u8]]) -> usize {
    let first = lines.iter().position(|line| !line.is_empty());
    let has_headers = first.is_some_and(|first| lines[first].contains(&b':'));
    if !has_headers {
        return 0;
    }
    let from = first.unwrap_or_default();
    let last = lines
        .iter()
        .rposition(|line| line.contains(&b':'))
        .map_or(0, |last| last + 1);
    let until_empty = lines[from..].iter().position(|line| line.is_empty());
    let until_empty = until_empty.map_or(0, |length| from + length);
    // The empty line before the END is not the one after headers.
    if lines[until_empty..].iter().any(|line| !line.is_empty()) {
        until_empty.max(last)
    } else {
        last
    }
}

/// The base64 of some lines, padded.
fn data_of(lines: &[&[u8]]) -> Result<Vec<u8>, Defect> {
    let bytes = lines.iter().flat_map(|line| line.iter());
    let mut base64: Vec<u8> = bytes
        .copied()
        .filter(|byte| !byte.is_ascii_whitespace())
        .collect();
    let padding = base64
        .iter()
        .rev()
        .take_while(|byte| **byte == b'=')
        .count();
    base64.truncate(base64.len() - padding);
    let is_base64 = |byte: &u8| byte.is_ascii_alphanumeric() || b"+/".contains(byte);
    if let Some(other) = base64.iter().find(|byte| !is_base64(byte)) {
        let shown = if other.is_ascii() {
            char::from(*other)
        } else {
            char::REPLACEMENT_CHARACTER
        };
        return Err(Defect::NotBase64(shown));
    }
    match base64.len() % 4 {
        _ if base64.is_empty() => Err(Defect::Empty),
        1 => Err(Defect::Incomplete),
        rest => {
            base64.extend(std::iter::repeat_n(b'=', (4 - rest) % 4));
            Ok(base64)
        }
    }
}

fn written(label: &str, base64: &[u8]) -> Vec<u8> {
    let mut pem = Vec::with_capacity(base64.len() + base64.len() / COLUMNS + 2 * label.len() + 40);
    pem.extend_from_slice(format!("-----BEGIN {label}-----\n").as_bytes());
    for line in base64.chunks(COLUMNS) {
        pem.extend_from_slice(line);
        pem.push(b'\n');
    }
    pem.extend_from_slice(format!("-----END {label}-----\n").as_bytes());
    pem
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
