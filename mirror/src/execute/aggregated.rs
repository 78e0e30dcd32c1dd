//! The points of a query with an aggregation.

use super::collect::{Collector, Telemetry};
use super::expression::{self, Verdict};
use super::grid::{Grid, POINTS_PER_CALL};
use super::one_series::{OneSeries, chosen};
use super::work::Steps;
use super::{Context, EvaluateError, pooled, series, types};
use crate::model::series::Series;
use crate::model::time::{Millis, Timestamp};
use crate::plan::aggregated::{Meeting, Plan, Several, plan, plan_of_scalar};
use crate::plan::buckets::Buckets;
use crate::plan::expression::{Wrapping, is_bound_to_its_range as names_its_range};
use crate::plan::histogram::MARK;
use crate::plan::selector::Filter;
use crate::plan::{Aggregation, Clockwork, Kind, MetricQuery};
use crate::prometheus::{Answer, Store, StoreError};

pub(super) async fn telemetry<S: Store>(
    context: &Context<'_, S>,
    query: &MetricQuery,
    aggregation: Aggregation,
) -> Result<Telemetry, EvaluateError> {
    let (clockwork, settled) = context.clockwork().await?;
    let plan_of = |query: &MetricQuery| {
        plan(
            &query.kind,
            aggregation.method,
            aggregation.bucket,
            &clockwork,
        )
    };
    let plan = plan_of(query)?;
    let buckets = Buckets::covering(query.start, query.end, settled, aggregation.bucket);
    let refused = match run(context, query, &plan, buckets, &clockwork).await {
        Err(EvaluateError::Store(StoreError::Rejected { kind, message })) => (kind, message),
        other => return other,
    };
    if types::are_alike(&refused.1)
        && let Some(in_parts) = types::in_parts(context, query).await?
    {
        let query = MetricQuery {
            kind: in_parts,
            ..query.clone()
        };
        let plan = plan_of(&query)?;
        return run(context, &query, &plan, buckets, &clockwork).await;
    }
    // Complaints that name the text around a user's expression, or are only due to it.
    let (kind, message) = refused;
    let (
        Kind::Expression { promql, matchers },
        Plan::Store {
            promql: sent,
            before,
            ..
        },
    ) = (&query.kind, &plan)
    else {
        let error = EvaluateError::Store(StoreError::Rejected { kind, message });
        return Err(expression::in_our_words(error, &query.kind));
    };
    let wrapping = Wrapping {
        sent,
        user: promql,
        before: *before,
    };
    let at = buckets.last_instant();
    match expression::judge(context, wrapping, at, kind, message).await {
        Verdict::Error(error) => Err(error),
        Verdict::IsScalar => {
            let plan = plan_of_scalar(
                promql,
                matchers,
                aggregation.method,
                aggregation.bucket,
                &clockwork,
            );
            let again = run(context, query, &plan, buckets, &clockwork).await;
            again.map_err(|error| match (error, &plan) {
                (
                    EvaluateError::Store(StoreError::Rejected { kind, message }),
                    Plan::Store {
                        promql: sent,
                        before,
                        ..
                    },
                ) => {
                    let wrapping = Wrapping {
                        sent,
                        before: *before,
                        ..wrapping
                    };
                    let message = wrapping.unwrapped(&message);
                    EvaluateError::Store(StoreError::Rejected { kind, message })
                }
                (error, _) => error,
            })
        }
    }
}

async fn run<S: Store>(
    context: &Context<'_, S>,
    query: &MetricQuery,
    plan: &Plan,
    buckets: Buckets,
    clockwork: &Clockwork,
) -> Result<Telemetry, EvaluateError> {
    let mut collector = Collector::new(query);
    match plan {
        Plan::Store {
            promql, several, ..
        } => {
            let looks_back = Millis(buckets.width().0.saturating_add(clockwork.rate_window().0));
            let result = from_store(
                context,
                query,
                promql,
                several,
                buckets,
                looks_back,
                &mut collector,
            )
            .await;
            collector.or_cut(result)?;
        }
        Plan::Pooled(pooling) => {
            let result =
                pooled::collect(context, &query.kind, pooling, buckets, &mut collector).await;
            collector.or_cut(result)?;
        }
    }
    let mut telemetry = collector.finish();
    if let (
        Kind::Expression { promql: user, .. },
        Plan::Store {
            promql: sent,
            before,
            ..
        },
    ) = (&query.kind, plan)
    {
        let before = *before;
        let wrapping = Wrapping { sent, user, before };
        for remark in &mut telemetry.remarks {
            remark.text = wrapping.unwrapped(&remark.text);
        }
    }
    Ok(telemetry)
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
    let (mut promql, mut several) = (promql, several);
    let mut grid = Grid::new(buckets, Millis(buckets.width().0 - 1), divisible);
    let mut one = OneSeries::default();
    let filter = Filter::new(match several {
        Several::Refused(matchers) => matchers,
        _ => &[],
    });
    let mut steps = Steps::new(context.deadline);
    while !grid.is_exhausted() && !collector.is_satisfied() {
        let mut found = false;
        for (part, answer) in grid.ask(context, promql, collector).await? {
            let series = match several {
                Several::Impossible => series(&answer).first(),
                Several::Refused(_) => {
                    let all = series(&answer);
                    let chosen = chosen(all, &filter, &mut steps).await?;
                    one.of(chosen.iter().map(|place| &all[*place]))?
                }
                Several::Pooled(pooling) => match series(&answer) {
                    [] => None,
                    [one] => Some(one),
                    _ => {
                        collector.note(&answer);
                        // Everything up to here was one series; from this part on there are
                        // several.
                        let rest = buckets.from_instant(part.start());
                        return pooled::collect(context, &query.kind, pooling, rest, collector)
                            .await;
                    }
                },
                Several::Marked(meeting) => match (marked(marks(&answer), part), meeting) {
                    (None, _) => marks(&answer).iter().find(|one| !is_mark(one)),
                    (Some(bucket), Meeting::Refused) => {
                        return Err(EvaluateError::BothForms { bucket });
                    }
                    (Some(_), Meeting::Added(precise)) => {
                        // The parts of this wave that are left are asked for again with it.
                        (promql, several) = (precise, &Several::Impossible);
                        grid = Grid::new(
                            buckets.from_instant(part.start()),
                            Millis(buckets.width().0 - 1),
                            divisible,
                        );
                        found = true;
                        break;
                    }
                },
            };
            collector.note(&answer);
            for (at, text) in series.iter().flat_map(|series| series.samples.iter()) {
                // Some stores move evaluation times: the bucket is that which the time falls in.
                if let Some(start) = part.start_containing(at) {
                    found = true;
                    collector.push(start, text);
                }
                if steps.are_due() {
                    steps.rest().await?;
                }
            }
        }
        if !found {
            skip_gap(context, &query.kind, &mut grid, looks_back).await?;
        }
    }
    Ok(())
}

/// Results and marks: an answer has one series of each, and what a faulty store sends beyond that
/// is not looked at.
fn marks(answer: &Answer) -> &[Series] {
    let all = series(answer);
    &all[..all.len().min(8)]
}

/// Whether this series says where native and classic histograms meet, and nothing else.
fn is_mark(series: &Series) -> bool {
    series.labels.contains_key(MARK)
}

/// The first bucket of `part` that is marked.
fn marked(series: &[Series], part: Buckets) -> Option<Timestamp> {
    series
        .iter()
        .filter(|series| is_mark(series))
        .flat_map(|series| series.samples.iter())
        .find_map(|(at, _)| part.start_containing(at))
}

/// Nothing in the last parts: where much is left, looks up where samples begin instead of asking
/// part after part.
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
    matches!(kind, Kind::Expression { promql, .. } if names_its_range(promql))
}
