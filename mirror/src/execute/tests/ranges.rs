//! Long ranges: as few calls as there can be, and every point once.

use super::*;

/// Asks again from the last point's timestamp while answers are partial, and drops the point that
/// is repeated there.
fn follow(store: &ListedStore, first: &MetricQuery) -> Vec<i64> {
    let mut all: Vec<i64> = Vec::new();
    let mut query = first.clone();
    for _ in 0..10_000 {
        let telemetry = run(store, &query).expect("an answer");
        let last = all.last().copied().unwrap_or(i64::MIN);
        all.extend(instants(&telemetry).into_iter().filter(|at| *at > last));
        if !telemetry.is_partial() {
            return all;
        }
        let next = *all.last().expect("a partial answer has points");
        assert!(next > query.start.0, "no progress beyond {next}");
        query.start = Timestamp(next);
    }
    panic!("it never ends");
}

#[test]
fn three_weeks_of_minutes_take_four_even_calls_and_miss_nothing() {
    let minutes: Vec<i64> = (0..30_240).map(|minute| minute * 60_000 + 5).collect();
    let store = ListedStore::new(vec![("a", minutes.clone())]);
    let telemetry = run(&store, &query(0, 30_240 * 60_000, None, Some(60_000))).expect("an answer");
    assert_eq!(
        instants(&telemetry),
        minutes.iter().map(|at| at - 5).collect::<Vec<_>>()
    );
    assert!(!telemetry.is_partial());
    let asked: Vec<i64> = store
        .calls()
        .iter()
        .map(|call| match call {
            Call::Range { start, end, .. } => (end.0 - start.0) / 60_000 + 1,
            _ => 0,
        })
        .collect();
    assert_eq!(asked, [7_560; 4]);
}

#[test]
fn a_small_limit_asks_for_a_small_range() {
    let store = ListedStore::new(vec![(
        "a",
        (0..100_000).map(|second| second * 1_000).collect(),
    )]);
    let telemetry = run(&store, &query(0, 100_000_000, Some(2), Some(1_000))).expect("an answer");
    assert_eq!(
        (instants(&telemetry), telemetry.is_partial()),
        (vec![0, 1_000], true)
    );
    let asked: Vec<i64> = store
        .calls()
        .iter()
        .map(|call| {
            if let Call::Range { start, end, .. } = call {
                end.0 - start.0
            } else {
                0
            }
        })
        .collect();
    assert_eq!(asked, [119_000]);
}

#[test]
fn exactly_as_many_points_as_the_limit_are_complete() {
    let store = ListedStore::new(vec![("a", vec![0, 1_000, 2_000])]);
    for bucket in [None, Some(1_000)] {
        let telemetry = run(&store, &query(0, 10_000, Some(3), bucket)).expect("an answer");
        assert_eq!(
            (instants(&telemetry), telemetry.is_partial()),
            (vec![0, 1_000, 2_000], false)
        );
    }
}

#[test]
fn decades_without_samples_are_skipped_by_looking_at_the_index() {
    let year = 365 * 24 * 3_600_000_i64;
    let store = ListedStore::new(vec![("a", vec![50 * year, 50 * year + 1_000])]);
    for bucket in [None, Some(60_000)] {
        store.calls.lock().expect("no panic while locked").clear();
        let telemetry = run(&store, &query(0, 51 * year, None, bucket)).expect("an answer");
        assert_eq!(
            telemetry.points.iter().len(),
            if bucket.is_some() { 1 } else { 2 }
        );
        assert!(store.calls().len() < 120, "{} calls", store.calls().len());
    }
}

#[test]
fn a_bucket_that_is_followed_by_days_without_samples_is_answered() {
    let hour = 3_600_000;
    let store = ListedStore::new(vec![("a", vec![hour, hour + 2_000]), ("b", vec![hour])]);
    let percentile = MetricQuery {
        aggregation: Aggregation::new("PERCENTILE_50", Millis(24 * hour)),
        ..query(0, 30 * 24 * hour, None, None)
    };
    let telemetry = run(&store, &percentile).expect("an answer");
    assert_eq!(instants(&telemetry), [0]);
}

#[test]
fn an_expression_bound_to_its_range_is_not_split() {
    let store = ListedStore::new(vec![("a", vec![1_000])]);
    let kind = QueryKind::Expression {
        promql: "m @ end ( )".to_owned(),
        matchers: Vec::new(),
    };
    let long = MetricQuery {
        kind: kind.clone(),
        ..query(0, 11_001_000, None, Some(1_000))
    };
    assert!(matches!(
        run(&store, &long),
        Err(EvaluateError::BoundToItsRange)
    ));
    let fitting = MetricQuery {
        kind,
        ..query(0, 11_000_000, Some(1), Some(1_000))
    };
    assert!(run(&store, &fitting).is_ok());
    assert_eq!(store.calls().len(), 1);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whoever_follows_the_partial_answers_gets_every_point_once(
        gaps in proptest::collection::vec(1i64..40_000, 1..60),
        start in 0i64..20_000,
        limit in prop_oneof![Just(1u64), Just(2), 3u64..100],
        bucket in prop_oneof![Just(None), (1i64..30_000).prop_map(Some)],
    ) {
        let samples: Vec<i64> = gaps.iter().scan(0, |at, gap| { *at += gap; Some(*at) }).collect();
        let end = samples.last().copied().unwrap_or_default() + 1_000;
        let store = ListedStore::new(vec![("a", samples.clone())]);
        let mut expected: Vec<i64> = match bucket {
            None => samples.into_iter().filter(|at| *at >= start).collect(),
            Some(width) => samples.into_iter().map(|at| at / width * width)
                .filter(|at| at + width > start && at + width <= end).collect(),
        };
        expected.dedup();
        prop_assume!(start <= end && !expected.is_empty());
        prop_assert_eq!(follow(&store, &query(start, end, Some(limit), bucket)), expected);
    }
}
