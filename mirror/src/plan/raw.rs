//! The points of a query without an aggregation: the stored samples of a series, or the values of
//! an expression at the target's scrapes.

use super::buckets::{Buckets, Grid};
use super::expression::numeric;
use super::kind::QueryKind;
use super::selector::{Matcher, Selector};
use super::source::{MatchingSeries, Source};
use super::{MAX_POINTS, MetricQuery, Plan, PlanError, TargetFacts, value};
use crate::model::series::{HistogramSample, Samples};
use crate::model::time::{Millis, Timestamp};

/// The stored samples of one series of a kind, and what its points are.
#[derive(Clone, Debug, PartialEq)]
pub struct RawSamples {
    /// The series, in one call.
    pub selector: Selector,
    /// What becomes of its samples.
    pub points: RawPoints,
}

/// What becomes of stored samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RawPoints {
    /// Each is a point.
    Values,
    /// See [`rates`].
    Rates,
    /// See [`means`].
    Means,
}

impl RawPoints {
    /// What a point is, in words.
    #[must_use]
    pub fn meaning(self) -> &'static str {
        match self {
            Self::Values => "the stored samples",
            Self::Rates => "at each stored sample, the rate per second since the sample before it",
            Self::Means => {
                "at each stored sample, the mean of what was observed since the sample before it"
            }
        }
    }
}

/// The plan of a query of stored samples; none of an expression.
pub(super) fn stored(
    query: &MetricQuery,
    kind: QueryKind,
    scrape_interval: Millis,
    now: Timestamp,
) -> Option<Plan> {
    let (selector, points) = match &kind {
        QueryKind::Gauge(selector) => (selector.clone(), RawPoints::Values),
        QueryKind::Counter(selector) => (selector.clone(), RawPoints::Rates),
        // Sum, count and a native histogram's own series.
        QueryKind::Histogram(base) => {
            let all = base.with_any_suffix(&["", "_sum", "_count"]);
            (all, RawPoints::Means)
        }
        QueryKind::Summary(base) => {
            let all = base.with_any_suffix(&["_sum", "_count"]);
            (all, RawPoints::Means)
        }
        QueryKind::Expression { .. } => return None,
    };
    let end = query.end.min(now);
    // The scrapes of the range, as if they were buckets.
    let after = end.plus(scrape_interval);
    let scrapes = Buckets::covering(query.start, after, Timestamp(i64::MAX), scrape_interval);
    Some(Plan {
        kind,
        source: Source::Stored(RawSamples { selector, points }),
        grid: Grid::at_the_start_of(scrapes),
        bucket: None,
        start: query.start,
        end,
        looks_back: before(scrape_interval),
    })
}

/// The plan of an expression without an aggregation: its values at the target's scrapes.
///
/// # Errors
///
/// See [`PlanError`].
pub(super) fn expression(
    query: &MetricQuery,
    promql: &str,
    matchers: &[Matcher],
    target: &TargetFacts,
) -> Result<Plan, PlanError> {
    numeric(promql)?;
    let scrape = target.scrape_interval;
    let end = query.end.min(target.settled());
    let instants = Buckets::multiples(query.start, end, step(query.start, end, scrape));
    Plan {
        kind: query.kind.clone(),
        source: Source::Range {
            promql: promql.to_owned(),
            before: 0,
            matching: MatchingSeries::Refused(matchers.to_vec()),
        },
        grid: Grid::at_the_start_of(instants),
        bucket: None,
        start: query.start,
        end,
        looks_back: before(scrape),
    }
    .of_divisible_range()
}

/// How far before its start a range is read at once for the sample before it.
fn before(scrape_interval: Millis) -> Millis {
    Millis(scrape_interval.0.saturating_mul(4).max(300_000))
}

/// The distance of an expression's raw points: the scrape interval, a multiple of it where there
/// would be too many points.
fn step(start: Timestamp, end: Timestamp, scrape_interval: Millis) -> Millis {
    let points = (end.since(start).0.max(0) / scrape_interval.0.max(1)).unsigned_abs() + 1;
    let multiple = points.div_ceil(MAX_POINTS).cast_signed();
    Millis(scrape_interval.0.saturating_mul(multiple))
}

/// The per-second rate at each sample since the sample before it; the first has none. A value below
/// the one before it means that the counter started again from zero.
#[must_use]
pub fn rates(samples: &Samples) -> Samples {
    let mut rates = Samples::default();
    let mut before: Option<(Timestamp, f64)> = None;
    for (at, text) in samples.iter() {
        let value = value::parse(text);
        if let Some((earlier, previous)) = before {
            let increase = if value < previous {
                value
            } else {
                value - previous
            };
            #[expect(
                clippy::cast_precision_loss,
                reason = "the distance of two samples in ms is far below 2^52"
            )]
            let seconds = at.since(earlier).0 as f64 / 1000.0;
            rates.push(at, &value::write(increase / seconds));
        }
        before = Some((at, value));
    }
    rates
}

/// The mean of what was observed between a sample and the one before it. A smaller number of
/// observations than before means that the histogram started again. Without an observation there is
/// no mean: NaN.
#[must_use]
pub fn means(samples: &[HistogramSample]) -> Samples {
    let mut means = Samples::default();
    for pair in samples.windows(2) {
        let [before, now] = pair else { continue };
        let (sum, count) = if now.count < before.count {
            (now.sum, now.count)
        } else {
            (now.sum - before.sum, now.count - before.count)
        };
        means.push(now.at, &value::write(sum / count));
    }
    means
}

/// The samples of `<base>_sum` and `<base>_count` that were taken at the same instants.
#[must_use]
pub fn pairs<'a>(
    sums: impl Iterator<Item = (Timestamp, &'a str)>,
    counts: impl Iterator<Item = (Timestamp, &'a str)>,
) -> Vec<HistogramSample> {
    let mut counts = counts.peekable();
    sums.filter_map(|(at, sum)| {
        while counts.next_if(|(counted_at, _)| *counted_at < at).is_some() {}
        let (_, count) = counts.next_if(|(counted_at, _)| *counted_at == at)?;
        Some(HistogramSample {
            at,
            count: value::parse(count),
            sum: value::parse(sum),
        })
    })
    .collect()
}

/// The samples of one series that is a native histogram, a classic one, or both at once or one
/// after the other: of an instant that has both, the native one. Both are in the order of time.
#[must_use]
pub fn both_forms(
    native: Vec<HistogramSample>,
    classic: Vec<HistogramSample>,
) -> Vec<HistogramSample> {
    if native.is_empty() || classic.is_empty() {
        return if native.is_empty() { classic } else { native };
    }
    let mut all = Vec::with_capacity(native.len().max(classic.len()));
    let mut classic = classic.into_iter().peekable();
    for sample in native {
        while let Some(earlier) = classic.next_if(|classic| classic.at < sample.at) {
            all.push(earlier);
        }
        while classic.next_if(|classic| classic.at == sample.at).is_some() {}
        all.push(sample);
    }
    all.extend(classic);
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(list: &[(i64, &str)]) -> Samples {
        let mut samples = Samples::default();
        for (at, text) in list {
            samples.push(Timestamp(*at), text);
        }
        samples
    }

    #[test]
    fn a_rate_is_per_second_since_the_sample_before_and_survives_a_reset() {
        let counter = samples(&[(0, "10"), (2_000, "16"), (3_000, "5"), (3_500, "5")]);
        assert_eq!(
            rates(&counter),
            samples(&[(2_000, "3.0"), (3_000, "5.0"), (3_500, "0.0")])
        );
    }

    #[test]
    fn a_mean_is_of_the_observations_since_the_sample_before() {
        let histogram = pairs(
            samples(&[
                (0, "1"),
                (1_000, "7"),
                (2_000, "7"),
                (3_000, "2"),
                (4_000, "9"),
            ])
            .iter(),
            samples(&[
                (0, "1"),
                (1_000, "3"),
                (2_000, "3"),
                (3_000, "1"),
                (3_500, "2"),
            ])
            .iter(),
        );
        assert_eq!(
            means(&histogram),
            samples(&[(1_000, "3.0"), (2_000, "NaN"), (3_000, "2.0")])
        );
    }

    #[test]
    fn a_native_histogram_comes_before_a_classic_one_of_the_same_instant() {
        let of = |list: &[(i64, f64)]| -> Vec<HistogramSample> {
            let sample = |&(at, count): &(i64, f64)| HistogramSample {
                at: Timestamp(at),
                count,
                sum: 0.0,
            };
            list.iter().map(sample).collect()
        };
        let (native, classic) = (
            of(&[(2, 20.0), (4, 40.0)]),
            of(&[(1, 1.0), (2, 2.0), (3, 3.0), (5, 5.0)]),
        );
        let both = of(&[(1, 1.0), (2, 20.0), (3, 3.0), (4, 40.0), (5, 5.0)]);
        assert_eq!(both_forms(native.clone(), classic.clone()), both);
        assert_eq!(both_forms(native.clone(), Vec::new()), native);
        assert_eq!(both_forms(Vec::new(), classic.clone()), classic);
    }
}
