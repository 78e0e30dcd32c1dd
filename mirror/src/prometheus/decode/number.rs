//! Numbers the way Prometheus writes them: sample values as text that is checked and kept,
//! timestamps as exact milliseconds.

use crate::model::time::Timestamp;

/// Seconds are read digit by digit up to this many integer digits: beyond, a float is exact enough
/// for nobody.
const EXACT_INTEGER_DIGITS: usize = 12;

/// No store writes a value with more digits: all zeros of the largest and the smallest float fit.
const LONGEST_VALUE: usize = 400;

/// Longer numbers, and those with larger exponents, may be more than a float can hold.
const LONGEST_PLAIN: usize = 32;

/// Checks that `text` is a sample's value: a JSON number that a float can hold, `NaN`, `+Inf` or
/// `-Inf`.
pub(super) fn check_value(text: &[u8]) -> Result<(), &'static str> {
    if matches!(text, b"NaN" | b"+Inf" | b"-Inf") || plain_number_length(text) == Some(text.len()) {
        return Ok(());
    }
    if text.len() > LONGEST_VALUE || json_number_length(text) != Some(text.len()) {
        return Err("it has a sample value that is not a number");
    }
    let number: Option<f64> = std::str::from_utf8(text)
        .ok()
        .and_then(|text| text.parse().ok());
    match number {
        Some(number) if number.is_finite() => Ok(()),
        _ => Err("it has a sample value that is larger than any float"),
    }
}

/// How many bytes at the start of `text` form a JSON number; `None` if it doesn't begin with one.
#[inline]
pub(super) fn json_number_length(text: &[u8]) -> Option<usize> {
    json_number(text).map(|(length, _)| length)
}

/// The same for numbers that are certainly floats: nearly all that there are.
#[inline]
pub(super) fn plain_number_length(text: &[u8]) -> Option<usize> {
    let (length, exponent_digits) = json_number(text)?;
    (length <= LONGEST_PLAIN && exponent_digits <= 2).then_some(length)
}

/// The length of the JSON number that `text` begins with, and how many digits its exponent has.
#[inline]
fn json_number(text: &[u8]) -> Option<(usize, usize)> {
    let mut exponent_digits = 0;
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
        exponent_digits = digits(&text[at + 1 + sign..]);
        if exponent_digits == 0 {
            return None;
        }
        at += 1 + sign + exponent_digits;
    }
    Some((at, exponent_digits))
}

/// How many ASCII digits `text` begins with.
#[inline]
fn digits(text: &[u8]) -> usize {
    text.iter()
        .position(|byte| !byte.is_ascii_digit())
        .unwrap_or(text.len())
}

/// Reads the seconds at the start of `text` if they are plain (`1700000000`, `1700000000.059`): the
/// instant, and how many bytes it took. `None` for every other form, which [`timestamp`] reads.
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

/// Reads seconds, rounded to the nearest millisecond. `None` if `text` is not a JSON number or lies
/// outside ± 2^53 ms.
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
            assert_eq!(check_value(value.as_bytes()), Ok(()), "{value}");
        }
        for other in [
            "", "-", "+1", "01", "1.", ".5", "1e", "1e+", "nan", "Inf", "inf", "0x1", "1 ", " 1",
            "1_0", "1.5.2",
        ] {
            assert!(check_value(other.as_bytes()).is_err(), "{other}");
        }
    }

    #[test]
    fn numbers_that_no_float_holds_are_refused() {
        let (largest, smallest) = (format!("{:.0}", f64::MAX), format!("{:.330}", 5e-324));
        for value in [
            "1e308",
            "-1.7976931348623157e+308",
            "1e-999",
            "5e-324",
            &largest,
            &smallest,
        ] {
            assert_eq!(check_value(value.as_bytes()), Ok(()), "{value}");
        }
        let (digits, more) = ("9".repeat(310), "1".repeat(LONGEST_VALUE + 1));
        for other in ["1e309", "-1e999", "1e99999999999999999999", &digits, &more] {
            assert!(check_value(other.as_bytes()).is_err(), "{other}");
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
