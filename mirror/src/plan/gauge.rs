//! A gauge under an aggregation: pooled over all samples of all matching series of a bucket, not
//! across series at one instant.

use super::aggregation::Method;
use super::selector::Selector;
use super::source::{InnerQuery, MatchingSeries, Pooling, Source};
use super::windowing::Windows;

pub(super) fn source(s: &Selector, method: Method, windows: &Windows) -> Source {
    let pooling = Pooling {
        inner: InnerQuery::Samples(s.clone()),
        reduce: method.reduce(),
        one_of: None,
    };
    let Some(w) = windows.bucket.filter(|_| !windows.finer_than_samples) else {
        return Source::Pooled(pooling);
    };
    let over_time = |method: Method| s.each(|s| format!("{}{s}[{w}])", method.over_time()));
    if method == Method::Mean {
        return Source::of_one_series(format!(
            "sum({}) / sum({})",
            over_time(Method::Sum),
            over_time(Method::EventCount)
        ));
    }
    pooled_across_series(over_time(method), method, pooling)
}

/// The source of points of which `promql` makes one for each series.
pub(super) fn pooled_across_series(promql: String, method: Method, pooling: Pooling) -> Source {
    match method.across_series() {
        Some(across) => Source::of_one_series(format!("{across}({promql})")),
        None => Source::Range {
            promql,
            before: 0,
            matching: MatchingSeries::Pooled(pooling),
        },
    }
}
