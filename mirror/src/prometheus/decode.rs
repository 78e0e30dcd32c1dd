//! Prometheus' JSON, decoded.
//!
//! Answers of instant and range queries may be large, so [`Decoder`] takes them as they arrive, in
//! chunks cut anywhere, and keeps no more of the text than the token that the last chunk ended in.
//! It is a small state machine over JSON's tokens (`grammar`, `place`, `parts`) with one short cut
//! (`sample`): a sample `[1700000000.059,"1.5"]` that lies within a chunk as a whole is read in one
//! go.
//! Keys may come in any order and unknown ones anywhere, because the stores that speak Prometheus'
//! API differ in that.
//!
//! All other answers are small; [`small`] reads them whole.

mod allocated;
mod expected;
mod grammar;
mod meter;
mod number;
mod parts;
mod place;
mod sample;
pub(super) mod small;
mod token;

use std::fmt;

pub(super) use self::expected::Expected;
use self::grammar::{Container, Expect};
pub(super) use self::meter::Meter;
use self::parts::Parts;
use self::place::Place;
use self::token::TokenError;
use super::Answer;

/// What decoding one byte allocates at most, in bytes: an element with one empty label takes the
/// most.
pub(super) const ALLOCATED_PER_BYTE: u64 = 32;

/// No store says more about one answer.
const MOST_REMARKS: u32 = 10_000;

/// What an answer's body says.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Decoded {
    /// `status: success`
    Success(Answer),
    /// `status: error`, with Prometheus' `errorType` and `error`.
    Failure {
        /// `errorType`
        kind: String,
        /// `error`
        message: String,
    },
}

/// Why a body is not an answer of Prometheus: the reason, and after how many bytes it showed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct DecodeError {
    reason: String,
    at: usize,
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (byte {})", self.reason, self.at)
    }
}

impl std::error::Error for DecodeError {}

/// Decodes the body of an instant or range query's answer as it arrives.
#[derive(Debug, Default)]
pub(super) struct Decoder {
    /// What arrived and could not be decoded yet: the start of a token.
    rest: Vec<u8>,
    /// How far the string at the start of `rest` is known not to end.
    scanned: usize,
    /// How many bytes were decoded.
    decoded: usize,
    expected: Expected,
    /// The containers around the next token, outermost first.
    containers: Vec<Container>,
    expect: Expect,
    parts: Parts,
}

impl Decoder {
    /// A decoder of an answer that must be of the expected kind.
    pub(super) fn new(expected: Expected) -> Self {
        Self {
            expected,
            ..Self::default()
        }
    }

    /// How many bytes are allocated for what was decoded so far.
    pub(super) fn allocated(&self) -> u64 {
        self.parts.allocated + self.parts.of_open() + self.rest.capacity() as u64
    }

    /// Takes the next bytes of the body.
    ///
    /// # Errors
    /// What came so far cannot be the beginning of an answer of Prometheus.
    pub(super) fn push(&mut self, chunk: &[u8]) -> Result<(), DecodeError> {
        if self.rest.is_empty() {
            let used = self.decode(chunk, false)?;
            self.rest.extend_from_slice(&chunk[used..]);
        } else {
            let mut bytes = std::mem::take(&mut self.rest);
            bytes.extend_from_slice(chunk);
            let used = self.decode(&bytes, false)?;
            bytes.drain(..used);
            self.rest = bytes;
        }
        Ok(())
    }

    /// Says that the body is over.
    ///
    /// # Errors
    /// The body is not an answer of Prometheus.
    pub(super) fn finish(mut self) -> Result<Decoded, DecodeError> {
        let bytes = std::mem::take(&mut self.rest);
        let used = self.decode(&bytes, true)?;
        if self.containers.is_empty() && self.expect == Expect::Value && used == bytes.len() {
            return Err(self.malformed("it is empty"));
        }
        if used < bytes.len() || self.expect != Expect::Nothing {
            return Err(self.malformed("it ends too early"));
        }
        let at = self.decoded;
        self.parts.into_decoded().map_err(|reason| DecodeError {
            reason: reason.to_owned(),
            at,
        })
    }

    fn malformed(&self, reason: impl Into<String>) -> DecodeError {
        DecodeError {
            reason: reason.into(),
            at: self.decoded,
        }
    }

    /// Decodes every token that is complete in `bytes`. Answers how many bytes that took.
    fn decode(&mut self, bytes: &[u8], last: bool) -> Result<usize, DecodeError> {
        let before = self.decoded;
        let mut at = 0;
        // Once for all samples in it.
        let text = text(bytes);
        loop {
            let scanned = std::mem::take(&mut self.scanned);
            if scanned == 0 {
                at += blanks(&bytes[at..]);
                at += self.samples(text.get(at..).unwrap_or_default());
                at += blanks(&bytes[at..]);
            }
            self.decoded = before + at;
            match token::read(&bytes[at..], scanned, last) {
                Ok((token, length)) => {
                    self.token(token).map_err(|reason| self.malformed(reason))?;
                    at += length;
                }
                Err(TokenError::Incomplete { scanned }) => {
                    self.scanned = scanned;
                    return Ok(at);
                }
                Err(error) => return Err(self.malformed(error.to_string())),
            }
        }
    }

    /// The short cut: samples of `values` as Prometheus writes them, as many as `text` begins with.
    /// Answers how many bytes they took.
    fn samples(&mut self, text: &str) -> usize {
        let Some(Container {
            place: Place::Samples,
            index,
            ..
        }) = self.containers.last_mut()
        else {
            return 0;
        };
        // A sample is taken with the comma before it, so that the state between two samples is
        // always "comma or end".
        let mut has_comma = match self.expect {
            Expect::ValueOrEnd | Expect::Value => false,
            Expect::CommaOrEnd => true,
            _ => return 0,
        };
        let Parts { open, open_has, .. } = &mut self.parts;
        let mut rest = text;
        let mut count = 0_u32;
        while let Some(begin) = rest.strip_prefix(if has_comma { "," } else { "" })
            && let Some((time, value, length)) = sample::sample(begin)
            // Otherwise the long way says what is wrong.
            && time >= open_has.latest
        {
            open_has.latest = time;
            open.samples.push(time, value);
            count = count.saturating_add(1);
            rest = &begin[length..];
            has_comma = true;
        }
        if count > 0 {
            *index = index.saturating_add(count);
            self.expect = Expect::CommaOrEnd;
        }
        text.len() - rest.len()
    }
}

/// The text that `bytes` begin with: all of them, unless they are cut or are no text.
fn text(bytes: &[u8]) -> &str {
    let valid = match std::str::from_utf8(bytes) {
        Ok(text) => return text,
        Err(error) => &bytes[..error.valid_up_to()],
    };
    std::str::from_utf8(valid).unwrap_or_default()
}

/// How many bytes of white space `bytes` begins with.
fn blanks(bytes: &[u8]) -> usize {
    bytes
        .iter()
        .take_while(|byte| matches!(byte, b' ' | b'\n' | b'\r' | b'\t'))
        .count()
}

#[cfg(test)]
mod tests;
