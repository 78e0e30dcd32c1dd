//! What the mirror has to answer, computed from the raw samples.
//!
//! This module shares no code with the mirror and asks no server: it is arithmetic over
//! [`crate::samples`]. A reader who trusts this folder can trust the mirror's numbers, so it is
//! written to be read:
//!
//! - this file: buckets, the query kinds, and which points a question has;
//! - [`prometheus`]: what `rate`, `increase` and `histogram_quantile` are in Prometheus 2.42, 3.10,
//!   Mimir and Thanos (extrapolation to the window's edges);
//! - [`victoriametrics`]: what they are in VictoriaMetrics 1.79 and 1.151 (no extrapolation, the
//!   sample before the window counts);
//! - [`native`]: arithmetic of native histograms;
//! - [`quantile`]: quantiles of plain numbers.
//!
//! All times are milliseconds. A window of length `R` evaluated at `t` holds the samples in `(t −
//! R, t]`. Prometheus 2, whose ranges are closed, is asked for rates over `R − 1` ms: the same
//! samples, but 1 ms less to extrapolate to. An increase is that over `R`.

pub mod native;
pub mod prometheus;
pub mod quantile;
mod raw;
pub mod victoriametrics;

use std::collections::BTreeMap;

use crate::samples::{SCRAPE, Sample, Series};
use native::FloatHistogram;

/// A store whose published rules the oracle follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Store {
    /// Prometheus 2.42: closed ranges, native histograms interpolated linearly.
    Prometheus2,
    /// Prometheus 3.10: left-open ranges, native histograms interpolated exponentially.
    Prometheus3,
    /// VictoriaMetrics 1.79: left-open ranges, no extrapolation, no native histograms.
    VictoriaMetrics,
    /// VictoriaMetrics 1.151: the same but for how it judges intervals between scrapes.
    RecentVictoriaMetrics,
    /// Thanos Query 0.42 over two replicas of Prometheus 3.10, deduplicated with
    /// `--deduplication.func=chain`: Prometheus 3's language, but for counters that restart.
    Thanos,
    /// Mimir, its main branch of 2026-04-23, in one process: Prometheus 3's language, in an engine
    /// of its own.
    Mimir,
}

impl Store {
    /// What the tables call it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Prometheus2 => "Prometheus 2.42",
            Self::Prometheus3 => "Prometheus 3.10",
            Self::VictoriaMetrics => "VictoriaMetrics 1.79",
            Self::RecentVictoriaMetrics => "VictoriaMetrics 1.151",
            Self::Thanos => "Thanos 0.42",
            Self::Mimir => "Mimir of April 2026",
        }
    }

    /// Whether it follows MetricsQL rather than PromQL.
    #[must_use]
    pub fn is_victoriametrics(self) -> bool {
        matches!(self, Self::VictoriaMetrics | Self::RecentVictoriaMetrics)
    }

    /// The query language's NaN: Prometheus answers it, VictoriaMetrics leaves the point out.
    fn answers_nan(self) -> bool {
        !self.is_victoriametrics()
    }
}

/// A query kind, as the condition that chooses it.
#[derive(Clone, Debug, PartialEq)]
pub enum Kind {
    /// `__gauge__`
    Gauge(&'static str),
    /// `__counter__`
    Counter(&'static str),
    /// `__histogram__`
    Histogram(&'static str),
    /// `__summary__`
    Summary(&'static str),
    /// `~`
    PromQl(Expression),
}

/// The PromQL expressions that the oracle can evaluate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Expression {
    /// `2 * room_temperature`: one series, the newest sample that is not too old.
    TwiceTheTemperature,
    /// `max(max_over_time(load[2m]))`: over several series and a window that the user wrote.
    LargestLoad,
}

impl Expression {
    /// As the user writes it.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Self::TwiceTheTemperature => "2 * room_temperature",
            Self::LargestLoad => "max(max_over_time(load[2m]))",
        }
    }
}

/// The fourteen aggregation methods, in the order of the tables.
pub const METHODS: [&str; 14] = [
    "MEAN",
    "MIN",
    "MAX",
    "SUM",
    "SUM_NO_ZEROS",
    "EVENT_COUNT",
    "EVENT_COUNT_NO_ZEROS",
    "PERCENTILE_25",
    "PERCENTILE_50",
    "PERCENTILE_75",
    "PERCENTILE_90",
    "PERCENTILE_95",
    "PERCENTILE_98",
    "PERCENTILE_99",
];

/// What a method asks of a bucket's observations.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Method {
    Mean,
    Min,
    Max,
    Sum,
    Count,
    /// Per mille, so that it compares exactly.
    Percentile(u32),
}

impl Method {
    fn parse(name: &str) -> Self {
        match name {
            "MEAN" => Self::Mean,
            "MIN" => Self::Min,
            "MAX" => Self::Max,
            "SUM" | "SUM_NO_ZEROS" => Self::Sum,
            "EVENT_COUNT" | "EVENT_COUNT_NO_ZEROS" => Self::Count,
            _ => {
                let percent = name
                    .strip_prefix("PERCENTILE_")
                    .and_then(|digits| digits.parse::<u32>().ok());
                Self::Percentile(percent.map_or(0, |percent| percent * 10))
            }
        }
    }

    /// The quantile that MIN, MAX and the percentiles are.
    fn quantile(self) -> Option<f64> {
        match self {
            Self::Min => Some(0.0),
            Self::Max => Some(1.0),
            Self::Percentile(per_mille) => Some(f64::from(per_mille) / 1000.0),
            Self::Mean | Self::Sum | Self::Count => None,
        }
    }
}

/// A question to the mirror.
#[derive(Clone, Debug, PartialEq)]
pub struct Question {
    /// Query kind and metric.
    pub kind: Kind,
    /// Label conditions; a series matches if each label has one of the values.
    pub conditions: Vec<(&'static str, Vec<&'static str>)>,
    /// `startTime`
    pub start: i64,
    /// `endTime`
    pub end: i64,
    /// Method and `bucketSizeMillis`; raw if absent.
    pub aggregation: Option<(&'static str, i64)>,
}

/// A point of an answer. A raw point begins and ends at its timestamp.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// Start of its bucket.
    pub start: i64,
    /// End of its bucket, which is the next one's start.
    pub end: i64,
    /// Its value.
    pub value: f64,
    /// The value on the other side, where a quantile falls exactly on an empty bucket of a
    /// histogram: the last bit of the sum decides between the two ends of the gap, and stores sum
    /// in an order of their own.
    pub or: Option<f64>,
    /// Deviations are relative to the larger of the value and this: the size of what was subtracted
    /// to get a value near zero.
    pub scale: f64,
}

/// What the mirror has to answer.
#[derive(Clone, Debug, PartialEq)]
pub enum Expected {
    /// These points, ascending.
    Points {
        /// The points.
        points: Vec<Point>,
        /// Whether something had to be left out (±Inf has no JSON).
        partial: bool,
    },
    /// An error of this `_type` and status.
    Error {
        /// `_type`
        kind: &'static str,
        /// HTTP status.
        status: u16,
    },
    /// The store cannot hold or say this; why.
    NotRepresentable(&'static str),
}

/// A value that may sit at a jump; see [`Point::or`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Value {
    /// The value.
    pub value: f64,
    /// The one on the other side of the jump.
    pub or: Option<f64>,
    /// See [`Point::scale`].
    pub scale: f64,
}

impl From<f64> for Value {
    fn from(value: f64) -> Self {
        Self {
            value,
            or: None,
            scale: 0.0,
        }
    }
}

/// Evaluation times `start`, `start + step`, … up to `end`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Grid {
    /// The first.
    pub start: i64,
    /// None is later.
    pub end: i64,
    /// Distance.
    pub step: i64,
}

impl Grid {
    /// The times.
    pub fn times(self) -> impl Iterator<Item = i64> {
        (self.start..=self.end).step_by(usize::try_from(self.step).unwrap_or(usize::MAX))
    }
}

/// The buckets of a question, `[start, start + width)` each.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Buckets {
    first: i64,
    past_last: i64,
    width: i64,
}

impl Buckets {
    /// From the one that contains `start` to the last that is over by `end`.
    fn new(start: i64, end: i64, width: i64) -> Self {
        Self {
            first: start.div_euclid(width) * width,
            past_last: end.div_euclid(width) * width,
            width,
        }
    }

    fn starts(self) -> impl Iterator<Item = i64> {
        (self.first..self.past_last).step_by(usize::try_from(self.width).unwrap_or(usize::MAX))
    }

    /// Evaluation times: the last millisecond of each.
    fn grid(self) -> Grid {
        Grid {
            start: self.first + self.width - 1,
            end: self.past_last - 1,
            step: self.width,
        }
    }
}

/// The samples in `[from, to)` of an ascending list.
fn between(samples: &[Sample], from: i64, to: i64) -> &[Sample] {
    let low = samples.partition_point(|sample| sample.at < from);
    let high = samples.partition_point(|sample| sample.at < to);
    &samples[low..high.max(low)]
}

/// What a store keeps of the samples: VictoriaMetrics documents that it drops NaN, and 1.79 knows
/// no native histograms. 1.151 takes them apart; none are loaded there, see
/// [`crate::servers::load`].
#[must_use]
pub fn as_stored(store: Store, mut all: Vec<Series>) -> Vec<Series> {
    if store.is_victoriametrics() {
        for series in &mut all {
            series.samples.retain(|sample| !sample.value.is_nan());
            series.histograms.clear();
        }
    }
    all
}

/// What `store`, holding `stored`, makes the mirror answer to `question`, with `nanInterpretation:
/// Zero`.
#[must_use]
pub fn answer(store: Store, stored: &[Series], question: &Question) -> Expected {
    let oracle = Oracle {
        store,
        series: stored,
        question,
    };
    oracle.answer()
}

/// The forms of one label set's histogram.
#[derive(Default)]
struct Pod<'a> {
    native: Option<&'a Series>,
    sum: Option<&'a Series>,
    count: Option<&'a Series>,
}

struct Oracle<'a> {
    store: Store,
    series: &'a [Series],
    question: &'a Question,
}

impl Oracle<'_> {
    fn answer(&self) -> Expected {
        if let Kind::Histogram(base) = self.question.kind
            && self.store.is_victoriametrics()
            && self.matching(&format!("{base}_count")).is_empty()
        {
            return Expected::NotRepresentable(match self.store {
                Store::VictoriaMetrics => "VictoriaMetrics 1.79 has no native histograms",
                _ => {
                    "VictoriaMetrics 1.151 turns native histograms into buckets of its own, labelled `vmrange`, which the mirror does not read"
                }
            });
        }
        let utf8 = matches!(self.question.kind, Kind::Gauge(name) if !name.is_ascii());
        if utf8 && self.store == Store::Prometheus2 {
            return Expected::NotRepresentable("Prometheus 2.42 has no UTF-8 names");
        }
        match self.question.aggregation {
            None => raw::answer(self),
            Some((method, width)) => {
                let buckets = Buckets::new(self.question.start, self.question.end, width);
                self.aggregated(Method::parse(method), buckets)
            }
        }
    }

    /// The series of this name that meet the conditions.
    fn matching(&self, name: &str) -> Vec<&Series> {
        self.series
            .iter()
            .filter(|series| series.name() == name)
            .filter(|series| {
                self.question.conditions.iter().all(|(label, values)| {
                    let value = series.labels.get(*label).map_or("", String::as_str);
                    values.contains(&value)
                })
            })
            .collect()
    }

    fn aggregated(&self, method: Method, buckets: Buckets) -> Expected {
        let values = match &self.question.kind {
            Kind::Gauge(name) => self.gauge(method, &self.matching(name), buckets),
            Kind::Counter(name) => self.counter(method, &self.matching(name), buckets),
            Kind::Histogram(base) => match self.histogram(method, base, buckets) {
                Some(values) => values,
                None => return several(),
            },
            Kind::Summary(_) if matches!(method, Method::Min | Method::Max) => {
                return unsupported();
            }
            Kind::Summary(base) => match self.summary(method, base, buckets) {
                Some(values) => values,
                None => return unsupported(),
            },
            Kind::PromQl(expression) => self.promql(method, *expression, buckets),
        };
        let answers_nan = self.store.answers_nan() || self.is_pooled_by_the_mirror(method, buckets);
        let timed = buckets.starts().zip(values);
        let present = timed
            .filter_map(|(start, value)| value.map(|value| (start, start + buckets.width, value)));
        points(present.filter(|(_, _, value)| answers_nan || !value.value.is_nan()))
    }

    /// A percentile is computed in the mirror where the store has no function for it (several
    /// series) or where buckets are so much shorter than scrapes that reading the samples is less
    /// work.
    fn is_pooled_by_the_mirror(&self, method: Method, buckets: Buckets) -> bool {
        let several = |name| self.matching(name).len() > 1;
        let percentile = matches!(method, Method::Percentile(_));
        match self.question.kind {
            Kind::Gauge(name) => percentile && (several(name) || buckets.width * 10 <= SCRAPE),
            Kind::Counter(name) => percentile && several(name),
            _ => false,
        }
    }

    /// Pooled over all samples of all series in the bucket.
    fn gauge(&self, method: Method, series: &[&Series], buckets: Buckets) -> Vec<Option<Value>> {
        let of_bucket = |start: i64| {
            let pooled: Vec<f64> = series
                .iter()
                .flat_map(|series| between(&series.samples, start, start + buckets.width))
                .map(|sample| sample.value)
                .collect();
            aggregate(method, pooled).map(Value::from)
        };
        buckets.starts().map(of_bucket).collect()
    }

    /// MEAN and SUM from the window `R`, EVENT_COUNT from the samples, MIN, MAX and percentiles
    /// from the rate at every scrape time.
    fn counter(&self, method: Method, series: &[&Series], buckets: Buckets) -> Vec<Option<Value>> {
        let window = window(buckets);
        match method {
            Method::Mean => {
                let rates = series
                    .iter()
                    .map(|series| self.rates(&series.samples, buckets.grid(), window));
                transposed(rates)
                    .map(|rates| mean(&rates).map(Value::from))
                    .collect()
            }
            Method::Sum => {
                let increases = series
                    .iter()
                    .map(|series| self.increases(&series.samples, buckets.grid(), window));
                let scale = buckets.width as f64 / window as f64;
                transposed(increases)
                    .map(|increases| {
                        (!increases.is_empty())
                            .then(|| Value::from(quantile::sum(&increases) * scale))
                    })
                    .collect()
            }
            Method::Count => self.gauge(Method::Count, series, buckets),
            Method::Min | Method::Max | Method::Percentile(_) => {
                let rates: Vec<Vec<Sample>> = series
                    .iter()
                    .map(|series| self.rate_series(&series.samples, buckets))
                    .collect();
                let of_bucket = |start: i64| {
                    let pooled: Vec<f64> = rates
                        .iter()
                        .flat_map(|rates| between(rates, start, start + buckets.width))
                        .map(|sample| sample.value)
                        .collect();
                    aggregate(method, pooled).map(Value::from)
                };
                buckets.starts().map(of_bucket).collect()
            }
        }
    }

    /// `rate(s[4 × scrape])` at the multiples of the scrape interval: the subquery that MIN, MAX
    /// and percentiles of a counter look at.
    fn rate_series(&self, samples: &[Sample], buckets: Buckets) -> Vec<Sample> {
        let grid = self.subquery_grid(buckets);
        let rates = self.rates(samples, grid, 4 * SCRAPE);
        grid.times()
            .zip(rates)
            .filter_map(|(at, rate)| rate.map(|value| Sample { at, value }))
            .collect()
    }

    /// Evaluation times of a subquery with the scrape interval as its step: multiples of it since
    /// the epoch.
    fn subquery_grid(&self, buckets: Buckets) -> Grid {
        let grid = buckets.grid();
        match self.store {
            store if store.is_victoriametrics() => {
                victoriametrics::subquery_grid(grid, buckets.width, SCRAPE)
            }
            _ => Grid {
                start: (buckets.first + SCRAPE - 1).div_euclid(SCRAPE) * SCRAPE,
                end: grid.end,
                step: SCRAPE,
            },
        }
    }

    /// None where a quantile would need one distribution of native and classic histograms.
    fn histogram(
        &self,
        method: Method,
        base: &str,
        buckets: Buckets,
    ) -> Option<Vec<Option<Value>>> {
        let native = self.native(base);
        if native.is_empty() {
            return Some(match method.quantile() {
                Some(q) => self.classic_quantiles(q, base, buckets),
                None => self.sums_and_counts(method, base, buckets),
            });
        }
        let pods = self.pods(base, &native);
        match method.quantile() {
            Some(_)
                if pods.iter().any(|pod| {
                    pod.native.is_none_or(|native| {
                        pod.count
                            .is_some_and(|count| count.samples.len() != native.histograms.len())
                    })
                }) =>
            {
                None
            }
            Some(_) => Some(self.native_histogram(method, &native, buckets)),
            None => Some(self.added(method, &pods, buckets)),
        }
    }

    /// The series of each label set.
    fn pods<'s>(&'s self, base: &str, native: &[&'s Series]) -> Vec<Pod<'s>> {
        let mut pods: BTreeMap<BTreeMap<String, String>, Pod<'s>> = BTreeMap::new();
        let labels = |series: &Series| {
            let mut labels = series.labels.clone();
            labels.remove("__name__");
            labels
        };
        for series in native {
            pods.entry(labels(series)).or_default().native = Some(series);
        }
        for series in self.matching(&format!("{base}_sum")) {
            pods.entry(labels(series)).or_default().sum = Some(series);
        }
        for series in self.matching(&format!("{base}_count")) {
            pods.entry(labels(series)).or_default().count = Some(series);
        }
        pods.into_values().collect()
    }

    /// Of each pod what its one form says, of both the one with more samples, and both where one
    /// ends before the other begins.
    fn added(&self, method: Method, pods: &[Pod<'_>], buckets: Buckets) -> Vec<Option<Value>> {
        let window = window(buckets);
        let closed = self.store == Store::Prometheus2;
        let range = match method {
            Method::Mean => prometheus::range(self.store, window),
            _ => window,
        };
        let grid = buckets.grid();
        let classic = |series: Option<&Series>| -> Vec<Option<f64>> {
            let samples = series.map_or(&[][..], |series| &series.samples);
            match method {
                Method::Mean => self
                    .rates(samples, grid, window)
                    .into_iter()
                    .map(|rate| rate.map(|rate| rate * (range as f64 / 1000.0)))
                    .collect(),
                _ => self.increases(samples, grid, window),
            }
        };
        let classics: Vec<_> = pods
            .iter()
            .map(|pod| (classic(pod.sum), classic(pod.count)))
            .collect();
        let at_index = |(index, at): (usize, i64)| {
            let (mut sums, mut counts) = (Vec::new(), Vec::new());
            for (pod, (classic_sums, classic_counts)) in pods.iter().zip(&classics) {
                let native = pod.native.and_then(|native| {
                    prometheus::histogram_increase(&native.histograms, at, window, range, closed)
                });
                let classic = classic_sums[index].zip(classic_counts[index]);
                let inside = |at_sample: &i64| (at - window + 1..=at).contains(at_sample);
                let natives: Vec<i64> = pod
                    .native
                    .iter()
                    .flat_map(|native| native.histograms.iter().map(|(at, _)| *at))
                    .filter(inside)
                    .collect();
                let classic_times: Vec<i64> = pod
                    .count
                    .iter()
                    .flat_map(|count| count.samples.iter().map(|sample| sample.at))
                    .filter(inside)
                    .collect();
                let follow = natives.first() > classic_times.last()
                    || classic_times.first() > natives.last();
                let (use_native, use_classic) = match (&native, classic) {
                    (Some(_), Some(_)) if follow => (true, true),
                    (Some(_), Some(_)) => {
                        let more_classic = classic_times.len() > natives.len();
                        (!more_classic, more_classic)
                    }
                    (native, classic) => (native.is_some(), classic.is_some()),
                };
                if let Some(native) = native.filter(|_| use_native) {
                    sums.push(native.sum);
                    counts.push(native.count);
                }
                if let Some((sum, count)) = classic.filter(|_| use_classic) {
                    sums.push(sum);
                    counts.push(count);
                }
            }
            let scale = buckets.width as f64 / window as f64;
            let (sum, count) = (quantile::sum(&sums), quantile::sum(&counts));
            (!counts.is_empty()).then(|| {
                Value::from(match method {
                    Method::Mean => sum / count,
                    Method::Sum => sum * scale,
                    _ => count * scale,
                })
            })
        };
        grid.times().enumerate().map(at_index).collect()
    }

    /// What `_sum` and `_count` tell, of a classic histogram as of a summary.
    fn sums_and_counts(&self, method: Method, base: &str, buckets: Buckets) -> Vec<Option<Value>> {
        let (sums, counts) = (
            self.matching(&format!("{base}_sum")),
            self.matching(&format!("{base}_count")),
        );
        match method {
            Method::Mean => {
                let total = |series: &[&Series]| -> Vec<Option<f64>> {
                    let rates = series
                        .iter()
                        .map(|series| self.rates(&series.samples, buckets.grid(), window(buckets)));
                    transposed(rates)
                        .map(|rates| (!rates.is_empty()).then(|| quantile::sum(&rates)))
                        .collect()
                };
                let pairs = total(&sums).into_iter().zip(total(&counts));
                pairs
                    .map(|(sum, count)| Some(Value::from(sum? / count?)))
                    .collect()
            }
            Method::Sum => self.counter(Method::Sum, &sums, buckets),
            _ => self.counter(Method::Sum, &counts, buckets),
        }
    }

    /// `histogram_quantile(q, sum by (le) (rate(…_bucket[R])))`.
    fn classic_quantiles(&self, q: f64, base: &str, buckets: Buckets) -> Vec<Option<Value>> {
        let mut by_bound: BTreeMap<String, Vec<&Series>> = BTreeMap::new();
        for series in self.matching(&format!("{base}_bucket")) {
            by_bound
                .entry(series.labels["le"].clone())
                .or_default()
                .push(series);
        }
        let mut bounds: Vec<(f64, Vec<Option<f64>>)> = by_bound
            .iter()
            .map(|(bound, series)| {
                let rates = series
                    .iter()
                    .map(|series| self.rates(&series.samples, buckets.grid(), window(buckets)));
                let sums = transposed(rates)
                    .map(|rates| (!rates.is_empty()).then(|| quantile::sum(&rates)));
                (bound.parse().unwrap_or(f64::INFINITY), sums.collect())
            })
            .collect();
        bounds.sort_by(|a, b| a.0.total_cmp(&b.0));
        (0..buckets.starts().count())
            .map(|index| {
                let counts: Vec<(f64, f64)> = bounds
                    .iter()
                    .filter_map(|(bound, rates)| rates[index].map(|rate| (*bound, rate)))
                    .collect();
                (!counts.is_empty()).then(|| match self.store {
                    store if store.is_victoriametrics() => {
                        victoriametrics::classic_quantile(q, &counts)
                    }
                    _ => prometheus::classic_quantile(q, &counts),
                })
            })
            .collect()
    }

    /// The native histograms of this name.
    fn native(&self, base: &str) -> Vec<&Series> {
        let mut series = self.matching(base);
        series.retain(|series| !series.histograms.is_empty());
        series
    }

    fn native_histogram(
        &self,
        method: Method,
        series: &[&Series],
        buckets: Buckets,
    ) -> Vec<Option<Value>> {
        let window = window(buckets);
        let closed = self.store == Store::Prometheus2;
        buckets
            .grid()
            .times()
            .map(|at| {
                let increases = series.iter().filter_map(|series| {
                    let range = window - i64::from(closed);
                    prometheus::histogram_increase(&series.histograms, at, window, range, closed)
                });
                let total = increases.reduce(|a, b| FloatHistogram::plus(&a, &b))?;
                let q = method.quantile()?;
                Some(total.quantile(q, self.store != Store::Prometheus2))
            })
            .collect()
    }

    /// None where a percentile would need one series and there are several.
    fn summary(&self, method: Method, base: &str, buckets: Buckets) -> Option<Vec<Option<Value>>> {
        match method {
            Method::Mean | Method::Sum | Method::Count => {
                Some(self.sums_and_counts(method, base, buckets))
            }
            Method::Min | Method::Max | Method::Percentile(_) => {
                let q = method.quantile()?;
                let series = self.matching(base);
                let exported = series
                    .iter()
                    .filter(|series| series.labels["quantile"].parse() == Ok(q));
                let [one] = exported.collect::<Vec<_>>()[..] else {
                    return None;
                };
                let last = |start: i64| {
                    between(&one.samples, start, start + buckets.width)
                        .last()
                        .map(|sample| sample.value.into())
                };
                Some(buckets.starts().map(last).collect())
            }
        }
    }

    /// The method over `(expression)[W:scrape]`.
    fn promql(
        &self,
        method: Method,
        expression: Expression,
        buckets: Buckets,
    ) -> Vec<Option<Value>> {
        let values = self.evaluate(expression, self.subquery_grid(buckets));
        let of_bucket = |start: i64| {
            let values = between(&values, start, start + buckets.width)
                .iter()
                .map(|sample| sample.value);
            aggregate(method, values.collect()).map(Value::from)
        };
        buckets.starts().map(of_bucket).collect()
    }

    /// The expression at the times of `grid`, where it has a value.
    fn evaluate(&self, expression: Expression, grid: Grid) -> Vec<Sample> {
        let closed = i64::from(self.store == Store::Prometheus2);
        let value_at = |at: i64| match expression {
            Expression::TwiceTheTemperature => {
                let series = self
                    .series
                    .iter()
                    .find(|series| series.name() == "room_temperature")?;
                let lookback = match self.store {
                    store if store.is_victoriametrics() => {
                        victoriametrics::lookback(store, &series.samples, grid)
                    }
                    _ => 5 * 60_000,
                };
                let newest = between(&series.samples, at - lookback + 1 - closed, at + 1).last();
                newest.map(|sample| 2.0 * sample.value)
            }
            Expression::LargestLoad => {
                let loads = self.series.iter().filter(|series| series.name() == "load");
                let within = loads
                    .flat_map(|series| between(&series.samples, at - 120_000 + 1 - closed, at + 1));
                within.map(|sample| sample.value).reduce(f64::max)
            }
        };
        grid.times()
            .filter_map(|at| value_at(at).map(|value| Sample { at, value }))
            .collect()
    }

    fn rates(&self, samples: &[Sample], grid: Grid, window: i64) -> Vec<Option<f64>> {
        match self.store {
            store if store.is_victoriametrics() => {
                victoriametrics::rates(store, samples, grid, window)
            }
            store => prometheus::rates(store, samples, grid, window),
        }
    }

    fn increases(&self, samples: &[Sample], grid: Grid, window: i64) -> Vec<Option<f64>> {
        match self.store {
            store if store.is_victoriametrics() => {
                victoriametrics::increases(store, samples, grid, window)
            }
            store => prometheus::increases(store, samples, grid, window),
        }
    }
}

/// `R`: a rate needs a few scrapes, however small the bucket.
fn window(buckets: Buckets) -> i64 {
    buckets.width.max(4 * SCRAPE)
}

/// More than one series where one is needed.
fn several() -> Expected {
    Expected::Error {
        kind: "RemoteMirrorError",
        status: 400,
    }
}

fn unsupported() -> Expected {
    Expected::Error {
        kind: "UnsupportedFieldTypeError",
        status: 422,
    }
}

/// Start, end and value as points: NaN is zero, ±Inf is left out and makes the answer partial where
/// a point follows it.
fn points(values: impl Iterator<Item = (i64, i64, Value)>) -> Expected {
    let (mut points, mut partial, mut left_out) = (Vec::new(), false, false);
    for (start, end, Value { value, or, scale }) in values {
        if value.is_infinite() {
            left_out = true;
            continue;
        }
        partial |= left_out;
        let value = if value.is_nan() { 0.0 } else { value };
        points.push(Point {
            start,
            end,
            value,
            or,
            scale,
        });
    }
    Expected::Points { points, partial }
}

/// A method over numbers; none of no numbers. NaN is contagious except for MIN and MAX, which pass
/// over it, as in PromQL.
fn aggregate(method: Method, numbers: Vec<f64>) -> Option<f64> {
    if numbers.is_empty() {
        return None;
    }
    // f64::min and f64::max pass over NaN.
    Some(match method {
        Method::Mean => quantile::sum(&numbers) / numbers.len() as f64,
        Method::Min => numbers.into_iter().fold(f64::NAN, f64::min),
        Method::Max => numbers.into_iter().fold(f64::NAN, f64::max),
        Method::Sum => quantile::sum(&numbers),
        Method::Count => numbers.len() as f64,
        Method::Percentile(per_mille) => quantile::quantile(f64::from(per_mille) / 1000.0, numbers),
    })
}

fn mean(numbers: &[f64]) -> Option<f64> {
    aggregate(Method::Mean, numbers.to_vec())
}

/// Lists of values by time, one list a series, as lists of what is there, one list a time.
fn transposed(lists: impl Iterator<Item = Vec<Option<f64>>>) -> impl Iterator<Item = Vec<f64>> {
    let lists: Vec<Vec<Option<f64>>> = lists.collect();
    let length = lists.iter().map(Vec::len).max().unwrap_or(0);
    (0..length).map(move |index| lists.iter().filter_map(|list| list[index]).collect())
}
