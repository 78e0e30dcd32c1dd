//! Lengths of time as text: `15s`, `1m30s`.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A length of time such as 15s or 1m30s, in hours, minutes, seconds and milliseconds.
//
// Kept as text, because a document must come out of a round trip as it went in: a server-side apply
// that rewrites 60s to 1m would be a change. Deserialization does not check it; `validate` and the
// rules of the fields do, with a path.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(transparent)]
pub struct Duration(#[schemars(length(min = 2, max = 32))] String);

/// A text that is not a [`Duration`].
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "must be a duration such as 15s or 1m30s: numbers with the units h, m, s and ms, in this order"
)]
pub struct DurationError;

/// The units from large to small, as they must follow each other, in milliseconds.
const UNITS: [(&str, u64); 4] = [("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// More digits than this before a unit are refused, which keeps every sum far from overflow.
const MAX_DIGITS: usize = 7;

impl Duration {
    /// A duration of whole seconds.
    #[must_use]
    pub fn from_secs(seconds: u32) -> Self {
        Self(format!("{seconds}s"))
    }

    /// The length of time.
    ///
    /// # Errors
    /// If the text is not a duration. Cannot happen in a document that passed [`crate::validate`].
    pub fn to_std(&self) -> Result<std::time::Duration, DurationError> {
        parse(&self.0)
    }

    /// The text as written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Duration {
    type Err = DurationError;

    fn from_str(text: &str) -> Result<Self, DurationError> {
        parse(text).map(|_| Self(text.to_owned()))
    }
}

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Reads `1h2m3s4ms`: each unit at most once, large before small, at least one.
pub(crate) fn parse(text: &str) -> Result<std::time::Duration, DurationError> {
    let mut rest = text;
    let mut units = UNITS.iter();
    let mut total = 0_u64;
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        if digits == 0 || digits > MAX_DIGITS {
            return Err(DurationError);
        }
        let (number, after) = rest.split_at(digits);
        let letters = after.bytes().take_while(u8::is_ascii_alphabetic).count();
        let (unit, after) = after.split_at(letters);
        let (_, milliseconds) = units.find(|(name, _)| *name == unit).ok_or(DurationError)?;
        total += number.parse::<u64>().map_err(|_| DurationError)? * milliseconds;
        rest = after;
    }
    if text.is_empty() {
        Err(DurationError)
    } else {
        Ok(std::time::Duration::from_millis(total))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_sums_of_units_from_large_to_small() {
        for (text, milliseconds) in [
            ("15s", 15_000),
            ("1m30s", 90_000),
            ("500ms", 500),
            ("1h", 3_600_000),
            ("1h0m5s250ms", 3_605_250),
            ("90s", 90_000),
        ] {
            let read = parse(text).map(|length| length.as_millis());
            assert_eq!(read, Ok(milliseconds), "{text}");
        }
    }

    #[test]
    fn anything_else_is_not_a_duration() {
        for text in [
            "",
            "15",
            "s",
            "15 s",
            "1.5s",
            "-1s",
            "+1s",
            "1d",
            "1s1m",
            "1s1s",
            "1µs",
            "99999999s",
            "１s",
        ] {
            assert_eq!(parse(text), Err(DurationError), "{text:?}");
        }
    }
}
