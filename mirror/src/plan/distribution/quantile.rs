//! The quantile of a classic histogram, as Prometheus 3 computes it (`promql/quantile.go`).

use std::cmp::Ordering;

/// Buckets whose counts differ by less than this share are equal: sums of floating-point numbers in
/// several orders differ by as little.
const INSIGNIFICANT: f64 = 1e-12;

/// A bucket of a classic histogram.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bucket {
    /// Its upper bound: the value of the label `le`.
    pub upper: f64,
    /// How much was observed up to that bound.
    pub count: f64,
}

/// The quantile of rank `rank`. NaN if there is none: no observation, or no bucket up to infinity.
#[must_use]
pub fn of_buckets(rank: f64, mut buckets: Vec<Bucket>) -> f64 {
    if rank.is_nan() {
        return f64::NAN;
    }
    if rank < 0.0 {
        return f64::NEG_INFINITY;
    }
    if rank > 1.0 {
        return f64::INFINITY;
    }
    buckets.retain(|bucket| !bucket.upper.is_nan());
    buckets.sort_by(|a, b| a.upper.partial_cmp(&b.upper).unwrap_or(Ordering::Equal));
    // Bounds that are written in two ways, such as 1 and 1.0.
    buckets.dedup_by(|next, kept| {
        #[expect(clippy::float_cmp, reason = "bounds are the same or not")]
        let is_same = next.upper == kept.upper;
        if is_same {
            kept.count += next.count;
        }
        is_same
    });
    make_monotonic(&mut buckets);
    let [lower @ .., last] = &buckets[..] else {
        return f64::NAN;
    };
    let (Some(highest), true) = (lower.last(), last.upper == f64::INFINITY) else {
        return f64::NAN;
    };
    if last.count == 0.0 {
        return f64::NAN;
    }
    let wanted = rank * last.count;
    let place = lower.partition_point(|bucket| {
        // A count that is no number never reaches it.
        bucket.count < wanted || bucket.count.is_nan() || wanted.is_nan()
    });
    let Some(bucket) = lower.get(place) else {
        return highest.upper;
    };
    let before = place.checked_sub(1).map(|before| lower[before]);
    match before {
        None if bucket.upper <= 0.0 => bucket.upper,
        None => bucket.upper * (wanted / bucket.count),
        Some(before) => {
            let share = (wanted - before.count) / (bucket.count - before.count);
            before.upper + (bucket.upper - before.upper) * share
        }
    }
}

/// No count is below the one before it.
fn make_monotonic(buckets: &mut [Bucket]) {
    let Some(mut before) = buckets.first().map(|bucket| bucket.count) else {
        return;
    };
    for bucket in &mut buckets[1..] {
        if bucket.count < before || are_almost_equal(bucket.count, before) {
            bucket.count = before;
        } else {
            before = bucket.count;
        }
    }
}

fn are_almost_equal(a: f64, b: f64) -> bool {
    if a == b || a.is_nan() && b.is_nan() {
        return true;
    }
    let (sum, difference) = (a.abs() + b.abs(), (a - b).abs());
    if a == 0.0 || b == 0.0 || sum < f64::MIN_POSITIVE {
        return difference < INSIGNIFICANT * f64::MIN_POSITIVE;
    }
    difference / sum.min(f64::MAX) < INSIGNIFICANT
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    const INF: f64 = f64::INFINITY;

    /// As Prometheus 3 answers; the tests on real servers compare more.
    #[rstest]
    #[case::interpolated(0.75, &[(1.0, 2.0), (2.0, 4.0), (INF, 4.0)], 1.5)]
    #[case::in_the_first(0.25, &[(1.0, 2.0), (2.0, 4.0), (INF, 4.0)], 0.5)]
    #[case::lowest(0.0, &[(1.0, 2.0), (INF, 4.0)], 0.0)]
    #[case::highest(1.0, &[(1.0, 2.0), (2.0, 4.0), (INF, 4.0)], 2.0)]
    #[case::above_all_bounds(0.9, &[(1.0, 2.0), (2.0, 3.0), (INF, 4.0)], 2.0)]
    #[case::first_bound_below_zero(0.1, &[(-1.0, 2.0), (INF, 4.0)], -1.0)]
    #[case::not_monotonic(0.75, &[(1.0, 2.0), (2.0, 1.0), (3.0, 4.0), (INF, 4.0)], 2.5)]
    #[case::in_any_order(0.75, &[(INF, 4.0), (2.0, 4.0), (1.0, 2.0)], 1.5)]
    #[case::one_bound_twice(0.5, &[(1.0, 1.0), (1.0, 1.0), (INF, 4.0)], 1.0)]
    #[case::rounded_sums(1.0, &[(1.0, 0.3), (2.0, 0.300_000_000_000_000_04), (INF, 0.3)], 1.0)]
    #[case::no_observation(0.5, &[(1.0, 0.0), (INF, 0.0)], f64::NAN)]
    #[case::no_bucket_to_infinity(0.5, &[(1.0, 1.0), (2.0, 2.0)], f64::NAN)]
    #[case::one_bucket(0.5, &[(INF, 2.0)], f64::NAN)]
    #[case::no_bucket(0.5, &[], f64::NAN)]
    #[case::no_rank(f64::NAN, &[(1.0, 1.0), (INF, 1.0)], f64::NAN)]
    #[case::rank_too_low(-0.1, &[(1.0, 1.0), (INF, 1.0)], -INF)]
    #[case::rank_too_high(1.1, &[(1.0, 1.0), (INF, 1.0)], INF)]
    fn a_quantile_is_that_of_prometheus(
        #[case] rank: f64,
        #[case] buckets: &[(f64, f64)],
        #[case] expected: f64,
    ) {
        let buckets = buckets.iter();
        let buckets = buckets.map(|(upper, count)| Bucket {
            upper: *upper,
            count: *count,
        });
        let found = of_buckets(rank, buckets.collect());
        assert_eq!(found.to_string(), expected.to_string());
    }
}
