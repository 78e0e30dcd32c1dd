//! What functions make of the elements that they are given.

/// What a function makes of its elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::plan) enum FunctionKind {
    /// One element of each, with all its labels but the name.
    OfEach,
    /// One element of each, with other labels.
    Relabels,
    /// The same elements in another order, which no range query tells.
    Orders,
    /// `histogram_quantile`
    Quantile,
    /// It looks at several at once, or is not known.
    Other,
}

/// Of each series' samples in a range; those that end in `_over_time` beside these.
const OF_A_RANGE: [&str; 12] = [
    "changes",
    "delta",
    "deriv",
    "double_exponential_smoothing",
    "holt_winters",
    "idelta",
    "increase",
    "irate",
    "predict_linear",
    "rate",
    "resets",
    // Of an instant, and of each.
    "timestamp",
];

/// Of each element's value.
const OF_A_VALUE: [&str; 40] = [
    "abs",
    "acos",
    "acosh",
    "asin",
    "asinh",
    "atan",
    "atanh",
    "ceil",
    "clamp",
    "clamp_max",
    "clamp_min",
    "cos",
    "cosh",
    "day_of_month",
    "day_of_week",
    "day_of_year",
    "days_in_month",
    "deg",
    "exp",
    "floor",
    "histogram_avg",
    "histogram_count",
    "histogram_stddev",
    "histogram_stdvar",
    "histogram_sum",
    "hour",
    "ln",
    "log10",
    "log2",
    "minute",
    "month",
    "rad",
    "round",
    "sgn",
    "sin",
    "sinh",
    "sqrt",
    "tan",
    "tanh",
    "year",
];

pub(in crate::plan) fn kind_of(name: &str) -> FunctionKind {
    match name {
        "histogram_quantile" => FunctionKind::Quantile,
        "label_replace" | "label_join" => FunctionKind::Relabels,
        "sort" | "sort_desc" | "sort_by_label" | "sort_by_label_desc" => FunctionKind::Orders,
        "absent_over_time" => FunctionKind::Other,
        name if name.ends_with("_over_time") => FunctionKind::OfEach,
        name if OF_A_RANGE.contains(&name) || OF_A_VALUE.contains(&name) => FunctionKind::OfEach,
        _ => FunctionKind::Other,
    }
}

/// Whether it adds up when histograms do.
pub(super) fn is_linear(name: &str) -> bool {
    matches!(name, "histogram_count" | "histogram_sum")
}
