//! The values of a label.

use super::ValuesQuery;
use super::listed::{self, Listed};
use crate::evaluate::{Context, EvaluateError};
use crate::prometheus::{Call, Store, StoreError};
use crate::query::selector::{Matcher, Selector, is_legacy_label_name};

/// The values of `query.field` that begin with its prefix.
pub(super) async fn list<S: Store>(
    context: &Context<'_, S>,
    query: &ValuesQuery,
) -> Result<Listed, EvaluateError> {
    let ValuesQuery {
        fields,
        field,
        prefix,
        ..
    } = query;
    let mut selector = fields.selector();
    if !prefix.is_empty() {
        // The store leaves out what the user does not want to see.
        let all = selector.unwrap_or_else(|| Selector::any_name(Vec::new()));
        selector = Some(all.and(Matcher::prefix(field, prefix)));
    }
    let found = listed::ask(context, selector.clone(), |selector| Call::LabelValues {
        label: field.clone(),
        selector,
        start: fields.start,
        end: fields.end,
    })
    .await;
    if is_legacy_label_name(field) {
        return found;
    }
    // Stores write other names into the path in several ways, and answer nothing, or a refusal, to those they don't know.
    // A selector means the same to all that can hold such a label.
    match found {
        Ok(Listed {
            names,
            is_incomplete: false,
        }) if names.is_empty() => from_series(context, query, selector).await,
        Err(EvaluateError::Store(StoreError::Rejected { .. } | StoreError::NotOffered(_))) => {
            from_series(context, query, selector).await
        }
        found => found,
    }
}

/// The same, from the labels of the series. A store that cannot read the selector has no such label.
async fn from_series<S: Store>(
    context: &Context<'_, S>,
    query: &ValuesQuery,
    selector: Option<Selector>,
) -> Result<Listed, EvaluateError> {
    let ValuesQuery { fields, field, .. } = query;
    let all = selector.unwrap_or_else(|| Selector::any_name(Vec::new()));
    let with_label = all.and(Matcher::present(field));
    let found = listed::ask(context, Some(with_label), |selector| Call::LabelOfSeries {
        label: field.clone(),
        selector: selector.unwrap_or_default(),
        start: fields.start,
        end: fields.end,
    })
    .await;
    match found {
        Err(EvaluateError::Store(StoreError::Rejected { .. })) => Ok(Listed::default()),
        found => found,
    }
}
