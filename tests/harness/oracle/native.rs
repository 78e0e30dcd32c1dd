//! Arithmetic of native histograms as PromQL defines it.

use std::collections::BTreeMap;

use super::Value;
use crate::samples::NativeHistogram;

/// A native histogram of one schema with fractional counts, as rates have them.
#[derive(Clone, Debug, PartialEq)]
pub struct FloatHistogram {
    schema: i32,
    zero_threshold: f64,
    zero_count: f64,
    positive: BTreeMap<i32, f64>,
    negative: BTreeMap<i32, f64>,
    /// Number of observations.
    pub count: f64,
    /// Their sum.
    pub sum: f64,
}

impl From<&NativeHistogram> for FloatHistogram {
    fn from(stored: &NativeHistogram) -> Self {
        let floats = |counts: &BTreeMap<i32, u64>| {
            counts
                .iter()
                .map(|(index, count)| (*index, *count as f64))
                .collect()
        };
        Self {
            schema: stored.schema,
            zero_threshold: stored.zero_threshold,
            zero_count: stored.zero_count as f64,
            positive: floats(&stored.positive),
            negative: floats(&stored.negative),
            count: stored.count() as f64,
            sum: stored.sum,
        }
    }
}

impl FloatHistogram {
    /// Both together.
    #[must_use]
    pub fn plus(&self, other: &Self) -> Self {
        self.combine(other, 1.0)
    }

    /// What came since `other`.
    #[must_use]
    pub fn minus(&self, other: &Self) -> Self {
        self.combine(other, -1.0)
    }

    fn combine(&self, other: &Self, sign: f64) -> Self {
        let merge = |mine: &BTreeMap<i32, f64>, others: &BTreeMap<i32, f64>| {
            let mut merged = mine.clone();
            for (index, count) in others {
                *merged.entry(*index).or_default() += sign * count;
            }
            merged.retain(|_, count| *count != 0.0);
            merged
        };
        Self {
            schema: self.schema,
            zero_threshold: self.zero_threshold,
            zero_count: self.zero_count + sign * other.zero_count,
            positive: merge(&self.positive, &other.positive),
            negative: merge(&self.negative, &other.negative),
            count: self.count + sign * other.count,
            sum: self.sum + sign * other.sum,
        }
    }

    /// All of it multiplied.
    #[must_use]
    pub fn times(&self, factor: f64) -> Self {
        let scale = |counts: &BTreeMap<i32, f64>| {
            counts
                .iter()
                .map(|(index, count)| (*index, count * factor))
                .collect()
        };
        Self {
            zero_count: self.zero_count * factor,
            positive: scale(&self.positive),
            negative: scale(&self.negative),
            count: self.count * factor,
            sum: self.sum * factor,
            ..*self
        }
    }

    /// Whether the counter started again since `before`: something became less.
    #[must_use]
    pub fn is_reset_since(&self, before: &Self) -> bool {
        let less = |now: &BTreeMap<i32, f64>, then: &BTreeMap<i32, f64>| {
            then.iter()
                .any(|(index, count)| now.get(index).copied().unwrap_or(0.0) < *count)
        };
        self.count < before.count
            || self.zero_count < before.zero_count
            || less(&self.positive, &before.positive)
            || less(&self.negative, &before.negative)
    }

    /// Buckets from the lowest to the highest: lower bound, upper bound, count.
    fn buckets(&self) -> Vec<(f64, f64, f64)> {
        let bound = |index: i32| 2f64.powf(f64::from(index) / 2f64.powi(self.schema));
        let negative = self
            .negative
            .iter()
            .rev()
            .map(|(index, count)| (-bound(*index), -bound(*index - 1), *count));
        let zero = (self.zero_count > 0.0).then(|| {
            // With observations on one side only, the zero bucket is taken to be on that side too.
            let lower = if self.negative.is_empty() && !self.positive.is_empty() {
                0.0
            } else {
                -self.zero_threshold
            };
            let upper = if self.positive.is_empty() && !self.negative.is_empty() {
                0.0
            } else {
                self.zero_threshold
            };
            (lower, upper, self.zero_count)
        });
        let positive = self
            .positive
            .iter()
            .map(|(index, count)| (bound(*index - 1), bound(*index), *count));
        // Buckets next to zero are cut off by the zero bucket.
        let cut = |(lower, upper, count): (f64, f64, f64)| {
            let threshold = self.zero_threshold;
            let lower = if lower > 0.0 && lower < threshold {
                threshold
            } else {
                lower
            };
            let upper = if upper < 0.0 && upper > -threshold {
                -threshold
            } else {
                upper
            };
            (lower, upper, count)
        };
        negative
            .map(cut)
            .chain(zero)
            .chain(positive.map(cut))
            .collect()
    }

    /// The `q`-quantile: the bucket that holds rank `q · count`, and in it linear (Prometheus 2) or
    /// `exponential` (Prometheus 3, except in the zero bucket) interpolation.
    #[must_use]
    pub fn quantile(&self, q: f64, exponential: bool) -> Value {
        if self.count == 0.0 {
            return Value::from(f64::NAN);
        }
        let at_rank = |rank: f64| {
            let mut below = 0.0;
            let buckets = self.buckets();
            for (index, (lower, upper, count)) in buckets.iter().enumerate() {
                if below + count < rank && index + 1 < buckets.len() {
                    below += count;
                    continue;
                }
                let fraction = ((rank - below) / count).clamp(0.0, 1.0);
                return if exponential && (*lower > 0.0 || *upper < 0.0) {
                    // Linear between the logarithms.
                    lower.signum() * lower.abs().powf(1.0 - fraction) * upper.abs().powf(fraction)
                } else {
                    lower + (upper - lower) * fraction
                };
            }
            f64::NAN
        };
        let rank = q * self.count;
        let (below, above) = (at_rank(rank * (1.0 - 1e-12)), at_rank(rank * (1.0 + 1e-12)));
        let value = at_rank(rank);
        let jump = (above - below).abs() > 1e-9 * value.abs().max(self.zero_threshold);
        Value {
            value,
            // Inside the zero bucket a value is the difference of numbers of its width.
            scale: if value.abs() <= self.zero_threshold {
                self.zero_threshold
            } else {
                0.0
            },
            or: jump.then_some(if (value - below).abs() < (value - above).abs() {
                above
            } else {
                below
            }),
        }
    }
}
