//! A counter under an aggregation: its rate per second, or for the sum its increase.

use super::aggregation::Method;
use super::gauge::{self, pooled_across_series};
use super::selector::Selector;
use super::source::{InnerQuery, Pooling, Source};
use super::windowing::Windows;

pub(super) fn source(s: &Selector, method: Method, windows: &Windows) -> Source {
    match method {
        Method::Mean => {
            let rates = s.each(|s| format!("rate({s}[{}])", windows.rate));
            Source::of_one_series(format!("avg({rates})"))
        }
        Method::Sum => {
            let increases = s.each(|s| windows.increase(s, |increase| increase));
            Source::of_one_series(windows.scaled(format!("sum({increases})")))
        }
        Method::EventCount => gauge::source(s, method, windows),
        _ => rates(s, method, windows),
    }
}

/// The rates at the target's scrapes, pooled.
fn rates(s: &Selector, method: Method, windows: &Windows) -> Source {
    let (instant_rate, scrape) = (windows.instant_rate, windows.scrape);
    let rate = |s: &Selector| format!("rate({s}[{instant_rate}])");
    let pooling = Pooling {
        inner: InnerQuery::Evaluated {
            promql: s.each(rate),
            step: scrape,
        },
        reduce: method.reduce(),
        one_of: None,
    };
    let Some(w) = windows.bucket else {
        return Source::Pooled(pooling);
    };
    let over_time = s.each(|s| format!("{}{}[{w}:{scrape}])", method.over_time(), rate(s)));
    pooled_across_series(over_time, method, pooling)
}
