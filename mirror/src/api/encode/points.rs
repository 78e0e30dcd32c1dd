//! The answer of a metric query. There may be tens of thousands of points, which are written
//! straight into the response.

use bytes::Bytes;

use super::instants::{Instants, Text, digits_of};
use crate::execute::Telemetry;
use crate::model::series::Value;
use crate::model::time::{Millis, Timestamp};

/// So long a block is, in bytes, or a little longer: no point is cut in two. To write one takes
/// about a tenth of a millisecond.
const BLOCK: usize = 64 << 10;

const BEGIN: &str = r#"{"telemetry":{"points":["#;

/// An answer that is written block by block.
#[derive(Debug)]
pub struct Points {
    telemetry: Telemetry,
    /// The next point.
    next: usize,
    instants: Instants,
    /// How many bytes are not written yet.
    left: u64,
}

impl Points {
    /// The answer with these points.
    #[must_use]
    pub fn new(telemetry: Telemetry) -> Self {
        Self {
            left: length(&telemetry),
            telemetry,
            next: 0,
            instants: Instants::default(),
        }
    }

    /// How many bytes are not written yet.
    #[must_use]
    pub fn left(&self) -> u64 {
        self.left
    }

    /// Whether the rest is a single block.
    #[must_use]
    pub fn fit_in_a_block(&self) -> bool {
        self.left <= BLOCK as u64
    }

    /// About how much memory they take until they are sent, in bytes: a block, or else the points,
    /// a block that is written and one that is sent.
    #[must_use]
    pub fn size(&self) -> u64 {
        if self.fit_in_a_block() {
            return self.left;
        }
        self.telemetry.points.allocated() + 2 * BLOCK as u64
    }

    /// The next block; empty if all are written.
    #[must_use]
    pub fn block(&mut self) -> Bytes {
        /// Longer than most points, and than what follows the last one.
        const POINT: usize = 256;
        if self.left == 0 {
            return Bytes::new();
        }
        let is_cut = !self.fit_in_a_block();
        let capacity = usize::try_from(self.left).map_or(BLOCK, |left| left.min(BLOCK));
        let mut text = Vec::with_capacity(capacity + Usual::LONGEST);
        if self.next == 0 {
            text.extend_from_slice(BEGIN.as_bytes());
        }
        let points = &self.telemetry.points;
        for (at, value) in points.values_from(self.next) {
            if is_cut && text.len() > BLOCK - POINT {
                break;
            }
            let bucket = self.telemetry.bucket;
            let usual = bucket.filter(|_| self.next > 0);
            let usual = usual.and_then(|width| Usual::of(value, at, width, &mut self.instants));
            if let Some(point) = usual {
                point.write(&mut text);
            } else {
                text.extend_from_slice(if self.next == 0 { b"[" } else { b",[" });
                text.extend_from_slice(value.text());
                self.instants.write(&mut text, at);
                if let Some(width) = bucket {
                    self.instants.write(&mut text, at.plus(width));
                }
                text.push(b']');
            }
            self.next += 1;
        }
        if self.next == points.len() {
            text.extend_from_slice(end(&self.telemetry).as_bytes());
            self.left = 0;
        } else {
            // An answer is never longer than what was counted.
            self.left = self.left.saturating_sub(text.len() as u64);
        }
        Bytes::from(text)
    }
}

/// Values are seldom longer: all digits of a float, with its sign and point, and an exponent.
const USUAL_VALUE: usize = 24;

/// A point as nearly all are, behind another one: a bucket whose bounds have thirteen digits, and a
/// value that is not long. Everything is copied in pieces of fixed lengths, which takes half of the
/// time.
struct Usual<'a> {
    /// The value's text, and what stands behind it in memory.
    value: &'a [u8; USUAL_VALUE],
    length: usize,
    from: Text,
    to: Text,
}

impl<'a> Usual<'a> {
    /// What is behind the value.
    const BOUNDS: usize = 2 * Text::LENGTH + 1;
    /// The most that one takes.
    const LONGEST: usize = 2 + USUAL_VALUE + Self::BOUNDS;

    /// None: it is not usual.
    #[inline]
    fn of(value: Value<'a>, at: Timestamp, width: Millis, instants: &mut Instants) -> Option<Self> {
        let length = value.length;
        Some(Self {
            value: value.rest.first_chunk().filter(|_| length <= USUAL_VALUE)?,
            length,
            from: instants.usual(at)?,
            to: instants.usual(at.plus(width))?,
        })
    }

    #[inline]
    fn write(&self, text: &mut Vec<u8>) {
        let (bounds, end) = (2 + self.length, 2 + self.length + Self::BOUNDS);
        let before = text.len();
        // Written where it is to be: a processor waits before it copies what it has just composed.
        text.extend_from_slice(&[b']'; Self::LONGEST]);
        let point = &mut text[before..];
        point[..2].copy_from_slice(b",[");
        point[2..2 + USUAL_VALUE].copy_from_slice(self.value);
        self.from.copy_to(&mut point[bounds..][..Text::LENGTH]);
        self.to
            .copy_to(&mut point[bounds + Text::LENGTH..][..Text::LENGTH]);
        point[end - 1] = b']';
        text.truncate(before + end);
    }
}

/// What follows the last point.
fn end(telemetry: &Telemetry) -> &'static str {
    macro_rules! end {
        ($format:literal, $partial:literal, $kind:literal) => {
            concat!(
                r#"],"dataFormat":"#,
                $format,
                r#","isPartial":"#,
                $partial,
                r#","_type":""#,
                $kind,
                r#""},"_type":"MetricsResponse"}"#
            )
        };
    }
    macro_rules! raw {
        ($partial:literal) => {
            end!(r#"["value","timestamp"]"#, $partial, "RawMetricTelemetry")
        };
    }
    macro_rules! aggregated {
        ($partial:literal) => {
            end!(
                r#"["value","startTimestamp","endTimestamp"]"#,
                $partial,
                "AggregatedMetricTelemetry"
            )
        };
    }
    match (telemetry.bucket, telemetry.is_partial()) {
        (None, false) => raw!(false),
        (None, true) => raw!(true),
        (Some(_), false) => aggregated!(false),
        (Some(_), true) => aggregated!(true),
    }
}

/// How many bytes the answer has: its Content-Length.
fn length(telemetry: &Telemetry) -> u64 {
    let points = &telemetry.points;
    let count = points.len();
    let starts = digits_of(points.instants().iter().copied());
    let (ends, instants) = match telemetry.bucket {
        None => (0, 1),
        Some(width) => {
            let ends = points.instants().iter().map(|at| at.plus(width));
            (digits_of(ends), 2)
        }
    };
    // Brackets, a comma before each instant, and one between two points.
    let marks = count * (2 + instants) + count.saturating_sub(1);
    let values = points.text_length();
    (BEGIN.len() + values + starts + ends + marks + end(telemetry).len()) as u64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;
    use crate::execute::Missing;
    use crate::model::series::Samples;

    fn telemetry(points: &[(i64, String)], bucket: Option<Millis>) -> Telemetry {
        let mut samples = Samples::default();
        for (at, value) in points {
            samples.push(Timestamp(*at), value);
        }
        Telemetry {
            points: samples,
            bucket,
            missing: Missing {
                beyond_limit: true,
                ..Missing::default()
            },
            remarks: Vec::new(),
        }
    }

    /// Two points.
    fn two(bucket: Option<Millis>) -> Telemetry {
        let points = [(60_000, "0.10"), (120_000, "-3e+22")];
        telemetry(&points.map(|(at, value)| (at, value.to_owned())), bucket)
    }

    /// Its blocks. What is left is known before each.
    fn blocks(telemetry: Telemetry) -> Vec<Bytes> {
        let mut points = Points::new(telemetry);
        let (mut blocks, mut left) = (Vec::new(), points.left());
        while points.left() > 0 {
            let block = points.block();
            left -= block.len() as u64;
            assert_eq!(points.left(), left);
            blocks.push(block);
        }
        assert_eq!((left, points.block()), (0, Bytes::new()));
        blocks
    }

    fn read(telemetry: Telemetry) -> Value {
        serde_json::from_slice(&blocks(telemetry).concat()).expect("JSON")
    }

    #[test]
    fn raw_points_are_a_value_and_an_instant() {
        assert_eq!(
            read(two(None)),
            json!({
                "telemetry": {
                    "points": [[0.10, 60_000], [-3e22, 120_000]],
                    "dataFormat": ["value", "timestamp"], "isPartial": true,
                    "_type": "RawMetricTelemetry"
                },
                "_type": "MetricsResponse"
            })
        );
    }

    #[test]
    fn aggregated_points_are_a_value_and_the_bounds_of_a_bucket() {
        assert_eq!(
            read(two(Some(Millis(60_000)))),
            json!({
                "telemetry": {
                    "points": [[0.10, 60_000, 120_000], [-3e22, 120_000, 180_000]],
                    "dataFormat": ["value", "startTimestamp", "endTimestamp"], "isPartial": true,
                    "_type": "AggregatedMetricTelemetry"
                },
                "_type": "MetricsResponse"
            })
        );
    }

    #[test]
    fn values_are_copied_digit_for_digit() {
        let text = blocks(two(None)).concat();
        assert!(
            text.starts_with(br#"{"telemetry":{"points":[[0.10,60000],[-3e+22,120000]]"#),
            "{text:?}"
        );
    }

    #[test]
    fn a_large_answer_is_in_blocks_and_no_point_is_cut_in_two() {
        let point = |minute| {
            (
                1_700_000_000_000 + 60_000 * minute,
                "0.1234567890123456".to_owned(),
            )
        };
        let points: Vec<_> = (0_i64..30_000).map(point).collect();
        let answer = || telemetry(&points, Some(Millis(60_000)));
        let blocks = blocks(answer());
        let lengths: Vec<usize> = blocks.iter().map(Bytes::len).collect();
        assert_eq!(lengths.len(), 23);
        assert!(lengths.iter().all(|length| *length <= BLOCK), "{lengths:?}");
        assert!(
            blocks
                .iter()
                .all(|block| b"]}".contains(&block[block.len() - 1]))
        );
        let points = read(answer())["telemetry"]["points"].clone();
        let last = json!([
            0.123_456_789_012_345_6,
            1_701_799_940_000_i64,
            1_701_800_000_000_i64
        ]);
        let points = points.as_array().expect("points");
        assert_eq!((points.len(), &points[29_999]), (30_000, &last));
    }

    proptest! {
        #[test]
        fn an_answer_is_what_formatting_every_point_would_write_and_as_long_as_it_says(
            points in prop::collection::vec(
                (
                    prop_oneof![
                        1 => any::<i64>(),
                        1 => -2_i64..2,
                        1 => 999_999_999_990..1_000_000_000_010_i64,
                        1 => 9_999_999_999_990..10_000_000_000_010_i64,
                        4 => 1_700_000_000_000..1_700_200_000_000_i64,
                    ],
                    "-?[0-9]{1,30}",
                ),
                0..20,
            ),
            width in prop::option::of(1_i64..100_000_000_000),
        ) {
            let width = width.map(Millis);
            let point = |(at, value): &(i64, String)| match width {
                None => format!("[{value},{at}]"),
                Some(width) => format!("[{value},{at},{}]", Timestamp(*at).plus(width).0),
            };
            let formatted: Vec<_> = points.iter().map(point).collect();
            let answer = telemetry(&points, width);
            let expected = format!("{BEGIN}{}{}", formatted.join(","), end(&answer));
            // `blocks` looks at the length.
            let written = blocks(answer).concat();
            prop_assert_eq!(String::from_utf8(written).expect("a text"), expected);
        }
    }
}
