//! Prometheus' own definitions, as its documentation and `promql/functions.go` and
//! `promql/quantile.go` publish them.

use super::native::FloatHistogram;
use super::{Grid, Store, Value, between};
use crate::samples::{NativeHistogram, Sample};

/// Length of the range that selects a window of `window` ms, which a `rate` extrapolates to and
/// divides by: one less where ranges are closed.
#[must_use]
pub fn range(store: Store, window: i64) -> i64 {
    if store == Store::Prometheus2 {
        window - 1
    } else {
        window
    }
}

/// The increase over `window` at the times of `grid`, extrapolated to both edges of the window;
/// none where it holds fewer than two samples.
#[must_use]
pub fn increases(store: Store, samples: &[Sample], grid: Grid, window: i64) -> Vec<Option<f64>> {
    growths(store, samples, grid, window, window)
}

/// `rate(s[range])` at the times of `grid`, where the range holds the samples of `window`.
#[must_use]
pub fn rates(store: Store, samples: &[Sample], grid: Grid, window: i64) -> Vec<Option<f64>> {
    let range = range(store, window);
    let growths = growths(store, samples, grid, window, range).into_iter();
    growths
        .map(|growth| growth.map(|growth| growth / (range as f64 / 1000.0)))
        .collect()
}

/// The growth of the samples in `window`, extrapolated to both edges of `range`.
fn growths(
    store: Store,
    samples: &[Sample],
    grid: Grid,
    window: i64,
    range: i64,
) -> Vec<Option<f64>> {
    // Thanos takes resets out as it reads a counter, before its engine sees it: a window that
    // begins after a restart begins with the whole of what was counted before, too, and so far from
    // zero (`ApplyCounterResetsSeriesIterator`).
    let without_resets = (store == Store::Thanos).then(|| without_resets(samples));
    let samples = without_resets.as_deref().unwrap_or(samples);
    grid.times()
        .map(|at| {
            let inside = between(samples, at - window + 1, at + 1);
            let [first, .., last] = inside else {
                return None;
            };
            let resets: f64 = inside
                .windows(2)
                .filter(|pair| pair[1].value < pair[0].value)
                .map(|pair| pair[0].value)
                .sum();
            let grown = last.value - first.value + resets;
            let times = Times {
                from: at - range,
                first: first.at,
                last: last.at,
                to: at,
                samples: inside.len(),
            };
            // How long ago, before the first sample, the counter would have been zero at this
            // slope.
            let since_zero = (grown > 0.0 && first.value >= 0.0)
                .then(|| times.sampled() * (first.value / grown));
            Some(grown * times.extrapolation(since_zero, store == Store::Prometheus2))
        })
        .collect()
}

/// The counter with what was before each reset added to all that follows.
fn without_resets(samples: &[Sample]) -> Vec<Sample> {
    let (mut added, mut before) = (0.0, f64::NEG_INFINITY);
    samples
        .iter()
        .map(|sample| {
            if sample.value < before {
                added += before;
            }
            before = sample.value;
            Sample {
                at: sample.at,
                value: sample.value + added,
            }
        })
        .collect()
}

/// The same for a native histogram, extrapolated to the edges of `range`. Prometheus 2 (`closed`)
/// doesn't stop at the counter's zero here.
#[must_use]
pub fn histogram_increase(
    histograms: &[(i64, NativeHistogram)],
    at: i64,
    window: i64,
    range: i64,
    closed: bool,
) -> Option<FloatHistogram> {
    let low = histograms.partition_point(|(when, _)| *when <= at - window);
    let high = histograms.partition_point(|(when, _)| *when <= at);
    let inside: Vec<(i64, FloatHistogram)> = histograms[low..high]
        .iter()
        .map(|(when, histogram)| (*when, histogram.into()))
        .collect();
    let [(first_at, first), .., (last_at, last)] = &inside[..] else {
        return None;
    };
    let mut grown = last.minus(first);
    for pair in inside.windows(2) {
        if pair[1].1.is_reset_since(&pair[0].1) {
            grown = grown.plus(&pair[0].1);
        }
    }
    let times = Times {
        from: at - range,
        first: *first_at,
        last: *last_at,
        to: at,
        samples: inside.len(),
    };
    let since_zero =
        (!closed && grown.count > 0.0).then(|| times.sampled() * (first.count / grown.count));
    Some(grown.times(times.extrapolation(since_zero, closed)))
}

/// A window and the samples in it.
struct Times {
    from: i64,
    first: i64,
    last: i64,
    to: i64,
    samples: usize,
}

impl Times {
    /// Seconds from the first sample to the last.
    fn sampled(&self) -> f64 {
        (self.last - self.first) as f64 / 1000.0
    }

    /// By how much the growth between first and last sample is stretched to the window's edges: all
    /// the way if an edge is nearer than 1.1 average intervals, else by half an interval, and never
    /// beyond the point where the counter would have been zero.
    ///
    /// Prometheus 2 (`zero_first`) looks at that point before it looks at the distance, Prometheus
    /// 3 after.
    fn extrapolation(&self, since_zero: Option<f64>, zero_first: bool) -> f64 {
        let sampled = self.sampled();
        let average = sampled / (self.samples as f64 - 1.0);
        let near = |distance: f64| {
            if distance < average * 1.1 {
                distance
            } else {
                average / 2.0
            }
        };
        let since_zero = since_zero.unwrap_or(f64::INFINITY);
        let to_start = (self.first - self.from) as f64 / 1000.0;
        let to_end = (self.to - self.last) as f64 / 1000.0;
        let before = if zero_first {
            near(to_start.min(since_zero))
        } else {
            near(to_start).min(since_zero)
        };
        (sampled + before + near(to_end)) / sampled
    }
}

/// `histogram_quantile` of classic buckets: upper bound and cumulative count, ascending.
#[must_use]
pub fn classic_quantile(q: f64, buckets: &[(f64, f64)]) -> Value {
    let (Some((f64::INFINITY, total)), true) = (buckets.last().copied(), buckets.len() >= 2) else {
        return Value::from(f64::NAN);
    };
    if total == 0.0 {
        return Value::from(f64::NAN);
    }
    // Counts can only grow with the bound; differences in the last bits are none.
    let mut counts = Vec::with_capacity(buckets.len());
    let mut highest = buckets[0].1;
    for (_, count) in buckets {
        if *count > highest * (1.0 + 1e-12) {
            highest = *count;
        }
        counts.push(highest);
    }
    let last = buckets.len() - 1;
    let at_rank = |rank: f64| {
        let index = counts[..last]
            .iter()
            .position(|count| *count >= rank)
            .unwrap_or(last);
        if index == last {
            return buckets[last - 1].0;
        }
        let upper = buckets[index].0;
        if index == 0 && upper <= 0.0 {
            return upper;
        }
        let (lower, below) = if index == 0 {
            (0.0, 0.0)
        } else {
            (buckets[index - 1].0, counts[index - 1])
        };
        // 0/0, and so NaN, for rank 0 where the first bucket is empty.
        lower + (upper - lower) * ((rank - below) / (counts[index] - below))
    };
    with_jump(at_rank, q * total)
}

/// The value at `rank`, and the other one if the last bits of `rank` decide between two.
pub(super) fn with_jump(at_rank: impl Fn(f64) -> f64, rank: f64) -> Value {
    let value = at_rank(rank);
    let other = [at_rank(rank * (1.0 - 1e-12)), at_rank(rank * (1.0 + 1e-12))]
        .into_iter()
        .find(|other| (other - value).abs() > 1e-9 * value.abs());
    Value {
        value,
        or: other,
        scale: 0.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counter(values: &[(i64, f64)]) -> Vec<Sample> {
        values
            .iter()
            .map(|(seconds, value)| Sample {
                at: seconds * 1000,
                value: *value,
            })
            .collect()
    }

    fn increase(store: Store, samples: &[Sample], at: i64, window: i64) -> Option<f64> {
        increases(
            store,
            samples,
            Grid {
                start: at,
                end: at,
                step: 1,
            },
            window,
        )[0]
    }

    #[test]
    fn an_increase_is_that_of_the_whole_window_also_where_its_range_is_a_millisecond_shorter() {
        let samples = counter(&[
            (10, 100.0),
            (20, 110.0),
            (30, 120.0),
            (40, 130.0),
            (50, 140.0),
        ]);
        let grid = Grid {
            start: 60_000,
            end: 60_000,
            step: 1,
        };
        for store in [Store::Prometheus2, Store::Prometheus3] {
            assert_eq!(increase(store, &samples, 60_000, 60_000), Some(60.0));
        }
        // What `increase(s[59999ms])` answers is short by 1 ms of 60 s.
        let short = growths(Store::Prometheus2, &samples, grid, 60_000, 59_999)[0];
        assert!(short.is_some_and(|short| (short - 60.0 * 59_999.0 / 60_000.0).abs() < 1e-12));
        let rate = rates(Store::Prometheus2, &samples, grid, 60_000)[0];
        assert!(rate.is_some_and(|rate| (rate - 1.0).abs() < 1e-12));
    }

    #[test]
    fn growth_is_stretched_to_edges_that_are_near() {
        // 10 to 50 s grow by 40; both edges are 10 s away, less than 1.1 intervals.
        let samples = counter(&[
            (10, 100.0),
            (20, 110.0),
            (30, 120.0),
            (40, 130.0),
            (50, 140.0),
        ]);
        assert_eq!(
            increase(Store::Prometheus3, &samples, 60_000, 60_000),
            Some(60.0)
        );
    }

    #[test]
    fn growth_is_stretched_by_half_an_interval_to_edges_that_are_far() {
        let samples = counter(&[(10, 100.0), (20, 110.0), (30, 120.0)]);
        assert_eq!(
            increase(Store::Prometheus3, &samples, 60_000, 60_000),
            Some(20.0 * 35.0 / 20.0)
        );
    }

    #[test]
    fn a_counter_is_not_stretched_below_zero() {
        // At 1 a second, 2 at 10 s were 0 at 8 s.
        let samples = counter(&[(10, 2.0), (20, 12.0), (30, 22.0)]);
        assert_eq!(
            increase(Store::Prometheus3, &samples, 30_000, 30_000),
            Some(20.0 * 22.0 / 20.0)
        );
    }

    #[test]
    fn a_reset_begins_at_zero() {
        let samples = counter(&[(0, 100.0), (10, 110.0), (20, 5.0), (30, 15.0)]);
        let grid = Grid {
            start: 30_000,
            end: 30_000,
            step: 1,
        };
        let growths = growths(Store::Prometheus2, &samples, grid, 30_001, 30_000);
        assert_eq!(growths, [Some(25.0)]);
    }

    #[test]
    fn after_a_restart_thanos_stretches_a_counter_beyond_its_zero() {
        // 2 at 10 s were 0 at 8 s; for Thanos they are 102, which were 0 long ago.
        let samples = counter(&[(0, 100.0), (10, 2.0), (20, 12.0), (30, 22.0)]);
        let increase = |store| increase(store, &samples, 30_000, 29_000);
        assert_eq!(increase(Store::Prometheus3), Some(20.0 * 22.0 / 20.0));
        assert_eq!(increase(Store::Thanos), Some(20.0 * 29.0 / 20.0));
    }

    #[test]
    fn one_sample_has_no_increase() {
        assert_eq!(
            increase(Store::Prometheus3, &counter(&[(10, 2.0)]), 30_000, 30_000),
            None
        );
    }
}
