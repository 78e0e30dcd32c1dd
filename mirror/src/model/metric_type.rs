//! What a target says a metric is.

/// A metric's type as the target's metadata says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricType {
    /// `counter`
    Counter,
    /// `gauge`, and what behaves like one: `info`, `stateset`.
    Gauge,
    /// `histogram`, `gaugehistogram`
    Histogram,
    /// `summary`
    Summary,
    /// `unknown`, `untyped` and anything newer than this code.
    Unknown,
}

/// What a target's metadata say of a metric, in its own words.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MetricDescription {
    /// For example `gauge`.
    pub metric_type: String,
    /// What it measures; may be empty.
    pub help: String,
    /// For example `bytes`; empty for most.
    pub unit: String,
}
