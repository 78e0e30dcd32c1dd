//! Where the points of a metric query come from.
//!
//! Aggregations pool **all** samples of **all** matching series of a bucket, and do not aggregate
//! across series at one instant. Expressions are evaluated at the last millisecond of each bucket.

use super::aggregation::Aggregation;
use super::expression::Shape;
use super::kind::QueryKind;
use super::pool::Reduce;
use super::raw::RawSamples;
use super::selector::{Matcher, Selector};
use super::windowing::{Windowing, Windows};
use super::{PlanError, counter, expression, gauge, histogram, summary};
use crate::model::time::Millis;

/// Where the points of a metric query come from.
#[derive(Clone, Debug, PartialEq)]
pub enum Source {
    /// Range queries over the grid, whose answers are one series.
    Range {
        /// Evaluated once for each bucket.
        promql: String,
        /// How many bytes of ours stand before a user's expression; 0: all of it is ours, or all
        /// of it is the user's.
        before: usize,
        /// What several resulting series mean.
        matching: MatchingSeries,
    },
    /// The gateway fetches the samples and reduces them itself.
    Pooled(Pooling),
    /// The stored samples of one series.
    Stored(RawSamples),
}

impl Source {
    /// An expression of ours that aggregates all series.
    pub(super) fn of_one_series(promql: String) -> Self {
        Self::Range {
            promql,
            before: 0,
            matching: MatchingSeries::Impossible,
        }
    }

    /// The length of the longest expression that it may send, in bytes.
    #[must_use]
    pub fn longest_promql(&self) -> usize {
        match self {
            Self::Pooled(pooling) => pooling.inner.promql_bytes(),
            Self::Stored(raw) => raw.selector.to_string().len(),
            Self::Range {
                promql, matching, ..
            } => promql.len().max(match matching {
                MatchingSeries::Pooled(pooling) => pooling.inner.promql_bytes(),
                MatchingSeries::Marked(Meeting::Added(longer)) => longer.len(),
                _ => 0,
            }),
        }
    }
}

/// What it means when an expression answers more than one series.
#[derive(Clone, Debug, PartialEq)]
pub enum MatchingSeries {
    /// It cannot: the expression aggregates all of them.
    Impossible,
    /// One must be chosen: an error that tells them apart. Only series whose labels match count.
    Refused(Vec<Matcher>),
    /// The store's function looks at one series at a time, so the gateway pools them.
    Pooled(Pooling),
    /// A second one, with the label [`histogram::MARK`], says in which buckets native and classic
    /// histograms meet in a way that the expression does not answer.
    Marked(Meeting),
}

/// What is done about buckets in which native and classic histograms meet.
#[derive(Clone, Debug, PartialEq)]
pub enum Meeting {
    /// This expression adds what one series has of each; it looks at far more, so that it is only
    /// sent then.
    Added(String),
    /// No store merges the two.
    Refused,
}

/// What the gateway fetches and how it reduces it.
#[derive(Clone, Debug, PartialEq)]
pub struct Pooling {
    /// Where the samples come from.
    pub inner: InnerQuery,
    /// What becomes of the samples of a bucket.
    pub reduce: Reduce,
    /// Only series whose labels match, and only one of them; without it all series are pooled.
    pub one_of: Option<Vec<Matcher>>,
}

/// The query whose samples are pooled.
#[derive(Clone, Debug, PartialEq)]
pub enum InnerQuery {
    /// The stored samples.
    Samples(Selector),
    /// An expression at every multiple of `step`, as a subquery evaluates it.
    Evaluated {
        /// The expression.
        promql: String,
        /// The distance of its evaluations.
        step: Millis,
    },
}

impl InnerQuery {
    fn promql_bytes(&self) -> usize {
        match self {
            Self::Samples(selector) => selector.to_string().len(),
            Self::Evaluated { promql, .. } => promql.len(),
        }
    }
}

/// The source of a kind's points under an aggregation. `shape` is what is known of an expression,
/// and otherwise read from it.
///
/// # Errors
///
/// See [`PlanError`].
pub(super) fn source(
    kind: &QueryKind,
    shape: Option<Shape>,
    aggregation: Aggregation,
    windowing: &Windowing,
) -> Result<Source, PlanError> {
    let windows = Windows::new(aggregation.bucket, windowing);
    let method = aggregation.method;
    Ok(match kind {
        QueryKind::Gauge(selector) => gauge::source(selector, method, &windows),
        QueryKind::Counter(selector) => counter::source(selector, method, &windows),
        QueryKind::Histogram(selector) => {
            histogram::source(selector, method, &windows, windowing.native_histograms)
        }
        QueryKind::Summary(selector) => summary::source(selector, method, &windows)?,
        QueryKind::Expression { promql, matchers } => {
            let shape = match shape {
                Some(shape) => shape,
                None => expression::numeric(promql)?,
            };
            expression::source(promql, matchers, method, &windows, shape)
        }
    })
}

#[cfg(test)]
mod tests;
