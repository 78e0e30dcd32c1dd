//! Runs the plans of [`crate::plan`] over the calls of [`crate::prometheus`]: in what order, how
//! many at once, when it is enough.
//!
//! * [`metric`]: the points of a metric query. Its plan's source says how: [`range`], [`pooled`] or
//!   [`stored`]. [`explain`] prints the plan instead.
//! * [`grid`]: long ranges as several range queries.
//! * [`collect`]: points until there are enough. [`one_series`]: where one series is needed, which
//!   one.
//! * [`refusal`]: what a store's refusal means; [`types`]: series that only a type or a unit tells
//!   apart; [`limits`]: limits of a store that the mirror cannot keep by splitting a range.
//! * [`absence`]: why no series matches.
//! * [`why`]: why a query has no points, for whoever asks.
//! * [`work`]: our own work over long answers, within the deadline and beside others.
//! * [`counted`]: how much a request may ask of its target.
//! * [`shards`]: a target of several shards as one store.
//! * [`fields`]: field names and values; [`describe`]: what stands behind them.

mod absence;
pub mod collect;
mod context;
pub mod counted;
pub mod describe;
mod dialect;
mod error;
pub mod explain;
pub mod fields;
pub mod grid;
mod limits;
mod one_series;
pub mod pooled;
mod range;
mod refusal;
pub mod shards;
mod stored;
mod types;
pub mod why;
mod work;

use self::collect::Collector;
pub use self::collect::{Missing, Telemetry};
pub use self::context::Context;
pub use self::error::EvaluateError;
use crate::plan::kind::QueryKind;
use crate::plan::source::Source;
use crate::plan::{MetricQuery, Plan, plan, plan_of_stored};
use crate::prometheus::Store;

/// The points of a metric query, oldest first.
///
/// # Errors
///
/// See [`EvaluateError`].
pub async fn metric<S: Store>(
    context: &Context<'_, S>,
    query: &MetricQuery,
) -> Result<Telemetry, EvaluateError> {
    if query.kind.metric().is_empty() && !matches!(query.kind, QueryKind::Expression { .. }) {
        return Err(EvaluateError::NotFound(None));
    }
    // Where it does not matter what the store can do, it is not asked first.
    let plan = match plan_of_stored(query, context.scrape_interval, context.now)? {
        Some(plan) => plan,
        None => plan(query, &context.facts().await?)?,
    };
    // The conditions as the target reads them.
    let query = &MetricQuery {
        kind: plan.kind.clone(),
        ..query.clone()
    };
    let telemetry = match run(context, query, &plan).await {
        // Kilobytes long, and rare.
        Err(error) => Box::pin(refusal::answered(context, query, &plan, error)).await,
        answered => answered,
    };
    let telemetry = telemetry
        .map_err(|error| dialect::in_our_words(limits::with_hint(error, query), &query.kind))?;
    if telemetry.points.is_empty() && !telemetry.is_partial() {
        absence::check(context, query).await?;
    }
    Ok(telemetry)
}

/// The points that a plan leads to.
async fn run<S: Store>(
    context: &Context<'_, S>,
    query: &MetricQuery,
    plan: &Plan,
) -> Result<Telemetry, EvaluateError> {
    let mut collector = Collector::new(query, context.nan_interpretation);
    let result = match &plan.source {
        Source::Range {
            promql, matching, ..
        } => range::collect(context, plan, promql, matching, &mut collector).await,
        Source::Pooled(pooling) => {
            let buckets = plan.grid.buckets;
            pooled::collect(context, &plan.kind, pooling, buckets, &mut collector).await
        }
        Source::Stored(raw) => stored::collect(context, plan, raw, &mut collector).await,
    };
    collector.or_cut(result)?;
    let mut telemetry = collector.finish();
    if let Some(wrapping) = refusal::wrapping(plan) {
        for remark in &mut telemetry.remarks {
            remark.text = wrapping.unwrapped(&remark.text);
        }
    }
    Ok(telemetry)
}

#[cfg(test)]
mod tests;
