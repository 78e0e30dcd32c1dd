//! Aggregations that the gateway computes itself from the samples of all series: exact percentiles over several series,
//! and windows that a store cannot express.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::aggregated::OneSeries;
use super::collect::Collector;
use super::grid::POINTS_PER_CALL;
use super::{Context, EvaluateError, series};
use crate::prometheus::{Answer, Call, Store, StoreError};
use crate::query::aggregated::{Inner, Pooling};
use crate::query::buckets::Buckets;
use crate::query::{Kind, value};
use crate::time::{Millis, Timestamp};

/// Samples that one request reads at most. Beyond it the answer is partial and the caller asks for the rest.
pub const SAMPLE_BUDGET: u64 = 2_000_000;

/// Samples that one call should answer: a few megabytes.
const SAMPLES_PER_CALL: i64 = 100_000;

/// Reads the samples from the oldest bucket on and hands each finished bucket's result to the collector.
pub(super) async fn collect<S: Store>(
    context: &Context<'_, S>,
    kind: &Kind,
    pooling: &Pooling,
    buckets: Buckets,
    collector: &mut Collector,
) -> Result<(), EvaluateError> {
    let end = buckets.last_instant();
    let mut from = buckets.start();
    let mut span = Millis(context.scrape_interval.0.saturating_mul(1_000));
    let longest = Millis(match &pooling.inner {
        Inner::Samples(_) => context.scrape_interval.0.saturating_mul(SAMPLES_PER_CALL),
        Inner::Evaluated { step, .. } => step.0.saturating_mul(POINTS_PER_CALL.cast_signed()),
    });
    let mut pending: BTreeMap<Timestamp, Vec<f64>> = BTreeMap::new();
    let mut read: u64 = 0;
    let mut one = OneSeries::default();
    while buckets.count() > 0 && from <= end && !collector.is_satisfied() {
        let to = end.min(from.plus(Millis(span.0 - 1)));
        let answer = fetch(context, &pooling.inner, from, to).await?;
        let all = answer.as_deref().map_or(&[][..], series);
        let chosen = match &pooling.one_of {
            Some(matchers) => one.of(all, matchers)?.map_or(&[][..], std::slice::from_ref),
            None => all,
        };
        if let Some(answer) = &answer {
            collector.note(answer);
        }
        let mut count: i64 = 0;
        for (at, text) in chosen.iter().flat_map(|series| series.samples.iter()) {
            if (from..=to).contains(&at)
                && let Some(start) = buckets.start_containing(at)
            {
                count += 1;
                pending.entry(start).or_default().push(value::parse(text));
            }
        }
        let next = to.plus(Millis(1));
        // Buckets that end before `next` get no more samples.
        let unfinished =
            pending.split_off(&Timestamp(next.0.saturating_sub(buckets.width().0) + 1));
        for (start, mut samples) in std::mem::replace(&mut pending, unfinished) {
            if let Some(result) = pooling.reduce.of(&mut samples) {
                collector.push(start, &value::write(result));
            }
        }
        read += count.unsigned_abs();
        if read > SAMPLE_BUDGET && next <= end {
            if collector.has_progress() {
                collector.cut();
                return Ok(());
            }
            if pending
                .values()
                .map(|samples| samples.len() as u64)
                .sum::<u64>()
                > SAMPLE_BUDGET
            {
                return Err(EvaluateError::TooManySamples);
            }
        }
        from = next;
        if count == 0 && end.since(from).0 > span.0.saturating_mul(16) {
            let selectors = kind.selectors();
            if !selectors.is_empty() {
                let looks_back = Millis(context.scrape_interval.0.saturating_mul(8));
                match context
                    .first_sample(&selectors, from.minus(looks_back), end, span)
                    .await?
                {
                    Some(at) => from = from.max(at),
                    None => return Ok(()),
                }
            }
        }
        span = next_span(span, count, longest);
    }
    Ok(())
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
    inner: &Inner,
    from: Timestamp,
    to: Timestamp,
) -> Result<Option<Arc<Answer>>, StoreError> {
    match inner {
        Inner::Samples(selector) => context.samples(selector, from, to).await.map(Some),
        Inner::Evaluated { promql, step } => {
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
            context.call(call).await.map(Some)
        }
    }
}
