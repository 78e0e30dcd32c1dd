//! Names of labels outside the legacy character set, as the store reads them: Prometheus 3 and what
//! follows it in quotes, every VictoriaMetrics with escapes, Prometheus 2 not at all (tried on
//! 2.42, 2.53, 3.10, Thanos 0.42, VictoriaMetrics 1.79 and 1.151).

use super::{Context, EvaluateError};
use crate::plan::fields::FieldQuery;
use crate::plan::kind::QueryKind;
use crate::plan::selector::Matcher;
use crate::prometheus::{Store, StoreError};

/// A query of fields as the store reads it; none if it can stay as it is. The store is asked what
/// it is only where that matters.
pub(super) async fn of_fields<S: Store>(
    context: &Context<'_, S>,
    query: &FieldQuery,
) -> Result<Option<FieldQuery>, StoreError> {
    let named = query
        .kind
        .as_ref()
        .and_then(QueryKind::quoted_label)
        .is_some();
    let is_quoted = named || query.matchers.iter().any(Matcher::has_quoted_label);
    if !is_quoted || !is_metricsql(context).await? {
        return Ok(None);
    }
    let query = query.clone();
    let matchers = query.matchers.into_iter();
    Ok(Some(FieldQuery {
        kind: query.kind.map(QueryKind::in_metricsql),
        matchers: matchers.map(Matcher::in_metricsql).collect(),
        ..query
    }))
}

/// Whether the store is VictoriaMetrics.
pub(super) async fn is_metricsql<S: Store>(context: &Context<'_, S>) -> Result<bool, StoreError> {
    let capabilities = context.store.capabilities(context.deadline).await?;
    Ok(capabilities.is_metricsql())
}

/// A refusal of a selector that the user did not write, in the user's terms.
pub(super) fn in_our_words(error: EvaluateError, kind: &QueryKind) -> EvaluateError {
    match (error, kind.quoted_label()) {
        (EvaluateError::Store(StoreError::Rejected { kind, message }), Some(label))
            if message.contains("parse error") =>
        {
            let message = format!(
                "it cannot read the label name {label:?}: names with other characters than letters, digits and _ need Prometheus 3 or later"
            );
            EvaluateError::Store(StoreError::Rejected { kind, message })
        }
        (error, _) => error,
    }
}
