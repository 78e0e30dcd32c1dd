//! Instants of points as JSON. There are two for each point, and formatting macros take many times
//! as long.

use std::ops::Range;

use crate::model::time::Timestamp;

/// From 2001 to 2286: instants of thirteen digits.
const USUAL: Range<i64> = 1_000_000_000_000..10_000_000_000_000;

/// So many milliseconds have the same first five of thirteen digits: a little more than a day.
const DAY: i64 = 100_000_000;

/// The text of an instant of thirteen digits, behind a comma, in two words: they stay in registers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Text {
    /// The comma and five digits. Two bytes at the end are none.
    begin: u64,
    /// Eight digits.
    rest: u64,
}

impl Text {
    /// How many bytes it has.
    pub(super) const LENGTH: usize = 14;

    /// Of the instant so long after the first one of a [`DAY`].
    fn of(day: i64, rest: i64) -> Self {
        // Five of the eight digits, with the comma in the place before them.
        let begin = (digits(day / DAY) >> 24 << 8) | u64::from(b',');
        let rest = digits(rest);
        Self { begin, rest }
    }

    #[inline]
    pub(super) fn copy_to(self, room: &mut [u8]) {
        room[..8].copy_from_slice(&self.begin.to_le_bytes());
        room[6..].copy_from_slice(&self.rest.to_le_bytes());
    }
}

/// Writes instants, each behind a comma.
#[derive(Debug)]
pub(super) struct Instants {
    /// The last one of thirteen digits, and its text. Most buckets begin where one ends.
    last: i64,
    text: Text,
    /// The first instant with the same first five digits.
    day: i64,
}

impl Default for Instants {
    fn default() -> Self {
        let (last, day) = (USUAL.start, USUAL.start);
        let text = Text::of(day, 0);
        Self { last, text, day }
    }
}

impl Instants {
    pub(super) fn write(&mut self, text: &mut Vec<u8>, at: Timestamp) {
        if let Some(usual) = self.usual(at) {
            let mut room = [0; Text::LENGTH];
            usual.copy_to(&mut room);
            text.extend_from_slice(&room);
            return;
        }
        text.push(b',');
        // Neither writing to a Vec nor an integer as JSON can fail.
        let _ = serde_json::to_writer(text, &at.0);
    }

    /// The text of an instant of thirteen digits. None: it has more or fewer.
    #[inline]
    pub(super) fn usual(&mut self, Timestamp(at): Timestamp) -> Option<Text> {
        if at != self.last {
            let rest = at.wrapping_sub(self.day);
            if !(0..DAY).contains(&rest) {
                return self.of_another_day(at);
            }
            self.text.rest = digits(rest);
            self.last = at;
        }
        Some(self.text)
    }

    #[cold]
    fn of_another_day(&mut self, at: i64) -> Option<Text> {
        if !USUAL.contains(&at) {
            return None;
        }
        let rest = at % DAY;
        (self.day, self.last) = (at - rest, at);
        self.text = Text::of(self.day, rest);
        Some(self.text)
    }
}

/// How many bytes these take, without the commas.
pub(super) fn digits_of(instants: impl Iterator<Item = Timestamp> + Clone) -> usize {
    let bounds = |(least, most): (i64, i64), Timestamp(at)| (least.min(at), most.max(at));
    let (least, most) = instants.clone().fold((i64::MAX, i64::MIN), bounds);
    if USUAL.contains(&least) && USUAL.contains(&most) {
        return 13 * instants.count();
    }
    let digits = |Timestamp(at): Timestamp| {
        if USUAL.contains(&at) {
            return 13;
        }
        let digits = at.unsigned_abs().checked_ilog10().unwrap_or(0) + 1;
        digits as usize + usize::from(at < 0)
    };
    instants.map(digits).sum()
}

/// A number below 10^8 as eight digits, the first of which is the lowest byte.
#[inline]
fn digits(number: i64) -> u64 {
    let number = number.cast_unsigned();
    // Numbers are split in two next to each other: of four digits, two, and then one. To multiply
    // and to shift divides all of them at once, rounded down.
    let fours = (number / 10_000) | ((number % 10_000) << 32);
    let hundreds = ((fours * 10_486) >> 20) & 0x0000_007f_0000_007f;
    let pairs = hundreds | ((fours - hundreds * 100) << 16);
    let tens = ((pairs * 103) >> 10) & 0x000f_000f_000f_000f;
    let ones = tens | ((pairs - tens * 10) << 8);
    ones | 0x3030_3030_3030_3030
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_four_digits_are_written() {
        for number in 0..10_000 {
            assert_eq!(
                digits(number).to_le_bytes(),
                format!("{number:08}").as_bytes()
            );
            let more = number * 10_000 + 9_999 - number;
            assert_eq!(digits(more).to_le_bytes(), format!("{more:08}").as_bytes());
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
                    (17_000 * DAY - 2..17_000 * DAY + 2),
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
