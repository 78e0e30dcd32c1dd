//! The points of a query without an aggregation: what the store holds, with its own timestamps.

use super::collect::Collector;
use super::grid::{Waves, skip_gap};
use super::one_series::OneSeries;
use super::work::{self, Steps, Stored};
use super::{Context, EvaluateError};
use crate::model::series::{HistogramSample, Samples};
use crate::model::time::{Millis, Timestamp};
use crate::plan::Plan;
use crate::plan::buckets::Buckets;
use crate::plan::raw::{self, RawPoints, RawSamples};
use crate::plan::selector::Selector;
use crate::prometheus::{Deadline, Store};

/// Where the sample before the first one is looked for, if it is not near.
const FURTHER: [Millis; 2] = [Millis(3_600_000), Millis(24 * 3_600_000)];

/// Hands the points of one series to the collector, chunk by chunk of its stored samples.
pub(super) async fn collect<S: Store>(
    context: &Context<'_, S>,
    plan: &Plan,
    raw: &RawSamples,
    collector: &mut Collector,
) -> Result<(), EvaluateError> {
    let mut reader = SampleReader {
        context,
        plan,
        selector: &raw.selector,
        gathered: Gathered::new(raw.points),
        is_first: true,
    };
    // The scrapes of the range in calls of at most so many.
    let mut waves = Waves::over(plan.grid);
    let mut steps = Steps::new(context.deadline);
    while !waves.is_exhausted() && !collector.is_satisfied() {
        let mut found_any = false;
        for part in waves.next_wave(collector.wanted()) {
            let from = plan.start.max(part.start());
            let (found, points);
            (reader, found) = reader.read(part, from, collector).await?;
            found_any |= found;
            (reader.gathered, points) = reader.gathered.into_points(context.deadline).await?;
            let time = |at: Timestamp| (at >= from).then_some(at);
            collector.take(&points, &mut steps, time).await?;
            if collector.is_satisfied() {
                break;
            }
        }
        if !found_any {
            skip_gap(context, plan, &mut waves).await?;
        }
    }
    Ok(())
}

/// Reads the samples of one part after the other, the first together with the sample before it.
struct SampleReader<'a, S> {
    context: &'a Context<'a, S>,
    plan: &'a Plan,
    selector: &'a Selector,
    gathered: Gathered,
    /// No part had a sample yet.
    is_first: bool,
}

impl<S: Store> SampleReader<'_, S> {
    /// Reads the samples of a part from `from` on, and says whether there are any.
    async fn read(
        mut self,
        part: Buckets,
        from: Timestamp,
        collector: &mut Collector,
    ) -> Result<(Self, bool), EvaluateError> {
        let to = self.plan.end.min(part.last_instant());
        // Only what looks at the sample before needs one from before the start.
        let needs_earlier = self.is_first && self.gathered.needs_the_sample_before();
        let since = match needs_earlier {
            true => from.minus(self.plan.looks_back),
            false => from,
        };
        let stored = self.context.samples(self.selector, since, to).await?;
        collector.note(&stored.answer);
        let deadline = self.context.deadline;
        self.gathered = self.gathered.taking(stored, since, to, deadline).await?;
        let found = !self.gathered.is_empty_from(from);
        if needs_earlier && found && self.gathered.is_empty_before(from) {
            self = self.with_the_sample_before(from).await?;
        }
        self.is_first &= !found;
        Ok((self, found))
    }

    /// The same, with the sample before `from`, which is not near.
    async fn with_the_sample_before(mut self, from: Timestamp) -> Result<Self, EvaluateError> {
        for further in FURTHER {
            let (since, until) = (from.minus(further), from.minus(Millis(1)));
            let stored = self.context.samples(self.selector, since, until).await?;
            let later = self.gathered.without_samples();
            let deadline = self.context.deadline;
            self.gathered = self.gathered.taking(stored, since, until, deadline).await?;
            self.gathered.append(later);
            if !self.gathered.is_empty_before(from) {
                break;
            }
        }
        Ok(self)
    }
}

/// The samples of one series that are not yet points.
struct Gathered {
    points: RawPoints,
    one: OneSeries,
    /// For a gauge and a counter.
    samples: Samples,
    /// For a histogram and a summary.
    histogram: Vec<HistogramSample>,
}

impl Gathered {
    fn new(points: RawPoints) -> Self {
        Self {
            points,
            one: if points == RawPoints::Means {
                OneSeries::of_any_name()
            } else {
                OneSeries::default()
            },
            samples: Samples::default(),
            histogram: Vec::new(),
        }
    }

    fn needs_the_sample_before(&self) -> bool {
        self.points != RawPoints::Values
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
        if self.points == RawPoints::Means {
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
            let points = match self.points {
                RawPoints::Values => std::mem::take(&mut self.samples),
                RawPoints::Rates => raw::rates(&self.samples),
                RawPoints::Means => raw::means(&self.histogram),
            };
            self.keep_last();
            (self, points)
        })
        .await
    }

    /// Forgets all samples but the last one, where the next point needs it.
    fn keep_last(&mut self) {
        let mut last = Samples::default();
        if self.points == RawPoints::Rates
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
        (Some(sum), Some(count)) => raw::pairs(stored.samples(sum), stored.samples(count)),
        _ => Vec::new(),
    };
    Ok(raw::both_forms(native.unwrap_or_default(), classic))
}
