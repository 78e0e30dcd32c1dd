//! Raw points: what is stored, or what one stored sample says about the time since the one before.

use super::{Expected, Grid, Kind, Oracle, Value, between, points, several};
use crate::samples::{SCRAPE, Sample, Series};

/// The stored samples (or means, or rates) in `[start, end]`, both ends included.
pub(super) fn answer(oracle: &Oracle<'_>) -> Expected {
    let question = oracle.question;
    let (start, end) = (question.start, question.end);
    let values = match &question.kind {
        Kind::Gauge(name) => match oracle.matching(name)[..] {
            [one] => between(&one.samples, start, end + 1).to_vec(),
            _ => return several(),
        },
        Kind::Counter(name) => match oracle.matching(name)[..] {
            [one] => rates(one),
            _ => return several(),
        },
        Kind::Histogram(base) => {
            let native = oracle.native(base);
            let pods = oracle.pods(base, &native).len();
            match native[..] {
                _ if pods > 1 => return several(),
                [one] => means(
                    one.histograms.iter().map(|(at, _)| *at),
                    one.histograms.iter().map(|(_, histogram)| histogram.sum),
                    one.histograms
                        .iter()
                        .map(|(_, histogram)| histogram.count() as f64),
                ),
                [] => match sum_and_count(oracle, base) {
                    Some(means) => means,
                    None => return several(),
                },
                _ => return several(),
            }
        }
        Kind::Summary(base) => match sum_and_count(oracle, base) {
            Some(means) => means,
            None => return several(),
        },
        Kind::PromQl(expression) => {
            let first = (start + SCRAPE - 1).div_euclid(SCRAPE) * SCRAPE;
            let grid = Grid {
                start: first,
                end: end.div_euclid(SCRAPE) * SCRAPE,
                step: SCRAPE,
            };
            oracle.evaluate(*expression, grid)
        }
    };
    let inside = between(&values, start, end + 1).iter();
    points(inside.map(|sample| (sample.at, sample.at, Value::from(sample.value))))
}

/// Per second since the sample before; after a reset the counter began at zero.
fn rates(series: &Series) -> Vec<Sample> {
    let rate = |pair: &[Sample]| {
        let (before, now) = (pair[0], pair[1]);
        let grown = if now.value < before.value {
            now.value
        } else {
            now.value - before.value
        };
        Sample {
            at: now.at,
            value: grown / ((now.at - before.at) as f64 / 1000.0),
        }
    };
    series.samples.windows(2).map(rate).collect()
}

fn sum_and_count(oracle: &Oracle<'_>, base: &str) -> Option<Vec<Sample>> {
    let (sums, counts) = (
        oracle.matching(&format!("{base}_sum")),
        oracle.matching(&format!("{base}_count")),
    );
    let ([sum], [count]) = (&sums[..], &counts[..]) else {
        return None;
    };
    Some(means(
        sum.samples.iter().map(|sample| sample.at),
        sum.samples.iter().map(|sample| sample.value),
        count.samples.iter().map(|sample| sample.value),
    ))
}

/// The mean of the observations since the sample before: Δsum / Δcount, absolute after a reset of
/// the count. NaN where there were none.
fn means(
    at: impl Iterator<Item = i64>,
    sums: impl Iterator<Item = f64>,
    counts: impl Iterator<Item = f64>,
) -> Vec<Sample> {
    let all: Vec<(i64, f64, f64)> = at
        .zip(sums)
        .zip(counts)
        .map(|((at, sum), count)| (at, sum, count))
        .collect();
    let mean = |pair: &[(i64, f64, f64)]| {
        let ((_, sum_before, count_before), (at, sum, count)) = (pair[0], pair[1]);
        let value = if count < count_before {
            sum / count
        } else {
            (sum - sum_before) / (count - count_before)
        };
        Sample { at, value }
    };
    all.windows(2).map(mean).collect()
}
