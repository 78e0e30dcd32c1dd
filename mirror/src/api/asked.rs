//! A query of metrics or fields, within the enforced matchers of the target that is asked.

use super::chosen::Chosen;
use super::error::ApiError;
use crate::execute::EvaluateError;
use crate::plan::MetricQuery;
use crate::plan::fields::{FieldQuery, ValuesQuery};

/// A query that can be answered again: a request that has to give its memory back begins again when
/// its turn comes.
pub(super) enum Asked {
    FieldNames(FieldQuery),
    FieldValues(ValuesQuery),
    Metric(AskedMetric),
}

/// A query of a metric, and what messages about it need to know.
pub(super) struct AskedMetric {
    pub(super) query: MetricQuery,
    /// What the user called it.
    metric: String,
    /// Whether matchers were added to what the user wrote.
    is_completed: bool,
}

impl Asked {
    /// The same within the target's enforced matchers.
    pub(super) async fn within(self, target: &Chosen) -> Result<Self, ApiError> {
        Ok(match self {
            Self::FieldNames(query) => Self::FieldNames(target.within(query)),
            Self::FieldValues(query) => Self::FieldValues(ValuesQuery {
                fields: target.within(query.fields),
                ..query
            }),
            Self::Metric(asked) => Self::Metric(AskedMetric {
                is_completed: target.completes(&asked.query.kind),
                query: MetricQuery {
                    kind: target.enforced(asked.query.kind).await?,
                    ..asked.query
                },
                ..asked
            }),
        })
    }
}

impl From<MetricQuery> for AskedMetric {
    fn from(query: MetricQuery) -> Self {
        Self {
            metric: query.kind.metric().to_owned(),
            is_completed: false,
            query,
        }
    }
}

impl AskedMetric {
    /// The method of the aggregation, if it has one.
    pub(super) fn method(&self) -> Option<&'static str> {
        self.query.aggregation.map(|aggregation| aggregation.name)
    }

    /// A failure to answer it.
    pub(super) fn failed(&self, error: EvaluateError) -> ApiError {
        let error = match self.is_completed {
            true => error.without_positions(),
            false => error,
        };
        ApiError::from_evaluation(error, &self.metric, self.method())
    }
}
