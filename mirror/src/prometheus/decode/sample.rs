//! A sample as Prometheus writes nearly all of them, `[1700000000.059,"1.5"]`, read in one go.

use super::number;
use crate::model::time::Timestamp;

/// Reads the sample that `text` begins with: its time, its value, its length. `None` if it is
/// written in any other way or is not all there; then token by token says what it is.
#[inline]
pub(super) fn sample(text: &str) -> Option<(Timestamp, &str, usize)> {
    match usual(text) {
        None => other(text),
        usual => usual,
    }
}

/// One with thirteen digits of time, and a value of few digits, with a fraction or without, that is
/// not at the very end of the text: everything is found where it is looked for.
#[inline]
fn usual(text: &str) -> Option<(Timestamp, &str, usize)> {
    /// Of the opening bracket and the time.
    const BEGIN: usize = 17;
    let [b'[', inside @ ..] = text.as_bytes().first_chunk::<64>()? else {
        return None;
    };
    let at = usual_time(inside.first_chunk()?)?;
    let value: &[u8; 47] = inside.last_chunk()?;
    let end = usual_value(value)?;
    let is_over = value[end] == b'"' && value[end + 1] == b']';
    let (end, length) = (BEGIN + end, BEGIN + end + 2);
    is_over.then_some((at, text.get(BEGIN..end)?, length))
}

/// Where the number ends that `text` begins with: at most seven digits, and at most 24 behind a
/// point.
#[inline]
fn usual_value(text: &[u8; 47]) -> Option<usize> {
    let digits = |at: usize| Some(DIGITS.length(*text.get(at..)?.first_chunk()?));
    let sign = usize::from(text[0] == b'-');
    let whole = digits(sign)?;
    let point = sign + whole;
    // JSON's numbers have no leading zeros.
    if !(1..8).contains(&whole) || (text[sign] == b'0' && whole > 1) {
        return None;
    }
    if text[point] != b'.' {
        return Some(point);
    }
    let fraction = match digits(point + 1)? {
        8 => match 8 + digits(point + 9)? {
            16 => 16 + digits(point + 17)?,
            fraction => fraction,
        },
        fraction => fraction,
    };
    let end = point + 1 + fraction;
    // What is longer may be more than a float can hold.
    (fraction > 0 && end <= number::LONGEST_PLAIN).then_some(end)
}

/// One in another form that Prometheus writes: the long way is longer still.
fn other(text: &str) -> Option<(Timestamp, &str, usize)> {
    let inside = text.as_bytes().strip_prefix(b"[")?;
    let (at, time_length) = time(inside)?;
    let value = &inside[time_length..];
    let value_length = number::plain_number_length(value)?;
    let begin = 1 + time_length;
    let end = begin + value_length;
    value[value_length..]
        .starts_with(b"\"]")
        .then_some((at, text.get(begin..end)?, end + 2))
}

/// The time that `text` begins with, together with the comma and the quote behind it.
#[inline]
fn time(text: &[u8]) -> Option<(Timestamp, usize)> {
    if let Some(sixteen) = text.first_chunk()
        && let Some(at) = usual_time(sixteen)
    {
        return Some((at, sixteen.len()));
    }
    let (at, length) = number::plain_timestamp(text)?;
    text[length..]
        .starts_with(b",\"")
        .then_some((at, length + 2))
}

/// From 2001 to 2286, with milliseconds: two words instead of thirteen digits.
#[inline]
fn usual_time(text: &[u8; 16]) -> Option<Timestamp> {
    /// Smaller ones begin with a zero, which JSON's numbers don't.
    const LEAST: u64 = 10_000_000;
    let (words, _) = text.as_chunks();
    let [first, rest] = words else { return None };
    let first = number::value_of_digits(DIGITS.matched(*first)?);
    let rest = FRACTION.matched(*rest)?;
    // The five digits, behind three zeros.
    let five = number::value_of_digits(((rest & 0xffff) << 24) | ((rest >> 24) << 40));
    let ms = first * 100_000 + five;
    (first >= LEAST).then_some(Timestamp(ms.cast_signed()))
}

const DIGITS: Form = Form::of(*b"00000000");

const FRACTION: Form = Form::of(*b"00.000,\"");

/// Eight bytes: digits where the form has a zero, else the bytes of the form.
struct Form {
    text: u64,
    /// What makes a byte's high bit 1 if it does not fit.
    beyond: u64,
}

impl Form {
    const fn of(text: [u8; 8]) -> Self {
        let mut beyond = [0x7f; 8];
        let mut at = 0;
        while at < text.len() {
            if text[at] == b'0' {
                beyond[at] = 0x76;
            }
            at += 1;
        }
        Self {
            text: u64::from_le_bytes(text),
            beyond: u64::from_le_bytes(beyond),
        }
    }

    /// The values of the digits, and zeros for the other bytes, if these bytes are of this form.
    #[inline]
    fn matched(&self, bytes: [u8; 8]) -> Option<u64> {
        let values = u64::from_le_bytes(bytes) ^ self.text;
        (self.others(values) == 0).then_some(values)
    }

    /// How many bytes are of this form, before the first one that is not.
    #[inline]
    fn length(&self, bytes: [u8; 8]) -> usize {
        let values = u64::from_le_bytes(bytes) ^ self.text;
        (self.others(values).trailing_zeros() / 8) as usize
    }

    /// The high bits of bytes that are not of the form, given as what they differ from it by. The
    /// first of them is right: no byte before it overflows.
    #[inline]
    fn others(&self, values: u64) -> u64 {
        const HIGH: u64 = 0x8080_8080_8080_8080;
        (values.wrapping_add(self.beyond) | values) & HIGH
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_form_of_a_plain_sample_is_read() {
        let table = [
            (r#"[1700000000.059,"1.5"]"#, 1_700_000_000_059, "1.5"),
            (r#"[1000000000.000,"-0"],["#, 1_000_000_000_000, "-0"),
            (r#"[9999999999.999,"1e+06"]"#, 9_999_999_999_999, "1e+06"),
            (
                r#"[1700000000,"12345678901234567"]"#,
                1_700_000_000_000,
                "12345678901234567",
            ),
            (r#"[1700000000.5,"0"]"#, 1_700_000_000_500, "0"),
            (r#"[0,"0.1"]}"#, 0, "0.1"),
            (
                r#"[1700000000.059,"-12.345678901234567"],[1700000060.059,"1"],[1700000120.059,"1"]"#,
                1_700_000_000_059,
                "-12.345678901234567",
            ),
            (
                r#"[1700000000.059,"0"],[1700000060.059,"1"],[1700000120.059,"1"],[170000180.059,"1"]"#,
                1_700_000_000_059,
                "0",
            ),
            (
                r#"[1700000000.059,"12345678.5"],[1700000060.059,"1"],[1700000120.059,"1"]"#,
                1_700_000_000_059,
                "12345678.5",
            ),
        ];
        for (text, at, value) in table {
            let length = text.find(']').unwrap() + 1;
            assert_eq!(sample(text), Some((Timestamp(at), value, length)), "{text}");
        }
    }

    #[test]
    fn what_is_written_otherwise_goes_the_long_way() {
        for text in [
            "",
            "[",
            r#"[1700000000.059,"1.5""#,
            r#"[1700000000.059,"1.5" ]"#,
            r#"[ 1700000000.059,"1.5"]"#,
            r#"[0700000000.059,"1.5"]"#,
            r#"[-1700000000.059,"1.5"]"#,
            r#"[1700000000.0591,"1.5"]"#,
            r#"[1700000000:059,"1.5"]"#,
            r#"[170000000:.059,"1.5"]"#,
            r#"[1700000000.05/,"1.5"]"#,
            r#"[1.7e9,"1.5"]"#,
            r#"[1700000000.059;"1.5"]"#,
            r#"[1700000000.059,'1.5']"#,
            r#"[1700000000.059,"01.5"]"#,
            r#"[1700000000.059,"1."]"#,
            r#"[1700000000.059,"NaN"]"#,
            r#"[1700000000.059,"1e999"]"#,
            r#"[1700000000.059,1.5]"#,
            r#"[1700000000.059,"-"],[1700000000.059,"1"],[1700000000.059,"1"]"#,
            r#"[1700000000.059,"01.5"],[1700000000.059,"1"],[1700000000.059,"1"]"#,
            r#"[1700000000.059,"1."],[1700000000.059,"1"],[1700000000.059,"1"]"#,
            r#"[1700000000.059,"1.5e"],[1700000000.059,"1"],[1700000000.059,"1"]"#,
            r#"[1700000000.059,"1.5";[1700000000.059,"1"],[1700000000.059,"1"]"#,
        ] {
            assert_eq!(sample(text), None, "{text}");
        }
    }

    /// Samples of which a few bytes are others.
    fn hostile() -> impl Strategy<Value = Vec<u8>> {
        let value = prop_oneof![
            any::<f64>().prop_map(|value| value.to_string()),
            any::<f64>().prop_map(|value| format!("{value:e}")),
            "-?[0-9]{1,20}(\\.[0-9]{0,20})?([eE][+-]?[0-9]{0,3})?",
        ];
        let byte = prop_oneof![
            4 => prop::sample::select(b"0123456789.,:/\"[]{}eE+- \\\n".to_vec()),
            1 => any::<u8>(),
        ];
        let changes = prop::collection::vec((any::<prop::sample::Index>(), byte), 0..3);
        (
            0_i64..20_000_000_000_000,
            value,
            changes,
            "[,\\]}]?( {64})?",
        )
            .prop_map(|(ms, value, changes, behind)| {
                let mut text = format!("[{},\"{value}\"]{behind}", Timestamp(ms)).into_bytes();
                for (at, byte) in changes {
                    let at = at.index(text.len());
                    text[at] = byte;
                }
                text
            })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(5_000))]

        #[test]
        fn what_is_read_in_one_go_is_what_serde_json_reads(text in hostile()) {
            if let Ok(text) = std::str::from_utf8(&text)
                && let Some((at, value, length)) = sample(text)
            {
                let read: (f64, String) = serde_json::from_str(&text[..length]).unwrap();
                #[expect(clippy::cast_possible_truncation, reason = "thirteen digits")]
                let ms = (read.0 * 1000.0).round() as i64;
                prop_assert_eq!((at, value), (Timestamp(ms), &*read.1));
                prop_assert!(serde_json::from_str::<f64>(value).is_ok(), "{}", value);
            }
        }

        #[test]
        fn every_sample_of_our_time_is_read_in_one_go(
            ms in 1_000_000_000_000_i64..10_000_000_000_000,
            value in -1e6_f64..1e6,
            behind in prop::sample::select(vec![0, 64]),
        ) {
            let text = format!("[{},\"{value}\"]", Timestamp(ms));
            let (value, length) = (value.to_string(), text.len());
            let text = text + &" ".repeat(behind);
            prop_assert_eq!(sample(&text), Some((Timestamp(ms), &*value, length)));
        }
    }
}
