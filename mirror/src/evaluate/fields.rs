//! Field names and field values: what a user can choose from while composing a query.

use std::collections::{BTreeMap, BTreeSet};

use super::{Context, EvaluateError};
use crate::prometheus::{Answer, Call, Data, MetricType, Store};
use crate::query::classify::classify;
use crate::query::selector::{Matcher, Selector};
use crate::query::{KIND_KEYS, Kind};
use crate::time::Timestamp;

/// Which series a field query looks at.
#[derive(Clone, Debug, PartialEq)]
pub struct FieldQuery {
    /// The metric among the conditions, if there is one.
    pub kind: Option<Kind>,
    /// The other conditions.
    pub matchers: Vec<Matcher>,
    /// From this instant …
    pub start: Timestamp,
    /// … to this one.
    pub end: Timestamp,
    /// At most so many results.
    pub limit: Option<u64>,
}

/// Which values of a field.
#[derive(Clone, Debug, PartialEq)]
pub struct ValuesQuery {
    /// The series.
    pub fields: FieldQuery,
    /// A label's name, or the key of a query kind for the names of its metrics.
    pub field: String,
    /// Only values that begin so.
    pub prefix: String,
    /// How many values to leave out, in their sorted order.
    pub offset: u64,
}

/// A value of a field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FieldValue {
    /// One value.
    Complete(String),
    /// All values that begin with what stands before the `*`.
    Pattern(String),
}

/// A part of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listing<T> {
    /// What is answered.
    pub entries: Vec<T>,
    /// There is more.
    pub is_partial: bool,
}

impl FieldQuery {
    /// The series; none if all of them are meant.
    pub(super) fn selector(&self) -> Option<Selector> {
        match &self.kind {
            Some(Kind::Gauge(selector) | Kind::Counter(selector)) => Some(selector.clone()),
            // `_count` has neither `le` nor `quantile`, which are no business of a query; a native histogram has no suffix.
            Some(Kind::Histogram(base)) => Some(base.with_any_suffix(&["", "_count"])),
            Some(Kind::Summary(base)) => Some(base.with_suffix("_count")),
            Some(Kind::Expression { .. }) | None if self.matchers.is_empty() => None,
            Some(Kind::Expression { .. }) | None => Some(Selector::any_name(self.matchers.clone())),
        }
    }
}

/// The keys of the query kinds, which are always there, and the labels of the series.
///
/// # Errors
///
/// Those of the store.
pub async fn names<S: Store>(
    context: &Context<'_, S>,
    query: &FieldQuery,
) -> Result<Listing<String>, EvaluateError> {
    let selector = query.selector().map(|selector| selector.to_string());
    let answer = context
        .call(Call::LabelNames {
            selector,
            start: query.start,
            end: query.end,
        })
        .await?;
    let labels: BTreeSet<String> = listed(&answer)
        .iter()
        .filter(|name| *name != "__name__")
        .cloned()
        .collect();
    let room = usize::try_from(query.limit.unwrap_or(u64::MAX))
        .unwrap_or(usize::MAX)
        .saturating_sub(KIND_KEYS.len());
    let is_partial = labels.len() > room || is_incomplete(&answer);
    let kinds = KIND_KEYS.iter().map(ToString::to_string);
    Ok(Listing {
        entries: kinds.chain(labels.into_iter().take(room)).collect(),
        is_partial,
    })
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
    if query.field == "~" {
        // Any expression is a value.
        return Ok(Listing {
            entries: Vec::new(),
            is_partial: false,
        });
    }
    let is_kind = KIND_KEYS.contains(&query.field.as_str());
    let (values, is_incomplete) = if is_kind {
        metric_names(context, query).await?
    } else {
        label_values(context, query).await?
    };
    let matching = values
        .into_iter()
        .filter(|value| value.starts_with(&query.prefix));
    let rest: Vec<String> = matching
        .skip(usize::try_from(query.offset).unwrap_or(usize::MAX))
        .collect();
    let limit = usize::try_from(query.fields.limit.unwrap_or(u64::MAX)).unwrap_or(usize::MAX);
    let mut listing = cut(
        rest,
        limit,
        (is_kind && query.offset == 0).then_some(query.prefix.as_str()),
    );
    listing.is_partial |= is_incomplete;
    Ok(listing)
}

async fn label_values<S: Store>(
    context: &Context<'_, S>,
    query: &ValuesQuery,
) -> Result<(BTreeSet<String>, bool), EvaluateError> {
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
    let answer = context
        .call(Call::LabelValues {
            label: field.clone(),
            selector: selector.map(|selector| selector.to_string()),
            start: fields.start,
            end: fields.end,
        })
        .await?;
    Ok((
        listed(&answer).iter().cloned().collect(),
        is_incomplete(&answer),
    ))
}

async fn metric_names<S: Store>(
    context: &Context<'_, S>,
    query: &ValuesQuery,
) -> Result<(BTreeSet<String>, bool), EvaluateError> {
    let fields = &query.fields;
    let selector = (!fields.matchers.is_empty())
        .then(|| Selector::any_name(fields.matchers.clone()).to_string());
    let names = Call::LabelValues {
        label: "__name__".to_owned(),
        selector,
        start: fields.start,
        end: fields.end,
    };
    let (names, metadata) = futures::join!(context.call(names), context.call(Call::Metadata));
    let names = names?;
    // Not every store has metadata: without it the names themselves tell.
    let types: BTreeMap<String, MetricType> = match metadata.as_deref().map(|answer| &answer.data) {
        Ok(Data::Metadata(types)) => types.clone(),
        _ => BTreeMap::new(),
    };
    let by_kind = classify(listed(&names), &types);
    let values = match query.field.as_str() {
        "__counter__" => by_kind.counters,
        "__histogram__" => by_kind.histograms,
        "__summary__" => by_kind.summaries,
        _ => by_kind.gauges,
    };
    Ok((values, is_incomplete(&names)))
}

fn listed(answer: &Answer) -> &[String] {
    match &answer.data {
        Data::Names(names) => names,
        _ => &[],
    }
}

fn is_incomplete(answer: &Answer) -> bool {
    answer.is_partial || !answer.warnings.is_empty()
}

/// Below this limit a list of patterns says less than the list's beginning.
const FEWEST_PATTERNS: usize = 10;

/// The first `limit` values, or, where `prefix` says that folding is wanted and it lets everything be told, patterns.
fn cut(values: Vec<String>, limit: usize, prefix: Option<&str>) -> Listing<FieldValue> {
    if values.len() > limit
        && limit >= FEWEST_PATTERNS
        && let Some(prefix) = prefix
    {
        let folded = fold(&values, prefix.len());
        if folded.len() <= limit {
            return Listing {
                entries: folded,
                is_partial: false,
            };
        }
    }
    let is_partial = values.len() > limit;
    Listing {
        entries: values
            .into_iter()
            .take(limit)
            .map(FieldValue::Complete)
            .collect(),
        is_partial,
    }
}

/// Values that share a beginning up to the next `_` or `.` behind `typed` bytes become one pattern.
fn fold(values: &[String], typed: usize) -> Vec<FieldValue> {
    let mut groups: BTreeMap<&str, Vec<&String>> = BTreeMap::new();
    for value in values {
        let beginning = value
            .char_indices()
            .find(|(at, c)| *at >= typed && matches!(c, '_' | '.'))
            .map_or(value.as_str(), |(at, _)| &value[..=at]);
        groups.entry(beginning).or_default().push(value);
    }
    groups
        .into_iter()
        .map(|(beginning, members)| match members.as_slice() {
            [only] => FieldValue::Complete((*only).clone()),
            _ => FieldValue::Pattern(format!("{beginning}*")),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed_names(count: usize) -> Vec<String> {
        (0..count)
            .map(|index| format!("node_{}_{index:02}", ["cpu", "disk", "net"][index % 3]))
            .chain(["up".to_owned()])
            .collect()
    }

    #[test]
    fn too_many_names_are_folded_where_that_tells_them_all() {
        let names: Vec<String> = listed_names(30);
        let pattern = |text: &str| FieldValue::Pattern(text.to_owned());
        assert_eq!(
            cut(names.clone(), 20, Some("")),
            Listing {
                entries: vec![pattern("node_*"), FieldValue::Complete("up".to_owned())],
                is_partial: false
            }
        );
        assert_eq!(
            cut(names[..30].to_vec(), 20, Some("node_")),
            Listing {
                entries: vec![
                    pattern("node_cpu_*"),
                    pattern("node_disk_*"),
                    pattern("node_net_*")
                ],
                is_partial: false
            }
        );
    }

    #[test]
    fn a_short_list_is_cut_at_its_limit() {
        let names = listed_names(30);
        let first = names
            .iter()
            .take(2)
            .cloned()
            .map(FieldValue::Complete)
            .collect();
        assert_eq!(
            cut(names, 2, Some("")),
            Listing {
                entries: first,
                is_partial: true
            }
        );
    }

    #[test]
    fn what_fits_is_complete() {
        let names = listed_names(3);
        let all = names.iter().cloned().map(FieldValue::Complete).collect();
        assert_eq!(
            cut(names, 4, Some("")),
            Listing {
                entries: all,
                is_partial: false
            }
        );
    }
}
