//! Field names and field values: what a user can choose from while composing a query.
//!
//! * [`metric_names`]: the names of metrics, by query kind.
//! * [`label_values`]: the values of a label.
//! * [`listed`]: a list that a store is asked for, in parts where the question is too long for a
//!   URL.

mod label_values;
mod listed;
mod metric_names;

use std::collections::BTreeSet;

use self::listed::Listed;
use super::{Context, EvaluateError, dialect, work};
use crate::plan::fields::{self, FieldQuery, FieldValue, Listing, ValuesQuery};
use crate::plan::kind::QueryKindName;
use crate::prometheus::{Call, Store};

/// The keys of the query kinds, which are always there, and the labels of the series.
///
/// # Errors
///
/// Those of the store.
pub async fn names<S: Store>(
    context: &Context<'_, S>,
    query: &FieldQuery,
) -> Result<Listing<String>, EvaluateError> {
    let written = dialect::of_fields(context, query).await?;
    let query = written.as_ref().unwrap_or(query);
    let answered = listed::ask(context, query.selector(), |selector| Call::LabelNames {
        selector,
        start: query.start,
        end: query.end,
    })
    .await?;
    let labels = shown(answered.names);
    let room = usize::try_from(query.limit.unwrap_or(u64::MAX))
        .unwrap_or(usize::MAX)
        .saturating_sub(QueryKindName::ALL.len());
    let is_partial = labels.len() > room || answered.is_incomplete;
    let kinds = QueryKindName::ALL
        .map(|kind| kind.key().to_owned())
        .into_iter();
    Ok(Listing {
        entries: kinds.chain(labels.into_iter().take(room)).collect(),
        is_partial,
    })
}

/// The labels that a user chooses from. The name is a condition of its own. Prometheus' type and
/// unit (its feature `type-and-unit-labels`) belong together: series without a unit have only a
/// type.
fn shown(mut labels: BTreeSet<String>) -> BTreeSet<String> {
    const TYPE_AND_UNIT: [&str; 2] = ["__type__", "__unit__"];
    labels.remove("__name__");
    if TYPE_AND_UNIT.iter().any(|label| labels.contains(*label)) {
        labels.extend(TYPE_AND_UNIT.map(str::to_owned));
    }
    labels
}

/// The values of a field, sorted.
///
/// # Errors
///
/// Those of the store.
pub async fn values<S: Store>(
    context: &Context<'_, S>,
    query: &ValuesQuery,
) -> Result<Listing<FieldValue>, EvaluateError> {
    let kind = QueryKindName::parse(&query.field);
    if kind == Some(QueryKindName::Expression) {
        // Any expression is a value.
        return Ok(Listing {
            entries: Vec::new(),
            is_partial: false,
        });
    }
    let written = dialect::of_fields(context, &query.fields).await?;
    let written = written.map(|fields| ValuesQuery {
        fields,
        ..query.clone()
    });
    let query = written.as_ref().unwrap_or(query);
    let Listed {
        names,
        is_incomplete,
    } = match kind {
        Some(kind) => metric_names::list(context, query, kind).await?,
        None => label_values::list(context, query).await?,
    };
    let limit = usize::try_from(query.fields.limit.unwrap_or(u64::MAX)).unwrap_or(usize::MAX);
    let offset = usize::try_from(query.offset).unwrap_or(usize::MAX);
    let prefix = query.prefix.clone();
    let mut listing = work::done(names.len(), context.deadline, move || {
        let matching = names.into_iter().filter(|value| value.starts_with(&prefix));
        let rest: Vec<String> = matching.skip(offset).collect();
        let folded_behind = (kind.is_some() && offset == 0).then_some(prefix.as_str());
        fields::cut(rest, limit, folded_behind)
    })
    .await?;
    listing.is_partial |= is_incomplete;
    Ok(listing)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn type_and_unit_are_shown_together_and_the_name_is_not() {
        let labels = |names: &[&str]| names.iter().map(ToString::to_string).collect();
        assert_eq!(
            shown(labels(&["__name__", "__type__", "job"])),
            labels(&["__type__", "__unit__", "job"])
        );
        assert_eq!(shown(labels(&["__name__", "job"])), labels(&["job"]));
    }
}
