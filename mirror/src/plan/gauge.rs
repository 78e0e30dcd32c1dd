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
    match method {
        Method::Mean => Source::of_one_series(format!(
            "sum({}) / sum({})",
            over_time(Method::Sum),
            over_time(Method::EventCount)
        )),
        Method::Min => Source::of_one_series(format!("min({})", over_time(method))),
        Method::Max => Source::of_one_series(format!("max({})", over_time(method))),
        Method::Sum | Method::EventCount => {
            Source::of_one_series(format!("sum({})", over_time(method)))
        }
        Method::Percentile(_) => Source::Range {
            promql: over_time(method),
            before: 0,
            matching: MatchingSeries::Pooled(pooling),
        },
    }
}
