//! Which expression answers a query kind under an aggregation.
//!
//! Pooled over **all** samples of **all** matching series of a bucket, not across series at one instant. Expressions are
//! evaluated at the last millisecond of each bucket.

use super::pool::Reduce;
use super::selector::{Matcher, Selector};
use super::{Clockwork, Kind, Method};
use crate::time::Millis;

/// How the points of an aggregated query come about.
#[derive(Clone, Debug, PartialEq)]
pub enum Plan {
    /// One range query over the buckets, whose answer is one series.
    Store {
        /// Evaluated at the end of each bucket.
        promql: String,
        /// What several resulting series mean.
        several: Several,
    },
    /// The gateway fetches the samples and reduces them itself.
    Pooled(Pooling),
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

/// The aggregation has no meaning for this kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the aggregation has no meaning for this kind of metric")]
pub struct Unsupported;

/// The plan for `kind` under `method` with buckets of `width`.
///
/// # Errors
///
/// [`Unsupported`] for the minimum and maximum of a summary, which no client computes.
pub fn plan(
    kind: &Kind,
    method: Method,
    width: Millis,
    clockwork: &Clockwork,
) -> Result<Plan, Unsupported> {
    let windows = Windows::new(width, clockwork);
    Ok(match kind {
        Kind::Gauge(selector) => gauge(selector, method, &windows),
        Kind::Counter(selector) => counter(selector, method, &windows),
        Kind::Histogram(selector) => {
            histogram(selector, method, &windows, clockwork.native_histograms)
        }
        Kind::Summary(selector) => summary(selector, method, &windows)?,
        Kind::Expression { promql, matchers } => expression(promql, matchers, method, &windows),
    })
}

/// The lengths of time in an expression, ready to be written between brackets.
struct Windows {
    /// The bucket; none if the store cannot express it.
    bucket: Option<Millis>,
    /// The window of a rate over the bucket: never shorter than four scrapes.
    rate: Millis,
    /// What an increase over `rate` is multiplied by to be that of the bucket.
    share: Option<f64>,
    /// The window of a rate at an instant.
    instant_rate: Millis,
    /// Distance of a subquery's evaluations.
    scrape: Millis,
    /// The buckets are so short that there are fewer samples than buckets: fetching the samples is the lighter way.
    finer_than_samples: bool,
}

impl Windows {
    fn new(width: Millis, clockwork: &Clockwork) -> Self {
        let four_scrapes = clockwork.rate_window();
        let rate = width.max(four_scrapes);
        // Four scrapes are at least four milliseconds, so these windows always exist.
        let written = |length| clockwork.window(length).unwrap_or(length);
        #[expect(
            clippy::cast_precision_loss,
            reason = "milliseconds of any sensible window are far below 2^52"
        )]
        let share = (rate != width).then(|| width.0 as f64 / rate.0 as f64);
        Self {
            bucket: clockwork.window(width),
            rate: written(rate),
            share,
            instant_rate: written(four_scrapes),
            scrape: clockwork.scrape_interval,
            finer_than_samples: width.0.saturating_mul(10) <= clockwork.scrape_interval.0,
        }
    }

    /// An increase over the rate's window as that of the bucket.
    fn scaled(&self, increase: String) -> String {
        match self.share {
            Some(share) => format!("{increase} * {share:?}"),
            None => increase,
        }
    }
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
    match method {
        Method::Mean => store(format!(
            "sum(sum_over_time({s}[{w}])) / sum(count_over_time({s}[{w}]))"
        )),
        Method::Min => store(format!("min(min_over_time({s}[{w}]))")),
        Method::Max => store(format!("max(max_over_time({s}[{w}]))")),
        Method::Sum => store(format!("sum(sum_over_time({s}[{w}]))")),
        Method::EventCount => store(format!("sum(count_over_time({s}[{w}]))")),
        Method::Percentile(rank) => Plan::Store {
            promql: format!("quantile_over_time({rank}, {s}[{w}])"),
            several: Several::Pooled(pooling),
        },
    }
}

fn counter(s: &Selector, method: Method, windows: &Windows) -> Plan {
    let rate_window = windows.rate;
    match method {
        Method::Mean => return store(format!("avg(rate({s}[{rate_window}]))")),
        Method::Sum => return store(windows.scaled(format!("sum(increase({s}[{rate_window}]))"))),
        Method::EventCount => return gauge(s, method, windows),
        Method::Min | Method::Max | Method::Percentile(_) => {}
    }
    let (instant_rate, scrape) = (windows.instant_rate, windows.scrape);
    let rate = format!("rate({s}[{instant_rate}])");
    let pooling = Pooling {
        inner: Inner::Evaluated {
            promql: rate.clone(),
            step: scrape,
        },
        reduce: reduction(method),
        one_of: None,
    };
    let Some(w) = windows.bucket else {
        return Plan::Pooled(pooling);
    };
    match method {
        Method::Min => store(format!("min(min_over_time({rate}[{w}:{scrape}]))")),
        Method::Percentile(rank) => Plan::Store {
            promql: format!("quantile_over_time({rank}, {rate}[{w}:{scrape}])"),
            several: Several::Pooled(pooling),
        },
        _ => store(format!("max(max_over_time({rate}[{w}:{scrape}]))")),
    }
}

fn histogram(base: &Selector, method: Method, windows: &Windows, native: bool) -> Plan {
    let r = windows.rate;
    let (sum, count, bucket) = (
        base.with_suffix("_sum"),
        base.with_suffix("_count"),
        base.with_suffix("_bucket"),
    );
    let (native_form, classic) = match method {
        Method::Mean => (
            format!(
                "histogram_sum(sum(rate({base}[{r}]))) / histogram_count(sum(rate({base}[{r}])))"
            ),
            format!("sum(rate({sum}[{r}])) / sum(rate({count}[{r}]))"),
        ),
        Method::Sum => (
            windows.scaled(format!("histogram_sum(sum(increase({base}[{r}])))")),
            windows.scaled(format!("sum(increase({sum}[{r}]))")),
        ),
        Method::EventCount => (
            windows.scaled(format!("histogram_count(sum(increase({base}[{r}])))")),
            windows.scaled(format!("sum(increase({count}[{r}]))")),
        ),
        Method::Min | Method::Max | Method::Percentile(_) => {
            let rank = match method {
                Method::Percentile(rank) => rank,
                Method::Min => 0.0,
                _ => 1.0,
            };
            (
                format!("histogram_quantile({rank}, sum(rate({base}[{r}])))"),
                format!("histogram_quantile({rank}, sum by (le) (rate({bucket}[{r}])))"),
            )
        }
    };
    store(if native {
        format!("({native_form}) or ({classic})")
    } else {
        classic
    })
}

fn summary(base: &Selector, method: Method, windows: &Windows) -> Result<Plan, Unsupported> {
    Ok(match method {
        Method::Mean | Method::Sum | Method::EventCount => histogram(base, method, windows, false),
        Method::Min | Method::Max => return Err(Unsupported),
        Method::Percentile(rank) => {
            let series = base.and(quantile_label(rank));
            match windows.bucket {
                Some(w) => Plan::Store {
                    promql: format!("last_over_time({series}[{w}])"),
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

/// The condition that a summary's series is that of the quantile `rank`, which clients write as `0.5` or `0.50`.
#[must_use]
pub fn quantile_label(rank: f64) -> Matcher {
    Matcher::one_of("quantile", vec![format!("{rank}"), format!("{rank}0")])
}

fn expression(promql: &str, matchers: &[Matcher], method: Method, windows: &Windows) -> Plan {
    // The line break ends a comment that the expression may end with.
    let (expression, scrape) = (format!("({promql}\n)"), windows.scrape);
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
    let promql = match method {
        Method::Mean => format!("avg_over_time({expression}[{w}:{scrape}])"),
        Method::Min => format!("min_over_time({expression}[{w}:{scrape}])"),
        Method::Max => format!("max_over_time({expression}[{w}:{scrape}])"),
        Method::Sum => format!("sum_over_time({expression}[{w}:{scrape}])"),
        Method::EventCount => format!("count_over_time({expression}[{w}:{scrape}])"),
        Method::Percentile(rank) => {
            format!("quantile_over_time({rank}, {expression}[{w}:{scrape}])")
        }
    };
    Plan::Store {
        promql,
        several: Several::Refused(matchers.to_vec()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prometheus::RangeBoundary;
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
    #[case("MEAN", r#"(histogram_sum(sum(rate(m{a="b"}[15m]))) / histogram_count(sum(rate(m{a="b"}[15m])))) or (sum(rate(m_sum{a="b"}[15m])) / sum(rate(m_count{a="b"}[15m])))"#)]
    #[case("EVENT_COUNT", r#"(histogram_count(sum(increase(m{a="b"}[15m])))) or (sum(increase(m_count{a="b"}[15m])))"#)]
    #[case("MAX", r#"(histogram_quantile(1, sum(rate(m{a="b"}[15m])))) or (histogram_quantile(1, sum by (le) (rate(m_bucket{a="b"}[15m]))))"#)]
    #[case("PERCENTILE_95", r#"(histogram_quantile(0.95, sum(rate(m{a="b"}[15m])))) or (histogram_quantile(0.95, sum by (le) (rate(m_bucket{a="b"}[15m]))))"#)]
    fn a_histogram_is_native_or_classic(#[case] method: &str, #[case] expected: &str) {
        assert_eq!(
            promql(
                &Kind::Histogram(s()),
                method,
                900_000,
                RangeBoundary::LeftOpen
            ),
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
            assert_eq!(plan, Err(Unsupported));
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
