//! The calls of Prometheus' HTTP API.

use super::MAX_BODY_BYTES;
use crate::model::time::{Millis, Timestamp};

/// One call of Prometheus' HTTP API. Equal calls in flight at one target share one exchange.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Call {
    /// `/api/v1/query`.
    Instant {
        /// The expression.
        promql: String,
        /// Its evaluation time.
        at: Timestamp,
    },
    /// `/api/v1/query_range`: the expression at `start`, `start + step`, … up to and with `end`.
    Range {
        /// The expression.
        promql: String,
        /// The first evaluation time.
        start: Timestamp,
        /// No evaluation is later.
        end: Timestamp,
        /// At least 1 ms.
        step: Millis,
    },
    /// The same of a range selector: the stored samples of an interval with their own timestamps.
    /// Perhaps a little more at its edges.
    Samples {
        /// Which series.
        selector: String,
        /// From this instant …
        from: Timestamp,
        /// … to this one, both included.
        to: Timestamp,
    },
    /// `/api/v1/series`: does any series match? Asked with `limit=1`.
    SeriesExist {
        /// Selectors; a series that matches one of them is enough.
        selectors: Vec<String>,
        /// From this instant …
        start: Timestamp,
        /// … to this one.
        end: Timestamp,
    },
    /// `/api/v1/labels`.
    LabelNames {
        /// Only of series that match this selector; all series if absent.
        selector: Option<String>,
        /// From this instant …
        start: Timestamp,
        /// … to this one.
        end: Timestamp,
    },
    /// `/api/v1/label/<label>/values`.
    LabelValues {
        /// The label's name.
        label: String,
        /// Only of series that match this selector; all series if absent.
        selector: Option<String>,
        /// From this instant …
        start: Timestamp,
        /// … to this one.
        end: Timestamp,
    },
    /// The same, with the label's name written into the path in the other way: stores differ in how
    /// they read names outside the legacy character set.
    LabelValuesOtherwise {
        /// The label's name; not a plain one.
        label: String,
        /// Only of series that match this selector; all series if absent.
        selector: Option<String>,
        /// From this instant …
        start: Timestamp,
        /// … to this one.
        end: Timestamp,
    },
    /// `/api/v1/series`, of which only the values of one label are kept. Of [`MOST_SERIES_LISTED`]
    /// series at most.
    LabelOfSeries {
        /// The label's name.
        label: String,
        /// Only series that match it.
        selector: String,
        /// From this instant …
        start: Timestamp,
        /// … to this one.
        end: Timestamp,
    },
    /// `/api/v1/series`, of which only numbers are kept: how many series have each label, or each
    /// value of one. Of [`MOST_SERIES_COUNTED`] series at most.
    SeriesCounted {
        /// The label whose values are told apart; none to tell labels apart.
        label: Option<String>,
        /// Only series that match it.
        selector: String,
        /// From this instant …
        start: Timestamp,
        /// … to this one.
        end: Timestamp,
    },
    /// `/api/v1/metadata`.
    Metadata,
    /// The same of one metric (family) only, with its help.
    MetadataOf {
        /// Its name.
        metric: String,
    },
    /// `/api/v1/status/buildinfo`.
    BuildInfo,
}

impl Call {
    /// The largest body that its answer may have, in bytes.
    pub(super) fn most_bytes(&self) -> usize {
        match self {
            // Some stores do not know the parameters that keep these small.
            Self::MetadataOf { .. } => 64 << 10,
            Self::SeriesCounted { .. } => 8 << 20,
            _ => MAX_BODY_BYTES,
        }
    }
}

/// The range selector of the samples from `from` to `to`, evaluated at `to`.
#[must_use]
pub fn range_selector(selector: &str, from: Timestamp, to: Timestamp) -> String {
    // One millisecond more than the distance, so that `from` is inside where windows are
    // left-open.
    let window = Millis(to.since(from).0.saturating_add(1));
    format!("{selector}[{window}]")
}

/// The series that [`Call::SeriesCounted`] lets a store list at most.
pub const MOST_SERIES_COUNTED: u32 = 5_000;

/// The series that [`Call::LabelOfSeries`] lets a store list at most; it warns where it has more.
pub const MOST_SERIES_LISTED: u32 = 20_000;
