//! Which expression answers a query kind under an aggregation.
//!
//! Pooled over **all** samples of **all** matching series of a bucket, not across series at one
//! instant. Expressions are evaluated at the last millisecond of each bucket.

use super::expression::{Shape, shape};
use super::histogram;
use super::pool::Reduce;
use super::selector::{Matcher, Selector};
use super::windows::Windows;
use super::{Clockwork, Kind, Method};
use crate::model::time::Millis;

/// How the points of an aggregated query come about.
#[derive(Clone, Debug, PartialEq)]
pub enum Plan {
    /// One range query over the buckets, whose answer is one series.
    Store {
        /// Evaluated at the end of each bucket.
        promql: String,
        /// How many bytes of ours stand before a user's expression; 0: all of it is ours.
        before: usize,
        /// What several resulting series mean.
        several: Several,
    },
    /// The gateway fetches the samples and reduces them itself.
    Pooled(Pooling),
}

impl Plan {
    /// The length of the longest expression that it may send, in bytes.
    #[must_use]
    pub fn longest_promql(&self) -> usize {
        let pooled = |pooling: &Pooling| match &pooling.inner {
            Inner::Samples(selector) => selector.to_string().len(),
            Inner::Evaluated { promql, .. } => promql.len(),
        };
        match self {
            Self::Pooled(pooling) => pooled(pooling),
            Self::Store {
                promql, several, ..
            } => promql.len().max(match several {
                Several::Pooled(pooling) => pooled(pooling),
                Several::Marked(Meeting::Added(longer)) => longer.len(),
                _ => 0,
            }),
        }
    }
}

/// What it means when an expression answers more than one series.
#[derive(Clone, Debug, PartialEq)]
pub enum Several {
    /// It cannot: the expression aggregates all of them.
    Impossible,
    /// One must be chosen: an error that tells them apart. Only series whose labels match count.
    Refused(Vec<Matcher>),
    /// The store's function looks at one series at a time, so the gateway pools them.
    Pooled(Pooling),
    /// A second one, with the label [`histogram::MARK`], says in which buckets native and classic
    /// histograms meet in a way that the expression does not answer.
    Marked(Meeting),
}

/// What is done about buckets in which native and classic histograms meet.
#[derive(Clone, Debug, PartialEq)]
pub enum Meeting {
    /// This expression adds what one series has of each; it looks at far more, so that it is only
    /// sent then.
    Added(String),
    /// No store merges the two.
    Refused,
}

/// What the gateway fetches and how it reduces it.
#[derive(Clone, Debug, PartialEq)]
pub struct Pooling {
    /// Where the samples come from.
    pub inner: Inner,
    /// What becomes of the samples of a bucket.
    pub reduce: Reduce,
    /// Only series whose labels match, and only one of them; without it all series are pooled.
    pub one_of: Option<Vec<Matcher>>,
}

/// The series whose samples are pooled.
#[derive(Clone, Debug, PartialEq)]
pub enum Inner {
    /// The stored samples.
    Samples(Selector),
    /// An expression at every multiple of `step`, as a subquery evaluates it.
    Evaluated {
        /// The expression.
        promql: String,
        /// The distance of its evaluations.
        step: Millis,
    },
}

/// Why a query has no plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// The aggregation has no meaning for this kind.
    #[error("the aggregation has no meaning for this kind of metric")]
    Unsupported,
    /// An expression that has no numeric value at an instant, and why.
    #[error("{0}")]
    NoValue(&'static str),
}

/// The plan for `kind` under `method` with buckets of `width`.
///
/// # Errors
///
/// [`PlanError::Unsupported`] for the minimum and maximum of a summary, which no client computes;
/// [`PlanError::NoValue`] for a string or a range vector.
pub fn plan(
    kind: &Kind,
    method: Method,
    width: Millis,
    clockwork: &Clockwork,
) -> Result<Plan, PlanError> {
    let windows = Windows::new(width, clockwork);
    Ok(match kind {
        Kind::Gauge(selector) => gauge(selector, method, &windows),
        Kind::Counter(selector) => counter(selector, method, &windows),
        Kind::Histogram(selector) if clockwork.native_histograms => {
            histogram::of_both_forms(selector, method, &windows)
        }
        Kind::Histogram(selector) => store(histogram::classic(selector, method, &windows)),
        Kind::Summary(selector) => summary(selector, method, &windows)?,
        Kind::Expression { promql, matchers } => {
            let shape = shape(promql);
            if let Some(why) = shape.refusal() {
                return Err(PlanError::NoValue(why));
            }
            expression(promql, matchers, method, &windows, shape == Shape::Scalar)
        }
    })
}

/// The plan for an expression of which the store says that it is a scalar.
#[must_use]
pub fn plan_of_scalar(
    promql: &str,
    matchers: &[Matcher],
    method: Method,
    width: Millis,
    clockwork: &Clockwork,
) -> Plan {
    let windows = Windows::new(width, clockwork);
    expression(promql, matchers, method, &windows, true)
}

fn reduction(method: Method) -> Reduce {
    match method {
        Method::Mean => Reduce::Mean,
        Method::Percentile(rank) => Reduce::Quantile(rank),
        Method::Max => Reduce::Max,
        Method::Min => Reduce::Min,
        Method::Sum => Reduce::Sum,
        Method::EventCount => Reduce::Count,
    }
}

fn store(promql: String) -> Plan {
    Plan::Store {
        promql,
        before: 0,
        several: Several::Impossible,
    }
}

fn gauge(s: &Selector, method: Method, windows: &Windows) -> Plan {
    let pooling = Pooling {
        inner: Inner::Samples(s.clone()),
        reduce: reduction(method),
        one_of: None,
    };
    let Some(w) = windows.bucket.filter(|_| !windows.finer_than_samples) else {
        return Plan::Pooled(pooling);
    };
    let over_time = |function: &str| s.each(|s| format!("{function}_over_time({s}[{w}])"));
    match method {
        Method::Mean => store(format!(
            "sum({}) / sum({})",
            over_time("sum"),
            over_time("count")
        )),
        Method::Min => store(format!("min({})", over_time("min"))),
        Method::Max => store(format!("max({})", over_time("max"))),
        Method::Sum => store(format!("sum({})", over_time("sum"))),
        Method::EventCount => store(format!("sum({})", over_time("count"))),
        Method::Percentile(rank) => Plan::Store {
            promql: s.each(|s| format!("quantile_over_time({rank}, {s}[{w}])")),
            before: 0,
            several: Several::Pooled(pooling),
        },
    }
}

fn counter(s: &Selector, method: Method, windows: &Windows) -> Plan {
    let rate_window = windows.rate;
    match method {
        Method::Mean => {
            let rates = s.each(|s| format!("rate({s}[{rate_window}])"));
            return store(format!("avg({rates})"));
        }
        Method::Sum => {
            let increases = s.each(|s| windows.increase(s, |increase| increase));
            return store(windows.scaled(format!("sum({increases})")));
        }
        Method::EventCount => return gauge(s, method, windows),
        Method::Min | Method::Max | Method::Percentile(_) => {}
    }
    let (instant_rate, scrape) = (windows.instant_rate, windows.scrape);
    let rate = |s: &Selector| format!("rate({s}[{instant_rate}])");
    let pooling = Pooling {
        inner: Inner::Evaluated {
            promql: s.each(rate),
            step: scrape,
        },
        reduce: reduction(method),
        one_of: None,
    };
    let Some(w) = windows.bucket else {
        return Plan::Pooled(pooling);
    };
    let over_time = |function: &str| s.each(|s| format!("{function}{}[{w}:{scrape}])", rate(s)));
    match method {
        Method::Min => store(format!("min({})", over_time("min_over_time("))),
        Method::Percentile(rank) => Plan::Store {
            promql: over_time(&format!("quantile_over_time({rank}, ")),
            before: 0,
            several: Several::Pooled(pooling),
        },
        _ => store(format!("max({})", over_time("max_over_time("))),
    }
}

fn summary(base: &Selector, method: Method, windows: &Windows) -> Result<Plan, PlanError> {
    Ok(match method {
        Method::Mean | Method::Sum | Method::EventCount => {
            store(histogram::classic(base, method, windows))
        }
        Method::Min | Method::Max => return Err(PlanError::Unsupported),
        Method::Percentile(rank) => {
            let series = base.and(quantile_label(rank));
            match windows.bucket {
                Some(w) => Plan::Store {
                    promql: format!("last_over_time({series}[{w}])"),
                    before: 0,
                    several: Several::Refused(Vec::new()),
                },
                None => Plan::Pooled(Pooling {
                    inner: Inner::Samples(series),
                    reduce: Reduce::Last,
                    one_of: Some(Vec::new()),
                }),
            }
        }
    })
}

/// The condition that a summary's series is that of the quantile `rank`, which clients write as
/// `0.5` or `0.50`.
#[must_use]
pub fn quantile_label(rank: f64) -> Matcher {
    Matcher::one_of("quantile", vec![format!("{rank}"), format!("{rank}0")])
}

fn expression(
    promql: &str,
    matchers: &[Matcher],
    method: Method,
    windows: &Windows,
    is_scalar: bool,
) -> Plan {
    let scrape = windows.scrape;
    let Some(w) = windows.bucket else {
        return Plan::Pooled(Pooling {
            inner: Inner::Evaluated {
                promql: promql.to_owned(),
                step: scrape,
            },
            reduce: reduction(method),
            one_of: Some(matchers.to_vec()),
        });
    };
    let function = match method {
        Method::Mean => "avg_over_time(".to_owned(),
        Method::Min => "min_over_time(".to_owned(),
        Method::Max => "max_over_time(".to_owned(),
        Method::Sum => "sum_over_time(".to_owned(),
        Method::EventCount => "count_over_time(".to_owned(),
        Method::Percentile(rank) => format!("quantile_over_time({rank}, "),
    };
    // Prometheus has no subquery of a number.
    let inner = if is_scalar { "vector(" } else { "(" };
    // The line break ends a comment that the expression may end with.
    Plan::Store {
        promql: format!("{function}{inner}{promql}\n)[{w}:{scrape}])"),
        before: function.len() + inner.len(),
        several: Several::Refused(matchers.to_vec()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::capabilities::RangeBoundary;
    use rstest::rstest;

    fn clockwork(boundary: RangeBoundary) -> Clockwork {
        Clockwork {
            scrape_interval: Millis(15_000),
            boundary,
            native_histograms: true,
        }
    }

    fn promql(kind: &Kind, method: &str, width: i64, boundary: RangeBoundary) -> String {
        let method = Method::parse(method).expect("a method of the Mirror API");
        match plan(kind, method, Millis(width), &clockwork(boundary)) {
            Ok(Plan::Store { promql, .. }) => promql,
            other => format!("{other:?}"),
        }
    }

    fn s() -> Selector {
        Selector::new("m", vec![Matcher::equal("a", "b")])
    }

    #[rstest]
    #[case(
        "MEAN",
        r#"sum(sum_over_time(m{a="b"}[15m])) / sum(count_over_time(m{a="b"}[15m]))"#
    )]
    #[case("MIN", r#"min(min_over_time(m{a="b"}[15m]))"#)]
    #[case("MAX", r#"max(max_over_time(m{a="b"}[15m]))"#)]
    #[case("SUM_NO_ZEROS", r#"sum(sum_over_time(m{a="b"}[15m]))"#)]
    #[case("EVENT_COUNT", r#"sum(count_over_time(m{a="b"}[15m]))"#)]
    #[case("PERCENTILE_25", r#"quantile_over_time(0.25, m{a="b"}[15m])"#)]
    fn a_gauge_is_pooled_over_all_samples(#[case] method: &str, #[case] expected: &str) {
        assert_eq!(
            promql(&Kind::Gauge(s()), method, 900_000, RangeBoundary::LeftOpen),
            expected
        );
    }

    #[rstest]
    #[case("MEAN", 900_000, r#"avg(rate(m{a="b"}[15m]))"#)]
    #[case("MEAN", 7_000, r#"avg(rate(m{a="b"}[1m]))"#)]
    #[case("SUM", 900_000, r#"sum(increase(m{a="b"}[15m]))"#)]
    #[case("SUM", 15_000, r#"sum(increase(m{a="b"}[1m])) * 0.25"#)]
    #[case("EVENT_COUNT", 900_000, r#"sum(count_over_time(m{a="b"}[15m]))"#)]
    #[case("MIN", 900_000, r#"min(min_over_time(rate(m{a="b"}[1m])[15m:15s]))"#)]
    #[case("MAX", 900_000, r#"max(max_over_time(rate(m{a="b"}[1m])[15m:15s]))"#)]
    #[case(
        "PERCENTILE_99",
        900_000,
        r#"quantile_over_time(0.99, rate(m{a="b"}[1m])[15m:15s])"#
    )]
    fn a_counter_is_its_rate(#[case] method: &str, #[case] width: i64, #[case] expected: &str) {
        assert_eq!(
            promql(&Kind::Counter(s()), method, width, RangeBoundary::LeftOpen),
            expected
        );
    }

    #[rstest]
    #[case(Kind::Gauge(s()), "MIN", r#"min(min_over_time(m{a="b"}[899999ms]))"#)]
    #[case(Kind::Counter(s()), "MEAN", r#"avg(rate(m{a="b"}[899999ms]))"#)]
    #[case(
        Kind::Counter(s()),
        "MIN",
        r#"min(min_over_time(rate(m{a="b"}[59999ms])[899999ms:15s]))"#
    )]
    fn a_window_of_a_store_with_closed_ranges_is_a_millisecond_shorter(
        #[case] kind: Kind,
        #[case] method: &str,
        #[case] expected: &str,
    ) {
        assert_eq!(
            promql(&kind, method, 900_000, RangeBoundary::Closed),
            expected
        );
    }

    #[rstest]
    #[case("SUM", r#"sum(increase(m_sum{a="b"}[15m]))"#)]
    #[case(
        "PERCENTILE_50",
        r#"last_over_time(m{a="b",quantile=~"0\\.5|0\\.50"}[15m])"#
    )]
    fn a_summary_is_what_the_client_computed(#[case] method: &str, #[case] expected: &str) {
        assert_eq!(
            promql(
                &Kind::Summary(s()),
                method,
                900_000,
                RangeBoundary::LeftOpen
            ),
            expected
        );
    }

    #[test]
    fn a_summary_has_no_smallest_or_largest_observation() {
        for method in [Method::Min, Method::Max] {
            let plan = plan(
                &Kind::Summary(s()),
                method,
                Millis(1000),
                &clockwork(RangeBoundary::LeftOpen),
            );
            assert_eq!(plan, Err(PlanError::Unsupported));
        }
    }

    #[test]
    fn an_expression_may_end_in_a_comment() {
        let kind = Kind::Expression {
            promql: "up # all".to_owned(),
            matchers: vec![],
        };
        assert_eq!(
            promql(&kind, "MEAN", 900_000, RangeBoundary::LeftOpen),
            "avg_over_time((up # all\n)[15m:15s])"
        );
    }

    #[rstest]
    #[case(
        "MEAN",
        "scalar(sum(up))",
        "avg_over_time(vector(scalar(sum(up))\n)[15m:15s])"
    )]
    #[case(
        "PERCENTILE_50",
        "1 # one",
        "quantile_over_time(0.5, vector(1 # one\n)[15m:15s])"
    )]
    #[case("EVENT_COUNT", "vector(1)", "count_over_time((vector(1)\n)[15m:15s])")]
    #[case("MAX", "now()", "max_over_time((now()\n)[15m:15s])")]
    #[case(
        "SUM",
        "up[5m]",
        "Err(NoValue(\"a range vector has no single value per instant: wrap it in rate(…), avg_over_time(…) or another function that makes one value of a range\"))"
    )]
    #[case(
        "SUM",
        "\"up\"",
        "Err(NoValue(\"a string has no numeric value: write an expression that evaluates to numbers\"))"
    )]
    fn an_expression_is_sent_as_what_it_evaluates_to(
        #[case] method: &str,
        #[case] promql_of_user: &str,
        #[case] expected: &str,
    ) {
        let kind = Kind::Expression {
            promql: promql_of_user.to_owned(),
            matchers: vec![],
        };
        assert_eq!(
            promql(&kind, method, 900_000, RangeBoundary::LeftOpen),
            expected
        );
    }

    #[rstest]
    #[case(
        "MEAN",
        "avg(label_replace(rate(m{t=\"x\"}[15m]), \"__type__\", \"0\", \"\", \"\") or label_replace(rate(m{t=\"y\"}[15m]), \"__type__\", \"1\", \"\", \"\"))"
    )]
    #[case(
        "EVENT_COUNT",
        "sum(label_replace(count_over_time(m{t=\"x\"}[15m]), \"__type__\", \"0\", \"\", \"\") or label_replace(count_over_time(m{t=\"y\"}[15m]), \"__type__\", \"1\", \"\", \"\"))"
    )]
    #[case(
        "MAX",
        "max(label_replace(max_over_time(rate(m{t=\"x\"}[1m])[15m:15s]), \"__type__\", \"0\", \"\", \"\") or label_replace(max_over_time(rate(m{t=\"y\"}[1m])[15m:15s]), \"__type__\", \"1\", \"\", \"\"))"
    )]
    fn series_that_a_rate_cannot_tell_apart_are_read_in_parts(
        #[case] method: &str,
        #[case] expected: &str,
    ) {
        let parts = ["x", "y"].map(|value| vec![Matcher::equal("t", value)]);
        let selector = Selector::new("m", Vec::new()).in_parts(parts.to_vec());
        let kind = Kind::Counter(selector);
        assert_eq!(
            promql(&kind, method, 900_000, RangeBoundary::LeftOpen),
            expected
        );
    }

    #[test]
    fn the_users_expression_stands_where_the_plan_says() {
        for method in ["MEAN", "PERCENTILE_95"] {
            for user in ["time()", "up"] {
                let kind = Kind::Expression {
                    promql: user.to_owned(),
                    matchers: vec![],
                };
                let method = Method::parse(method).expect("a method");
                let plan = plan(
                    &kind,
                    method,
                    Millis(60_000),
                    &clockwork(RangeBoundary::Closed),
                );
                let Ok(Plan::Store { promql, before, .. }) = plan else {
                    panic!("{plan:?}")
                };
                assert!(
                    promql[before..].starts_with(&format!("{user}\n)[")),
                    "{promql}"
                );
            }
        }
    }

    #[rstest]
    #[case(900_000, r#"sum(((increase(m{a="b"}[15m]) unless timestamp(m{a="b"} offset 15m) > time() - 900.0005) or 2 * increase(m{a="b"}[899999ms]) - increase(m{a="b"}[899998ms])))"#)]
    #[case(15_000, r#"sum(((increase(m{a="b"}[1m]) unless timestamp(m{a="b"} offset 1m) > time() - 60.0005) or 2 * increase(m{a="b"}[59999ms]) - increase(m{a="b"}[59998ms]))) * 0.25"#)]
    fn an_increase_of_a_store_with_closed_ranges_is_that_of_the_whole_window(
        #[case] width: i64,
        #[case] expected: &str,
    ) {
        assert_eq!(
            promql(&Kind::Counter(s()), "SUM", width, RangeBoundary::Closed),
            expected
        );
    }

    #[test]
    fn what_a_store_with_closed_ranges_cannot_express_the_gateway_pools() {
        for (kind, inner) in [
            (Kind::Gauge(s()), Inner::Samples(s())),
            (
                Kind::Counter(s()),
                Inner::Evaluated {
                    promql: r#"rate(m{a="b"}[59999ms])"#.to_owned(),
                    step: Millis(15_000),
                },
            ),
        ] {
            let plan = plan(
                &kind,
                Method::Max,
                Millis(1),
                &clockwork(RangeBoundary::Closed),
            );
            assert_eq!(
                plan,
                Ok(Plan::Pooled(Pooling {
                    inner,
                    reduce: Reduce::Max,
                    one_of: None
                }))
            );
        }
    }
}
