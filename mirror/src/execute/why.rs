//! Why a metric query has no points, for whoever sees an empty chart. Asked only on request, in few
//! calls. What is an error says why by itself.

use std::fmt;

use crds::NanInterpretation;

use super::{Context, EvaluateError, metric};
use crate::model::time::{Millis, Timestamp};
use crate::plan::kind::QueryKind;
use crate::plan::{MetricQuery, Plan, plan};
use crate::prometheus::{Call, Store};

/// How far before a range samples are looked for, and behind it up to now.
const LOOKED: Millis = Millis(30 * 24 * 3_600_000);

/// How exact the store's index is: Prometheus keeps two hours in a block.
const BLOCK: Millis = Millis(2 * 3_600_000);

/// The steps in which a stretch is searched for samples.
const STEPS: i64 = 240;

/// Why there are no points, or that there are some.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Why {
    /// There are so many.
    Points(usize),
    /// No bucket of the range is over. The first one ends at this instant.
    NoBucketIsOver {
        /// The end of the first bucket.
        ends: Timestamp,
    },
    /// The samples of the range lie in its last bucket, which is not over.
    LastBucketIsNotOver {
        /// Its end.
        ends: Timestamp,
        /// Whether the range ends before that, so that waiting does not help.
        is_cut: bool,
    },
    /// Only NaN, which is left out: so many points of it.
    OnlyNan(usize),
    /// The range has no samples.
    NoSamples {
        /// About when the last sample before it is.
        before: Option<Timestamp>,
        /// About when the first sample behind it is.
        after: Option<Timestamp>,
    },
    /// The range has samples, and they make no point: a rate needs two of them in one window.
    TooFewSamples,
    /// The expression has results, and no result satisfies the conditions.
    NoResultChosen {
        /// What tells the results apart; none if there is only one.
        differences: Option<String>,
    },
    /// The expression has no result in the range.
    NoResult,
}

impl Why {
    /// Its name for programs.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Points(_) => "Points",
            Self::NoBucketIsOver { .. } => "NoBucketIsOver",
            Self::LastBucketIsNotOver { .. } => "LastBucketIsNotOver",
            Self::OnlyNan(_) => "OnlyNaN",
            Self::NoSamples { .. } => "NoSamples",
            Self::TooFewSamples => "TooFewSamples",
            Self::NoResultChosen { .. } => "NoResultChosen",
            Self::NoResult => "NoResult",
        }
    }
}

impl fmt::Display for Why {
    /// A sentence, and what to do.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let about = |at: &Timestamp| at.rfc3339();
        match self {
            Self::Points(count) => write!(f, "there are {count} points"),
            Self::NoBucketIsOver { ends } => write!(
                f,
                "no bucket of this length is over: the first one ends at {}",
                about(ends)
            ),
            Self::LastBucketIsNotOver { ends, is_cut } => {
                let end = about(ends);
                f.write_str("all samples in this range lie in its last bucket, which ")?;
                match is_cut {
                    false => write!(f, "is not over: it ends at {end}, and has its point then"),
                    true => write!(
                        f,
                        "the range cuts off: it ends at {end}; let the range end then or later"
                    ),
                }
            }
            Self::OnlyNan(_) => f.write_str(
                "every value is NaN, and NaN is left out here: by nanInterpretation of the target \
                 or nan_interpretation of the request",
            ),
            Self::NoSamples { before, after } => {
                f.write_str("there are no samples in this range")?;
                if let Some(at) = before {
                    write!(f, "; the last one before it is at about {}", about(at))?;
                }
                if let Some(at) = after {
                    write!(f, "; the first one after it is at about {}", about(at))?;
                }
                Ok(())
            }
            Self::TooFewSamples => f.write_str(
                "there are samples in this range, but too few for a point: a rate needs two in one \
                 bucket, so ask for larger buckets",
            ),
            Self::NoResultChosen { differences: None } => f.write_str(
                "the expression has one result, and its labels do not satisfy the conditions",
            ),
            Self::NoResultChosen {
                differences: Some(differences),
            } => write!(
                f,
                "the expression has results, and none satisfies the conditions; they differ in: \
                 {differences}"
            ),
            Self::NoResult => f.write_str("the expression has no result in this range"),
        }
    }
}

/// Why the answer to this query is as it is.
///
/// # Errors
///
/// Those of the query. They say why there are no points.
pub async fn why<S: Store>(
    context: &Context<'_, S>,
    query: &MetricQuery,
) -> Result<Why, EvaluateError> {
    let found = match metric(context, query).await {
        Err(EvaluateError::NotFound(reason)) => {
            return at_other_times(context, query, reason).await;
        }
        found => found?.points.len(),
    };
    if found > 0 {
        return Ok(Why::Points(found));
    }
    let plan = plan(query, &context.facts().await?)?;
    let buckets = plan.grid.buckets;
    if buckets.count() == 0
        && let Some(width) = plan.bucket
    {
        let ends = buckets.start().plus(width);
        return Ok(Why::NoBucketIsOver { ends });
    }
    let nan_is_shown = Context {
        nan_interpretation: NanInterpretation::Zero,
        ..*context
    };
    let of_nan = metric(&nan_is_shown, query).await?.points.len();
    if of_nan > 0 {
        return Ok(Why::OnlyNan(of_nan));
    }
    if matches!(query.kind, QueryKind::Expression { .. }) {
        return of_expression(context, query).await;
    }
    of_samples(context, query, &plan).await
}

/// Where the samples are, of which none makes a point.
async fn of_samples<S: Store>(
    context: &Context<'_, S>,
    query: &MetricQuery,
    plan: &Plan,
) -> Result<Why, EvaluateError> {
    let (selectors, buckets) = (plan.kind.selectors(), plan.grid.buckets);
    let from = match plan.kind {
        // Its buckets are read by themselves.
        QueryKind::Gauge(_) if plan.bucket.is_some() => buckets.start(),
        _ => query.start.minus(plan.looks_back),
    };
    let to = query.end;
    // Up to the end of the last bucket that is over, and behind it.
    let over = match plan.bucket {
        Some(_) => buckets.last_instant().min(to),
        None => to,
    };
    let (found, _) = steps_with_samples(context, &selectors, from, over).await?;
    if !found.is_empty() {
        return Ok(Why::TooFewSamples);
    }
    if let Some(width) = plan.bucket
        && over < to
    {
        let (found, _) = steps_with_samples(context, &selectors, over, to).await?;
        if !found.is_empty() {
            let ends = over.plus(Millis(1)).plus(width);
            let is_cut = query.end < ends && ends <= context.now;
            return Ok(Why::LastBucketIsNotOver { ends, is_cut });
        }
    }
    around(context, &selectors, from, to).await
}

/// No series matches about the time of the query, for this reason. Is there one at other times?
async fn at_other_times<S: Store>(
    context: &Context<'_, S>,
    query: &MetricQuery,
    reason: Option<String>,
) -> Result<Why, EvaluateError> {
    let selectors = query.kind.selectors();
    match around(context, &selectors, query.start, query.end).await? {
        Why::NoSamples {
            before: None,
            after: None,
        } => Err(EvaluateError::NotFound(reason)),
        elsewhere => Ok(elsewhere),
    }
}

/// Where the samples next to a range without any are.
async fn around<S: Store>(
    context: &Context<'_, S>,
    selectors: &[String],
    from: Timestamp,
    to: Timestamp,
) -> Result<Why, EvaluateError> {
    Ok(Why::NoSamples {
        before: last_sample(context, selectors, from.minus(LOOKED), from).await?,
        after: first_sample(context, selectors, to, context.now).await?,
    })
}

/// Whether its conditions leave out every result.
async fn of_expression<S: Store>(
    context: &Context<'_, S>,
    query: &MetricQuery,
) -> Result<Why, EvaluateError> {
    let QueryKind::Expression { promql, matchers } = &query.kind else {
        return Ok(Why::NoResult);
    };
    if matchers.is_empty() {
        return Ok(Why::NoResult);
    }
    let all = MetricQuery {
        kind: QueryKind::Expression {
            promql: promql.clone(),
            matchers: Vec::new(),
        },
        ..query.clone()
    };
    match metric(context, &all).await {
        Ok(found) if found.points.is_empty() => Ok(Why::NoResult),
        Ok(_) => Ok(Why::NoResultChosen { differences: None }),
        Err(EvaluateError::SeveralSeries { differences, .. }) => Ok(Why::NoResultChosen {
            differences: Some(differences),
        }),
        Err(error) => Err(error),
    }
}

/// The evaluations of a stretch at which the step before has a sample, and the step. The last one
/// is at the stretch's end; less than a step before its start is looked at as well.
async fn steps_with_samples<S: Store>(
    context: &Context<'_, S>,
    selectors: &[String],
    from: Timestamp,
    to: Timestamp,
) -> Result<(Vec<Timestamp>, Millis), EvaluateError> {
    let span = to.since(from).0.max(0);
    let step = Millis((span / STEPS).max(1));
    let steps_before_last = (span - 1).max(0) / step.0;
    let counted: Vec<String> = selectors
        .iter()
        .map(|selector| format!("count_over_time({selector}[{step}])"))
        .collect();
    let call = Call::Range {
        promql: format!("count({})", counted.join(" or ")),
        start: to.minus(Millis(steps_before_last * step.0)),
        end: to,
        step,
    };
    let answer = context.call(call).await?;
    let found = answer.series().iter().flat_map(|one| one.samples.iter());
    Ok((found.map(|(at, _)| at).collect(), step))
}

/// The same of the stretch up to `to` in which the store's index says that a sample is: from `at`
/// on, as exact as the index is. Only this is read.
async fn steps_of_block<S: Store>(
    context: &Context<'_, S>,
    selectors: &[String],
    at: Timestamp,
    to: Timestamp,
) -> Result<(Vec<Timestamp>, Millis), EvaluateError> {
    let end = at.plus(BLOCK).plus(BLOCK).min(to);
    steps_with_samples(context, selectors, at, end).await
}

/// About when the last sample of the stretch is.
async fn last_sample<S: Store>(
    context: &Context<'_, S>,
    selectors: &[String],
    from: Timestamp,
    to: Timestamp,
) -> Result<Option<Timestamp>, EvaluateError> {
    let Some(at) = context.last_sample(selectors, from, to, BLOCK).await? else {
        return Ok(None);
    };
    let (found, _) = steps_of_block(context, selectors, at, to).await?;
    Ok(Some(found.last().copied().unwrap_or(at)))
}

/// About when the first sample of the stretch is.
async fn first_sample<S: Store>(
    context: &Context<'_, S>,
    selectors: &[String],
    from: Timestamp,
    to: Timestamp,
) -> Result<Option<Timestamp>, EvaluateError> {
    if to <= from {
        return Ok(None);
    }
    let Some(at) = context.first_sample(selectors, from, to, BLOCK).await? else {
        return Ok(None);
    };
    let (found, step) = steps_of_block(context, selectors, at, to).await?;
    Ok(Some(found.first().map_or(at, |first| first.minus(step))))
}
