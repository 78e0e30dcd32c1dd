//! The aggregation methods of the Mirror API, in one table: their names, and what each computes.

use super::pool::Reduce;
use crate::model::time::Millis;

/// How points are pooled.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Aggregation {
    /// What is computed of a bucket's samples.
    pub method: Method,
    /// The method's name in the Mirror API: some have two.
    pub name: &'static str,
    /// The length of a bucket, at least 1 ms.
    pub bucket: Millis,
}

impl Aggregation {
    /// The method of that name in the Mirror API over buckets of that length.
    #[must_use]
    pub fn new(name: &str, bucket: Millis) -> Option<Self> {
        let (name, method) = Method::named(name)?;
        Some(Self {
            method,
            name,
            bucket,
        })
    }
}

/// What an aggregation computes.
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
    /// The sum.
    Sum,
    /// The number of samples or observations.
    EventCount,
}

/// Every name of the Mirror API. The twins `_NO_ZEROS` are the same: filling gaps is StackState's
/// business.
pub const METHODS: [(&str, Method); 14] = [
    ("MEAN", Method::Mean),
    ("PERCENTILE_25", Method::Percentile(0.25)),
    ("PERCENTILE_50", Method::Percentile(0.5)),
    ("PERCENTILE_75", Method::Percentile(0.75)),
    ("PERCENTILE_90", Method::Percentile(0.9)),
    ("PERCENTILE_95", Method::Percentile(0.95)),
    ("PERCENTILE_98", Method::Percentile(0.98)),
    ("PERCENTILE_99", Method::Percentile(0.99)),
    ("MAX", Method::Max),
    ("MIN", Method::Min),
    ("SUM", Method::Sum),
    ("EVENT_COUNT", Method::EventCount),
    ("SUM_NO_ZEROS", Method::Sum),
    ("EVENT_COUNT_NO_ZEROS", Method::EventCount),
];

/// What a method is of a distribution (a histogram's or a summary's).
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Statistic {
    Mean,
    Sum,
    Count,
    Quantile(f64),
}

impl Method {
    /// The method of that name in the Mirror API, and the name.
    #[must_use]
    pub fn named(name: &str) -> Option<(&'static str, Self)> {
        METHODS.into_iter().find(|(known, _)| *known == name)
    }

    /// The beginning of the call that computes it of each series' samples in a range.
    pub(super) fn over_time(self) -> String {
        match self {
            Self::Mean => "avg_over_time(".to_owned(),
            Self::Min => "min_over_time(".to_owned(),
            Self::Max => "max_over_time(".to_owned(),
            Self::Sum => "sum_over_time(".to_owned(),
            Self::EventCount => "count_over_time(".to_owned(),
            Self::Percentile(rank) => format!("quantile_over_time({rank}, "),
        }
    }

    /// The aggregation that makes one result of those of several series, where there is one: for
    /// the others the gateway pools the samples.
    pub(super) fn across_series(self) -> Option<&'static str> {
        match self {
            Self::Min => Some("min"),
            Self::Max => Some("max"),
            Self::Sum | Self::EventCount => Some("sum"),
            Self::Mean | Self::Percentile(_) => None,
        }
    }

    /// The same over samples that the gateway holds itself.
    pub(super) fn reduce(self) -> Reduce {
        match self {
            Self::Mean => Reduce::Mean,
            Self::Percentile(rank) => Reduce::Quantile(rank),
            Self::Max => Reduce::Max,
            Self::Min => Reduce::Min,
            Self::Sum => Reduce::Sum,
            Self::EventCount => Reduce::Count,
        }
    }

    /// The same of a distribution.
    pub(super) fn statistic(self) -> Statistic {
        match self {
            Self::Mean => Statistic::Mean,
            Self::Percentile(rank) => Statistic::Quantile(rank),
            Self::Min => Statistic::Quantile(0.0),
            Self::Max => Statistic::Quantile(1.0),
            Self::Sum => Statistic::Sum,
            Self::EventCount => Statistic::Count,
        }
    }
}
