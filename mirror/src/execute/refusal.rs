//! What a store's refusal means: often that the query must be sent otherwise. No call of this is
//! made unless it refuses.

use super::{Context, EvaluateError, Telemetry, run, types};
use crate::model::time::Timestamp;
use crate::plan::expression::{Shape, Wrapping, shape_in_complaint};
use crate::plan::kind::QueryKind;
use crate::plan::source::Source;
use crate::plan::{MetricQuery, Plan, plan, plan_of_scalar};
use crate::prometheus::{Call, Store, StoreError};

/// The text around a user's expression in a plan, if there is any.
pub(super) fn wrapping(plan: &Plan) -> Option<Wrapping<'_>> {
    match (&plan.kind, &plan.source) {
        (QueryKind::Expression { promql: user, .. }, Source::Range { promql, before, .. })
            if *before > 0 =>
        {
            Some(Wrapping {
                sent: promql,
                user,
                before: *before,
            })
        }
        _ => None,
    }
}

/// The answer to a query whose plan failed, in another way if there is one.
pub(super) async fn answered<S: Store>(
    context: &Context<'_, S>,
    query: &MetricQuery,
    failed: &Plan,
    error: EvaluateError,
) -> Result<Telemetry, EvaluateError> {
    if query.aggregation.is_none() {
        return Err(in_our_words(error, &query.kind));
    }
    let (kind, message) = match (error, &query.kind) {
        (EvaluateError::Store(StoreError::Rejected { kind, message }), _) => (kind, message),
        // Several summaries have no percentile in common.
        (EvaluateError::SeveralSeries { .. }, QueryKind::Summary(_)) => {
            return Err(EvaluateError::Unsupported);
        }
        (error, _) => return Err(error),
    };
    if types::are_alike(&message)
        && let Some(in_parts) = types::in_parts(context, query).await?
    {
        let query = MetricQuery {
            kind: in_parts,
            ..query.clone()
        };
        let plan = plan(&query, &context.facts().await?)?;
        return run(context, &query, &plan).await;
    }
    // Complaints that name the text around a user's expression, or are only due to it.
    let Some(wrapping) = wrapping(failed) else {
        let error = EvaluateError::Store(StoreError::Rejected { kind, message });
        return Err(in_our_words(error, &query.kind));
    };
    let at = failed.grid.buckets.last_instant();
    match judge(context, wrapping, at, kind, message).await {
        Verdict::Error(error) => Err(error),
        Verdict::IsScalar => as_scalar(context, query).await,
    }
}

/// The answer to an expression of which the store says that it is a number.
async fn as_scalar<S: Store>(
    context: &Context<'_, S>,
    query: &MetricQuery,
) -> Result<Telemetry, EvaluateError> {
    let plan = plan_of_scalar(query, &context.facts().await?)?;
    let again = run(context, query, &plan).await;
    again.map_err(|error| match (error, wrapping(&plan)) {
        (EvaluateError::Store(StoreError::Rejected { kind, message }), Some(wrapping)) => {
            let message = wrapping.unwrapped(&message);
            EvaluateError::Store(StoreError::Rejected { kind, message })
        }
        (error, _) => error,
    })
}

/// The store's word on a refused expression.
enum Verdict {
    /// It is a number, which must be sent as `vector(…)`.
    IsScalar,
    /// It cannot be answered.
    Error(EvaluateError),
}

/// Looks at the store's complaint, and where that is about the text around the user's expression as
/// well, at the one about that alone.
async fn judge<S: Store>(
    context: &Context<'_, S>,
    wrapping: Wrapping<'_>,
    at: Timestamp,
    kind: String,
    message: String,
) -> Verdict {
    match shape_in_complaint(&message, wrapping.before) {
        Some(Shape::Scalar) => return Verdict::IsScalar,
        Some(shape) => {
            if let Some(why) = shape.refusal() {
                return Verdict::Error(EvaluateError::NoValue(why));
            }
        }
        None => {}
    }
    // A range query, because an instant query takes range vectors as well.
    let alone = Call::Range {
        promql: wrapping.user.to_owned(),
        start: at,
        end: at,
        step: context.scrape_interval,
    };
    let message = match context.call(alone).await {
        Err(StoreError::Rejected { message: alone, .. }) if alone != message => {
            return Verdict::Error(refused(kind, alone));
        }
        // The same words may speak of either text.
        _ => wrapping.unwrapped(&message),
    };
    Verdict::Error(refused(kind, message))
}

/// The store's complaint about an expression as the user wrote it.
fn refused(kind: String, message: String) -> EvaluateError {
    match shape_in_complaint(&message, 0).and_then(Shape::refusal) {
        Some(why) => EvaluateError::NoValue(why),
        None => EvaluateError::Store(StoreError::Rejected { kind, message }),
    }
}

/// An error of the store about an expression that was sent as the user wrote it, in our words where
/// it is about what the expression is.
fn in_our_words(error: EvaluateError, kind: &QueryKind) -> EvaluateError {
    match error {
        EvaluateError::Store(StoreError::Rejected { kind: of, message })
            if matches!(kind, QueryKind::Expression { .. }) =>
        {
            refused(of, message)
        }
        error => error,
    }
}
