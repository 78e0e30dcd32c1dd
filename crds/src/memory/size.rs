//! Numbers of bytes as people write them.

use std::fmt;
use std::str::FromStr;

/// A number of bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ByteSize(pub u64);

/// Kubernetes' suffixes, each with its number of bytes.
const UNITS: [(&str, u64); 8] = [
    ("Ki", 1 << 10),
    ("Mi", 1 << 20),
    ("Gi", 1 << 30),
    ("Ti", 1 << 40),
    ("k", 1_000),
    ("M", 1_000_000),
    ("G", 1_000_000_000),
    ("T", 1_000_000_000_000),
];

/// Why a text is not a number of bytes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("write a whole number of bytes with Ki, Mi or Gi, for example 512Mi")]
pub struct ByteSizeError;

impl ByteSize {
    /// So many MiB.
    #[must_use]
    pub const fn mib(count: u64) -> Self {
        Self(count << 20)
    }
}

impl FromStr for ByteSize {
    type Err = ByteSizeError;

    fn from_str(text: &str) -> Result<Self, ByteSizeError> {
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = text.split_at(digits);
        let factor = match unit {
            "" => 1,
            unit => UNITS
                .iter()
                .find(|(name, _)| *name == unit)
                .map(|(_, factor)| *factor)
                .ok_or(ByteSizeError)?,
        };
        let number: u64 = number.parse().map_err(|_| ByteSizeError)?;
        number.checked_mul(factor).map(Self).ok_or(ByteSizeError)
    }
}

impl fmt::Display for ByteSize {
    /// In MiB, rounded down, or smaller units where it is less than one.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            bytes if bytes >= 1 << 20 => write!(f, "{} MiB", bytes >> 20),
            bytes if bytes >= 1 << 10 => write!(f, "{} KiB", bytes >> 10),
            bytes => write!(f, "{bytes} bytes"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_read_as_kubernetes_writes_them() {
        let table = [
            ("0", Some(0)),
            ("512Mi", Some(512 << 20)),
            ("1Gi", Some(1 << 30)),
            ("500M", Some(500_000_000)),
            ("64k", Some(64_000)),
            ("536870912", Some(536_870_912)),
            ("", None),
            ("Mi", None),
            ("-1", None),
            ("+1", None),
            ("1.5Gi", None),
            ("1 Gi", None),
            ("1mi", None),
            ("99999999999999Ti", None),
        ];
        for (text, expected) in table {
            let read = text.parse().ok().map(|ByteSize(bytes)| bytes);
            assert_eq!(read, expected, "{text:?}");
        }
    }

    #[test]
    fn messages_round_down() {
        let shown = [512 << 20, (1 << 20) - 1, 1023].map(|bytes| ByteSize(bytes).to_string());
        assert_eq!(shown, ["512 MiB", "1023 KiB", "1023 bytes"]);
    }
}
