//! What is between a BEGIN and its END.

use std::borrow::Cow;

use super::{Defect, Section};

/// The columns of a line that is written.
const COLUMNS: usize = 64;

pub(super) fn section(label: String, body: &[u8]) -> Section {
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
