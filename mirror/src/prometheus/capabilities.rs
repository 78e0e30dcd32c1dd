//! What a target can do, asked by two queries that need no data, because versions tell little: several stores leave theirs out,
//! and others speak Prometheus' API under a version of their own.

use super::{Answer, Call, Capabilities, Data, Deadline, RangeBoundary, Store, StoreError};
use crate::time::{Millis, Timestamp};

/// Asks `store`, both questions at once.
pub(super) async fn probe(
    store: &impl Store,
    now: Timestamp,
    deadline: Deadline,
) -> Result<Capabilities, StoreError> {
    // The last whole minute but one: some stores hold back the newest half minute.
    let at = Timestamp(now.0.div_euclid(60_000) * 60_000).minus(Millis(60_000));
    let call = |promql: &str| {
        store.call(
            Call::Instant {
                promql: promql.to_owned(),
                at,
            },
            deadline,
        )
    };
    let (boundary, histograms) = tokio::join!(
        call("count_over_time(vector(0)[60s:60s])"),
        call("histogram_count(vector(1))")
    );
    let range_boundary = match boundary {
        Ok(answer) => range_boundary(&answer)?,
        Err(StoreError::Rejected { message, .. }) => {
            return Err(unclear(&format!("it refused a subquery: {message}")));
        }
        Err(error) => return Err(error),
    };
    let native_histograms = match histograms {
        Ok(_) => true,
        Err(StoreError::Rejected { .. }) => false,
        Err(error) => return Err(error),
    };
    Ok(Capabilities {
        range_boundary,
        native_histograms,
    })
}

/// Samples stand at the window's start and end: two were counted where both belong to it.
fn range_boundary(answer: &Answer) -> Result<RangeBoundary, StoreError> {
    let counts: Vec<&str> = match &answer.data {
        Data::Series(series) => series
            .iter()
            .flat_map(|one| one.samples.iter().map(|(_, count)| count))
            .collect(),
        _ => Vec::new(),
    };
    match counts[..] {
        ["2"] => Ok(RangeBoundary::Closed),
        ["1"] => Ok(RangeBoundary::LeftOpen),
        _ => Err(unclear(&format!(
            "it counted {counts:?} samples in a window that has one or two"
        ))),
    }
}

fn unclear(what: &str) -> StoreError {
    StoreError::Unreachable(format!(
        "the target does not evaluate ranges as Prometheus does: {what}"
    ))
}
