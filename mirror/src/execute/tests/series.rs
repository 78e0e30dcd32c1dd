//! Several series, and where one is needed.

use super::*;

#[test]
fn several_series_are_told_apart_where_one_is_needed() {
    let store = ListedStore::new(vec![("a", vec![1]), ("b", vec![2])]);
    let error = run(&store, &query(0, 10, None, None)).expect_err("two series");
    assert_eq!(
        error.to_string(),
        r#"2 series match and one is needed; they differ in: instance ("a", "b")"#
    );
}

#[test]
fn conditions_beside_an_expression_choose_among_its_series() {
    let store = ListedStore::new(vec![("a", vec![1_000]), ("b", vec![2_000])]);
    let matchers = vec![Matcher::equal("instance", "b")];
    let kind = QueryKind::Expression {
        promql: "x".to_owned(),
        matchers,
    };
    let telemetry = run(
        &store,
        &MetricQuery {
            kind,
            ..query(0, 10_000, None, None)
        },
    )
    .expect("one series");
    assert_eq!(instants(&telemetry), [2_000]);
}

/// When each series was compared with all before it, each of these took hours.
#[test]
fn fifty_thousand_series_where_one_is_needed_are_refused_at_once() {
    let all: Vec<Series> = (0..50_000)
        .map(|index| one_series(&[("i", &format!("{index:06}")), ("job", "x")], &[(5, "1")]))
        .collect();
    let store = ScriptedStore::new(move |call: &Call| match call {
        Call::SeriesExist { .. } => Ok(Data::SeriesExist(true)),
        _ => Ok(Data::Series(all.clone())),
    });
    let any_of = |texts: std::ops::Range<usize>| {
        let texts = texts.map(|index| format!("{index:06}")).collect();
        QueryKind::Expression {
            promql: "m".to_owned(),
            matchers: vec![Matcher::one_of("i", texts)],
        }
    };
    for (kind, bucket, count) in [
        (
            QueryKind::Gauge(Selector::new("m", Vec::new())),
            None,
            50_000,
        ),
        (
            QueryKind::Counter(Selector::new("m", Vec::new())),
            None,
            50_000,
        ),
        (expression("m"), None, 50_000),
        (expression("m"), Some(1_000), 50_000),
        (any_of(0..10_000), None, 10_000),
        (any_of(0..10_000), Some(1_000), 10_000),
    ] {
        let (answer, calls) = store.run(&MetricQuery {
            kind,
            ..query(0, 10_000, None, bucket)
        });
        assert_eq!(
            answer.expect_err("several").to_string(),
            format!(
                "{count} series match and one is needed; they differ in: i (\"000000\", \"000001\", \"000002\", …)"
            ),
        );
        assert_eq!(calls.len(), 1);
    }
}

/// When each series was compared with each text that is accepted, this took hours, too.
#[test]
fn one_series_of_fifty_thousand_is_found_among_ten_thousand_accepted_texts() {
    let all: Vec<Series> = (0..50_000)
        .map(|index| one_series(&[("i", &format!("{index:06}"))], &[(index, "1")]))
        .collect();
    let store = ScriptedStore::new(move |_: &Call| Ok(Data::Series(all.clone())));
    let texts = (49_999..59_999).map(|index| format!("{index:06}"));
    let kind = QueryKind::Expression {
        promql: "m".to_owned(),
        matchers: vec![Matcher::one_of("i", texts.collect())],
    };
    let (answer, _) = store.run(&MetricQuery {
        kind,
        ..query(0, 300_000, None, None)
    });
    assert_eq!(instants(&answer.expect("one series")), [49_999]);
}

#[test]
fn percentiles_over_several_series_are_pooled_from_the_samples() {
    let store = ListedStore::new(vec![("a", vec![100, 300]), ("b", vec![200, 1_400])]);
    let percentile = MetricQuery {
        aggregation: Aggregation::new("PERCENTILE_50", Millis(1_000)),
        ..query(0, 2_000, None, None)
    };
    let telemetry = run(&store, &percentile).expect("an answer");
    let points: Vec<(i64, &str)> = telemetry
        .points
        .iter()
        .map(|(at, text)| (at.0, text))
        .collect();
    assert_eq!(points, [(0, "200.0"), (1_000, "1400.0")]);
}
