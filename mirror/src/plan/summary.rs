//! A summary under an aggregation: what the client computed.

use super::PlanError;
use super::aggregation::Method;
use super::histogram;
use super::pool::Reduce;
use super::selector::{Matcher, Selector};
use super::source::{InnerQuery, MatchingSeries, Pooling, Source};
use super::windowing::Windows;

/// # Errors
/// [`PlanError::Unsupported`] for the minimum, the maximum and others that no client computes.
pub(super) fn source(
    base: &Selector,
    method: Method,
    windows: &Windows,
) -> Result<Source, PlanError> {
    Ok(match method {
        Method::Mean | Method::Sum | Method::EventCount => {
            Source::of_one_series(histogram::classic(base, method, windows))
        }
        Method::Percentile(rank) => {
            let series = base.and(quantile_label(rank));
            match windows.bucket {
                Some(w) => Source::Range {
                    promql: format!("last_over_time({series}[{w}])"),
                    before: 0,
                    matching: MatchingSeries::Refused(Vec::new()),
                },
                None => Source::Pooled(Pooling {
                    inner: InnerQuery::Samples(series),
                    reduce: Reduce::Last,
                    one_of: Some(Vec::new()),
                }),
            }
        }
        _ => return Err(PlanError::Unsupported),
    })
}

/// The condition that a summary's series is that of the quantile `rank`, which clients write as
/// `0.5` or `0.50`.
fn quantile_label(rank: f64) -> Matcher {
    Matcher::one_of("quantile", vec![format!("{rank}"), format!("{rank}0")])
}

/// The series of a summary that a method needs, where it needs a certain one.
#[must_use]
pub fn needed_quantile(base: &Selector, method: Method) -> Option<Selector> {
    match method {
        Method::Percentile(rank) => Some(base.and(quantile_label(rank))),
        _ => None,
    }
}
