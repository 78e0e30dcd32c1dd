//! Numbers the way Prometheus writes them: sample values as text that is checked and kept,
//! timestamps as exact milliseconds.

use crate::model::time::Timestamp;

/// Seconds are read digit by digit up to this many integer digits: beyond, a float is exact enough
/// for nobody.
const EXACT_INTEGER_DIGITS: usize = 12;

/// No store writes a value with more digits: all zeros of the largest and the smallest float fit.
const LONGEST_VALUE: usize = 400;

/// Longer numbers, and those with larger exponents, may be more than a float can hold.
pub(super) const LONGEST_PLAIN: usize = 32;

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
    /// In each of eight bytes.
    const ZEROS: u64 = 0x3030_3030_3030_3030;
    const BEYOND_NINE: u64 = 0x7676_7676_7676_7676;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    let mut length = 0;
    // Values have up to 17 digits: eight at a time.
    while let Some(eight) = text[length..].first_chunk() {
        // Digits become 0 to 9, and what is more gets its high bit set. A byte that overflows
        // changes only bytes behind it.
        let values = u64::from_le_bytes(*eight) ^ ZEROS;
        let others = (values.wrapping_add(BEYOND_NINE) | values) & HIGH;
        if others != 0 {
            return length + (others.trailing_zeros() / 8) as usize;
        }
        length += 8;
    }
    let rest = &text[length..];
    let end = rest.iter().position(|byte| !byte.is_ascii_digit());
    length + end.unwrap_or(rest.len())
}

/// The number that eight digits form, the first one in the lowest byte, given as values of 0 to 9.
#[inline]
pub(super) fn value_of_digits(values: u64) -> u64 {
    // Neighbours become one number: of two, four, and then all eight digits.
    let pairs = (values.wrapping_mul(10 << 8 | 1) >> 8) & 0x00ff_00ff_00ff_00ff;
    let fours = (pairs.wrapping_mul(100 << 16 | 1) >> 16) & 0x0000_ffff_0000_ffff;
    fours.wrapping_mul(10_000 << 32 | 1) >> 32
}

/// The integer that `text` begins with, of 1 to `most` digits, and how many it has; `most` is less
/// than 19.
#[inline]
fn integer(text: &[u8], most: usize) -> Option<(i64, usize)> {
    let (mut sum, mut length) = (0_i64, 0);
    while let Some(digit @ b'0'..=b'9') = text.get(length) {
        if length == most {
            return None;
        }
        sum = sum * 10 + i64::from(digit - b'0');
        length += 1;
    }
    (length > 0).then_some((sum, length))
}

/// Reads the seconds at the start of `text` if they are plain (`1700000000`, `1700000000.059`): the
/// instant, and how many bytes it took. `None` for every other form, which [`timestamp`] reads.
#[inline]
pub(super) fn plain_timestamp(text: &[u8]) -> Option<(Timestamp, usize)> {
    let (seconds, whole) = integer(text, EXACT_INTEGER_DIGITS)?;
    if whole > 1 && text[0] == b'0' {
        return None;
    }
    let mut ms = seconds * 1000;
    let mut length = whole;
    if text.get(whole) == Some(&b'.') {
        let (fraction, digits) = integer(&text[whole + 1..], 3)?;
        ms += fraction
            * match digits {
                1 => 100,
                2 => 10,
                _ => 1,
            };
        length += 1 + digits;
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
        fn digits_are_counted_like_one_by_one(
            before in "[0-9]{0,20}",
            after in proptest::collection::vec(proptest::num::u8::ANY, 0..20),
        ) {
            let text = [before.as_bytes(), &after].concat();
            let expected = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
            proptest::prop_assert_eq!(digits(&text), expected);
        }

        #[test]
        fn eight_digits_are_the_number_that_they_form(number in 0_u64..100_000_000) {
            let digits = format!("{number:08}").into_bytes();
            let values: Vec<u8> = digits.iter().map(|digit| digit - b'0').collect();
            let values = u64::from_le_bytes(values.try_into().expect("eight"));
            proptest::prop_assert_eq!(value_of_digits(values), number);
        }

        #[test]
        fn plain_and_float_reading_agree(ms in 0_i64..10_000_000_000_000) {
            let text = format!("{},", Timestamp(ms));
            proptest::prop_assert_eq!(plain_timestamp(text.as_bytes()), Some((Timestamp(ms), text.len() - 1)));
            proptest::prop_assert_eq!(timestamp(&text.as_bytes()[..text.len() - 1]), Some(Timestamp(ms)));
        }
    }
}
