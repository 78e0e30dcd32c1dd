//! Pure: what StackState asks for becomes PromQL, evaluation times and pooling rules. No I/O, no
//! clock.
//!
//! * [`selector`]: conditions become a series selector. The only place that writes user text into
//!   PromQL.
//! * [`buckets`]: which buckets a time range has, and where each one is evaluated.
//! * [`aggregated`], [`raw`]: which expression answers a query kind, with and without an
//!   aggregation.
//! * [`pool`]: the same aggregations over samples that the gateway holds itself.
//! * [`enforce`]: label matchers that every selector gets.
//! * [`expression`]: what a `~` expression evaluates to, and how messages about it read.
//! * [`value`]: what NaN and the infinities become.
//!
//! The rules are those of `docs/query-semantics.md`.

pub mod aggregated;
pub mod buckets;
pub mod classify;
pub mod enforce;
pub mod expression;
pub mod histogram;
pub mod pool;
pub mod raw;
pub mod selector;
pub mod value;
mod windows;

use crds::NanInterpretation;
use selector::{Matcher, Selector};

use crate::model::capabilities::RangeBoundary;
use crate::model::time::{Millis, Timestamp};

/// A metric query, decoded and valid.
#[derive(Clone, Debug, PartialEq)]
pub struct MetricQuery {
    /// What is asked for.
    pub kind: Kind,
    /// The earliest instant of interest.
    pub start: Timestamp,
    /// The latest; never before `start`.
    pub end: Timestamp,
    /// At most so many points; at least 1.
    pub limit: Option<u64>,
    /// Absent: the raw points.
    pub aggregation: Option<Aggregation>,
    /// What a NaN becomes.
    pub nan_interpretation: NanInterpretation,
}

/// How points are pooled.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Aggregation {
    /// What is computed of a bucket's samples.
    pub method: Method,
    /// The length of a bucket, at least 1 ms.
    pub bucket: Millis,
}

/// The fourteen aggregation methods of the Mirror API.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Method {
    /// The arithmetic mean.
    Mean,
    /// The quantile of the given rank, 0 to 1.
    Percentile(f64),
    /// The largest.
    Max,
    /// The smallest.
    Min,
    /// The sum, and its `_NO_ZEROS` twin: filling gaps is StackState's business.
    Sum,
    /// The number of samples or observations, and its twin.
    EventCount,
}

impl Method {
    /// The method of that name in the Mirror API.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "MEAN" => Self::Mean,
            "PERCENTILE_25" => Self::Percentile(0.25),
            "PERCENTILE_50" => Self::Percentile(0.5),
            "PERCENTILE_75" => Self::Percentile(0.75),
            "PERCENTILE_90" => Self::Percentile(0.9),
            "PERCENTILE_95" => Self::Percentile(0.95),
            "PERCENTILE_98" => Self::Percentile(0.98),
            "PERCENTILE_99" => Self::Percentile(0.99),
            "MAX" => Self::Max,
            "MIN" => Self::Min,
            "SUM" | "SUM_NO_ZEROS" => Self::Sum,
            "EVENT_COUNT" | "EVENT_COUNT_NO_ZEROS" => Self::EventCount,
            _ => return None,
        })
    }
}

/// The five query kinds.
#[derive(Clone, Debug, PartialEq)]
pub enum Kind {
    /// `__gauge__`: the samples themselves.
    Gauge(Selector),
    /// `__counter__`: the per-second rate.
    Counter(Selector),
    /// `__histogram__`: a distribution, native or as `_bucket`, `_sum`, `_count`. The selector
    /// names the base.
    Histogram(Selector),
    /// `__summary__`: a distribution as the client computed it. The selector names the base.
    Summary(Selector),
    /// `~`: any PromQL, and which of the resulting series are meant.
    Expression {
        /// The expression as the user wrote it.
        promql: String,
        /// Every resulting series whose labels match.
        matchers: Vec<Matcher>,
    },
}

/// The condition key of each query kind, in the order in which field names list them.
pub const KIND_KEYS: [&str; 5] = [
    "__counter__",
    "__gauge__",
    "__histogram__",
    "__summary__",
    "~",
];

impl Kind {
    /// The name that the user gave: a metric's, or the expression.
    #[must_use]
    pub fn metric(&self) -> &str {
        match self {
            Self::Gauge(s) | Self::Counter(s) | Self::Histogram(s) | Self::Summary(s) => s.name(),
            Self::Expression { promql, .. } => promql,
        }
    }

    /// The condition key of this kind.
    #[must_use]
    pub fn key(&self) -> &'static str {
        match self {
            Self::Counter(_) => "__counter__",
            Self::Gauge(_) => "__gauge__",
            Self::Histogram(_) => "__histogram__",
            Self::Summary(_) => "__summary__",
            Self::Expression { .. } => "~",
        }
    }

    /// The conditions beside the kind; none of an expression, whose conditions choose among its
    /// results.
    #[must_use]
    pub fn conditions(&self) -> &[Matcher] {
        match self {
            Self::Gauge(s) | Self::Counter(s) | Self::Histogram(s) | Self::Summary(s) => {
                s.conditions()
            }
            Self::Expression { .. } => &[],
        }
    }

    /// The same with these conditions instead; an expression stays as it is.
    #[must_use]
    pub fn with_conditions(&self, conditions: Vec<Matcher>) -> Self {
        match self {
            Self::Gauge(s) => Self::Gauge(s.with_conditions(conditions)),
            Self::Counter(s) => Self::Counter(s.with_conditions(conditions)),
            Self::Histogram(s) => Self::Histogram(s.with_conditions(conditions)),
            Self::Summary(s) => Self::Summary(s.with_conditions(conditions)),
            expression @ Self::Expression { .. } => expression.clone(),
        }
    }

    /// The same series in parts; see [`Selector::in_parts`]. None for a kind that is not read in
    /// parts.
    #[must_use]
    pub fn in_parts(&self, parts: Vec<Vec<Matcher>>) -> Option<Self> {
        match self {
            Self::Gauge(s) => Some(Self::Gauge(s.in_parts(parts))),
            Self::Counter(s) => Some(Self::Counter(s.in_parts(parts))),
            Self::Histogram(_) | Self::Summary(_) | Self::Expression { .. } => None,
        }
    }

    /// A label's name among the conditions that cannot stand as it is, if there is one. An
    /// expression has none of ours.
    #[must_use]
    pub fn quoted_label(&self) -> Option<&str> {
        match self {
            Self::Gauge(s) | Self::Counter(s) | Self::Histogram(s) | Self::Summary(s) => {
                s.quoted_label()
            }
            Self::Expression { .. } => None,
        }
    }

    /// The same, with selectors as MetricsQL writes them.
    #[must_use]
    pub fn in_metricsql(self) -> Self {
        match self {
            Self::Gauge(s) => Self::Gauge(s.in_metricsql()),
            Self::Counter(s) => Self::Counter(s.in_metricsql()),
            Self::Histogram(s) => Self::Histogram(s.in_metricsql()),
            Self::Summary(s) => Self::Summary(s.in_metricsql()),
            expression @ Self::Expression { .. } => expression,
        }
    }

    /// Selectors of every series that this kind may read; none for an expression, which may read
    /// anything.
    #[must_use]
    pub fn selectors(&self) -> Vec<String> {
        match self {
            Self::Gauge(s) | Self::Counter(s) => vec![s.to_string()],
            Self::Histogram(s) | Self::Summary(s) => {
                vec![s.with_any_suffix(&["", "_count"]).to_string()]
            }
            Self::Expression { .. } => Vec::new(),
        }
    }
}

/// What a store and its target's settings say about time: the inputs of every window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clockwork {
    /// How often the target scrapes.
    pub scrape_interval: Millis,
    /// Where the store's range windows begin.
    pub boundary: RangeBoundary,
    /// Whether the store may hold native histograms.
    pub native_histograms: bool,
}

impl Clockwork {
    /// The range selector that covers exactly `length` up to and with the evaluation instant, to
    /// the millisecond: `None` where the store has no such window (a closed window of 1 ms has no
    /// length).
    #[must_use]
    pub fn window(&self, length: Millis) -> Option<Millis> {
        match self.boundary {
            RangeBoundary::LeftOpen => Some(length),
            RangeBoundary::Closed => Some(Millis(length.0 - 1)).filter(|window| window.0 > 0),
        }
    }

    /// The shortest window in which a rate has enough samples: four scrapes.
    #[must_use]
    pub fn rate_window(&self) -> Millis {
        Millis(self.scrape_interval.0.saturating_mul(4))
    }
}
