//! Instants of points as JSON. There are two for each point, and formatting macros take many times
//! as long.

use std::ops::Range;

use crate::model::time::Timestamp;

/// From 2001 to 2286: instants of thirteen digits.
const USUAL: Range<i64> = 1_000_000_000_000..10_000_000_000_000;

/// The first five of thirteen digits change once a day.
const DAYS: i64 = 100_000_000;

/// Writes instants, each behind a comma.
#[derive(Debug)]
pub(super) struct Instants {
    /// The last usual one that was written, and its text. Most buckets begin where one ends.
    last: i64,
    text: [u8; 14],
    /// What the first five digits say.
    days: i64,
}

impl Default for Instants {
    fn default() -> Self {
        Self {
            last: 0,
            text: *b",0000000000000",
            days: 0,
        }
    }
}

impl Instants {
    #[inline]
    pub(super) fn write(&mut self, text: &mut Vec<u8>, Timestamp(at): Timestamp) {
        if !USUAL.contains(&at) {
            text.push(b',');
            // Neither writing to a Vec nor an integer as JSON can fail.
            let _ = serde_json::to_writer(text, &at);
            return;
        }
        if at != self.last {
            let (days, rest) = (at / DAYS, at % DAYS);
            if days != self.days {
                self.text[1..6].copy_from_slice(&digits(days)[3..]);
                self.days = days;
            }
            self.text[6..].copy_from_slice(&digits(rest));
            self.last = at;
        }
        text.extend_from_slice(&self.text);
    }
}

/// How many bytes these take, without the commas.
pub(super) fn digits_of(instants: impl Iterator<Item = Timestamp>) -> usize {
    let digits = |Timestamp(at): Timestamp| {
        if USUAL.contains(&at) {
            return 13;
        }
        let digits = at.unsigned_abs().checked_ilog10().unwrap_or(0) + 1;
        digits as usize + usize::from(at < 0)
    };
    instants.map(digits).sum()
}

/// A number below 10^8 as eight digits.
#[inline]
fn digits(number: i64) -> [u8; 8] {
    let number = number.cast_unsigned();
    // Numbers are split in two next to each other: of four digits, two, and then one. To multiply
    // and to shift divides all of them at once, rounded down.
    let fours = (number / 10_000) | ((number % 10_000) << 32);
    let hundreds = ((fours * 10_486) >> 20) & 0x0000_007f_0000_007f;
    let pairs = hundreds | ((fours - hundreds * 100) << 16);
    let tens = ((pairs * 103) >> 10) & 0x000f_000f_000f_000f;
    let ones = tens | ((pairs - tens * 10) << 8);
    (ones | 0x3030_3030_3030_3030).to_le_bytes()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_four_digits_are_written() {
        for number in 0..10_000 {
            assert_eq!(digits(number), format!("{number:08}").as_bytes());
            let more = number * 10_000 + 9_999 - number;
            assert_eq!(digits(more), format!("{more:08}").as_bytes());
        }
    }

    proptest! {
        #[test]
        fn instants_are_written_as_serde_json_writes_them(
            instants in prop::collection::vec(
                prop_oneof![
                    any::<i64>(),
                    -2_i64..2,
                    USUAL,
                    (USUAL.start - 2..USUAL.start + 2),
                    (USUAL.end - 2..USUAL.end + 2),
                    (17_000 * DAYS - 2..17_000 * DAYS + 2),
                ],
                0..20,
            ),
        ) {
            let (mut written, mut expected) = (Vec::new(), String::new());
            let mut writer = Instants::default();
            for at in instants {
                writer.write(&mut written, Timestamp(at));
                expected.push_str(&format!(",{at}"));
            }
            prop_assert_eq!(String::from_utf8(written).expect("ASCII"), expected);
        }
    }
}
