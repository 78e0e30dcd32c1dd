//! What a target can do, as the mirror finds out by asking it.

use super::time::Millis;

/// Where a range selector's window begins, asked of the store, not of its version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RangeBoundary {
    /// `(t − W, t]`: Prometheus 3, VictoriaMetrics.
    LeftOpen,
    /// `[t − W, t]`: Prometheus 2.
    Closed,
}

/// What a target can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// Where range windows begin.
    pub range_boundary: RangeBoundary,
    /// Whether it knows `histogram_count` and so may hold native histograms.
    pub native_histograms: bool,
    /// How far behind the present range queries are: 0 for Prometheus, half a minute for
    /// VictoriaMetrics, which repeats an earlier value for instants that are newer.
    pub settles_after: Millis,
    /// Whether a stored NaN is a sample like any other. VictoriaMetrics drops such samples and
    /// answers NaN where a range selector meets the stale marker of a series that ended; Prometheus
    /// never shows those.
    pub keeps_nan: bool,
}

impl Capabilities {
    /// Whether both evaluate the same queries in the same way.
    #[must_use]
    pub fn agree_with(&self, other: &Self) -> bool {
        self.range_boundary == other.range_boundary
            && self.native_histograms == other.native_histograms
            && self.keeps_nan == other.keeps_nan
    }

    /// Whether it is VictoriaMetrics, which alone drops NaN.
    #[must_use]
    pub fn is_metricsql(&self) -> bool {
        !self.keeps_nan
    }
}
