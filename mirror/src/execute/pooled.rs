//! Aggregations that the gateway computes itself from the samples of all series: exact percentiles
//! over several series, and windows that a store cannot express.

use std::ops::Range;

use super::collect::Collector;
use super::one_series::{OneSeries, chosen};
use super::work::{self, Steps, Stored};
use super::{Context, EvaluateError};
use crate::model::time::{Millis, Timestamp};
use crate::plan::buckets::{Buckets, POINTS_PER_CALL};
use crate::plan::kind::QueryKind;
use crate::plan::pool::Reduce;
use crate::plan::selector::Filter;
use crate::plan::source::{InnerQuery, Pooling};
use crate::plan::value;
use crate::prometheus::{Call, Store, StoreError};

/// Samples that one request reads at most. Beyond it the answer is partial and the caller asks for
/// the rest.
pub const SAMPLE_BUDGET: u64 = 2_000_000;

/// Samples that one call should answer: a few megabytes.
const SAMPLES_PER_CALL: i64 = 100_000;

/// Reads the samples from the oldest bucket on and hands each finished bucket's result to the
/// collector.
pub(super) async fn collect<S: Store>(
    context: &Context<'_, S>,
    kind: &QueryKind,
    pooling: &Pooling,
    buckets: Buckets,
    collector: &mut Collector,
) -> Result<(), EvaluateError> {
    let end = buckets.last_instant();
    let mut from = buckets.start();
    let mut span = Millis(context.scrape_interval.0.saturating_mul(1_000));
    let longest = Millis(match &pooling.inner {
        InnerQuery::Samples(_) => context.scrape_interval.0.saturating_mul(SAMPLES_PER_CALL),
        InnerQuery::Evaluated { step, .. } => step.0.saturating_mul(POINTS_PER_CALL.cast_signed()),
    });
    let mut reader = PoolReader {
        context,
        pooling,
        pool: Pool {
            reduce: pooling.reduce,
            buckets,
            open: None,
        },
        one: OneSeries::default(),
        filter: Filter::new(pooling.one_of.as_deref().unwrap_or_default()),
        steps: Steps::new(context.deadline),
    };
    let mut read: u64 = 0;
    while buckets.count() > 0 && from <= end && !collector.is_satisfied() {
        let to = end.min(from.plus(Millis(span.0 - 1)));
        let found;
        (reader, found) = reader.read(from, to, collector).await?;
        hand_over(found.results, collector, &mut reader.steps).await?;
        from = to.plus(Millis(1));
        read += found.samples as u64;
        if read > SAMPLE_BUDGET && from <= end {
            if collector.has_progress() {
                collector.cut();
                return Ok(());
            }
            if reader.pool.held() as u64 > SAMPLE_BUDGET {
                return Err(EvaluateError::TooManySamples);
            }
        }
        let count = i64::try_from(found.samples).unwrap_or(i64::MAX);
        if count == 0 && end.since(from).0 > span.0.saturating_mul(16) {
            from = behind_gap(context, kind, from, end, span).await?;
        }
        span = next_span(span, count, longest);
    }
    let mut results = Vec::new();
    reader.pool.close(&mut results);
    hand_over(results, collector, &mut reader.steps).await
}

/// Where samples begin again, if that is behind `from`; behind `end` if they do not.
async fn behind_gap<S: Store>(
    context: &Context<'_, S>,
    kind: &QueryKind,
    from: Timestamp,
    end: Timestamp,
    span: Millis,
) -> Result<Timestamp, StoreError> {
    let selectors = kind.selectors();
    if selectors.is_empty() {
        return Ok(from);
    }
    let looks_back = Millis(context.scrape_interval.0.saturating_mul(8));
    let first = context
        .first_sample(&selectors, from.minus(looks_back), end, span)
        .await?;
    // If there is none, the open bucket gets no more samples.
    Ok(first.map_or(end.plus(Millis(1)), |at| from.max(at)))
}

/// Reads one stretch of time after the other.
struct PoolReader<'a, S> {
    context: &'a Context<'a, S>,
    pooling: &'a Pooling,
    pool: Pool,
    one: OneSeries,
    filter: Filter<'a>,
    steps: Steps,
}

impl<S: Store> PoolReader<'_, S> {
    /// Reads the samples from `from` to `to` into the pool.
    async fn read(
        mut self,
        from: Timestamp,
        to: Timestamp,
        collector: &mut Collector,
    ) -> Result<(Self, Found), EvaluateError> {
        let Some(stored) = fetch(self.context, &self.pooling.inner, from, to).await? else {
            let mut found = Found::default();
            self.pool
                .close_before(to.plus(Millis(1)), &mut found.results);
            return Ok((self, found));
        };
        let all = stored.series();
        let mut places = 0..all.len();
        if self.pooling.one_of.is_some() {
            let chosen = chosen(all, &self.filter, &mut self.steps).await?;
            self.one.of(chosen.iter().map(|place| &all[*place]))?;
            places = chosen.first().map_or(0..0, |place| *place..place + 1);
        }
        collector.note(&stored.answer);
        let size = stored.size() + self.pool.held();
        let mut pool = self.pool;
        let (pool, found) = work::done(size, self.context.deadline, move || {
            let found = pool.add(&stored, places, (from, to));
            (pool, found)
        })
        .await?;
        Ok((Self { pool, ..self }, found))
    }
}

async fn hand_over(
    results: Vec<(Timestamp, f64)>,
    collector: &mut Collector,
    steps: &mut Steps,
) -> Result<(), EvaluateError> {
    for (start, result) in results {
        collector.push(start, &value::write(result));
        if steps.are_due() {
            steps.rest().await?;
        }
    }
    Ok(())
}

/// Samples on their way into buckets. They come stretch by stretch of time, so that one bucket at
/// most waits for more of them.
struct Pool {
    reduce: Reduce,
    buckets: Buckets,
    /// The start of the bucket that may get more, and its samples, in the order of time for each
    /// series.
    open: Option<(Timestamp, Vec<f64>)>,
}

/// What a stretch of time brought.
#[derive(Default)]
struct Found {
    /// The finished buckets.
    results: Vec<(Timestamp, f64)>,
    /// How many samples there were.
    samples: usize,
}

impl Pool {
    /// How many samples wait for the end of their bucket.
    fn held(&self) -> usize {
        self.open.as_ref().map_or(0, |(_, samples)| samples.len())
    }

    /// Adds the samples from `from` to `to` of the series at these places.
    fn add(
        &mut self,
        stored: &Stored,
        places: Range<usize>,
        (from, to): (Timestamp, Timestamp),
    ) -> Found {
        let series = stored.series().get(places).unwrap_or_default();
        let mut samples: Vec<(Timestamp, f64)> = series
            .iter()
            .flat_map(|one| stored.samples(one))
            .filter(|(at, _)| (from..=to).contains(at))
            .filter_map(|(at, text)| Some((self.buckets.start_containing(at)?, value::parse(text))))
            .collect();
        // Stable: what is the last of a bucket stays the last.
        samples.sort_by_key(|(start, _)| *start);
        let mut found = Found {
            samples: samples.len(),
            ..Found::default()
        };
        for (start, sample) in samples {
            match &mut self.open {
                Some((open, samples)) if *open == start => samples.push(sample),
                _ => {
                    self.close(&mut found.results);
                    self.open = Some((start, vec![sample]));
                }
            }
        }
        self.close_before(to.plus(Millis(1)), &mut found.results);
        found
    }

    /// Finishes the open bucket if it ends before `next`: then it gets no more samples.
    fn close_before(&mut self, next: Timestamp, results: &mut Vec<(Timestamp, f64)>) {
        let width = self.buckets.width();
        if self
            .open
            .as_ref()
            .is_some_and(|(start, _)| start.plus(width) <= next)
        {
            self.close(results);
        }
    }

    fn close(&mut self, results: &mut Vec<(Timestamp, f64)>) {
        if let Some((start, mut samples)) = self.open.take()
            && let Some(result) = self.reduce.of(&mut samples)
        {
            results.push((start, result));
        }
    }
}

/// The next stretch of time, so that a call answers about [`SAMPLES_PER_CALL`].
fn next_span(span: Millis, count: i64, longest: Millis) -> Millis {
    let longer = if count == 0 {
        span.0.saturating_mul(4)
    } else {
        let fitting = i128::from(span.0) * i128::from(SAMPLES_PER_CALL) / i128::from(count);
        i64::try_from(fitting)
            .unwrap_or(i64::MAX)
            .min(span.0.saturating_mul(4))
    };
    Millis(longer.clamp(1, longest.0.max(1)))
}

/// The samples from `from` to `to`; no call where the expression has no instant there.
async fn fetch<S: Store>(
    context: &Context<'_, S>,
    inner: &InnerQuery,
    from: Timestamp,
    to: Timestamp,
) -> Result<Option<Stored>, StoreError> {
    match inner {
        InnerQuery::Samples(selector) => context.samples(selector, from, to).await.map(Some),
        InnerQuery::Evaluated { promql, step } => {
            let instants = Buckets::multiples(from, to, *step);
            let Some(last) = instants.count().checked_sub(1) else {
                return Ok(None);
            };
            let call = Call::Range {
                promql: promql.clone(),
                start: instants.start(),
                end: instants.start_of(last),
                step: *step,
            };
            let answer = context.call(call).await?;
            Ok(Some(Stored {
                answer,
                drops_nan: false,
            }))
        }
    }
}
