//! What must hold for the points of any answer, whatever the metric is.

use std::collections::BTreeMap;

use super::answer::{Findings, Telemetry};
use super::finding::{Fault, Note};
use super::wire::MetricQuery;

/// The values of raw points by their timestamp, or of buckets by their start.
pub(super) type Points = BTreeMap<i64, f64>;

/// Stores add up several series in an order of their own, which may move the last digits.
const SAME: f64 = 1e-9;

/// Holds points against the query that they answer.
pub(super) fn examine(telemetry: &Telemetry, query: &MetricQuery, found: &mut Findings) -> Points {
    let points = &telemetry.points;
    let range = query.range;
    if u64::try_from(points.len()).unwrap_or(u64::MAX) > query.limit {
        found.add(Fault::LimitExceeded, || {
            format!("{} points, the limit is {}", points.len(), query.limit)
        });
    }
    if let Some(pair) = points.windows(2).find(|pair| pair[1].start < pair[0].start) {
        found.add(Fault::PointsUnsorted, || {
            format!("{} comes after {}", pair[1].start, pair[0].start)
        });
    }
    let mut known = Points::new();
    for point in points {
        if known.insert(point.start, point.value).is_some() {
            found.add(Fault::PointsDuplicate, || {
                format!("{} comes twice", point.start)
            });
        }
    }
    for point in points {
        // Not as the answer has it: a wrong end is a fault of its own.
        let outside = || {
            format!(
                "{} is not between {} and {}",
                point.start, range.start, range.end
            )
        };
        let Some(width) = query.aggregation.map(|one| one.bucket_size_millis) else {
            if !(range.start..=range.end).contains(&point.start) {
                found.add(Fault::PointOutsideRange, outside);
            }
            continue;
        };
        let length = point.end.saturating_sub(point.start);
        if length != width {
            found.add(Fault::BucketWidth, || {
                format!(
                    "the bucket at {} is {length} ms long, not {width}",
                    point.start
                )
            });
        }
        if point.start.rem_euclid(width) != 0 {
            found.add(Fault::BucketUnaligned, || {
                format!(
                    "the bucket at {} does not start at a multiple of {width} ms",
                    point.start
                )
            });
        }
        let end = point.start.saturating_add(width);
        if point.start > range.end || end <= range.start {
            found.add(Fault::PointOutsideRange, outside);
        } else if end > range.end {
            found.add(Note::BucketUnfinished, || {
                format!("the bucket at {} ends after {}", point.start, range.end)
            });
        }
    }
    known
}

/// Two values of the same bucket.
pub(super) fn is_same(one: f64, other: f64) -> bool {
    (one - other).abs() <= SAME * one.abs().max(other.abs())
}

/// The first bucket that both ranges have to have and that is not the same, in words: those that
/// start in `from..` and end by `until`.
pub(super) fn change(
    earlier: &Points,
    later: &Points,
    width: i64,
    from: i64,
    until: i64,
) -> Option<String> {
    let last = until.saturating_sub(width);
    if from > last {
        return None;
    }
    let gone = earlier
        .range(from..=last)
        .find_map(|(start, was)| match later.get(start) {
            None => Some(format!("the bucket at {start} was {was} and is gone")),
            Some(is) if !is_same(*was, *is) => {
                Some(format!("the bucket at {start} was {was} and is {is}"))
            }
            Some(_) => None,
        });
    gone.or_else(|| {
        let (start, is) = later
            .range(from..=last)
            .find(|(start, _)| !earlier.contains_key(start))?;
        Some(format!("the bucket at {start} was absent and is {is}"))
    })
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::conform::answer::Point;
    use crate::conform::wire::{Aggregation, Range};

    fn found(points: &[(i64, i64)], limit: u64, width: Option<i64>) -> Vec<&'static str> {
        let points = points.iter().map(|&(start, end)| Point {
            value: 1.0,
            start,
            end,
        });
        let telemetry = Telemetry {
            points: points.collect(),
            is_partial: false,
            is_sound: true,
        };
        let query = MetricQuery {
            conditions: Vec::new(),
            range: Range {
                start: 90,
                end: 300,
            },
            limit,
            aggregation: width.map(|width| Aggregation::new("MEAN", width)),
        };
        let mut found = Findings::default();
        examine(&telemetry, &query, &mut found);
        found.0.iter().map(|(what, _)| what.name()).collect()
    }

    #[rstest]
    #[case(&[(60, 120), (120, 180), (240, 300)], &[])]
    #[case(&[(120, 180), (60, 120)], &["points-unsorted"])]
    #[case(&[(120, 180), (120, 180)], &["points-duplicate"])]
    #[case(&[(0, 60)], &["point-outside-range"])]
    #[case(&[(360, 420)], &["point-outside-range"])]
    #[case(&[(60, 90)], &["bucket-width"])]
    #[case(&[(90, 150)], &["bucket-unaligned"])]
    #[case(&[(300, 360)], &["bucket-unfinished"])]
    #[case(&[(60, 120), (120, 180), (180, 240), (240, 300), (300, 360)], &["limit-exceeded", "bucket-unfinished"])]
    #[case(&[(i64::MAX - 7, i64::MIN)], &["bucket-width", "point-outside-range"])]
    fn each_breach_of_buckets_is_named(
        #[case] points: &[(i64, i64)],
        #[case] expected: &[&'static str],
    ) {
        assert_eq!(found(points, 4, Some(60)), expected);
    }

    #[rstest]
    #[case(&[(90, 90), (300, 300)], &[])]
    #[case(&[(89, 89)], &["point-outside-range"])]
    #[case(&[(301, 301)], &["point-outside-range"])]
    #[case(&[(100, 100), (99, 99)], &["points-unsorted"])]
    fn each_breach_of_raw_points_is_named(
        #[case] points: &[(i64, i64)],
        #[case] expected: &[&'static str],
    ) {
        assert_eq!(found(points, 4, None), expected);
    }

    #[test]
    fn a_bucket_that_both_ranges_have_must_not_change() {
        let points = |values: &[(i64, f64)]| values.iter().copied().collect::<Points>();
        let earlier = points(&[(0, 1.0), (60, 2.0), (120, 3.0)]);
        let compare = |later: &Points| change(&earlier, later, 60, 60, 180);
        // The first is no longer asked for, the fourth was not over.
        let same = points(&[(60, 2.0), (120, 3.0 + 1e-12), (180, 4.0)]);
        assert_eq!(compare(&same), None);
        for (later, expected) in [
            (
                points(&[(60, 2.5), (120, 3.0)]),
                "the bucket at 60 was 2 and is 2.5",
            ),
            (points(&[(60, 2.0)]), "the bucket at 120 was 3 and is gone"),
        ] {
            assert_eq!(compare(&later).as_deref(), Some(expected));
        }
        let absent = change(&points(&[(60, 2.0)]), &earlier, 60, 60, 180);
        assert_eq!(
            absent.as_deref(),
            Some("the bucket at 120 was absent and is 3")
        );
        assert_eq!(change(&earlier, &same, 60, 200, 180), None);
    }
}
