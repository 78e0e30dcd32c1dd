//! Why there are no points.

use super::*;
use crate::execute::why::{Why, why};

const DAY: i64 = 24 * 3_600_000;

fn asked(store: &ListedStore, query: &MetricQuery, now: i64) -> Result<Why, EvaluateError> {
    let context = Context {
        store,
        scrape_interval: Millis(1_000),
        nan_interpretation: NanInterpretation::Skip,
        now: Timestamp(now),
        deadline: Deadline(Instant::now() + Duration::from_secs(60)),
    };
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("a runtime")
        .block_on(why(&context, query))
}

#[test]
fn samples_next_to_an_empty_range_are_found_within_two_minutes() {
    let table: [(&[i64], Option<i64>, Option<i64>); 4] = [
        (&[10 * DAY + 1], Some(10 * DAY + 1), None),
        (&[50 * DAY - 1], None, Some(50 * DAY - 1)),
        (
            &[20 * DAY, 39 * DAY, 41 * DAY, 45 * DAY],
            Some(39 * DAY),
            Some(41 * DAY),
        ),
        // Hours before: as an answer without points, not as an error.
        (&[40 * DAY - 7_200_000], Some(40 * DAY - 7_200_000), None),
    ];
    for (samples, before, after) in table {
        let store = ListedStore::new(vec![("a", samples.to_vec())]);
        let query = query(40 * DAY, 40 * DAY + 3_600_000, None, Some(60_000));
        let found = asked(&store, &query, 60 * DAY).expect("a reason");
        let Why::NoSamples {
            before: found_before,
            after: found_after,
        } = found
        else {
            panic!("{found:?}");
        };
        for (found, expected) in [(found_before, before), (found_after, after)] {
            let is_close = match (found, expected) {
                (Some(found), Some(expected)) => (found.0 - expected).abs() <= 120_000,
                (found, expected) => found.is_none() && expected.is_none(),
            };
            assert!(is_close, "{found:?} instead of {expected:?}");
        }
        let calls = store.calls().len();
        assert!(calls <= 40, "{calls} calls");
    }
}

#[test]
fn what_is_nowhere_is_the_error_of_the_query() {
    let store = ListedStore::new(vec![("a", vec![DAY])]);
    let query = query(40 * DAY, 40 * DAY + 3_600_000, None, Some(60_000));
    let found = asked(&store, &query, 60 * DAY);
    assert!(
        matches!(found, Err(EvaluateError::NotFound(None))),
        "{found:?}"
    );
}

#[test]
fn a_bucket_that_is_not_over_is_waited_for() {
    let store = ListedStore::new(vec![("a", vec![DAY + 1_000])]);
    let query = query(DAY, DAY + 2_000, None, Some(60_000));
    let found = asked(&store, &query, DAY + 2_000).expect("a reason");
    assert_eq!(
        found,
        Why::NoBucketIsOver {
            ends: Timestamp(DAY + 60_000)
        }
    );
    assert_eq!(
        found.to_string(),
        "no bucket of this length is over: the first one ends at 1970-01-02T00:01:00Z"
    );
}

#[test]
fn samples_in_a_bucket_that_is_not_over_are_waited_for_and_others_are_too_few() {
    let (end, minute) = (DAY + 150_000, 60_000);
    let not_over = |is_cut| Why::LastBucketIsNotOver {
        ends: Timestamp(DAY + 3 * minute),
        is_cut,
    };
    let table = [
        // The first instant of the bucket, the last of the range, and one in between.
        (vec![DAY + 120_000], end, not_over(false)),
        (vec![end], end, not_over(false)),
        (vec![DAY + 130_000, DAY + 140_000], end, not_over(false)),
        // A sample before the range makes no point in it.
        (vec![DAY - 30_000, DAY + 130_000], end, not_over(false)),
        // Later, it is the range that ends too early.
        (vec![DAY + 130_000], DAY + 180_000, not_over(true)),
    ];
    for (samples, now, expected) in table {
        let store = ListedStore::new(vec![("a", samples.clone())]);
        let found = asked(&store, &query(DAY, end, None, Some(minute)), now);
        assert_eq!(found.expect("a reason"), expected, "{samples:?} at {now}");
    }
    assert_eq!(
        [not_over(false), not_over(true)].map(|why| why.to_string()),
        [
            "all samples in this range lie in its last bucket, which is not over: it ends at \
             1970-01-02T00:03:00Z, and has its point then",
            "all samples in this range lie in its last bucket, which the range cuts off: it ends \
             at 1970-01-02T00:03:00Z; let the range end then or later",
        ]
    );
}

#[test]
fn points_need_no_reason() {
    let store = ListedStore::new(vec![("a", vec![DAY, DAY + 70_000])]);
    let query = query(DAY, DAY + 120_000, None, Some(60_000));
    let found = asked(&store, &query, 2 * DAY).expect("an answer");
    assert_eq!(found, Why::Points(2));
}
