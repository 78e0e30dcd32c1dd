//! The calls of Prometheus' HTTP API.

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
    /// `/api/v1/metadata`.
    Metadata,
    /// `/api/v1/status/buildinfo`.
    BuildInfo,
}

/// The range selector of the samples from `from` to `to`, evaluated at `to`.
#[must_use]
pub fn range_selector(selector: &str, from: Timestamp, to: Timestamp) -> String {
    // One millisecond more than the distance, so that `from` is inside where windows are
    // left-open.
    let window = Millis(to.since(from).0.saturating_add(1));
    format!("{selector}[{window}]")
}

/// The series that [`Call::LabelOfSeries`] lets a store list at most; it warns where it has more.
pub const MOST_SERIES_LISTED: u32 = 20_000;
