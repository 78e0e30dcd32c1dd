//! The names of metrics, by query kind: from the store's names and its metadata.

use std::collections::BTreeMap;
use std::pin::pin;
use std::time::{Duration, Instant};

use futures::future::{Either, select};

use super::listed::{self, Listed};
use crate::execute::{Context, EvaluateError, work};
use crate::plan::classify::classify;
use crate::plan::fields::ValuesQuery;
use crate::plan::kind::QueryKindName;
use crate::plan::selector::Selector;
use crate::prometheus::{Call, Data, Store, StoreError};

/// How long metadata is waited for once the names are there: a fifth of the time, between these.
/// They may be hundreds of megabytes, or a proxy may drop them, and names are what was asked for.
const PATIENCE: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(2));

/// The metrics of a kind.
pub(super) async fn list<S: Store>(
    context: &Context<'_, S>,
    query: &ValuesQuery,
    kind: QueryKindName,
) -> Result<Listed, EvaluateError> {
    let fields = &query.fields;
    let selector =
        (!fields.matchers.is_empty()).then(|| Selector::any_name(fields.matchers.clone()));
    let names = listed::ask(context, selector, |selector| Call::LabelValues {
        label: "__name__".to_owned(),
        selector,
        start: fields.start,
        end: fields.end,
    });
    let now = Instant::now();
    let until = now + patience(context.deadline.0.saturating_duration_since(now));
    let (names, metadata) = match select(pin!(names), pin!(context.call(Call::Metadata))).await {
        Either::Left((names, metadata)) => {
            let names = names?;
            let metadata = tokio::time::timeout_at(until.into(), metadata).await;
            (names, metadata.ok())
        }
        Either::Right((metadata, names)) => (names.await?, Some(metadata)),
    };
    let (types, types_are_missing) = match metadata {
        Some(Ok(answer)) => {
            let is_incomplete = answer.is_incomplete();
            (Some(answer), is_incomplete)
        }
        // Not every store has metadata: then the names themselves tell, and there is no more to
        // know.
        Some(Err(StoreError::NotOffered(_) | StoreError::Rejected { .. })) => (None, false),
        Some(Err(_)) | None => (None, true),
    };
    let is_incomplete = names.is_incomplete || types_are_missing;
    let names = work::done(names.names.len(), context.deadline, move || {
        let none = BTreeMap::new();
        let types = match types.as_deref().map(|answer| &answer.data) {
            Some(Data::Metadata(types)) => types,
            _ => &none,
        };
        classify(&names.names, types).of_kind(kind)
    })
    .await?;
    Ok(Listed {
        names,
        is_incomplete,
    })
}

/// How long to wait for metadata when so much time is left for all.
fn patience(left: Duration) -> Duration {
    let (least, most) = PATIENCE;
    (left / 5).clamp(least, most)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_is_waited_for_a_small_share_of_the_time() {
        for (left, wait) in [
            (500, 200),
            (5_000, 1_000),
            (15_000, 2_000),
            (600_000, 2_000),
        ] {
            assert_eq!(
                patience(Duration::from_millis(left)),
                Duration::from_millis(wait)
            );
        }
    }
}
