//! Instants and spans in the one unit that StackState and Prometheus share: milliseconds.

use std::fmt;
use std::time::Duration;

/// An instant in milliseconds since the Unix epoch. May lie before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(pub i64);

/// A length of time in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Millis(pub i64);

impl Timestamp {
    /// The system clock's present instant.
    #[must_use]
    pub fn now() -> Self {
        let since_epoch = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap_or_default();
        Self(i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX))
    }

    /// This instant moved by `by`, without overflow.
    #[must_use]
    pub const fn plus(self, by: Millis) -> Self {
        Self(self.0.saturating_add(by.0))
    }

    /// This instant moved back by `by`, without overflow.
    #[must_use]
    pub const fn minus(self, by: Millis) -> Self {
        Self(self.0.saturating_sub(by.0))
    }

    /// RFC 3339, UTC, milliseconds where there are any: for people.
    #[must_use]
    pub fn rfc3339(self) -> String {
        jiff::Timestamp::from_millisecond(self.0)
            .map_or_else(|_| format!("{} ms", self.0), |instant| instant.to_string())
    }

    /// The time from `earlier` to this instant; negative if `earlier` is later.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Millis {
        Millis(self.0.saturating_sub(earlier.0))
    }
}

impl fmt::Display for Timestamp {
    /// Seconds with three decimals, the way Prometheus' HTTP API takes instants: exact for every
    /// millisecond.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let ms = self.0.unsigned_abs();
        write!(f, "{sign}{}.{:03}", ms / 1000, ms % 1000)
    }
}

impl From<Duration> for Millis {
    fn from(duration: Duration) -> Self {
        Self(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX))
    }
}

impl fmt::Display for Millis {
    /// A PromQL duration: the largest single unit that holds it exactly, for example `15m`, `90s`,
    /// `59999ms`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [(i64, &str); 3] = [(3_600_000, "h"), (60_000, "m"), (1_000, "s")];
        match UNITS.iter().find(|(ms, _)| self.0 != 0 && self.0 % ms == 0) {
            Some((ms, unit)) => write!(f, "{}{unit}", self.0 / ms),
            None => write!(f, "{}ms", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_are_written_as_seconds_with_exact_milliseconds() {
        let written: Vec<String> = [0, 1, 1_700_000_000_059, -1_500]
            .map(|ms| Timestamp(ms).to_string())
            .to_vec();
        assert_eq!(written, ["0.000", "0.001", "1700000000.059", "-1.500"]);
    }

    #[test]
    fn spans_are_written_in_the_largest_unit_that_is_exact() {
        let written: Vec<String> = [1, 59_999, 1_000, 90_000, 900_000, 7_200_000, 0]
            .map(|ms| Millis(ms).to_string())
            .to_vec();
        assert_eq!(written, ["1ms", "59999ms", "1s", "90s", "15m", "2h", "0ms"]);
    }
}
