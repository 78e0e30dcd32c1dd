//! What a query would send, without sending it: how a user finds out why a stream shows what it
//! shows.

use serde_json::{Value, json};

use super::counted::check_length;
use super::fields::FieldQuery;
use super::grid::{self, Grid};
use super::pooled::SAMPLE_BUDGET;
use super::{Context, EvaluateError, raw};
use crate::model::capabilities::RangeBoundary;
use crate::model::time::{Millis, Timestamp};
use crate::plan::aggregated::{Inner, Meeting, Plan, Pooling, Several, plan};
use crate::plan::buckets::Buckets;
use crate::plan::expression::shape;
use crate::plan::{Aggregation, KIND_KEYS, Kind, MetricQuery};
use crate::prometheus::Store;

/// The plan of a metric query as JSON. Only the store's capabilities are asked for.
///
/// # Errors
///
/// Those of the store, and a combination of kind and aggregation that has no meaning.
pub async fn metric<S: Store>(
    context: &Context<'_, S>,
    query: &MetricQuery,
) -> Result<Value, EvaluateError> {
    let (clockwork, settled) = context.clockwork().await?;
    let mut explained = json!({
        "kind": query.kind.key(),
        "metric": query.kind.metric(),
        "rangeWindows": match clockwork.boundary {
            RangeBoundary::LeftOpen => "left-open",
            RangeBoundary::Closed => "closed",
        },
        "scrapeIntervalMillis": context.scrape_interval.0,
    });
    let details = match query.aggregation {
        Some(aggregation) => {
            let plan = plan(
                &query.kind,
                aggregation.method,
                aggregation.bucket,
                &clockwork,
            )?;
            check_length(plan.longest_promql())?;
            aggregated(query, aggregation, &plan, settled)
        }
        None => {
            if let Kind::Expression { promql, .. } = &query.kind
                && let Some(why) = shape(promql).refusal()
            {
                return Err(EvaluateError::NoValue(why));
            }
            check_length(raw_promql(&query.kind).len())?;
            raw_details(query, context.scrape_interval, settled)
        }
    };
    if let (Some(all), Value::Object(details)) = (explained.as_object_mut(), details) {
        all.extend(details);
    }
    Ok(explained)
}

fn aggregated(query: &MetricQuery, aggregation: Aggregation, plan: &Plan, now: Timestamp) -> Value {
    let buckets = Buckets::covering(query.start, query.end, now, aggregation.bucket);
    let mut explained = json!({
        "window": aggregation.bucket.to_string(),
        "buckets": { "count": buckets.count(), "first": buckets.start().0, "end": buckets.start_of(buckets.count()).0 },
    });
    let details = match plan {
        Plan::Store {
            promql, several, ..
        } => {
            let mut details = range_calls(promql, buckets, Millis(aggregation.bucket.0 - 1));
            match several {
                Several::Pooled(pooling) => details["ifSeveralSeries"] = pooled(pooling),
                Several::Marked(Meeting::Added(promql)) => {
                    details["ifSeriesChangeTheirForm"] = json!({
                        "how": "where one series is a native and a classic histogram at different times, this is sent as well",
                        "api": "/api/v1/query_range", "promql": promql,
                    });
                }
                Several::Marked(Meeting::Refused) => {
                    details["ifNativeAndClassic"] = json!("an error: no store merges the two");
                }
                Several::Impossible | Several::Refused(_) => {}
            }
            details
        }
        Plan::Pooled(pooling) => json!({ "pooled": pooled(pooling) }),
    };
    if let (Some(all), Value::Object(details)) = (explained.as_object_mut(), details) {
        all.extend(details);
    }
    explained
}

fn pooled(pooling: &Pooling) -> Value {
    let reduce = format!("{:?}", pooling.reduce);
    match &pooling.inner {
        Inner::Samples(selector) => json!({
            "how": "the gateway fetches the stored samples and computes the result of each bucket",
            "api": "/api/v1/query", "promql": selector.to_string(), "reduce": reduce, "sampleBudget": SAMPLE_BUDGET,
        }),
        Inner::Evaluated { promql, step } => json!({
            "how": "the gateway fetches the expression at every step and computes the result of each bucket",
            "api": "/api/v1/query_range", "promql": promql, "stepMillis": step.0, "reduce": reduce, "sampleBudget": SAMPLE_BUDGET,
        }),
    }
}

/// The range queries for all of a grid, at most a handful of them spelled out.
fn range_calls(promql: &str, buckets: Buckets, offset: Millis) -> Value {
    const SPELLED_OUT: usize = 4;
    let mut grid = Grid::new(buckets, offset, true);
    let calls: Vec<Value> = grid
        .next_wave(u64::MAX)
        .iter()
        .take(SPELLED_OUT)
        .map(|part| {
            let last = part.start_of(part.count().saturating_sub(1)).plus(offset);
            json!({ "api": "/api/v1/query_range", "start": part.start().plus(offset).0, "end": last.0, "stepMillis": part.width().0 })
        })
        .collect();
    json!({ "promql": promql, "upstreamCalls": grid::calls(buckets.count()), "calls": calls })
}

/// The expression, or the selector whose stored samples are read.
fn raw_promql(kind: &Kind) -> String {
    match kind {
        Kind::Expression { promql, .. } => promql.clone(),
        kind => raw::selector(kind).to_string(),
    }
}

fn raw_details(query: &MetricQuery, scrape_interval: Millis, now: Timestamp) -> Value {
    let end = query.end.min(now);
    if let Kind::Expression { promql, .. } = &query.kind {
        let step = raw::step(query.start, end, scrape_interval);
        return range_calls(
            promql,
            Buckets::multiples(query.start, end, step),
            Millis(0),
        );
    }
    let scrapes = (end.since(query.start).0.max(0) / scrape_interval.0.max(1)).unsigned_abs() + 1;
    json!({
        "promql": format!("{}[{}]", raw_promql(&query.kind), Millis(end.since(query.start).0.saturating_add(1))),
        "upstreamCalls": grid::calls(scrapes),
        "calls": [{ "api": "/api/v1/query", "time": end.0 }],
        "points": raw::meaning(&query.kind),
    })
}

/// The call of a field query as JSON: of one for the values of `field`, if that is given.
#[must_use]
pub fn fields(query: &FieldQuery, field: Option<&str>) -> Value {
    let api = match field {
        None => "/api/v1/labels".to_owned(),
        Some(kind) if KIND_KEYS.contains(&kind) => "/api/v1/label/__name__/values".to_owned(),
        Some(label) => format!("/api/v1/label/{label}/values"),
    };
    let (start, end) = (query.start.0, query.end.0);
    json!({ "calls": [{ "api": api, "match": query.selector().map(|s| s.to_string()), "start": start, "end": end }], "upstreamCalls": 1 })
}
