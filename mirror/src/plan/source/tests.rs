//! The PromQL of each kind under each aggregation.

use super::*;
use crate::model::capabilities::RangeBoundary;
use crate::plan::aggregation::METHODS;
use crate::plan::lasting::{Dialect, looks_back};
use rstest::rstest;

fn windowing(boundary: RangeBoundary) -> Windowing {
    Windowing {
        scrape_interval: Millis(15_000),
        boundary,
        native_histograms: true,
        is_sharded: false,
    }
}

fn planned(
    kind: &QueryKind,
    method: &str,
    width: i64,
    boundary: RangeBoundary,
) -> Result<Source, PlanError> {
    let aggregation = Aggregation::new(method, Millis(width)).expect("a method");
    source(kind, None, aggregation, &windowing(boundary))
}

fn promql(kind: &QueryKind, method: &str, width: i64, boundary: RangeBoundary) -> String {
    match planned(kind, method, width, boundary) {
        Ok(Source::Range { promql, .. }) => promql,
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
        promql(
            &QueryKind::Gauge(s()),
            method,
            900_000,
            RangeBoundary::LeftOpen
        ),
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
        promql(
            &QueryKind::Counter(s()),
            method,
            width,
            RangeBoundary::LeftOpen
        ),
        expected
    );
}

#[rstest]
#[case(
    QueryKind::Gauge(s()),
    "MIN",
    r#"min(min_over_time(m{a="b"}[899999ms]))"#
)]
#[case(QueryKind::Counter(s()), "MEAN", r#"avg(rate(m{a="b"}[899999ms]))"#)]
#[case(
    QueryKind::Counter(s()),
    "MIN",
    r#"min(min_over_time(rate(m{a="b"}[59999ms])[899999ms:15s]))"#
)]
fn a_window_of_a_store_with_closed_ranges_is_a_millisecond_shorter(
    #[case] kind: QueryKind,
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
            &QueryKind::Summary(s()),
            method,
            900_000,
            RangeBoundary::LeftOpen
        ),
        expected
    );
}

#[test]
fn a_summary_has_no_smallest_or_largest_observation() {
    for method in ["MIN", "MAX"] {
        let plan = planned(
            &QueryKind::Summary(s()),
            method,
            1000,
            RangeBoundary::LeftOpen,
        );
        assert_eq!(plan, Err(PlanError::Unsupported));
    }
}

#[test]
fn an_expression_may_end_in_a_comment() {
    let kind = QueryKind::Expression {
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
    let kind = QueryKind::Expression {
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
    let kind = QueryKind::Counter(selector);
    assert_eq!(
        promql(&kind, method, 900_000, RangeBoundary::LeftOpen),
        expected
    );
}

#[test]
fn the_users_expression_stands_where_the_plan_says() {
    for method in ["MEAN", "PERCENTILE_95"] {
        for user in ["time()", "up"] {
            let kind = QueryKind::Expression {
                promql: user.to_owned(),
                matchers: vec![],
            };
            let plan = planned(&kind, method, 60_000, RangeBoundary::Closed);
            let Ok(Source::Range { promql, before, .. }) = plan else {
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
        promql(
            &QueryKind::Counter(s()),
            "SUM",
            width,
            RangeBoundary::Closed
        ),
        expected
    );
}

#[test]
fn what_a_store_with_closed_ranges_cannot_express_the_gateway_pools() {
    for (kind, inner) in [
        (QueryKind::Gauge(s()), InnerQuery::Samples(s())),
        (
            QueryKind::Counter(s()),
            InnerQuery::Evaluated {
                promql: r#"rate(m{a="b"}[59999ms])"#.to_owned(),
                step: Millis(15_000),
            },
        ),
    ] {
        let plan = planned(&kind, "MAX", 1, RangeBoundary::Closed);
        assert_eq!(
            plan,
            Ok(Source::Pooled(Pooling {
                inner,
                reduce: Reduce::Max,
                one_of: None
            }))
        );
    }
}

/// Otherwise the finished buckets of ordinary metrics would be asked for again and again.
#[test]
fn what_the_mirror_writes_itself_lasts() {
    let kinds = [
        QueryKind::Gauge(s()),
        QueryKind::Counter(s()),
        QueryKind::Histogram(s()),
        QueryKind::Summary(s()),
    ];
    let mut seen = 0;
    for kind in &kinds {
        for (method, _) in METHODS {
            let Ok(Source::Range { promql, .. }) =
                planned(kind, method, 60_000, RangeBoundary::LeftOpen)
            else {
                continue;
            };
            seen += 1;
            let back = looks_back(&promql, Dialect::PromQl);
            assert!(back.is_ok_and(|back| back.0 >= 60_000), "{promql}");
            if matches!(kind, QueryKind::Gauge(_)) {
                let back = looks_back(&promql, Dialect::MetricsQl);
                assert_eq!(back, Ok(Millis(60_000)), "{promql}");
            }
        }
    }
    assert!(seen > 3 * METHODS.len(), "{seen}");
}
