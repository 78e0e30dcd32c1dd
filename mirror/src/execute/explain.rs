//! What a query would send, without sending it: how a user finds out why a stream shows what it
//! shows. It prints the plan that [`super::metric`] runs.

use serde_json::{Value, json};

use super::counted::{MOST_PROMQL_BYTES, check_length};
use super::grid::{self, Waves, evaluations};
use super::pooled::SAMPLE_BUDGET;
use super::{Context, EvaluateError};
use crate::model::capabilities::RangeBoundary;
use crate::model::time::Millis;
use crate::plan::distribution::{Across, Node, distribute};
use crate::plan::fields::FieldQuery;
use crate::plan::kind::QueryKindName;
use crate::plan::raw::RawSamples;
use crate::plan::source::{InnerQuery, MatchingSeries, Meeting, Pooling, Source};
use crate::plan::{MetricQuery, Plan, plan};
use crate::prometheus::{Foreseen, Store};

/// The plan of a metric query as JSON. Only the store's capabilities are asked for.
///
/// # Errors
///
/// Those of the store, and a combination of kind and aggregation that has no meaning.
pub async fn metric<S: Store>(
    context: &Context<'_, S>,
    query: &MetricQuery,
) -> Result<Value, EvaluateError> {
    let target = context.facts().await?;
    let plan = plan(query, &target)?;
    check_length(plan.source.longest_promql())?;
    let mut explained = json!({
        "kind": query.kind.name().key(),
        "metric": query.kind.metric(),
        "rangeWindows": match target.capabilities.range_boundary {
            RangeBoundary::LeftOpen => "left-open",
            RangeBoundary::Closed => "closed",
        },
        "scrapeIntervalMillis": target.scrape_interval.0,
    });
    if let Some(bucket) = plan.bucket {
        let buckets = plan.grid.buckets;
        let end = buckets.start_of(buckets.count()).0;
        explained["window"] = json!(bucket.to_string());
        explained["buckets"] =
            json!({ "count": buckets.count(), "first": buckets.start().0, "end": end });
    }
    let details = match &plan.source {
        Source::Range {
            promql, matching, ..
        } => range(&plan, promql, matching),
        Source::Pooled(pooling) => json!({ "pooled": pooled(pooling) }),
        Source::Stored(raw) => stored(&plan, raw, target.scrape_interval),
    };
    if let Source::Range { promql, .. } = &plan.source
        && let Some(remembered) = remembered(context, &plan, promql).await
    {
        explained["remembered"] = remembered;
    }
    if context.store.is_sharded() {
        explained["shards"] = shards(context, &plan).await;
    }
    if let (Some(all), Value::Object(details)) = (explained.as_object_mut(), details) {
        all.extend(details);
    }
    Ok(explained)
}

/// What of the first range queries is remembered, and what they would ask for. None: nothing may
/// be.
async fn remembered<S: Store>(
    context: &Context<'_, S>,
    plan: &Plan,
    promql: &str,
) -> Option<Value> {
    let mut foreseen: Vec<Foreseen> = Vec::new();
    for part in &Waves::over(plan.grid).next_wave(u64::MAX) {
        let call = grid::call(promql, part, plan.grid.offset);
        foreseen.extend(context.store.foresee(&call, context.deadline).await);
    }
    let first = foreseen.first()?;
    if let Some(never) = &first.never {
        return Some(json!({ "buckets": 0, "never": never.to_string() }));
    }
    let buckets: u64 = foreseen.iter().map(|one| one.remembered).sum();
    let asked = foreseen.iter().flat_map(|one| &one.asked);
    let asked = asked.map(|(start, end)| json!({ "start": start.0, "end": end.0 }));
    Some(json!({ "buckets": buckets, "asked": asked.collect::<Vec<_>>() }))
}

/// What each shard is sent, and what becomes of their answers.
async fn shards<S: Store>(context: &Context<'_, S>, plan: &Plan) -> Value {
    let asked = context.store.shards(context.deadline).await;
    let count = asked.len();
    let asked = asked.into_iter().map(|(shard, missing)| match missing {
        None => json!({ "shard": shard }),
        Some(error) => json!({ "shard": shard, "leftOut": error.to_string() }),
    });
    let mut explained = json!({ "asked": asked.collect::<Vec<_>>() });
    let promql = match &plan.source {
        Source::Range { promql, .. } => promql,
        Source::Pooled(Pooling {
            inner: InnerQuery::Evaluated { promql, .. },
            ..
        }) => promql,
        Source::Pooled(_) | Source::Stored(_) => {
            explained["how"] = json!("the samples of all shards, together");
            return explained;
        }
    };
    match distribute(promql, MOST_PROMQL_BYTES) {
        Ok(tree) => {
            let sent = tree.leaves().into_iter().map(|leaf| {
                let mut sent = json!({ "promql": leaf.promql, "together": leaf.across.words() });
                if let Across::Alone(reason) = &leaf.across {
                    sent["why"] = json!(reason.to_string());
                }
                sent
            });
            explained["sent"] = Value::Array(sent.collect());
            explained["callsForEach"] = json!(calls_for_each(&tree, count));
            explained["result"] = json!(tree.formula());
        }
        Err(error) => explained["refused"] = json!(error.to_string()),
    }
    explained
}

/// How many calls of shards one call of a target is. Where elements are compared one by one, the
/// shards are asked first which series there are.
fn calls_for_each(tree: &Node, shards: usize) -> usize {
    let leaves = tree.leaves();
    let calls = leaves.iter().map(|leaf| match leaf.across {
        Across::Anywhere | Across::Alone(_) => 1,
        Across::SideBySide { .. } | Across::Folded(_) => shards,
    });
    let mut selectors: Vec<_> = leaves.iter().flat_map(|leaf| &leaf.reads).collect();
    selectors.dedup();
    let first = if tree.is_costly() {
        selectors.len() * shards
    } else {
        0
    };
    calls.sum::<usize>() + first
}

/// The range queries, at most a handful of them spelled out.
fn range(plan: &Plan, promql: &str, matching: &MatchingSeries) -> Value {
    const SPELLED_OUT: usize = 4;
    let calls: Vec<Value> = Waves::over(plan.grid)
        .next_wave(u64::MAX)
        .iter()
        .take(SPELLED_OUT)
        .map(|part| {
            let (start, end) = evaluations(part, plan.grid.offset);
            json!({ "api": "/api/v1/query_range", "start": start.0, "end": end.0, "stepMillis": part.width().0 })
        })
        .collect();
    let upstream_calls = grid::calls(plan.grid.buckets.count());
    let mut details = json!({ "promql": promql, "upstreamCalls": upstream_calls, "calls": calls });
    match matching {
        MatchingSeries::Pooled(pooling) => details["ifSeveralSeries"] = pooled(pooling),
        MatchingSeries::Marked(Meeting::Added(promql)) => {
            details["ifSeriesChangeTheirForm"] = json!({
                "how": "where one series is a native and a classic histogram at different times, this is sent as well",
                "api": "/api/v1/query_range", "promql": promql,
            });
        }
        MatchingSeries::Marked(Meeting::Refused) => {
            details["ifNativeAndClassic"] = json!("an error: no store merges the two");
        }
        MatchingSeries::Impossible | MatchingSeries::Refused(_) => {}
    }
    details
}

fn pooled(pooling: &Pooling) -> Value {
    let reduce = format!("{:?}", pooling.reduce);
    match &pooling.inner {
        InnerQuery::Samples(selector) => json!({
            "how": "the gateway fetches the stored samples and computes the result of each bucket",
            "api": "/api/v1/query", "promql": selector.to_string(), "reduce": reduce, "sampleBudget": SAMPLE_BUDGET,
        }),
        InnerQuery::Evaluated { promql, step } => json!({
            "how": "the gateway fetches the expression at every step and computes the result of each bucket",
            "api": "/api/v1/query_range", "promql": promql, "stepMillis": step.0, "reduce": reduce, "sampleBudget": SAMPLE_BUDGET,
        }),
    }
}

fn stored(plan: &Plan, raw: &RawSamples, scrape_interval: Millis) -> Value {
    let length = plan.end.since(plan.start).0;
    let scrapes = (length.max(0) / scrape_interval.0.max(1)).unsigned_abs() + 1;
    json!({
        "promql": format!("{}[{}]", raw.selector, Millis(length.saturating_add(1))),
        "upstreamCalls": grid::calls(scrapes),
        "calls": [{ "api": "/api/v1/query", "time": plan.end.0 }],
        "points": raw.points.meaning(),
    })
}

/// The call of a field query as JSON: of one for the values of `field`, if that is given.
#[must_use]
pub fn fields(query: &FieldQuery, field: Option<&str>) -> Value {
    let api = match field {
        None => "/api/v1/labels".to_owned(),
        Some(field) if QueryKindName::parse(field).is_some() => {
            "/api/v1/label/__name__/values".to_owned()
        }
        Some(label) => format!("/api/v1/label/{label}/values"),
    };
    let (start, end) = (query.start.0, query.end.0);
    json!({ "calls": [{ "api": api, "match": query.selector().map(|s| s.to_string()), "start": start, "end": end }], "upstreamCalls": 1 })
}

#[cfg(test)]
mod tests;
