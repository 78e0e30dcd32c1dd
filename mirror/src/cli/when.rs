//! Instants as people write them on a command line.

use std::str::FromStr;

use crate::model::time::{Millis, Timestamp};

/// An instant, perhaps relative to now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// So long before now; `now` itself is zero.
    Ago(Millis),
    /// This instant.
    At(Timestamp),
}

/// Epoch numbers from here on are milliseconds: as seconds they would lie beyond the year 5000.
const FIRST_MILLISECONDS: u64 = 100_000_000_000;

impl When {
    /// The instant, if it is `now`.
    #[must_use]
    pub fn at(self, now: Timestamp) -> Timestamp {
        match self {
            Self::Ago(ago) => now.minus(ago),
            Self::At(instant) => instant,
        }
    }
}

impl FromStr for When {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "now" {
            return Ok(Self::Ago(Millis(0)));
        }
        if let Ok(number) = text.parse::<u64>() {
            let ms = if number < FIRST_MILLISECONDS {
                number.saturating_mul(1000)
            } else {
                number
            };
            return i64::try_from(ms)
                .map(|ms| Self::At(Timestamp(ms)))
                .map_err(|_| "that time is too far away".into());
        }
        if let Ok(instant) = text.parse::<jiff::Timestamp>() {
            return Ok(Self::At(Timestamp(instant.as_millisecond())));
        }
        if let Ok(ago) = humantime::parse_duration(text) {
            return Ok(Self::Ago(ago.into()));
        }
        Err("write now, a time ago (90m, 2d), RFC 3339 (2026-01-31T12:00:00Z), or epoch seconds or milliseconds".into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_are_written_as_time_ago_rfc_3339_or_epoch() {
        let now = Timestamp(1_700_000_000_000);
        let at = |text: &str| When::from_str(text).map(|when| when.at(now).0);
        let written = [
            "now",
            "1h",
            "2d",
            "1700000000",
            "1700000000500",
            "2023-11-14T22:13:20Z",
            "2023-11-14T23:13:20.25+01:00",
        ]
        .map(at);
        let expected = [
            1_700_000_000_000,
            1_699_996_400_000,
            1_699_827_200_000,
            1_700_000_000_000,
            1_700_000_000_500,
            1_700_000_000_000,
            1_700_000_000_250,
        ];
        assert_eq!(written, expected.map(Ok));
        for wrong in ["", "yesterday", "-1h", "1", "2023-11-14"] {
            assert_eq!(at(wrong).is_err(), wrong != "1", "{wrong}");
        }
    }
}
