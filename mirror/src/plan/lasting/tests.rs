use rstest::rstest;

use super::*;

fn passing(promql: &str, dialect: Dialect) -> String {
    let found = looks_back(promql, dialect).map(|back| back.to_string());
    found.expect_err(promql).to_string()
}

#[rstest]
#[case("up", "5m")]
#[case("avg_over_time(up[1m])", "1m")]
#[case(
    "sum(sum_over_time(m{a=~\"x.*\"}[59999ms])) / sum(count_over_time(m[1m]))",
    "1m"
)]
#[case("sum(increase(c[4m])) * 0.25", "4m")]
#[case("rate(c[4m] offset 1h)", "64m")]
#[case("max_over_time(rate(c[1m])[5m:15s])", "6m")]
#[case("max_over_time((up\n)[1m:15s] offset 1m)", "7m")]
#[case("max_over_time(up[10m:])", "15m")]
#[case("histogram_quantile(0.9, sum by (le) (rate(h_bucket[5m])))", "5m")]
#[case("label_replace(up, \"a\", \"$1\", \"b\", \"(.*)\") or up", "5m")]
#[case("time() - timestamp(up)", "5m")]
#[case("quantile(0.5, up) > bool 1", "5m")]
#[case("hour(up)", "5m")]
fn what_reads_the_samples_before_lasts(#[case] promql: &str, #[case] back: &str) {
    let found = looks_back(promql, Dialect::PromQl);
    let found = found.map(|back| back.to_string());
    assert_eq!(found, Ok(back.to_owned()), "{promql}");
}

#[rstest]
#[case("up @ start()", "@ reads another time than that of the value")]
#[case("up @ end()", "@ reads another time than that of the value")]
#[case(
    "rate(c[5m] @ 1700000000)",
    "@ reads another time than that of the value"
)]
#[case(
    "max_over_time(up[5m:1m] @ end())",
    "@ reads another time than that of the value"
)]
#[case("up offset -1ms", "a negative offset reads what comes after the value")]
#[case(
    "sum(rate(c[5m] offset -5m)) + sum(up)",
    "a negative offset reads what comes after the value"
)]
#[case(
    "up or vector(0)",
    "vector may depend on more than the samples before the value"
)]
#[case(
    "absent(up)",
    "absent may depend on more than the samples before the value"
)]
#[case(
    "absent_over_time(up[5m])",
    "absent_over_time may depend on more than the samples before the value"
)]
#[case(
    "up * scalar(m)",
    "scalar may depend on more than the samples before the value"
)]
#[case(
    "up or hour()",
    "hour may depend on more than the samples before the value"
)]
#[case(
    "topk(3, up)",
    "topk may depend on more than the samples before the value"
)]
#[case(
    "limitk(3, up)",
    "limitk may depend on more than the samples before the value"
)]
#[case(
    "sort_desc(up)",
    "sort_desc may depend on more than the samples before the value"
)]
#[case(
    "time()",
    "it reads no series, so that nothing proves that there are samples"
)]
#[case(
    "1 + 1",
    "it reads no series, so that nothing proves that there are samples"
)]
#[case("info(up)", "the mirror cannot read the expression")]
#[case("rate(c[5m] smoothed)", "the mirror cannot read the expression")]
#[case("rate(c[step()])", "the mirror cannot read the expression")]
#[case("up # a comment", "the mirror cannot read the expression")]
#[case("up[", "the mirror cannot read the expression")]
#[case("increase_pure(c[5m])", "the mirror cannot read the expression")]
#[case("a + fill(0) b", "fill has a value where there are no samples")]
fn what_may_change_does_not(#[case] promql: &str, #[case] why: &str) {
    assert_eq!(passing(promql, Dialect::PromQl), why, "{promql}");
}

#[test]
fn of_victoria_metrics_only_functions_of_a_written_window_last() {
    for promql in [
        "sum(sum_over_time(m[1m])) / sum(count_over_time(m[1m]))",
        "max(max_over_time(m{a=\"x\"}[1m]))",
        "quantile_over_time(0.9, m[1m])",
    ] {
        let back = looks_back(promql, Dialect::MetricsQl);
        assert_eq!(back, Ok(Millis(60_000)), "{promql}");
    }
    let of_the_range = "VictoriaMetrics answers this by the whole range that is asked for";
    for promql in [
        "up",
        "max_over_time(up[5m:15s])",
        "sum(up) / sum(sum_over_time(m[1m]))",
    ] {
        assert_eq!(
            passing(promql, Dialect::MetricsQl),
            of_the_range,
            "{promql}"
        );
    }
    for name in ["rate", "increase", "changes", "delta"] {
        let why = format!("{name} may depend on more than the samples before the value");
        let promql = format!("sum({name}(m[5m]))");
        assert_eq!(passing(&promql, Dialect::MetricsQl), why);
    }
}
