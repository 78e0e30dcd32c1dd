//! What kind of metric a target says a metric is.

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
