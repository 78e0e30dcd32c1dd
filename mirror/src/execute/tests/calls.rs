//! How much a request may ask of its target.

use super::*;

#[test]
fn an_expression_without_series_takes_no_more_calls_than_a_request_may_make() {
    let store = ListedStore::new(Vec::new());
    let nothing = MetricQuery {
        kind: expression("nosuch"),
        ..query(0, 1_800_000_000_000, None, Some(1_000))
    };
    let error = run_in_calls(&store, &nothing, 200).expect_err("too long");
    assert_eq!(
        error.to_string(),
        "the answer takes more than 200 API calls of Prometheus, which is the most for one request \
         (spec.limits.upstreamCallsPerRequest): ask for a shorter time or larger buckets, or add conditions"
    );
    assert_eq!(store.calls().len(), 200);
    // Hours since 1970 are an ordinary request.
    let hours = MetricQuery {
        kind: expression("nosuch"),
        ..query(0, 1_800_000_000_000, None, Some(3_600_000))
    };
    store.calls.lock().expect("no panic while locked").clear();
    let telemetry = run_in_calls(&store, &hours, 200).expect("an answer");
    assert_eq!(
        (telemetry, store.calls().len()),
        (
            Telemetry {
                bucket: Some(Millis(3_600_000)),
                ..Telemetry::default()
            },
            48
        )
    );
}

#[test]
fn where_calls_are_spent_after_points_the_answer_is_partial_and_the_caller_gets_on_from_it() {
    let samples: Vec<i64> = (1..=60).map(|index| index * 10_000_000).collect();
    for (kind, bucket) in [
        (QueryKind::Gauge(Selector::new("m", Vec::new())), None),
        (
            QueryKind::Gauge(Selector::new("m", Vec::new())),
            Some(1_000),
        ),
        (expression("m"), Some(1_000)),
    ] {
        let store = ListedStore::new(vec![("a", samples.clone())]);
        let mut query = MetricQuery {
            kind,
            ..query(0, 600_001_000, None, bucket)
        };
        let mut all: Vec<i64> = Vec::new();
        let mut partial = 0;
        loop {
            store.calls.lock().expect("no panic while locked").clear();
            let telemetry = run_in_calls(&store, &query, 20).expect("an answer");
            assert!(store.calls().len() <= 20);
            let last = all.last().copied().unwrap_or(i64::MIN);
            all.extend(instants(&telemetry).into_iter().filter(|at| *at > last));
            if !telemetry.is_partial() {
                break;
            }
            partial += 1;
            assert!(telemetry.missing.beyond_limit);
            query.start = Timestamp(*all.last().expect("a partial answer has points"));
        }
        assert_eq!(all, samples, "{:?} {bucket:?}", query.kind);
        assert!(partial > 0, "{:?} {bucket:?}", query.kind);
    }
}

#[test]
fn a_call_with_too_much_promql_is_not_made() {
    let store = ListedStore::new(Vec::new());
    let long = MetricQuery {
        kind: expression(&"x".repeat(counted::MOST_PROMQL_BYTES)),
        ..query(0, 10_000, None, Some(1_000))
    };
    let error = run_in_calls(&store, &long, 200).expect_err("too long");
    assert_eq!(
        error.to_string(),
        "it takes 262171 bytes of PromQL, and at most 262144 are sent: ask for fewer or shorter values, or write a shorter expression"
    );
    assert_eq!(store.calls(), []);
}
