//! VictoriaMetrics' own definitions, as MetricsQL's documentation and
//! `app/vmselect/promql/rollup.go` of 1.79 and 1.151 publish them.
//!
//! Nothing is extrapolated. A rollup knows the samples in its window and the one before, if that
//! one is not older than about one and a half scrape intervals, which VictoriaMetrics estimates
//! from the first samples that a query reads (1.79) or from the last ones (1.151): it reads from
//! five minutes and one window before the first evaluation on.

use super::prometheus::with_jump;
use super::{Grid, Store, Value, between};
use crate::samples::Sample;

/// Before the window of its first evaluation a query reads this much.
const SILENCE: i64 = 5 * 60_000;

/// The samples that a query of `window` over `grid` reads.
fn read(samples: &[Sample], grid: Grid, window: i64) -> &[Sample] {
    between(
        samples,
        grid.start - SILENCE - window.max(grid.step),
        grid.end + 1,
    )
}

/// How old the sample before the window may be: the 0.6-quantile of the first 20 intervals (of the
/// last 20 in 1.151) and some more, the more the shorter it is. In 1.151 one step where there is
/// one evaluation only.
fn longest_interval(store: Store, read: &[Sample], grid: Grid) -> i64 {
    let step = grid.step;
    let recent = store == Store::RecentVictoriaMetrics;
    if recent && grid.end - grid.start < step {
        return step;
    }
    let read = if recent {
        &read[read.len().saturating_sub(21)..]
    } else {
        read
    };
    let mut intervals: Vec<f64> = read
        .windows(2)
        .take(20)
        .map(|pair| (pair[1].at - pair[0].at) as f64)
        .collect();
    let interval = if intervals.is_empty() {
        step
    } else {
        intervals.sort_by(f64::total_cmp);
        super::quantile::quantile(0.6, intervals) as i64
    };
    let interval = if interval <= 0 { step } else { interval };
    match interval {
        ..=2_000 => interval * 5,
        2_001..=4_000 => interval * 3,
        4_001..=8_000 => interval * 2,
        8_001..=16_000 => interval + interval / 2,
        16_001..=32_000 => interval + interval / 4,
        _ => interval + interval / 8,
    }
}

/// How far back a plain selector looks: one step, or one longest interval if that is more.
#[must_use]
pub fn lookback(store: Store, samples: &[Sample], grid: Grid) -> i64 {
    grid.step
        .max(longest_interval(store, read(samples, grid, 0), grid))
}

/// Where a subquery `[window:step]` inside a query over `outer` is evaluated: multiples of `step`,
/// reading back as far as a query does.
#[must_use]
pub fn subquery_grid(outer: Grid, window: i64, step: i64) -> Grid {
    let start = outer.start - window - SILENCE - step;
    let end = outer.end + step;
    Grid {
        start: start.div_euclid(step) * step,
        end: (end + step - 1).div_euclid(step) * step,
        step,
    }
}

/// The samples with resets taken out: after one, what was before is added. A drop of less than an
/// eighth is taken for a glitch.
fn without_resets(samples: &[Sample]) -> Vec<Sample> {
    let mut added = 0.0;
    let mut before = samples.first().map_or(0.0, |sample| sample.value);
    samples
        .iter()
        .map(|sample| {
            if sample.value < before {
                let drop = before - sample.value;
                added += if drop * 8.0 < before { drop } else { before };
            }
            before = sample.value;
            Sample {
                at: sample.at,
                value: sample.value + added,
            }
        })
        .collect()
}

/// `rate(s[window])`: from the sample before the window, else from the first in it, to the last in
/// it.
#[must_use]
pub fn rates(store: Store, samples: &[Sample], grid: Grid, window: i64) -> Vec<Option<f64>> {
    let read = read(samples, grid, window);
    let longest = longest_interval(store, read, grid);
    let counter = without_resets(read);
    // A rate's window is never shorter than that in 1.79; 1.151 leaves a window that was asked for
    // as it is.
    let window = match store {
        Store::RecentVictoriaMetrics => window,
        _ => window.max(longest),
    };
    let rate = |at: i64| {
        let inside = between(&counter, at - window + 1, at + 1);
        match (before(&counter, at - window, longest), inside) {
            (Some(_), []) => Some(0.0),
            (Some(first), [.., last]) | (None, [first, .., last]) => {
                Some((last.value - first.value) / ((last.at - first.at) as f64 / 1000.0))
            }
            (None, _) => None,
        }
    };
    grid.times().map(rate).collect()
}

/// `increase(s[window])`: from the sample before the window, however old, to the last in it. A
/// series that begins in the window is taken to have begun at zero, unless its first value is large
/// against what follows.
#[must_use]
pub fn increases(store: Store, samples: &[Sample], grid: Grid, window: i64) -> Vec<Option<f64>> {
    let read = read(samples, grid, window);
    let longest = longest_interval(store, read, grid);
    let counter = without_resets(read);
    let increase = |at: i64| {
        let inside = between(&counter, at - window + 1, at + 1);
        let Some(last) = inside.last() else {
            // Nothing new since a recent sample is an increase of zero.
            return before(&counter, at - window, longest).map(|_| 0.0);
        };
        let begins = counter.partition_point(|sample| sample.at <= at - window);
        if let Some(previous) = counter[..begins].last() {
            return Some(last.value - previous.value);
        }
        let first = inside[0].value;
        let next = counter
            .get(begins + 1)
            .map_or(0.0, |next| next.value - first);
        let next = if next == 0.0 { 10.0 } else { next };
        let from_zero = first.abs() < 10.0 * (next.abs() + 1.0);
        Some(if from_zero {
            last.value
        } else {
            last.value - first
        })
    };
    grid.times().map(increase).collect()
}

/// The newest sample at or before `start`, if less than `longest` before it and not the last of
/// all: a series that has ended stays as it was.
fn before(counter: &[Sample], start: i64, longest: i64) -> Option<&Sample> {
    let later = counter.partition_point(|sample| sample.at <= start);
    let newest = counter[..later].last().filter(|_| later < counter.len());
    newest.filter(|sample| sample.at > start - longest)
}

/// `histogram_quantile`: empty buckets at the low end move the lower bound, a quantile in the last
/// bucket is its lower bound.
#[must_use]
pub fn classic_quantile(q: f64, buckets: &[(f64, f64)]) -> Value {
    let total = buckets.last().map_or(0.0, |(_, count)| *count);
    if total == 0.0 {
        return Value::from(f64::NAN);
    }
    let at_rank = |rank: f64| {
        let (mut lower, mut below) = (0.0, 0.0);
        for (upper, count) in buckets {
            if *count <= 0.0 {
                lower = *upper;
            } else if *count < rank {
                (lower, below) = (*upper, *count);
            } else if upper.is_infinite() {
                break;
            } else if *count == below {
                return lower;
            } else {
                return lower + (upper - lower) * (rank - below) / (count - below);
            }
        }
        buckets
            .iter()
            .rev()
            .map(|(upper, _)| *upper)
            .find(|upper| upper.is_finite())
            .unwrap_or(f64::NAN)
    };
    with_jump(at_rank, q * total)
}
