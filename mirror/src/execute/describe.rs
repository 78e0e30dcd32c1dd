//! What stands behind a name in a list of fields: what a metric is, and how many series have a
//! label or a value. For people who choose one in a page; asked only when they look.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::future::try_join_all;

use super::{Context, EvaluateError, dialect, fields};
use crate::model::metric_type::MetricDescription;
use crate::plan::fields::{FieldQuery, FieldValue, Listing, ValuesQuery};
use crate::plan::selector::{Matcher, Selector};
use crate::prometheus::{Call, Data, MOST_SERIES_COUNTED, SeriesCounts, Store, StoreError};

/// So many metrics of a list are described, the first ones: each takes a call.
pub const MOST_METRICS: usize = 10;

/// The counts of so many labels or values are answered, in their sorted order.
pub const MOST_COUNTS: usize = 1_000;

/// How long all of them are waited for: names are what people look for.
const PATIENCE: Duration = Duration::from_secs(1);

/// The longest help and unit that are answered, in bytes.
const LONGEST: usize = 500;

/// The endings of the names of series that their family's name lacks.
const ENDINGS: [&str; 5] = ["_total", "_created", "_bucket", "_count", "_sum"];

/// How many series have each label, or each value of one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// How many series there are.
    pub counts: SeriesCounts,
    /// There may be more of all of them.
    pub is_partial: bool,
}

/// Metrics, as a query of their names lists them, and what the first of them are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metrics {
    /// Their names.
    pub names: Listing<FieldValue>,
    /// By name. Those of which the store says nothing are left out.
    pub described: BTreeMap<String, MetricDescription>,
}

/// What a query of metrics' names lists, with what the first ones are.
///
/// # Errors
///
/// Those of the list. That the store does not describe a metric is none.
pub async fn metrics<S: Store>(
    context: &Context<'_, S>,
    query: &ValuesQuery,
) -> Result<Metrics, EvaluateError> {
    let names = fields::values(context, query).await?;
    let complete = names.entries.iter().filter_map(|entry| match entry {
        FieldValue::Complete(name) => Some(name),
        FieldValue::Pattern(_) => None,
    });
    // All at once: the target's queue lets as many pass as it may.
    let described = complete.take(MOST_METRICS).map(|name| async move {
        let described = of_metric(context, name).await?;
        Ok::<_, EvaluateError>(described.map(|described| (name.clone(), described)))
    });
    let described = tokio::time::timeout(PATIENCE, try_join_all(described)).await;
    let described = described.unwrap_or_else(|_| Ok(Vec::new()))?;
    Ok(Metrics {
        described: described.into_iter().flatten().collect(),
        names,
    })
}

/// What a metric is: by its own name, and if there is nothing, by that of its family.
async fn of_metric<S: Store>(
    context: &Context<'_, S>,
    name: &str,
) -> Result<Option<MetricDescription>, StoreError> {
    let family = ENDINGS.iter().find_map(|ending| name.strip_suffix(ending));
    for metric in [Some(name), family].into_iter().flatten() {
        let metric = metric.to_owned();
        let answer = match context.call(Call::MetadataOf { metric }).await {
            Ok(answer) => answer,
            // All of the request begins again.
            Err(error @ StoreError::GivesWay) => return Err(error),
            // The store has no metadata, answers with all there are, or is too slow.
            Err(_) => return Ok(None),
        };
        if let Data::Description(Some(described)) = &answer.data {
            return Ok(Some(MetricDescription {
                metric_type: cut(&described.metric_type),
                help: cut(&described.help),
                unit: cut(&described.unit),
            }));
        }
    }
    Ok(None)
}

/// How many of a query's series have each label; or of those with the beginning that `values` asks
/// for, each value of its field. Of all series of the store, none are counted.
///
/// # Errors
///
/// Those of the store.
pub async fn counts<S: Store>(
    context: &Context<'_, S>,
    query: &FieldQuery,
    values: Option<&ValuesQuery>,
) -> Result<Counted, EvaluateError> {
    let written = dialect::of_fields(context, query).await?;
    let query = written.as_ref().unwrap_or(query);
    let Some(selector) = query.selector() else {
        return Ok(Counted {
            is_partial: true,
            ..Counted::default()
        });
    };
    let selector = match values {
        Some(values) => selector.and(beginning(context, values).await?),
        None => selector,
    };
    counted(
        context,
        query,
        &selector,
        values.map(|values| &*values.field),
    )
    .await
}

/// What a value's beginning asks of a series.
async fn beginning<S: Store>(
    context: &Context<'_, S>,
    values: &ValuesQuery,
) -> Result<Matcher, StoreError> {
    let matcher = match &*values.prefix {
        "" => Matcher::any_value(&values.field),
        prefix => Matcher::prefix(&values.field, prefix),
    };
    let is_foreign = matcher.has_quoted_label() && dialect::is_metricsql(context).await?;
    Ok(if is_foreign {
        matcher.in_metricsql()
    } else {
        matcher
    })
}

async fn counted<S: Store>(
    context: &Context<'_, S>,
    query: &FieldQuery,
    selector: &Selector,
    label: Option<&str>,
) -> Result<Counted, EvaluateError> {
    let call = Call::SeriesCounted {
        label: label.map(str::to_owned),
        selector: selector.to_string(),
        start: query.start,
        end: query.end,
    };
    let answer = match context.call(call).await {
        Ok(answer) => answer,
        // They are not worth more than that.
        Err(StoreError::TooLarge(_)) => {
            return Ok(Counted {
                is_partial: true,
                ..Counted::default()
            });
        }
        Err(error) => return Err(error.into()),
    };
    let Data::Counts(counts) = &answer.data else {
        return Ok(Counted::default());
    };
    let by = counts.by.iter().filter(|(name, _)| *name != "__name__");
    let is_cut = counts.series >= MOST_SERIES_COUNTED.into() || answer.is_incomplete();
    Ok(Counted {
        counts: SeriesCounts {
            series: counts.series,
            by: by
                .take(MOST_COUNTS)
                .map(|(name, count)| (name.clone(), *count))
                .collect(),
        },
        is_partial: is_cut,
    })
}

/// The beginning of a store's text, and a mark if more follows.
fn cut(text: &str) -> String {
    match text.len() {
        0..=LONGEST => text.to_owned(),
        _ => format!("{}…", &text[..text.floor_char_boundary(LONGEST)]),
    }
}
