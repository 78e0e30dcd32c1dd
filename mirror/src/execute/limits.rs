//! Complaints of a store that need a word more on what to do: limits that the mirror cannot keep by
//! splitting a range (a window belongs to a single point), and series that a rate cannot tell
//! apart.

use super::EvaluateError;
use crate::plan::MetricQuery;
use crate::plan::kind::QueryKind;
use crate::prometheus::StoreError;

/// A store's complaint with what to do about it, if it is of these kinds. The window of each point
/// counts as well as the range.
pub(super) fn with_hint(error: EvaluateError, query: &MetricQuery) -> EvaluateError {
    let EvaluateError::Store(StoreError::Rejected { kind, message }) = error else {
        return error;
    };
    let is_expression = matches!(query.kind, QueryKind::Expression { .. });
    // Prometheus drops three labels when it computes a rate: the name, `__type__` and `__unit__`.
    if super::types::are_alike(&message) && !is_expression {
        return EvaluateError::Store(StoreError::Rejected {
            kind,
            message: format!(
                "{message} (these series differ in nothing but __type__ or __unit__: add a condition on that label)"
            ),
        });
    }
    // Mimir and Thanos; Cortex.
    let is_length = message.contains("the query time range exceeds the limit")
        || message.contains("invalid length of query");
    let hint = match (is_length, query.aggregation, &query.kind) {
        (false, ..) => String::new(),
        (true, Some(aggregation), kind) => {
            let bucket = aggregation.bucket;
            let own = match kind {
                QueryKind::Expression { .. } => ", a smaller window in the expression",
                _ => "",
            };
            format!(
                " (each point looks back over its bucket of {bucket}: choose a smaller bucket{own} or a shorter time range)"
            )
        }
        (true, None, QueryKind::Expression { .. }) => {
            " (choose a smaller window in the expression or a shorter time range)".to_owned()
        }
        (true, None, _) => " (choose a shorter time range)".to_owned(),
    };
    EvaluateError::Store(StoreError::Rejected {
        kind,
        message: message + &hint,
    })
}
