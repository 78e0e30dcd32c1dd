//! The values of a label.

use super::listed::{self, Listed};
use crate::execute::{Context, EvaluateError, dialect};
use crate::plan::fields::ValuesQuery;
use crate::plan::selector::{Matcher, Selector, is_legacy_label_name};
use crate::prometheus::{Call, Store, StoreError};

/// The values of `query.field`: those that begin with its prefix, and perhaps others.
///
/// Stores read names outside the legacy character set in several ways (tried in November 2026):
/// Prometheus 3, Thanos 0.42 and VictoriaMetrics 1.151 decode `U__…` in the path, VictoriaMetrics
/// 1.79 takes the name itself, slashes included. A form that a store does not know is answered with
/// an empty list, 400 or 404. So where nothing was found, the other form is tried, and then the
/// labels of the series, which need no path.
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
    let found = listed::ask(context, selector, |selector| Call::LabelValues {
        label: field.clone(),
        selector,
        start: fields.start,
        end: fields.end,
    })
    .await;
    if is_legacy_label_name(field) || !is_nothing(&found) {
        return found;
    }
    // Without the prefix: a store that reads the path otherwise may not read the name in a selector
    // at all.
    if may_stand_in_path(field) {
        let found = listed::ask(context, fields.selector(), |selector| {
            Call::LabelValuesOtherwise {
                label: field.clone(),
                selector,
                start: fields.start,
                end: fields.end,
            }
        })
        .await;
        if !is_nothing(&found) {
            return found;
        }
    }
    from_series(context, query).await
}

/// Whether a name may be sent in the form that is not its first. Servers and proxies decode a path
/// and clean it: dots alone between slashes would lead out of the target's own prefix, with its
/// credentials. `U__…` is the encoding of another name.
fn may_stand_in_path(field: &str) -> bool {
    let leads_elsewhere = |segment: &str| matches!(segment, "" | "." | "..");
    !field.starts_with("U__") && !field.split(['/', '\\']).any(leads_elsewhere)
}

/// Whether the store may not have understood which label is meant.
fn is_nothing(found: &Result<Listed, EvaluateError>) -> bool {
    match found {
        Ok(found) => found.names.is_empty() && !found.is_incomplete,
        Err(EvaluateError::Store(StoreError::Rejected { .. } | StoreError::NotOffered(_))) => true,
        Err(_) => false,
    }
}

/// The same, from the labels of the series. A store that cannot read the selector has no such
/// label.
async fn from_series<S: Store>(
    context: &Context<'_, S>,
    query: &ValuesQuery,
) -> Result<Listed, EvaluateError> {
    let ValuesQuery {
        fields,
        field,
        prefix,
        ..
    } = query;
    let all = fields
        .selector()
        .unwrap_or_else(|| Selector::any_name(Vec::new()));
    let mut matcher = if prefix.is_empty() {
        Matcher::any_value(field)
    } else {
        Matcher::prefix(field, prefix)
    };
    if dialect::is_metricsql(context).await? {
        matcher = matcher.in_metricsql();
    }
    let with_label = all.and(matcher);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_leads_out_of_the_path() {
        for field in [
            "app.kubernetes.io/name",
            "my.label",
            "größe",
            "a..b",
            ".a/..b",
        ] {
            assert!(may_stand_in_path(field), "{field}");
        }
        for field in [
            "x/../pod", "..", ".", "../a", "a/..", "/a", "a//b", "a/", "a\\..\\b", "U__a",
        ] {
            assert!(!may_stand_in_path(field), "{field}");
        }
    }
}
