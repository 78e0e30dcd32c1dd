//! What a store refuses, and what it would answer wrongly.

use super::*;

#[test]
fn buckets_in_which_a_series_changes_its_form_are_asked_for_once_more_with_the_longer_expression() {
    let of = |method| MetricQuery {
        kind: QueryKind::Histogram(Selector::new("h", Vec::new())),
        aggregation: Aggregation::new(method, Millis(1_000)),
        ..query(0, 3_000, None, None)
    };
    let store = |mark: &'static [(i64, &'static str)]| {
        ScriptedStore::new(move |call: &Call| {
            let Call::Range { promql, .. } = call else {
                return Ok(Data::SeriesExist(true));
            };
            let precise = promql.contains(" offset ");
            let values: &[_] = if precise {
                &[(999, "7"), (1_999, "8"), (2_999, "9")]
            } else {
                &[(999, "1"), (1_999, "2"), (2_999, "3")]
            };
            let mut all = vec![
                one_series(&[("le", "both")], if precise { &[] } else { mark }),
                one_series(&[], values),
            ];
            all.retain(|series| !series.samples.is_empty());
            Ok(Data::Series(all))
        })
    };
    let points = |telemetry: Telemetry| -> Vec<String> {
        telemetry
            .points
            .iter()
            .map(|(_, text)| text.to_owned())
            .collect()
    };
    let (answer, calls) = store(&[]).run(&of("EVENT_COUNT"));
    assert_eq!(points(answer.expect("an answer")), ["1", "2", "3"]);
    assert_eq!(calls.len(), 1);
    let (answer, calls) = store(&[(1_999, "1")]).run(&of("EVENT_COUNT"));
    assert_eq!(points(answer.expect("an answer")), ["7", "8", "9"]);
    assert_eq!(calls.len(), 2);
    let (answer, calls) = store(&[(1_999, "1")]).run(&of("MAX"));
    let error = answer.expect_err("no store merges them").to_string();
    assert!(
        error.starts_with("the bucket that begins at 1.000 has native and classic histograms"),
        "{error}"
    );
    assert_eq!(calls.len(), 1);
}

#[test]
fn a_complaint_about_the_length_of_a_query_says_that_the_bucket_counts() {
    let words = "the query time range exceeds the limit (query length: 1440h0m0s, limit: 768h0m0s)";
    let store = ScriptedStore::new(|_: &Call| {
        Err(StoreError::Rejected {
            kind: "bad_data".to_owned(),
            message: words.to_owned(),
        })
    });
    let month = 30 * 24 * 3_600_000;
    let (answer, _) = store.run(&query(0, 3 * month, None, Some(month)));
    assert_eq!(
        answer.expect_err("too long").to_string(),
        format!(
            "{words} (each point looks back over its bucket of 720h: choose a smaller bucket or a shorter time range)"
        )
    );
    let kind = QueryKind::Expression {
        promql: "max_over_time(up[90d])".to_owned(),
        matchers: Vec::new(),
    };
    let (answer, _) = store.run(&MetricQuery {
        kind,
        ..query(0, month, None, None)
    });
    assert_eq!(
        answer.expect_err("too long").to_string(),
        format!("{words} (choose a smaller window in the expression or a shorter time range)")
    );
}
