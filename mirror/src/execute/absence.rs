//! Why no series matches: which condition excludes all of them. Asked only where there is no
//! series, in few calls and little time.

use std::time::{Duration, Instant};

use futures::future::join_all;

use super::{Context, EvaluateError};
use crate::model::time::{Millis, Timestamp};
use crate::plan::MetricQuery;
use crate::plan::kind::QueryKind;
use crate::plan::selector::Matcher;
use crate::plan::summary::needed_quantile;
use crate::prometheus::{Deadline, Store};

/// The most calls that this takes.
const MOST_CALLS: usize = 8;

/// The longest that this takes: the answer that nothing was found should not be late.
const LONGEST: Duration = Duration::from_secs(2);

/// Nothing was found: is that because nothing is there? Asked only then, and over a day more than
/// the query's range, so that a series which pauses is not an error.
pub(super) async fn check<S: Store>(
    context: &Context<'_, S>,
    query: &MetricQuery,
) -> Result<(), EvaluateError> {
    const DAY: Millis = Millis(24 * 3_600_000);
    let from = query.start.minus(DAY);
    let selectors = query.kind.selectors();
    if selectors.is_empty() {
        return Ok(());
    }
    if !context.exists(selectors, from, query.end).await? {
        let reason = reason(context, &query.kind, from, query.end).await;
        return Err(EvaluateError::NotFound(reason));
    }
    if let (QueryKind::Summary(base), Some(aggregation)) = (&query.kind, query.aggregation)
        && let Some(series) = needed_quantile(base, aggregation.method)
    {
        let selectors = vec![series.to_string()];
        if !context.exists(selectors, from, query.end).await? {
            return Err(EvaluateError::Unsupported);
        }
    }
    Ok(())
}

/// What excludes all series, as the end of a sentence; none if that cannot be found out.
async fn reason<S: Store>(
    context: &Context<'_, S>,
    kind: &QueryKind,
    from: Timestamp,
    to: Timestamp,
) -> Option<String> {
    let conditions = kind.conditions();
    if conditions.is_empty() {
        return None;
    }
    let soon = Deadline(context.deadline.0.min(Instant::now() + LONGEST));
    let context = Context {
        deadline: soon,
        ..*context
    };
    let exists = |conditions| exist(&context, kind, conditions, (from, to));
    if !exists(Vec::new()).await? {
        return Some("there is none of that name, whatever its labels".to_owned());
    }
    let (excluding, calls) = excluding(&exists, conditions).await;
    let names: Vec<String> = excluding.iter().map(ToString::to_string).collect();
    match excluding[..] {
        [] => None,
        [one] => {
            let is_missing = calls < MOST_CALLS
                && exists(vec![Matcher::any_value(one.label())]).await == Some(false);
            let why = if is_missing {
                format!(
                    " (no series of this metric has the label {:?})",
                    one.label()
                )
            } else {
                String::new()
            };
            Some(format!("{one} excludes all of them{why}"))
        }
        _ => Some(format!(
            "each of {} excludes all of them",
            names.join(" and ")
        )),
    }
}

/// The conditions that exclude all series, as far as that can be found out, and how many calls were
/// made up to here, the first one included.
async fn excluding<'a, F: Future<Output = Option<bool>>>(
    exists: &impl Fn(Vec<Matcher>) -> F,
    conditions: &'a [Matcher],
) -> (Vec<&'a Matcher>, usize) {
    let mut calls = 1;
    if let [only] = conditions {
        return (vec![only], calls);
    }
    // Alone responsible is a condition without which there are series.
    let tried = &conditions[..conditions.len().min(MOST_CALLS - calls)];
    let without = tried.iter().enumerate().map(|(index, _)| {
        let mut others = conditions.to_vec();
        others.remove(index);
        exists(others)
    });
    let found = join_all(without).await;
    calls += tried.len();
    let excluding = those(tried, &found, true);
    if !excluding.is_empty() || calls + conditions.len() > MOST_CALLS {
        return (excluding, calls);
    }
    // Several are: those that exclude everything even by themselves.
    let alone = conditions.iter().map(|one| exists(vec![one.clone()]));
    let found = join_all(alone).await;
    (those(conditions, &found, false), calls + conditions.len())
}

/// The conditions of which this was found.
fn those<'a>(conditions: &'a [Matcher], found: &[Option<bool>], this: bool) -> Vec<&'a Matcher> {
    let pairs = conditions.iter().zip(found);
    let are = pairs.filter(|(_, found)| **found == Some(this));
    are.map(|(one, _)| one).collect()
}

/// Whether there are series with these conditions instead; none if the store does not say so.
async fn exist<S: Store>(
    context: &Context<'_, S>,
    kind: &QueryKind,
    conditions: Vec<Matcher>,
    (from, to): (Timestamp, Timestamp),
) -> Option<bool> {
    let selectors = kind.with_conditions(conditions).selectors();
    context.exists(selectors, from, to).await.ok()
}
