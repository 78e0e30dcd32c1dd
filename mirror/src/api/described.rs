//! What stands behind the names that a field request lists: what metrics are, and how many series
//! there are.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::asked::Asked;
use super::chosen::Chosen;
use super::error::ApiError;
use super::{Answered, encode, handlers};
use crate::execute::{EvaluateError, describe};
use crate::model::metric_type::MetricDescription;
use crate::plan::fields::{FieldQuery, FieldValue, ValuesQuery};
use crate::plan::kind::QueryKindName;

/// So many names of metrics are answered with what they are.
const MOST_NAMES: usize = 1_000;

/// What the names are that `asked` lists.
pub(super) async fn answer(target: &Chosen, asked: &Asked) -> Result<Answered, ApiError> {
    let (described, field) = match asked {
        Asked::FieldNames(query) => (counts(target, query, None).await, ""),
        Asked::FieldValues(query) if QueryKindName::parse(&query.field).is_some() => {
            (metrics(target, query).await, &*query.field)
        }
        Asked::FieldValues(query) => {
            let counts = counts(target, &query.fields, Some(query)).await;
            (counts, &*query.field)
        }
        // The decoder lets none through.
        Asked::Metric(asked) => return handlers::metric(target, asked).await,
    };
    let failed = |error| ApiError::from_evaluation(error, field, None);
    let mut answer = described.map_err(failed)?;
    answer["target"] = json!(target.name);
    Ok(target.counted(encode::body(&answer)).await?.into())
}

/// The names of metrics, and what the first of them are.
async fn metrics(target: &Chosen, query: &ValuesQuery) -> Result<Value, EvaluateError> {
    let describe::Metrics { names, described } =
        describe::metrics(&target.context(), query).await?;
    let values = names.entries.iter().map(|name| match name {
        FieldValue::Complete(name) | FieldValue::Pattern(name) => name,
    });
    let metrics = described.into_iter().map(|(name, described)| {
        let MetricDescription {
            metric_type,
            help,
            unit,
        } = described;
        let described = json!({ "type": metric_type, "help": help, "unit": unit });
        (name, described)
    });
    Ok(json!({
        "values": values.take(MOST_NAMES).collect::<Vec<_>>(),
        "isPartial": names.is_partial || names.entries.len() > MOST_NAMES,
        "metrics": metrics.collect::<BTreeMap<_, _>>(),
    }))
}

/// How many series have each label, or each value of one.
async fn counts(
    target: &Chosen,
    query: &FieldQuery,
    values: Option<&ValuesQuery>,
) -> Result<Value, EvaluateError> {
    let counted = describe::counts(&target.context(), query, values).await?;
    let describe::Counted { counts, is_partial } = counted;
    Ok(json!({ "series": counts.series, "counts": counts.by, "isPartial": is_partial }))
}
