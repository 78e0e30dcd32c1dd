//! Why a query has no answer.

use super::pooled::SAMPLE_BUDGET;
use crate::model::time::Timestamp;
use crate::plan::PlanError;
use crate::plan::buckets::POINTS_PER_CALL;
use crate::plan::expression::without_positions;
use crate::prometheus::StoreError;

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
        POINTS_PER_CALL
    )]
    BoundToItsRange,
    /// More samples than the gateway pools for one bucket.
    #[error(
        "a single bucket has more than {} samples to sort: choose more conditions or smaller buckets",
        SAMPLE_BUDGET
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
                let message = without_positions(&message);
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
            PlanError::BoundToItsRange => Self::BoundToItsRange,
        }
    }
}
