//! JSON's tokens, one at a time, from a slice that may end in the middle of one.

use std::borrow::Cow;
use std::fmt;

use super::number::json_number_length;

/// No token of an honest answer is longer. It bounds what is kept between chunks.
const MAX_TOKEN_BYTES: usize = 1 << 20;

/// A token of JSON.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Token<'a> {
    ObjectStart,
    ObjectEnd,
    ArrayStart,
    ArrayEnd,
    Comma,
    Colon,
    /// Unescaped.
    String(Cow<'a, str>),
    /// Checked against JSON's grammar.
    Number(&'a [u8]),
    Bool(bool),
    Null,
}

/// Why there is no token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TokenError {
    /// The slice ends before the token does. A string without its end has none in the first
    /// `scanned` bytes of the token either.
    Incomplete {
        scanned: usize,
    },
    TooLong,
    InvalidUtf8,
    InvalidString,
    InvalidNumber,
    InvalidLiteral,
    Unexpected(u8),
}

impl fmt::Display for TokenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Incomplete { .. } => "it ends too early",
            Self::TooLong => "it has a string or number of more than 1 MiB",
            Self::InvalidUtf8 => "it has a string that is not UTF-8",
            Self::InvalidString => "it has a string that is not JSON's",
            Self::InvalidNumber => "it has a number that is not JSON's",
            Self::InvalidLiteral => "it has a word that is not JSON's",
            Self::Unexpected(byte) => {
                return write!(f, "it has {:?} where a value is due", char::from(*byte));
            }
        })
    }
}

/// Reads the token that `bytes` begins with (no white space before it): the token and its length.
/// `scanned` is what the last attempt on the same token answered, 0 at first. `last` says that
/// nothing follows `bytes`.
pub(super) fn read(
    bytes: &[u8],
    scanned: usize,
    last: bool,
) -> Result<(Token<'_>, usize), TokenError> {
    let Some(first) = bytes.first() else {
        return Err(TokenError::Incomplete { scanned: 0 });
    };
    match first {
        b'{' => Ok((Token::ObjectStart, 1)),
        b'}' => Ok((Token::ObjectEnd, 1)),
        b'[' => Ok((Token::ArrayStart, 1)),
        b']' => Ok((Token::ArrayEnd, 1)),
        b',' => Ok((Token::Comma, 1)),
        b':' => Ok((Token::Colon, 1)),
        b'"' => string(bytes, scanned),
        b'-' | b'0'..=b'9' => number(bytes, last),
        b't' => literal(bytes, "true", Token::Bool(true)),
        b'f' => literal(bytes, "false", Token::Bool(false)),
        b'n' => literal(bytes, "null", Token::Null),
        other => Err(TokenError::Unexpected(*other)),
    }
}

fn string(bytes: &[u8], scanned: usize) -> Result<(Token<'_>, usize), TokenError> {
    let mut at = scanned.max(1);
    let end = loop {
        match bytes.get(at) {
            None if at > MAX_TOKEN_BYTES => return Err(TokenError::TooLong),
            // A backslash as the last byte has moved `at` beyond the end: that is where the next
            // attempt goes on.
            None => return Err(TokenError::Incomplete { scanned: at }),
            Some(b'"') => break at,
            Some(b'\\') => at += 2,
            Some(0..0x20) => return Err(TokenError::InvalidString),
            Some(_) => at += 1,
        }
    };
    if end > MAX_TOKEN_BYTES {
        return Err(TokenError::TooLong);
    }
    let text = std::str::from_utf8(&bytes[1..end]).map_err(|_| TokenError::InvalidUtf8)?;
    let text = if text.contains('\\') {
        // Escapes are rare, and serde_json knows them all, surrogates included.
        Cow::Owned(serde_json::from_slice(&bytes[..=end]).map_err(|_| TokenError::InvalidString)?)
    } else {
        Cow::Borrowed(text)
    };
    Ok((Token::String(text), end + 1))
}

fn number(bytes: &[u8], last: bool) -> Result<(Token<'_>, usize), TokenError> {
    let end = bytes
        .iter()
        .take(MAX_TOKEN_BYTES)
        .position(|byte| !matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E'));
    let end = match end {
        Some(end) => end,
        None if bytes.len() >= MAX_TOKEN_BYTES => return Err(TokenError::TooLong),
        None if last => bytes.len(),
        None => return Err(TokenError::Incomplete { scanned: 0 }),
    };
    if json_number_length(&bytes[..end]) == Some(end) {
        Ok((Token::Number(&bytes[..end]), end))
    } else {
        Err(TokenError::InvalidNumber)
    }
}

fn literal<'a>(
    bytes: &[u8],
    text: &str,
    token: Token<'a>,
) -> Result<(Token<'a>, usize), TokenError> {
    if bytes.starts_with(text.as_bytes()) {
        Ok((token, text.len()))
    } else if text.as_bytes().starts_with(bytes) {
        Err(TokenError::Incomplete { scanned: 0 })
    } else {
        Err(TokenError::InvalidLiteral)
    }
}
