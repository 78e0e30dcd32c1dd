//! What a target can do, asked by four queries that need no data, because versions tell little:
//! several stores leave theirs out, and others speak Prometheus' API under a version of their own.

use std::sync::Arc;

use super::{Answer, Call, Data, Deadline, Store, StoreError};
use crate::model::capabilities::{Capabilities, RangeBoundary};
use crate::model::time::{Millis, Timestamp};

/// How far back the newest settled instant is looked for.
const LONGEST_SETTLING: Millis = Millis(300_000);

/// Asks `store`, all questions at once.
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
    let newest = Timestamp(now.0.div_euclid(1_000) * 1_000);
    let clock = store.call(
        Call::Range {
            promql: "time()".to_owned(),
            start: newest.minus(LONGEST_SETTLING),
            end: newest,
            step: Millis(1_000),
        },
        deadline,
    );
    let (boundary, histograms, metricsql, clock) = tokio::join!(
        call("count_over_time(vector(0)[60s:60s])"),
        call("histogram_count(vector(1))"),
        // A function of MetricsQL, the language of VictoriaMetrics.
        call("now()"),
        clock
    );
    // Where one of them hangs, others may have waited for its place: what hangs is the reason.
    let errors = [&boundary, &histograms, &metricsql, &clock].map(|result| result.as_ref().err());
    let waited = |error: &&StoreError| {
        !matches!(
            error,
            StoreError::Rejected { .. }
                | StoreError::ExpiredInQueue
                | StoreError::QueueFull
                | StoreError::OutOfMemory
                | StoreError::GivesWay
        )
    };
    if let Some(error) = errors.into_iter().flatten().find(waited) {
        return Err(error.clone());
    }
    let range_boundary = match boundary {
        Ok(answer) => range_boundary(&answer).unwrap_or_else(|counts| assumed(&counts)),
        Err(StoreError::Rejected { message, .. }) => assumed(&message),
        Err(error) => return Err(error),
    };
    let native_histograms = is_understood(histograms)?;
    let keeps_nan = !is_understood(metricsql)?;
    let settles_after = match clock {
        Ok(answer) => settles_after(&answer, newest),
        Err(StoreError::Rejected { .. }) => Millis(0),
        Err(error) => return Err(error),
    };
    Ok(Capabilities {
        range_boundary,
        native_histograms,
        settles_after,
        keeps_nan,
    })
}

/// Whether the store has what the query needs.
fn is_understood(result: Result<Arc<Answer>, StoreError>) -> Result<bool, StoreError> {
    match result {
        Ok(_) => Ok(true),
        Err(StoreError::Rejected { .. }) => Ok(false),
        Err(error) => Err(error),
    }
}

/// How long before `newest` the last instant is that was evaluated as itself. VictoriaMetrics
/// repeats the value of an earlier instant in range queries over the last half minute (its
/// `-search.latencyOffset`), which shows in `time()` as well.
fn settles_after(answer: &Answer, newest: Timestamp) -> Millis {
    let Data::Series(series) = &answer.data else {
        return Millis(0);
    };
    let is_itself = |at: Timestamp, text: &str| {
        #[expect(clippy::cast_precision_loss, reason = "seconds since 1970 are exact")]
        let seconds = at.0 as f64 / 1000.0;
        text.parse() == Ok(seconds)
    };
    let samples = series.iter().flat_map(|one| one.samples.iter());
    let settled = samples
        .filter(|(at, text)| is_itself(*at, text))
        .map(|(at, _)| at)
        .max();
    // A store that says nothing sensible about the time gives no reason to hold anything back.
    settled.map_or(Millis(0), |at| newest.since(at))
}

/// Samples stand at the window's start and end: two were counted where both belong to it. An error
/// is what was counted instead.
fn range_boundary(answer: &Answer) -> Result<RangeBoundary, String> {
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
        _ => Err(format!("{counts:?}")),
    }
}

/// A store that does not evaluate subqueries as Prometheus does may still answer all else: better
/// served than refused.
fn assumed(said: &str) -> RangeBoundary {
    tracing::warn!(
        said,
        "the target does not say whether its range windows are closed; assuming that they are left-open, as in Prometheus 3"
    );
    RangeBoundary::LeftOpen
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::series::{Samples, Series};

    #[test]
    fn a_store_settles_at_the_last_instant_that_is_itself() {
        let settles = |clock: &[(i64, &str)]| {
            let mut samples = Samples::default();
            for (at, text) in clock {
                samples.push(Timestamp(*at), text);
            }
            let series = Series {
                samples,
                ..Series::default()
            };
            let answer = Answer::of(Data::Series(vec![series]));
            settles_after(&answer, Timestamp(12_000)).0
        };
        assert_eq!(
            settles(&[(10_000, "10"), (11_000, "11"), (12_000, "12")]),
            0
        );
        assert_eq!(
            settles(&[(10_000, "10"), (11_000, "10"), (12_000, "10")]),
            2_000
        );
        assert_eq!(settles(&[]), 0);
    }
}
