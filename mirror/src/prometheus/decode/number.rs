//! Numbers the way Prometheus writes them: sample values as text that is checked and kept, timestamps as exact milliseconds.

use crate::time::Timestamp;

/// Seconds are read digit by digit up to this many integer digits: beyond, a float is exact enough for nobody.
const EXACT_INTEGER_DIGITS: usize = 12;

/// Whether `text` is a sample's value: a JSON number, `NaN`, `+Inf` or `-Inf`.
pub(super) fn is_value(text: &[u8]) -> bool {
    json_number_length(text) == Some(text.len()) || matches!(text, b"NaN" | b"+Inf" | b"-Inf")
}

/// How many bytes at the start of `text` form a JSON number; `None` if it doesn't begin with one.
#[inline]
pub(super) fn json_number_length(text: &[u8]) -> Option<usize> {
    let mut at = usize::from(text.first() == Some(&b'-'));
    match text.get(at) {
        Some(b'0') => at += 1,
        Some(b'1'..=b'9') => at += digits(&text[at..]),
        _ => return None,
    }
    if text.get(at) == Some(&b'.') {
        let fraction = digits(&text[at + 1..]);
        if fraction == 0 {
            return None;
        }
        at += 1 + fraction;
    }
    if matches!(text.get(at), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(text.get(at + 1), Some(b'+' | b'-')));
        let exponent = digits(&text[at + 1 + sign..]);
        if exponent == 0 {
            return None;
        }
        at += 1 + sign + exponent;
    }
    Some(at)
}

/// How many ASCII digits `text` begins with.
#[inline]
fn digits(text: &[u8]) -> usize {
    text.iter()
        .position(|byte| !byte.is_ascii_digit())
        .unwrap_or(text.len())
}

/// Reads the seconds at the start of `text` if they are plain (`1700000000`, `1700000000.059`): the instant, and how many
/// bytes it took. `None` for every other form, which [`timestamp`] reads.
#[inline]
pub(super) fn plain_timestamp(text: &[u8]) -> Option<(Timestamp, usize)> {
    let whole = digits(text);
    if whole == 0 || whole > EXACT_INTEGER_DIGITS || (whole > 1 && text[0] == b'0') {
        return None;
    }
    let mut ms = text[..whole]
        .iter()
        .fold(0_i64, |sum, digit| sum * 10 + i64::from(digit - b'0'))
        * 1000;
    let mut length = whole;
    if text.get(whole) == Some(&b'.') {
        let fraction = digits(&text[whole + 1..]);
        if fraction == 0 || fraction > 3 {
            return None;
        }
        let mut unit = 100;
        for digit in &text[whole + 1..whole + 1 + fraction] {
            ms += i64::from(digit - b'0') * unit;
            unit /= 10;
        }
        length += 1 + fraction;
    }
    match text.get(length) {
        // Exponents go the long way; at the end of the text the number may go on in the next chunk.
        None | Some(b'e' | b'E' | b'.') => None,
        Some(_) => Some((Timestamp(ms), length)),
    }
}

/// Reads seconds, rounded to the nearest millisecond. `None` if `text` is not a JSON number or lies outside ± 2^53 ms.
pub(super) fn timestamp(text: &[u8]) -> Option<Timestamp> {
    const LIMIT: f64 = 9_007_199_254_740_992.0;
    if json_number_length(text) != Some(text.len()) {
        return None;
    }
    let seconds: f64 = std::str::from_utf8(text).ok()?.parse().ok()?;
    let ms = (seconds * 1000.0).round();
    #[expect(clippy::cast_possible_truncation, reason = "an integer within ± 2^53")]
    (ms.abs() <= LIMIT).then_some(Timestamp(ms as i64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_json_numbers_and_the_three_names() {
        for value in [
            "0", "-0", "1", "-1.5", "1e+06", "1E-7", "12.50e3", "NaN", "+Inf", "-Inf",
        ] {
            assert!(is_value(value.as_bytes()), "{value}");
        }
        for other in [
            "", "-", "+1", "01", "1.", ".5", "1e", "1e+", "nan", "Inf", "inf", "0x1", "1 ", " 1",
            "1_0", "1.5.2",
        ] {
            assert!(!is_value(other.as_bytes()), "{other}");
        }
    }

    #[test]
    fn timestamps_become_the_nearest_millisecond() {
        let read = |text: &str| timestamp(text.as_bytes()).map(|at| at.0);
        assert_eq!(read("1700000000"), Some(1_700_000_000_000));
        assert_eq!(read("1700000000.059"), Some(1_700_000_000_059));
        assert_eq!(read("1.700000000059e+09"), Some(1_700_000_000_059));
        assert_eq!(read("1700000000.0589999"), Some(1_700_000_000_059));
        assert_eq!(read("-1.5"), Some(-1_500));
        assert_eq!(read("1e300"), None);
        assert_eq!(read("NaN"), None);
    }

    proptest::proptest! {
        #[test]
        fn plain_and_float_reading_agree(ms in 0_i64..10_000_000_000_000) {
            let text = format!("{},", Timestamp(ms));
            proptest::prop_assert_eq!(plain_timestamp(text.as_bytes()), Some((Timestamp(ms), text.len() - 1)));
            proptest::prop_assert_eq!(timestamp(&text.as_bytes()[..text.len() - 1]), Some(Timestamp(ms)));
        }
    }
}
