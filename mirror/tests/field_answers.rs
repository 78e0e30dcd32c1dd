//! Field names and values from stores that answer a part, late, or in their own way.

#![allow(
    clippy::unwrap_used,
    reason = "clippy knows a test's functions, not their helpers"
)]

mod upstream;

use std::time::{Duration, Instant};

use mirror::execute::Context;
use mirror::execute::fields;
use mirror::model::time::{Millis, Timestamp};
use mirror::plan::fields::{FieldQuery, FieldValue, Listing, ValuesQuery};
use mirror::plan::selector::Matcher;
use upstream::{Reply, Upstream, calls_of, targets, within};

fn values_of(field: &str, matchers: Vec<Matcher>) -> ValuesQuery {
    ValuesQuery {
        fields: FieldQuery {
            kind: None,
            matchers,
            start: Timestamp(1_700_000_000_000),
            end: Timestamp(1_700_003_600_000),
            limit: None,
        },
        field: field.to_owned(),
        prefix: String::new(),
        offset: 0,
    }
}

/// Asks a target at the upstream, with so many milliseconds for all.
async fn values(
    upstream: &Upstream,
    query: &ValuesQuery,
    ms: u64,
) -> Result<Listing<FieldValue>, String> {
    let targets = targets(20, upstream.address());
    let store = calls_of(&targets.declared()[0], mirror::prometheus::Caller::Mirror);
    let context = Context {
        store: &store,
        scrape_interval: Millis(15_000),
        nan_interpretation: crds::NanInterpretation::Zero,
        now: Timestamp(1_700_003_600_000),
        deadline: within(Duration::from_millis(ms)),
    };
    fields::values(&context, query)
        .await
        .map_err(|error| error.to_string())
}

fn complete(values: &[&str], is_partial: bool) -> Result<Listing<FieldValue>, String> {
    Ok(Listing {
        entries: values
            .iter()
            .map(|value| FieldValue::Complete((*value).to_owned()))
            .collect(),
        is_partial,
    })
}

fn names(list: &[&str]) -> Reply {
    Reply::Json(serde_json::json!({"status": "success", "data": list}).to_string())
}

/// Metadata that say what no name tells.
const COUNTER: &str =
    r#"{"status":"success","data":{"shop_requests":[{"type":"counter","help":"","unit":""}]}}"#;

fn shop(metadata: Reply) -> impl Fn(&str) -> Reply {
    move |request| match request.contains("/metadata") {
        true => metadata.clone(),
        false => names(&["shop_requests", "up"]),
    }
}

#[tokio::test]
async fn metadata_tell_the_kind_and_cost_one_call() {
    let upstream = Upstream::start(shop(Reply::Json(COUNTER.to_owned())))
        .await
        .unwrap();
    let counters = values(&upstream, &values_of("__counter__", vec![]), 5_000).await;
    assert_eq!(counters, complete(&["shop_requests"], false));
    assert_eq!(upstream.requests().len(), 2, "{:?}", upstream.requests());
}

#[tokio::test]
async fn metadata_that_hang_cost_a_share_of_the_time_and_leave_the_answer_partial() {
    let upstream = Upstream::start(shop(Reply::Hang(Vec::new())))
        .await
        .unwrap();
    let started = Instant::now();
    let gauges = values(&upstream, &values_of("__gauge__", vec![]), 5_000).await;
    assert_eq!(gauges, complete(&["shop_requests", "up"], true));
    // The wait is a second of five; the rest is for a busy machine, and far from the deadline.
    assert!(started.elapsed() < Duration::from_millis(3_500));
}

#[tokio::test]
async fn metadata_that_begin_and_never_end_are_not_waited_for_either() {
    let begun = b"HTTP/1.1 200 OK\r\ncontent-length: 9999\r\n\r\n{\"status\":\"success\",".to_vec();
    let upstream = Upstream::start(shop(Reply::Hang(begun))).await.unwrap();
    let gauges = values(&upstream, &values_of("__gauge__", vec![]), 1_000).await;
    assert_eq!(gauges, complete(&["shop_requests", "up"], true));
}

#[tokio::test]
async fn metadata_that_come_while_names_are_still_awaited_are_used() {
    let upstream = Upstream::start(|request| match request.contains("/metadata") {
        true => Reply::Late(Duration::from_millis(600), COUNTER.to_owned()),
        false => Reply::Late(
            Duration::from_millis(900),
            r#"{"status":"success","data":["shop_requests","up"]}"#.to_owned(),
        ),
    })
    .await
    .unwrap();
    // A fifth of two seconds is over when they come, but nothing had to wait for them.
    let counters = values(&upstream, &values_of("__counter__", vec![]), 2_000).await;
    assert_eq!(counters, complete(&["shop_requests"], false));
}

#[tokio::test]
async fn a_store_without_metadata_answers_all_it_has_and_one_that_fails_does_not() {
    let error = r#"{"status":"error","errorType":"bad_data","error":"no such thing"}"#;
    let table = [
        (
            Reply::http("404 Not Found", "", "404 page not found"),
            false,
        ),
        (Reply::http("405 Method Not Allowed", "", ""), false),
        (Reply::http("501 Not Implemented", "", ""), false),
        (Reply::http("400 Bad Request", "", error), false),
        (Reply::http("500 Internal Server Error", "", "oh"), true),
        (Reply::http("502 Bad Gateway", "", "oh"), true),
        (Reply::Reset(Vec::new()), true),
        (Reply::http("200 OK", "", "<html>"), true),
    ];
    for (metadata, is_partial) in table {
        let said = format!("{metadata:?}");
        let upstream = Upstream::start(shop(metadata)).await.unwrap();
        let gauges = values(&upstream, &values_of("__gauge__", vec![]), 5_000).await;
        assert_eq!(
            gauges,
            complete(&["shop_requests", "up"], is_partial),
            "{said}"
        );
    }
}

#[tokio::test]
async fn names_that_hang_are_an_error_within_the_deadline() {
    let upstream = Upstream::start(|request| match request.contains("/metadata") {
        true => Reply::Json(COUNTER.to_owned()),
        false => Reply::Hang(Vec::new()),
    })
    .await
    .unwrap();
    let gauges = values(&upstream, &values_of("__gauge__", vec![]), 300).await;
    assert_eq!(gauges, Err("target main did not answer in time".to_owned()));
}

#[tokio::test]
async fn comments_of_the_store_leave_a_list_complete_and_missing_data_do_not() {
    let table = [
        (r#""infos":["results truncated due to limit"]"#, false),
        (r#""warnings":["PromQL info: x (1:2)"]"#, false),
        (r#""warnings":[]"#, false),
        (r#""warnings":null,"infos":null"#, false),
        (r#""infos":[{"a":1},7]"#, false),
        (r#""warnings":["results truncated due to limit"]"#, true),
        (
            r#""warnings":["PromQL info: x (1:2)","No StoreAPIs matched for this query"]"#,
            true,
        ),
        (r#""isPartial":true"#, true),
    ];
    for (remark, is_partial) in table {
        let body = format!(r#"{{"status":"success","data":["a"],{remark}}}"#);
        let upstream = Upstream::always(Reply::Json(body)).await.unwrap();
        let values = values(&upstream, &values_of("job", vec![]), 5_000).await;
        assert_eq!(values, complete(&["a"], is_partial), "{remark}");
    }
}

#[tokio::test]
async fn a_set_too_long_for_a_url_is_asked_for_in_parts_and_united() {
    let upstream = Upstream::start(|request| {
        let line = request.lines().next().unwrap_or_default();
        // Each part answers the first and the last pod it names.
        let pods: Vec<&str> = line.split("pod-").skip(1).map(|rest| &rest[..6]).collect();
        names(&[pods[0], pods[pods.len() - 1]])
    })
    .await
    .unwrap();
    let pods = (0..300)
        .map(|index| format!("pod-{index:06}-with-a-long-name"))
        .collect();
    let query = values_of("job", vec![Matcher::one_of("pod", pods)]);
    let Ok(Listing {
        entries,
        is_partial,
    }) = values(&upstream, &query, 5_000).await
    else {
        panic!("no answer");
    };
    let requests = upstream.requests();
    assert!(!is_partial);
    assert_eq!(entries.len(), 2 * requests.len());
    for end in ["000000", "000299"] {
        assert!(entries.contains(&FieldValue::Complete(end.to_owned())));
    }
    for request in &requests {
        assert!(request.lines().next().unwrap_or_default().len() <= 8_000);
    }
    assert!(requests.len() <= 4, "{}", requests.len());
}

#[tokio::test]
async fn a_set_too_long_for_any_number_of_urls_is_refused_in_words_and_not_asked() {
    let upstream = Upstream::always(names(&[])).await.unwrap();
    let pods = (0..60_000).map(|index| format!("pod-{index:06}")).collect();
    let query = values_of("job", vec![Matcher::one_of("pod", pods)]);
    let refused = values(&upstream, &query, 15_000).await.unwrap_err();
    assert!(refused.contains("too long for a URL"), "{refused}");
    let one_long = values_of("job", vec![Matcher::equal("pod", "x".repeat(20_000))]);
    let refused = values(&upstream, &one_long, 15_000).await.unwrap_err();
    assert!(refused.contains("too long for a URL"), "{refused}");
    assert_eq!(upstream.requests().len(), 0);
}

#[tokio::test]
async fn values_of_a_label_that_paths_cannot_name_come_from_the_series() {
    let series = r#"{"status":"success","data":[
        {"__name__":"up","app.kubernetes.io/name":"b"},{"app.kubernetes.io/name":"a"},{"x":"y"},
        {"app.kubernetes.io/name":"b"}]}"#;
    let refusal = r#"{"status":"error","errorType":"bad_data","error":"invalid label name"}"#;
    let unknown = [
        names(&[]),
        Reply::http("400 Bad Request", "", refusal),
        Reply::http("404 Not Found", "", "404 page not found"),
    ];
    for unknown in unknown {
        let said = format!("{unknown:?}");
        let upstream = Upstream::start(move |request| match request {
            request if request.contains("/series?") => Reply::Json(series.to_owned()),
            // What the store is: not VictoriaMetrics, which knows now().
            request if request.contains("/query") => Reply::http("400 Bad Request", "", refusal),
            _ => unknown.clone(),
        })
        .await
        .unwrap();
        let query = values_of("app.kubernetes.io/name", vec![]);
        assert_eq!(
            values(&upstream, &query, 5_000).await,
            complete(&["a", "b"], false),
            "{said}"
        );
        let mut asked = upstream.requests();
        asked.retain(|request| !request.contains("/query"));
        assert_eq!(asked.len(), 3, "{asked:?}");
        let selector =
            "match%5B%5D=%7B__name__%21%3D%22%22%2C%22app.kubernetes.io%2Fname%22%21%3D%22%22%7D";
        assert!(asked[2].contains(selector), "{}", asked[2]);
        assert!(asked[2].contains("&limit=20000"), "{}", asked[2]);
    }
}

#[tokio::test]
async fn a_label_is_written_into_the_path_in_the_way_that_the_store_reads() {
    // The path that each store answers, and how many calls it takes.
    let table = [
        ("app/name", "/label/U__app_2f_name/values", 1),
        ("app/name", "/label/app%2Fname/values", 2),
        ("my.label", "/label/my.label/values", 1),
        ("my.label", "/label/U__my_2e_label/values", 2),
        ("..", "/label/U___2e__2e_/values", 1),
    ];
    for (field, path, calls) in table {
        let upstream = Upstream::start(move |request| match request.contains(path) {
            true => names(&["a", "b"]),
            false => names(&[]),
        })
        .await
        .unwrap();
        let mut query = values_of(field, vec![]);
        query.prefix = "b".to_owned();
        let found = values(&upstream, &query, 5_000).await;
        assert_eq!(found, complete(&["b"], false), "{field} {path}");
        assert_eq!(upstream.requests().len(), calls, "{field} {path}");
    }
}

#[tokio::test]
async fn a_plain_label_or_one_that_the_path_names_costs_one_call() {
    for (field, answered) in [("job", names(&[])), ("my.label", names(&["a"]))] {
        let upstream = Upstream::always(answered).await.unwrap();
        let found = values(&upstream, &values_of(field, vec![]), 5_000).await;
        assert!(found.is_ok(), "{found:?}");
        assert_eq!(upstream.requests().len(), 1, "{field}");
    }
}

#[tokio::test]
async fn a_store_that_cannot_read_the_selector_has_no_such_label() {
    let refusal = r#"{"status":"error","errorType":"bad_data","error":"unexpected string"}"#;
    let upstream = Upstream::start(move |request| {
        match request.contains("/series?") || request.contains("/query") {
            true => Reply::http("400 Bad Request", "", refusal),
            false => names(&[]),
        }
    })
    .await
    .unwrap();
    let found = values(&upstream, &values_of("my.label", vec![]), 5_000).await;
    assert_eq!(found, complete(&[], false));
}

#[tokio::test]
async fn victoriametrics_reads_a_condition_on_a_dotted_label_with_escapes() {
    let refusal = r#"{"status":"error","errorType":"422","error":"unexpected token"}"#;
    let upstream = Upstream::start(move |request| match request {
        // A function that only MetricsQL knows.
        request if request.contains("query=now") => Reply::Json(upstream::one_sample()),
        request if request.contains("/query") => Reply::http("422 Unprocessable", "", refusal),
        request if request.contains("my%5C.label%3D%22x%22") => names(&["a"]),
        _ => Reply::http("422 Unprocessable", "", refusal),
    })
    .await
    .unwrap();
    let query = values_of("job", vec![Matcher::equal("my.label", "x")]);
    let found = values(&upstream, &query, 5_000).await;
    assert_eq!(found, complete(&["a"], false), "{:?}", upstream.requests());
}
