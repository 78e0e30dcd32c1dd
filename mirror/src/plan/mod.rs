//! Pure: what StackState asks for becomes a [`Plan`], which is one value: which calls, over which
//! grid, pooled how. `execute` runs it and `explain` prints it. No I/O, no clock.
//!
//! * [`gauge`], [`counter`], [`histogram`], [`summary`], [`expression`]: the PromQL of each query
//!   kind under an [`aggregation`]; [`raw`]: without one.
//! * [`source`]: what these have in common. [`pool`]: the same aggregations over samples that the
//!   gateway holds itself.
//! * [`buckets`]: which buckets a time range has, and where each one is evaluated; [`windowing`]:
//!   how long the windows behind them are.
//! * [`selector`]: conditions become a series selector. The only place that writes user text into
//!   PromQL. [`enforce`]: label matchers that every selector gets.
//! * [`fields`] and [`classify`]: which series and names a field query is about.
//! * [`distribution`]: how a target of several shards answers an expression. [`lasting`]: which
//!   values may be remembered.
//! * [`value`]: what NaN and the infinities become. [`differences`]: what tells series apart.
//!
//! The rules are those of `docs/query-semantics.md`.

pub mod aggregation;
pub mod buckets;
pub mod classify;
mod counter;
pub mod differences;
pub mod distribution;
pub mod enforce;
pub mod expression;
pub mod fields;
mod gauge;
pub mod histogram;
pub mod kind;
pub mod lasting;
pub mod pool;
pub mod raw;
pub mod selector;
pub mod source;
pub mod summary;
pub mod value;
pub mod windowing;

use self::aggregation::Aggregation;
use self::buckets::{Buckets, Grid, POINTS_PER_CALL};
use self::expression::{Shape, is_bound_to_its_range};
use self::kind::QueryKind;
use self::source::{InnerQuery, Pooling, Source};
use self::windowing::Windowing;
use crate::model::capabilities::Capabilities;
use crate::model::time::{Millis, Timestamp};

/// The points that one answer has at most, whatever the request's limit. Three weeks of minutes are
/// 30,240.
pub const MAX_POINTS: u64 = 110_000;

/// A metric query, decoded and valid.
#[derive(Clone, Debug, PartialEq)]
pub struct MetricQuery {
    /// What is asked for.
    pub kind: QueryKind,
    /// The earliest instant of interest.
    pub start: Timestamp,
    /// The latest; never before `start`.
    pub end: Timestamp,
    /// At most so many points; at least 1.
    pub limit: Option<u64>,
    /// Absent: the raw points.
    pub aggregation: Option<Aggregation>,
}

/// What is known of a target when a query of it is planned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TargetFacts {
    /// How often it scrapes.
    pub scrape_interval: Millis,
    /// The time now: buckets that are not over by now are not answered.
    pub now: Timestamp,
    /// What it can do.
    pub capabilities: Capabilities,
    /// Whether it is several shards, each with a part of the series.
    pub is_sharded: bool,
}

impl TargetFacts {
    fn windowing(&self) -> Windowing {
        Windowing {
            scrape_interval: self.scrape_interval,
            boundary: self.capabilities.range_boundary,
            native_histograms: self.capabilities.native_histograms,
            is_sharded: self.is_sharded,
        }
    }

    /// The last instant that its range queries know.
    fn settled(&self) -> Timestamp {
        self.now.minus(self.capabilities.settles_after)
    }
}

/// How the points of a metric query come about.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// What is asked for, as the target reads it.
    pub kind: QueryKind,
    /// Where the points come from.
    pub source: Source,
    /// One point at most for each of its buckets; of stored samples, one or a few.
    pub grid: Grid,
    /// How long a bucket is, if the points are buckets. Otherwise they have the time of a sample or
    /// an evaluation.
    pub bucket: Option<Millis>,
    /// No point is earlier.
    pub start: Timestamp,
    /// No point is later.
    pub end: Timestamp,
    /// How far before the grid a sample may lie that a point is made of.
    pub looks_back: Millis,
}

/// Why a query has no plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// The aggregation has no meaning for this kind.
    #[error("the aggregation has no meaning for this kind of metric")]
    Unsupported,
    /// An expression that has no numeric value at an instant, and why.
    #[error("{0}")]
    NoValue(&'static str),
    /// An expression that depends on the bounds of the range query, in a range that takes several.
    #[error("the range does not fit into one range query")]
    BoundToItsRange,
}

/// The plan of a query.
///
/// # Errors
///
/// See [`PlanError`].
pub fn plan(query: &MetricQuery, target: &TargetFacts) -> Result<Plan, PlanError> {
    plan_of(query, target, None)
}

/// The plan of a query, whose expression is a scalar: the store says so.
///
/// # Errors
///
/// See [`PlanError`].
pub fn plan_of_scalar(query: &MetricQuery, target: &TargetFacts) -> Result<Plan, PlanError> {
    plan_of(query, target, Some(Shape::Scalar))
}

fn plan_of(
    query: &MetricQuery,
    target: &TargetFacts,
    shape: Option<Shape>,
) -> Result<Plan, PlanError> {
    let kind = match query.kind.quoted_label() {
        Some(_) if target.capabilities.is_metricsql() => query.kind.clone().in_metricsql(),
        _ => query.kind.clone(),
    };
    if let Some(aggregation) = query.aggregation {
        let source = source::source(&kind, shape, aggregation, &target.windowing())?;
        return aggregated(query, kind, source, aggregation.bucket, target);
    }
    if let QueryKind::Expression { promql, matchers } = &kind {
        return raw::expression(query, promql, matchers, target);
    }
    raw::stored(query, kind, target.scrape_interval, target.now).ok_or(PlanError::Unsupported)
}

/// The plan of a query for which it does not matter what the target can do: that of stored samples.
/// None of others.
///
/// # Errors
///
/// [`PlanError::NoValue`] of an expression without an aggregation.
pub fn plan_of_stored(
    query: &MetricQuery,
    scrape_interval: Millis,
    now: Timestamp,
) -> Result<Option<Plan>, PlanError> {
    if query.aggregation.is_some() || query.kind.quoted_label().is_some() {
        return Ok(None);
    }
    if let QueryKind::Expression { promql, .. } = &query.kind {
        expression::numeric(promql)?;
    }
    let kind = query.kind.clone();
    Ok(raw::stored(query, kind, scrape_interval, now))
}

fn aggregated(
    query: &MetricQuery,
    kind: QueryKind,
    source: Source,
    width: Millis,
    target: &TargetFacts,
) -> Result<Plan, PlanError> {
    let buckets = Buckets::covering(query.start, query.end, target.settled(), width);
    let four_scrapes = target.windowing().rate_window();
    Plan {
        kind,
        source,
        grid: Grid::at_the_end_of(buckets),
        bucket: Some(width),
        start: query.start,
        end: query.end,
        looks_back: Millis(width.0.saturating_add(four_scrapes.0)),
    }
    .of_divisible_range()
}

impl Plan {
    /// The same, which must fit into one range query where its expression names the bounds of the
    /// range.
    fn of_divisible_range(mut self) -> Result<Self, PlanError> {
        if let (QueryKind::Expression { promql, .. }, Source::Range { .. }) =
            (&self.kind, &self.source)
        {
            self.grid.is_divisible = !is_bound_to_its_range(promql);
        }
        // The gateway reads the values of an expression stretch by stretch.
        if let Source::Pooled(Pooling {
            inner: InnerQuery::Evaluated { promql, .. },
            ..
        }) = &self.source
            && is_bound_to_its_range(promql)
        {
            return Err(PlanError::BoundToItsRange);
        }
        if !self.grid.is_divisible && self.grid.buckets.count() > POINTS_PER_CALL {
            return Err(PlanError::BoundToItsRange);
        }
        Ok(self)
    }
}
