//! Drives the plans of [`crate::plan`] over the calls of [`crate::prometheus`]: in what order, how
//! many at once, when it is enough.
//!
//! * [`metric`]: the points of a metric query. [`aggregated`], [`pooled`] and [`raw`] hold its
//!   three ways.
//! * [`grid`]: long ranges as several range queries.
//! * [`expression`]: what a store's refusal of an expression means.
//! * [`absence`]: why no series matches.
//! * [`types`]: series that only a type or a unit tells apart.
//! * [`one_series`]: where one series is needed, which one.
//! * [`work`]: our own work over long answers, within the deadline and beside others.
//! * [`counted`]: how much a request may ask of its target.
//! * [`limits`]: limits of a store that the mirror cannot keep by splitting a range.
//! * [`fields`]: field names and values.
//! * [`explain`]: what a metric query would send.

mod absence;
pub mod aggregated;
pub mod collect;
pub mod counted;
mod dialect;
pub mod explain;
mod expression;
pub mod fields;
pub mod grid;
mod limits;
mod one_series;
pub mod pooled;
pub mod raw;
mod types;
mod work;

use std::sync::Arc;

use crate::model::series::Series;
use crate::model::time::{Millis, Timestamp};
use crate::plan::aggregated::PlanError;
use crate::plan::selector::Selector;
use crate::plan::{Clockwork, Kind, MetricQuery};
use crate::prometheus::{Answer, Call, Data, Deadline, Store, StoreError};

pub use collect::{Missing, Telemetry};
use work::Stored;

/// Why a query has no answer.
#[derive(Clone, Debug, thiserror::Error)]
pub enum EvaluateError {
    /// The store failed or refused.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// No series of that name and those labels, neither in the time range nor in the day before it.
    /// With what excludes all of them, if that is known.
    #[error("no series matches")]
    NotFound(Option<String>),
    /// One series is needed.
    #[error("{count} series match and one is needed; they differ in: {differences}")]
    SeveralSeries {
        /// How many match.
        count: usize,
        /// The labels that tell them apart, with some values.
        differences: String,
    },
    /// The aggregation has no meaning for this kind of metric, or this metric does not have it.
    #[error("the aggregation has no meaning for this metric")]
    Unsupported,
    /// An expression that has no numeric value at an instant: a string or a range vector.
    #[error("{0}")]
    NoValue(&'static str),
    /// A percentile, minimum or maximum over native and classic histograms.
    #[error(
        "the bucket that begins at {bucket} has native and classic histograms, which no store merges into one distribution: add a condition that selects one kind (such as `instance`), or ask for a time at which there is only one"
    )]
    BothForms {
        /// The start of the first such bucket, in seconds since 1970 where it is printed.
        bucket: Timestamp,
    },
    /// An expression that depends on the bounds of the range query, in a range that takes several.
    #[error(
        "an expression with `@ start()` or `@ end()` must fit into one range query of {} points: ask for a shorter time or larger buckets",
        grid::POINTS_PER_CALL
    )]
    BoundToItsRange,
    /// More samples than the gateway pools for one bucket.
    #[error(
        "a single bucket has more than {} samples to sort: choose more conditions or smaller buckets",
        pooled::SAMPLE_BUDGET
    )]
    TooManySamples,
}

impl EvaluateError {
    /// The same for an expression that was sent otherwise than the user wrote it: the positions in
    /// a store's complaint are left out.
    #[must_use]
    pub fn without_positions(self) -> Self {
        match self {
            Self::Store(StoreError::Rejected { kind, message }) => {
                let message = crate::plan::expression::without_positions(&message);
                Self::Store(StoreError::Rejected { kind, message })
            }
            error => error,
        }
    }
}

impl From<PlanError> for EvaluateError {
    fn from(error: PlanError) -> Self {
        match error {
            PlanError::Unsupported => Self::Unsupported,
            PlanError::NoValue(why) => Self::NoValue(why),
        }
    }
}

/// What evaluating needs besides the query: the store, its target's scrape interval, the time now
/// and the deadline.
#[derive(Debug)]
pub struct Context<'a, S> {
    /// Who is asked.
    pub store: &'a S,
    /// How often the target scrapes.
    pub scrape_interval: Millis,
    /// Buckets that are not over by now are not answered.
    pub now: Timestamp,
    /// When the request must be answered.
    pub deadline: Deadline,
}

impl<S: Store> Context<'_, S> {
    /// What the store says about windows, and the last instant that its range queries know.
    async fn clockwork(&self) -> Result<(Clockwork, Timestamp), StoreError> {
        let capabilities = self.store.capabilities(self.deadline).await?;
        let clockwork = Clockwork {
            scrape_interval: self.scrape_interval,
            boundary: capabilities.range_boundary,
            native_histograms: capabilities.native_histograms,
        };
        Ok((clockwork, self.now.minus(capabilities.settles_after)))
    }

    async fn call(&self, call: Call) -> Result<Arc<Answer>, StoreError> {
        self.store.call(call, self.deadline).await
    }

    /// The stored samples from `from` to `to`, both included: all that the range selector's answer
    /// has, which may be a little more at the edge. Callers look at the timestamps.
    async fn samples(
        &self,
        selector: &Selector,
        from: Timestamp,
        to: Timestamp,
    ) -> Result<Stored, StoreError> {
        // One millisecond more than the distance, so that `from` is inside where windows are
        // left-open.
        let window = Millis(to.since(from).0.saturating_add(1));
        let promql = format!("{selector}[{window}]");
        let answer = self.call(Call::Instant { promql, at: to }).await?;
        let capabilities = self.store.capabilities(self.deadline).await?;
        Ok(Stored {
            answer,
            drops_nan: !capabilities.keeps_nan,
        })
    }

    /// Whether any series matches one of the selectors between the instants.
    async fn exists(
        &self,
        selectors: Vec<String>,
        start: Timestamp,
        end: Timestamp,
    ) -> Result<bool, StoreError> {
        let answer = self
            .call(Call::SeriesExist {
                selectors,
                start,
                end,
            })
            .await?;
        Ok(matches!(answer.data, Data::SeriesExist(true)))
    }

    /// An instant, no later than the first sample that any of the selectors has from `from` on and
    /// at most `precision` before it as far as the store's index tells. None: there is no sample up
    /// to `to`.
    async fn first_sample(
        &self,
        selectors: &[String],
        from: Timestamp,
        to: Timestamp,
        precision: Millis,
    ) -> Result<Option<Timestamp>, StoreError> {
        if !self.exists(selectors.to_vec(), from, to).await? {
            return Ok(None);
        }
        let (mut before, mut after) = (from, to);
        while after.since(before) > precision {
            let middle = Timestamp(before.0 + after.since(before).0 / 2);
            if self.exists(selectors.to_vec(), from, middle).await? {
                after = middle;
            } else {
                before = middle;
            }
        }
        Ok(Some(before))
    }
}

/// The series of an answer.
fn series(answer: &Answer) -> &[Series] {
    match &answer.data {
        Data::Series(series) => series,
        _ => &[],
    }
}

/// The points of a metric query, oldest first.
///
/// # Errors
///
/// See [`EvaluateError`].
pub async fn metric<S: Store>(
    context: &Context<'_, S>,
    query: &MetricQuery,
) -> Result<Telemetry, EvaluateError> {
    if query.kind.metric().is_empty() && !matches!(query.kind, Kind::Expression { .. }) {
        return Err(EvaluateError::NotFound(None));
    }
    let written = dialect::of_metric(context, query).await?;
    let query = written.as_ref().unwrap_or(query);
    let telemetry = points(context, query)
        .await
        .map_err(|error| dialect::in_our_words(limits::with_hint(error, query), &query.kind))?;
    if telemetry.points.is_empty() && !telemetry.is_partial() {
        explain_absence(context, query).await?;
    }
    Ok(telemetry)
}

async fn points<S: Store>(
    context: &Context<'_, S>,
    query: &MetricQuery,
) -> Result<Telemetry, EvaluateError> {
    match query.aggregation {
        Some(aggregation) => aggregated::telemetry(context, query, aggregation)
            .await
            .map_err(|error| match (error, &query.kind) {
                // Several summaries have no percentile in common.
                (EvaluateError::SeveralSeries { .. }, Kind::Summary(_)) => {
                    EvaluateError::Unsupported
                }
                (error, _) => error,
            }),
        None => raw::telemetry(context, query)
            .await
            .map_err(|error| expression::in_our_words(error, &query.kind)),
    }
}

/// Nothing was found: is that because nothing is there? Asked only then, and over a day more than
/// the query's range, so that a series which pauses is not an error.
async fn explain_absence<S: Store>(
    context: &Context<'_, S>,
    query: &MetricQuery,
) -> Result<(), EvaluateError> {
    const DAY: Millis = Millis(24 * 3_600_000);
    let from = query.start.minus(DAY);
    let selectors = query.kind.selectors();
    if selectors.is_empty() {
        return Ok(());
    }
    if !context.exists(selectors, from, query.end).await? {
        let reason = absence::reason(context, &query.kind, from, query.end).await;
        return Err(EvaluateError::NotFound(reason));
    }
    if let Kind::Summary(base) = &query.kind
        && let Some(rank) = query
            .aggregation
            .and_then(|aggregation| match aggregation.method {
                crate::plan::Method::Percentile(rank) => Some(rank),
                _ => None,
            })
    {
        let quantile = base.and(crate::plan::aggregated::quantile_label(rank));
        if !context
            .exists(vec![quantile.to_string()], from, query.end)
            .await?
        {
            return Err(EvaluateError::Unsupported);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
