//! The points of a query without an aggregation: what the store holds, with its own timestamps.

use super::aggregated::{is_bound_to_its_range, skip_gap};
use super::collect::{Collector, MAX_POINTS, Telemetry};
use super::grid::{Grid, POINTS_PER_CALL};
use super::one_series::{OneSeries, chosen};
use super::work::{self, Steps, Stored};
use super::{Context, EvaluateError, series};
use crate::model::series::{HistogramSample, Samples};
use crate::model::time::{Millis, Timestamp};
use crate::plan::buckets::Buckets;
use crate::plan::expression::shape;
use crate::plan::selector::{Filter, Matcher, Selector};
use crate::plan::{Kind, MetricQuery, raw as shapes};
use crate::prometheus::{Deadline, Store};

pub(super) async fn telemetry<S: Store>(
    context: &Context<'_, S>,
    query: &MetricQuery,
) -> Result<Telemetry, EvaluateError> {
    let mut collector = Collector::new(query);
    let result = match &query.kind {
        Kind::Expression { promql, matchers } => {
            if let Some(why) = shape(promql).refusal() {
                return Err(EvaluateError::NoValue(why));
            }
            expression(context, query, promql, matchers, &mut collector).await
        }
        _ => stored(context, query, &mut collector).await,
    };
    collector.or_cut(result)?;
    Ok(collector.finish())
}

/// The distance of an expression's raw points: the scrape interval, a multiple of it where there
/// would be too many points.
#[must_use]
pub fn step(start: Timestamp, end: Timestamp, scrape_interval: Millis) -> Millis {
    let points = (end.since(start).0.max(0) / scrape_interval.0.max(1)).unsigned_abs() + 1;
    let multiple = points.div_ceil(MAX_POINTS).cast_signed();
    Millis(scrape_interval.0.saturating_mul(multiple))
}

async fn expression<S: Store>(
    context: &Context<'_, S>,
    query: &MetricQuery,
    promql: &str,
    matchers: &[Matcher],
    collector: &mut Collector,
) -> Result<(), EvaluateError> {
    let (_, settled) = context.clockwork().await?;
    let end = query.end.min(settled);
    let instants = Buckets::multiples(
        query.start,
        end,
        step(query.start, end, context.scrape_interval),
    );
    let divisible = !is_bound_to_its_range(&query.kind);
    if !divisible && instants.count() > POINTS_PER_CALL {
        return Err(EvaluateError::BoundToItsRange);
    }
    let mut grid = Grid::new(instants, Millis(0), divisible);
    let mut one = OneSeries::default();
    let filter = Filter::new(matchers);
    let mut steps = Steps::new(context.deadline);
    while !grid.is_exhausted() && !collector.is_satisfied() {
        for (_, answer) in grid.ask(context, promql, collector).await? {
            collector.note(&answer);
            let all = series(&answer);
            let chosen = chosen(all, &filter, &mut steps).await?;
            let one = one.of(chosen.iter().map(|place| &all[*place]))?;
            for (at, text) in one.iter().flat_map(|series| series.samples.iter()) {
                if (query.start..=end).contains(&at) {
                    collector.push(at, text);
                }
                if steps.are_due() {
                    steps.rest().await?;
                }
            }
        }
    }
    Ok(())
}

/// Stored samples of one series, chunk by chunk, each seen together with the sample before it.
async fn stored<S: Store>(
    context: &Context<'_, S>,
    query: &MetricQuery,
    collector: &mut Collector,
) -> Result<(), EvaluateError> {
    let mut source = Source::new(&query.kind);
    let end = query.end.min(context.now);
    let scrape = context.scrape_interval;
    // The scrapes of the range in calls of at most so many, as if they were the buckets of a grid.
    let mut grid = Grid::new(
        Buckets::covering(query.start, end.plus(scrape), Timestamp(i64::MAX), scrape),
        Millis(0),
        true,
    );
    let mut is_first = true;
    let mut steps = Steps::new(context.deadline);
    while !grid.is_exhausted() && !collector.is_satisfied() {
        let mut found = false;
        for part in grid.next_wave(collector.wanted()) {
            let from = query.start.max(part.start());
            let to = end.min(part.last_instant());
            // Only what looks at the sample before needs one from before the start.
            let earlier = if is_first && source.needs_the_sample_before() {
                before(scrape)
            } else {
                Millis(0)
            };
            let since = from.minus(earlier);
            let stored = context.samples(&source.selector, since, to).await?;
            collector.note(&stored.answer);
            source = source.taking(stored, since, to, context.deadline).await?;
            found |= !source.is_empty_from(from);
            if is_first && found && source.needs_the_sample_before() && source.is_empty_before(from)
            {
                for further in [Millis(3_600_000), Millis(24 * 3_600_000)] {
                    let (since, until) = (from.minus(further), from.minus(Millis(1)));
                    let stored = context.samples(&source.selector, since, until).await?;
                    let later = source.without_samples();
                    source = source
                        .taking(stored, since, until, context.deadline)
                        .await?;
                    source.append(later);
                    if !source.is_empty_before(from) {
                        break;
                    }
                }
            }
            is_first = is_first && !found;
            let points;
            (source, points) = source.into_points(context.deadline).await?;
            for (at, text) in points.iter() {
                if at >= from {
                    collector.push(at, text);
                }
                if steps.are_due() {
                    steps.rest().await?;
                }
            }
            if collector.is_satisfied() {
                break;
            }
        }
        if !found {
            skip_gap(context, &query.kind, &mut grid, before(scrape)).await?;
        }
    }
    Ok(())
}

/// How far before its start a range is read at once for the sample before it.
fn before(scrape_interval: Millis) -> Millis {
    Millis(scrape_interval.0.saturating_mul(4).max(300_000))
}

/// The samples of one series of a kind, and what its points are.
struct Source {
    shape: Shape,
    selector: Selector,
    one: OneSeries,
    /// For a gauge and a counter.
    samples: Samples,
    /// For a histogram and a summary.
    histogram: Vec<HistogramSample>,
}

#[derive(Clone, Copy, PartialEq)]
enum Shape {
    Values,
    Rates,
    Means,
}

/// The series whose stored samples a kind reads, in one call.
#[must_use]
pub fn selector(kind: &Kind) -> Selector {
    match kind {
        Kind::Gauge(selector) | Kind::Counter(selector) => selector.clone(),
        // Sum, count and a native histogram's own series.
        Kind::Histogram(base) => base.with_any_suffix(&["", "_sum", "_count"]),
        Kind::Summary(base) => base.with_any_suffix(&["_sum", "_count"]),
        Kind::Expression { matchers, .. } => Selector::any_name(matchers.clone()),
    }
}

/// What a raw point of a kind is, in words.
#[must_use]
pub fn meaning(kind: &Kind) -> &'static str {
    match Shape::of(kind) {
        Shape::Values => "the stored samples",
        Shape::Rates => "at each stored sample, the rate per second since the sample before it",
        Shape::Means => {
            "at each stored sample, the mean of what was observed since the sample before it"
        }
    }
}

impl Shape {
    fn of(kind: &Kind) -> Self {
        match kind {
            Kind::Counter(_) => Self::Rates,
            Kind::Histogram(_) | Kind::Summary(_) => Self::Means,
            Kind::Gauge(_) | Kind::Expression { .. } => Self::Values,
        }
    }
}

impl Source {
    fn new(kind: &Kind) -> Self {
        Self {
            shape: Shape::of(kind),
            selector: selector(kind),
            one: if Shape::of(kind) == Shape::Means {
                OneSeries::of_any_name()
            } else {
                OneSeries::default()
            },
            samples: Samples::default(),
            histogram: Vec::new(),
        }
    }

    fn needs_the_sample_before(&self) -> bool {
        self.shape != Shape::Values
    }

    fn is_empty_from(&self, from: Timestamp) -> bool {
        !self.samples.iter().any(|(at, _)| at >= from)
            && !self.histogram.iter().any(|sample| sample.at >= from)
    }

    fn is_empty_before(&self, from: Timestamp) -> bool {
        !self.samples.iter().any(|(at, _)| at < from)
            && !self.histogram.iter().any(|sample| sample.at < from)
    }

    /// The same with the samples of an answer that lie in `from` to `to`.
    async fn taking(
        mut self,
        stored: Stored,
        from: Timestamp,
        to: Timestamp,
        deadline: Deadline,
    ) -> Result<Self, EvaluateError> {
        work::done(stored.size(), deadline, move || {
            self.take(&stored, from, to)?;
            Ok(self)
        })
        .await?
    }

    fn take(
        &mut self,
        stored: &Stored,
        from: Timestamp,
        to: Timestamp,
    ) -> Result<(), EvaluateError> {
        if self.shape == Shape::Means {
            let found = distribution(&mut self.one, stored)?;
            self.histogram.extend(
                found
                    .into_iter()
                    .filter(|sample| (from..=to).contains(&sample.at)),
            );
            return Ok(());
        }
        if let Some(series) = self.one.of(stored.series().iter())? {
            for (at, text) in stored
                .samples(series)
                .filter(|(at, _)| (from..=to).contains(at))
            {
                self.samples.push(at, text);
            }
        }
        Ok(())
    }

    /// Takes the samples out.
    fn without_samples(&mut self) -> (Samples, Vec<HistogramSample>) {
        (
            std::mem::take(&mut self.samples),
            std::mem::take(&mut self.histogram),
        )
    }

    fn append(&mut self, (samples, histogram): (Samples, Vec<HistogramSample>)) {
        for (at, text) in samples.iter() {
            self.samples.push(at, text);
        }
        self.histogram.extend(histogram);
    }

    /// The points, and the source without all samples but the last one, where the next point needs
    /// it.
    async fn into_points(mut self, deadline: Deadline) -> Result<(Self, Samples), EvaluateError> {
        let size = self.samples.len() + self.histogram.len();
        work::done(size, deadline, move || {
            let points = match self.shape {
                Shape::Values => std::mem::take(&mut self.samples),
                Shape::Rates => shapes::rates(&self.samples),
                Shape::Means => shapes::means(&self.histogram),
            };
            self.keep_last();
            (self, points)
        })
        .await
    }

    /// Forgets all samples but the last one, where the next point needs it.
    fn keep_last(&mut self) {
        let mut last = Samples::default();
        if self.shape == Shape::Rates
            && let Some((at, text)) = self.samples.iter().last()
        {
            last.push(at, text);
        }
        self.samples = last;
        self.histogram
            .drain(..self.histogram.len().saturating_sub(1));
    }
}

/// The native histogram samples, and where there is none the pairs of sum and count, of what must
/// be one series.
fn distribution(
    one: &mut OneSeries,
    stored: &Stored,
) -> Result<Vec<HistogramSample>, EvaluateError> {
    let mut sums = Vec::new();
    let mut counts = Vec::new();
    let mut natives = Vec::new();
    for series in stored.series() {
        let name = series.labels.get("__name__").map_or("", String::as_str);
        if !series.histograms.is_empty() {
            natives.push(series);
        } else if name.ends_with("_sum") {
            sums.push(series);
        } else if name.ends_with("_count") {
            counts.push(series);
        }
    }
    // All forms must be of the same series.
    let native = one
        .of(natives.into_iter())?
        .map(|native| native.histograms.clone());
    let (sum, count) = (one.of(sums.into_iter())?, one.of(counts.into_iter())?);
    let classic = match (sum, count) {
        (Some(sum), Some(count)) => shapes::pairs(stored.samples(sum), stored.samples(count)),
        _ => Vec::new(),
    };
    Ok(shapes::both_forms(native.unwrap_or_default(), classic))
}
