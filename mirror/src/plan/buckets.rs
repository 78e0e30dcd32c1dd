//! Which buckets a time range has. A bucket is `[k·W, (k+1)·W)` in epoch milliseconds: it contains
//! its start and not its end.

use crate::model::time::{Millis, Timestamp};

/// Consecutive buckets of one width.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Buckets {
    width: i64,
    /// Index `k` of the first bucket.
    first: i64,
    count: u64,
}

impl Buckets {
    /// From the bucket that contains `start` to the last one that is over by both `end` and `now`.
    /// `width` is at least 1 ms.
    #[must_use]
    pub fn covering(start: Timestamp, end: Timestamp, now: Timestamp, width: Millis) -> Self {
        let width = width.0.max(1);
        let first = start.0.div_euclid(width);
        let after_last = end.min(now).0.div_euclid(width);
        Self {
            width,
            first,
            count: u64::try_from(after_last - first).unwrap_or(0),
        }
    }

    /// One bucket for each multiple of `step` from `start` to `end`, both included.
    #[must_use]
    pub fn multiples(start: Timestamp, end: Timestamp, step: Millis) -> Self {
        let width = step.0.max(1);
        let first = start.0.div_euclid(width) + i64::from(start.0.rem_euclid(width) != 0);
        let after_last = end.0.div_euclid(width) + 1;
        Self {
            width,
            first,
            count: u64::try_from(after_last - first).unwrap_or(0),
        }
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The length of each.
    #[must_use]
    pub fn width(&self) -> Millis {
        Millis(self.width)
    }

    /// The first instant of the first bucket.
    #[must_use]
    pub fn start(&self) -> Timestamp {
        Timestamp(self.first.saturating_mul(self.width))
    }

    /// The last instant of the last bucket.
    #[must_use]
    pub fn last_instant(&self) -> Timestamp {
        self.start_of(self.count).minus(Millis(1))
    }

    /// The start of the `index`th bucket of these.
    #[must_use]
    pub fn start_of(&self, index: u64) -> Timestamp {
        let index = self
            .first
            .saturating_add(i64::try_from(index).unwrap_or(i64::MAX));
        Timestamp(index.saturating_mul(self.width))
    }

    /// The start of the bucket that contains `at`, if it is one of these.
    #[must_use]
    pub fn start_containing(&self, at: Timestamp) -> Option<Timestamp> {
        let index = u64::try_from(at.0.div_euclid(self.width) - self.first).ok()?;
        (index < self.count).then(|| self.start_of(index))
    }

    /// The first `count` of these, and the rest.
    #[must_use]
    pub fn split_at(&self, count: u64) -> (Self, Self) {
        let count = count.min(self.count);
        let moved = i64::try_from(count).unwrap_or(i64::MAX);
        (
            Self { count, ..*self },
            Self {
                first: self.first.saturating_add(moved),
                count: self.count - count,
                ..*self
            },
        )
    }

    /// These without the buckets that end before `at` is reached.
    #[must_use]
    pub fn from_instant(&self, at: Timestamp) -> Self {
        let skipped = u64::try_from(at.0.div_euclid(self.width) - self.first).unwrap_or(0);
        self.split_at(skipped).1
    }
}

/// Finds the buckets of one instant after the other. Most lie in the bucket behind that of the
/// instant before, which needs no division.
#[derive(Clone, Copy, Debug)]
pub struct Cursor {
    buckets: Buckets,
    /// Where the bucket behind the last one found begins.
    next: Timestamp,
    /// Where the last one ends.
    end: Timestamp,
}

impl Cursor {
    /// One at the first bucket.
    #[must_use]
    pub fn over(buckets: Buckets) -> Self {
        Self {
            buckets,
            next: buckets.start(),
            end: buckets.start_of(buckets.count()),
        }
    }

    /// The same as [`Buckets::start_containing`].
    #[inline]
    pub fn start_containing(&mut self, at: Timestamp) -> Option<Timestamp> {
        let width = self.buckets.width();
        let is_next = self.next < self.end && at >= self.next && at.since(self.next) < width;
        let start = match is_next {
            true => self.next,
            false => self.buckets.start_containing(at)?,
        };
        self.next = start.plus(width);
        Some(start)
    }
}

/// Prometheus refuses range queries of more points.
pub const POINTS_PER_CALL: u64 = 11_000;

/// The evaluation instants of an expression: one for each bucket, at the same distance from the
/// bucket's start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grid {
    /// The buckets.
    pub buckets: Buckets,
    /// From a bucket's start to its evaluation.
    pub offset: Millis,
    /// Whether several range queries may share it.
    pub is_divisible: bool,
}

impl Grid {
    /// Each bucket is evaluated at its last millisecond.
    #[must_use]
    pub fn at_the_end_of(buckets: Buckets) -> Self {
        Self {
            buckets,
            offset: Millis(buckets.width().0 - 1),
            is_divisible: true,
        }
    }

    /// Each bucket is evaluated at its start.
    #[must_use]
    pub fn at_the_start_of(buckets: Buckets) -> Self {
        Self {
            buckets,
            offset: Millis(0),
            is_divisible: true,
        }
    }

    /// What is left of it from the bucket that begins at `start` on.
    #[must_use]
    pub fn from_instant(&self, start: Timestamp) -> Self {
        Self {
            buckets: self.buckets.from_instant(start),
            ..*self
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn minute_buckets(start: i64, end: i64, now: i64) -> Vec<(i64, i64)> {
        let buckets = Buckets::covering(
            Timestamp(start),
            Timestamp(end),
            Timestamp(now),
            Millis(60_000),
        );
        (0..buckets.count())
            .map(|index| (buckets.start_of(index).0, buckets.start_of(index + 1).0))
            .collect()
    }

    #[test]
    fn the_first_bucket_contains_the_start_and_the_last_is_over_by_the_end() {
        assert_eq!(
            minute_buckets(60_001, 180_000, i64::MAX),
            [(60_000, 120_000), (120_000, 180_000)]
        );
        assert_eq!(
            minute_buckets(60_001, 179_999, i64::MAX),
            [(60_000, 120_000)]
        );
    }

    #[test]
    fn a_bucket_that_is_not_over_now_is_not_there() {
        assert_eq!(
            minute_buckets(60_000, 300_000, 150_000),
            [(60_000, 120_000)]
        );
        assert_eq!(minute_buckets(60_000, 300_000, 100_000), []);
    }

    #[test]
    fn buckets_before_the_epoch_are_aligned_to_it_as_well() {
        assert_eq!(
            minute_buckets(-60_001, 0, i64::MAX),
            [(-120_000, -60_000), (-60_000, 0)]
        );
    }

    #[test]
    fn the_multiples_of_a_step_include_both_ends() {
        let of = |start, end| {
            let multiples = Buckets::multiples(Timestamp(start), Timestamp(end), Millis(10));
            (0..multiples.count())
                .map(|index| multiples.start_of(index).0)
                .collect::<Vec<_>>()
        };
        assert_eq!(of(10, 30), [10, 20, 30]);
        assert_eq!(of(11, 29), [20]);
        assert!(of(11, 19).is_empty());
    }

    proptest! {
        #[test]
        fn every_instant_of_the_range_that_is_in_a_finished_bucket_is_in_exactly_one(
            start in -10_000i64..10_000, length in 0i64..10_000, width in 1i64..500, offset in 0i64..10_000,
        ) {
            let (end, at) = (start + length, start + offset);
            let buckets = Buckets::covering(Timestamp(start), Timestamp(end), Timestamp(i64::MAX), Millis(width));
            let found = buckets.start_containing(Timestamp(at));
            let expected = Timestamp(at.div_euclid(width) * width);
            prop_assert_eq!(found, (expected.0 + width <= end).then_some(expected));
        }

        #[test]
        fn a_cursor_finds_the_same_buckets(
            count in 0_u64..9, at in prop::collection::vec(-40_i64..40, 0..20), steady in 0_i64..3,
        ) {
            let buckets = Buckets { width: 5, first: -3, count };
            let mut cursor = Cursor::over(buckets);
            let steadily = (0..10).map(|index| -15 + steady + 5 * index);
            for at in steadily.chain(at).map(Timestamp) {
                prop_assert_eq!(cursor.start_containing(at), buckets.start_containing(at));
            }
        }

        #[test]
        fn splitting_loses_and_repeats_no_bucket(count in 0u64..50, at in 0u64..60) {
            let all = Buckets { width: 7, first: -3, count };
            let (head, tail) = all.split_at(at);
            prop_assert_eq!(head.count() + tail.count(), count);
            prop_assert_eq!(head.start_of(head.count()), tail.start());
        }
    }
}
