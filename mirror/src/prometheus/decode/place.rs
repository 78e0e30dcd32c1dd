//! Where a value stands in an answer: what its container means, and which key it has.

/// What a container means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Root,
    Data,
    /// `result`: series, or the pair that a scalar or a string is.
    Result,
    Element,
    Metric,
    Samples,
    Sample,
    Histograms,
    HistogramPair,
    Histogram,
    Warnings,
    Infos,
    /// Something the mirror does not read.
    Ignored,
}

impl Place {
    /// Whether it is an object, or else an array; none where it may be either.
    pub(super) fn is_object(self) -> Option<bool> {
        match self {
            Self::Root | Self::Data | Self::Element | Self::Metric | Self::Histogram => Some(true),
            Self::Result
            | Self::Samples
            | Self::Sample
            | Self::Histograms
            | Self::HistogramPair
            | Self::Warnings
            | Self::Infos => Some(false),
            Self::Ignored => None,
        }
    }
}

/// A key that the mirror reads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Key {
    Status,
    ErrorType,
    Error,
    Data,
    Warnings,
    Infos,
    IsPartial,
    ResultType,
    Result,
    Metric,
    Value,
    Values,
    Histogram,
    Histograms,
    Count,
    Sum,
    Label,
    #[default]
    Unknown,
}

impl Key {
    pub(super) fn of(place: Place, name: &str) -> Self {
        match (place, name) {
            (Place::Metric, _) => Self::Label,
            (Place::Root, "status") => Self::Status,
            (Place::Root, "errorType") => Self::ErrorType,
            (Place::Root, "error") => Self::Error,
            (Place::Root, "data") => Self::Data,
            (Place::Root, "warnings") => Self::Warnings,
            (Place::Root, "infos") => Self::Infos,
            (Place::Root, "isPartial") => Self::IsPartial,
            (Place::Data, "resultType") => Self::ResultType,
            (Place::Data, "result") => Self::Result,
            (Place::Element, "metric") => Self::Metric,
            (Place::Element, "value") => Self::Value,
            (Place::Element, "values") => Self::Values,
            (Place::Element, "histogram") => Self::Histogram,
            (Place::Element, "histograms") => Self::Histograms,
            (Place::Histogram, "count") => Self::Count,
            (Place::Histogram, "sum") => Self::Sum,
            _ => Self::Unknown,
        }
    }
}
