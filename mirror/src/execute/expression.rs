//! What becomes of an expression that the store refuses inside what the mirror puts around it. No
//! call of this is made unless it refuses.

use super::{Context, EvaluateError};
use crate::model::time::Timestamp;
use crate::plan::Kind;
use crate::plan::expression::{Shape, Wrapping, shape_in_complaint};
use crate::prometheus::{Call, Store, StoreError};

/// The store's word on a refused expression.
pub(super) enum Verdict {
    /// It is a number, which must be sent as `vector(…)`.
    IsScalar,
    /// It cannot be answered.
    Error(EvaluateError),
}

/// Looks at the store's complaint, and where that is about the text around the user's expression as
/// well, at the one about that alone.
pub(super) async fn judge<S: Store>(
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
pub(super) fn in_our_words(error: EvaluateError, kind: &Kind) -> EvaluateError {
    match error {
        EvaluateError::Store(StoreError::Rejected { kind: of, message })
            if matches!(kind, Kind::Expression { .. }) =>
        {
            refused(of, message)
        }
        error => error,
    }
}
