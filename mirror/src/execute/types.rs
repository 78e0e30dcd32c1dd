//! Series that differ in `__type__` or `__unit__` only, which Prometheus adds by
//! `--enable-feature=type-and-unit-labels`. Its functions drop both together with the name and then
//! refuse the result. No call of this is made unless the store refuses.

use super::{Context, EvaluateError};
use crate::plan::MetricQuery;
use crate::plan::kind::QueryKind;
use crate::plan::selector::Matcher;
use crate::prometheus::{Call, Data, Store};

/// So many combinations of type and unit are read in one expression at most.
const MOST_PARTS: usize = 16;

/// Whether the store says that results of different series have the same labels.
pub(super) fn are_alike(message: &str) -> bool {
    message.contains("same labelset")
}

/// The kind in parts of one type and one unit each; none where that would not help.
pub(super) async fn in_parts<S: Store>(
    context: &Context<'_, S>,
    query: &MetricQuery,
) -> Result<Option<QueryKind>, EvaluateError> {
    let [selector] = &query.kind.selectors()[..] else {
        return Ok(None);
    };
    let mut parts: Vec<Vec<Matcher>> = vec![Vec::new()];
    for label in ["__type__", "__unit__"] {
        let call = Call::LabelValues {
            label: label.to_owned(),
            selector: Some(selector.clone()),
            start: query.start,
            end: query.end,
        };
        let answer = context.call(call).await?;
        let Data::Names(values) = &answer.data else {
            return Ok(None);
        };
        // A series may lack the label.
        let values = values.iter().map(String::as_str).chain([""]);
        let values = values.take(MOST_PARTS + 1);
        let matchers: Vec<Matcher> = values.map(|value| Matcher::equal(label, value)).collect();
        parts = parts
            .iter()
            .flat_map(|part| {
                matchers.iter().map(move |matcher| {
                    let mut more = part.clone();
                    more.push(matcher.clone());
                    more
                })
            })
            .take(MOST_PARTS + 1)
            .collect();
    }
    if !(2..=MOST_PARTS).contains(&parts.len()) {
        return Ok(None);
    }
    Ok(query.kind.in_parts(parts))
}
