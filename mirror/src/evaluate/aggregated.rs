//! The points of a query with an aggregation.

use super::collect::{Collector, Telemetry};
use super::grid::{Grid, POINTS_PER_CALL};
use super::{Context, EvaluateError, pooled, series};
use crate::prometheus::{Series, Store};
use crate::query::aggregated::{Plan, Several, plan};
use crate::query::buckets::Buckets;
use crate::query::selector::Matcher;
use crate::query::{Aggregation, Kind, MetricQuery, raw as shapes};
use crate::time::Millis;

pub(super) async fn telemetry<S: Store>(
    context: &Context<'_, S>,
    query: &MetricQuery,
    aggregation: Aggregation,
) -> Result<Telemetry, EvaluateError> {
    let (clockwork, settled) = context.clockwork().await?;
    let plan = plan(
        &query.kind,
        aggregation.method,
        aggregation.bucket,
        &clockwork,
    )
    .map_err(|_| EvaluateError::Unsupported)?;
    let buckets = Buckets::covering(query.start, query.end, settled, aggregation.bucket);
    let mut collector = Collector::new(query);
    match plan {
        Plan::Store { promql, several } => {
            let looks_back = Millis(
                aggregation
                    .bucket
                    .0
                    .saturating_add(clockwork.rate_window().0),
            );
            from_store(
                context,
                query,
                &promql,
                &several,
                buckets,
                looks_back,
                &mut collector,
            )
            .await?;
        }
        Plan::Pooled(pooling) => {
            pooled::collect(context, &query.kind, &pooling, buckets, &mut collector).await?
        }
    }
    Ok(collector.finish())
}

async fn from_store<S: Store>(
    context: &Context<'_, S>,
    query: &MetricQuery,
    promql: &str,
    several: &Several,
    buckets: Buckets,
    looks_back: Millis,
    collector: &mut Collector,
) -> Result<(), EvaluateError> {
    let divisible = !is_bound_to_its_range(&query.kind);
    if !divisible && buckets.count() > POINTS_PER_CALL {
        return Err(EvaluateError::BoundToItsRange);
    }
    let mut grid = Grid::new(buckets, Millis(buckets.width().0 - 1), divisible);
    let mut one = OneSeries::default();
    while !grid.is_exhausted() && !collector.is_satisfied() {
        let mut found = false;
        for (part, answer) in grid.ask(context, promql, collector).await? {
            collector.note(&answer);
            let series = match several {
                Several::Impossible => series(&answer).first(),
                Several::Refused(matchers) => one.of(series(&answer), matchers)?,
                Several::Pooled(pooling) => match series(&answer) {
                    [] => None,
                    [one] => Some(one),
                    _ => {
                        // Everything up to here was one series; from this part on there are several.
                        let rest = buckets.from_instant(part.start());
                        return pooled::collect(context, &query.kind, pooling, rest, collector)
                            .await;
                    }
                },
            };
            for (at, text) in series.iter().flat_map(|series| series.samples.iter()) {
                // Some stores move evaluation times: the bucket is that which the time falls in.
                if let Some(start) = part.start_containing(at) {
                    found = true;
                    collector.push(start, text);
                }
            }
        }
        if !found {
            skip_gap(context, &query.kind, &mut grid, looks_back).await?;
        }
    }
    Ok(())
}

/// Nothing in the last parts: where much is left, looks up where samples begin instead of asking part after part.
pub(super) async fn skip_gap<S: Store>(
    context: &Context<'_, S>,
    kind: &Kind,
    grid: &mut Grid,
    looks_back: Millis,
) -> Result<(), EvaluateError> {
    let rest = grid.rest();
    let selectors = kind.selectors();
    if selectors.is_empty() || rest.count() <= 2 * POINTS_PER_CALL {
        return Ok(());
    }
    let precision = Millis(rest.width().0.saturating_mul(1_000));
    let from = rest.start().minus(looks_back);
    match context
        .first_sample(&selectors, from, rest.last_instant(), precision)
        .await?
    {
        Some(at) => grid.skip_to(at),
        None => grid.skip_all(),
    }
    Ok(())
}

/// Whether the expression means something else when its range is split.
pub(super) fn is_bound_to_its_range(kind: &Kind) -> bool {
    let Kind::Expression { promql, .. } = kind else {
        return false;
    };
    let dense: String = promql.chars().filter(|c| !c.is_whitespace()).collect();
    dense.contains("@start(") || dense.contains("@end(")
}

/// Sees to it that all parts of an answer speak of one series.
#[derive(Debug, Default)]
pub(super) struct OneSeries {
    seen: Vec<crate::prometheus::Labels>,
}

impl OneSeries {
    /// The one series whose labels match, if there is one here.
    pub(super) fn of<'a>(
        &mut self,
        series: &'a [Series],
        matchers: &[Matcher],
    ) -> Result<Option<&'a Series>, EvaluateError> {
        let mut chosen = series.iter().filter(|series| {
            matchers
                .iter()
                .all(|matcher| matcher.accepts(&series.labels))
        });
        let first = chosen.next();
        for series in first.into_iter().chain(chosen) {
            if !self.seen.contains(&series.labels) {
                self.seen.push(series.labels.clone());
            }
        }
        if self.seen.len() > 1 {
            let labels: Vec<_> = self.seen.iter().collect();
            return Err(EvaluateError::SeveralSeries {
                count: self.seen.len(),
                differences: shapes::differences(&labels),
            });
        }
        Ok(first)
    }
}
