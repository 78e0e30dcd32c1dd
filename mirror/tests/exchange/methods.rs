//! Servers and proxies that let only GET through, or only short URLs.

use std::sync::Arc;
use std::time::Duration;

use mirror::model::time::Timestamp;
use mirror::prometheus::{Call, Server, Store as _, StoreError};

use crate::upstream::{Reply, Upstream, main_server, one_sample, query, targets, within};

const TIME: Duration = Duration::from_secs(20);

fn long(length: usize) -> Call {
    query(&"x".repeat(length))
}

fn label_values(length: usize) -> Call {
    Call::LabelValues {
        label: "job".to_owned(),
        selector: Some("x".repeat(length)),
        start: Timestamp(0),
        end: Timestamp(1),
    }
}

/// The methods of the requests that `calls` caused, one after the other.
async fn methods_of(
    upstream: &Upstream,
    target: &Arc<Server>,
    calls: &[Call],
) -> Vec<(String, bool)> {
    let mut all = Vec::new();
    for call in calls {
        let before = upstream.requests().len();
        let is_ok = target.call(call.clone(), within(TIME)).await.is_ok();
        let requests = upstream.requests().split_off(before);
        let methods = requests
            .iter()
            .map(|request| request.split(' ').next().unwrap());
        all.push((methods.collect::<Vec<_>>().join(" "), is_ok));
    }
    all
}

/// One that refuses POST with this, and answers all else.
async fn without_post(status: &'static str) -> Upstream {
    Upstream::start(move |request| {
        if request.starts_with("POST") {
            Reply::http(status, "", "Method Not Allowed")
        } else {
            Reply::Json(one_sample())
        }
    })
    .await
    .unwrap()
}

fn seen(expected: &[(&str, bool)]) -> Vec<(String, bool)> {
    let expected = expected.iter();
    expected
        .map(|(methods, is_ok)| ((*methods).to_owned(), *is_ok))
        .collect()
}

#[tokio::test]
async fn a_server_that_takes_both_gets_each_call_once() {
    let upstream = Upstream::always(Reply::Json(one_sample())).await.unwrap();
    let targets = targets(1, upstream.address());
    let calls = [query("up"), long(5_000), long(50_000), query("up")];
    assert_eq!(
        methods_of(&upstream, main_server(&targets), &calls).await,
        seen(&[("GET", true), ("POST", true), ("POST", true), ("GET", true)])
    );
}

#[tokio::test]
async fn a_refused_post_goes_as_get_where_it_fits_and_is_remembered() {
    for status in [
        "405 Method Not Allowed",
        "501 Not Implemented",
        "403 Forbidden",
        "404 Not Found",
    ] {
        let upstream = without_post(status).await;
        let targets = targets(1, upstream.address());
        let target = main_server(&targets);
        let calls = [long(5_000), long(5_001), long(7_000)];
        assert_eq!(
            methods_of(&upstream, target, &calls).await,
            seen(&[("POST GET", true), ("GET", true), ("GET", true)]),
            "{status}"
        );
        let before = upstream.requests().len();
        let error = target.call(long(9_000), within(TIME)).await.unwrap_err();
        let length = format!(
            "{}/api/v1/query?query={}&time=1700000000.000&timeout=19.999&nocache=1",
            upstream.address().as_str().trim_end_matches('/'),
            "x".repeat(9_000)
        )
        .len();
        assert_eq!(
            error.to_string(),
            format!(
                "target main only accepts GET, and this query is too long for a URL ({length} bytes, at most 8000)"
            )
        );
        assert!(
            matches!(error, StoreError::TooLongForUrl { bytes, at_most: 8_000, .. } if bytes == length)
        );
        assert_eq!(upstream.requests().len(), before, "nothing is sent");
    }
}

#[tokio::test]
async fn the_first_call_may_be_too_long_already() {
    let upstream = without_post("405 Method Not Allowed").await;
    let targets = targets(1, upstream.address());
    let target = main_server(&targets);
    let error = target.call(long(9_000), within(TIME)).await.unwrap_err();
    assert!(
        matches!(error, StoreError::TooLongForUrl { .. }),
        "{error:?}"
    );
    assert_eq!(upstream.requests().len(), 1);
}

#[tokio::test]
async fn wrong_credentials_stay_what_they_are() {
    let upstream = Upstream::always(Reply::http("403 Forbidden", "", "no"))
        .await
        .unwrap();
    let targets = targets(1, upstream.address());
    let target = main_server(&targets);
    for call in [long(5_000), long(9_000)] {
        let error = target.call(call, within(TIME)).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "target main refused the credentials: it answered 403 Forbidden: no"
        );
    }
    assert_eq!(upstream.requests().len(), 3);
}

#[tokio::test]
async fn what_was_learned_is_forgotten_after_a_failure() {
    let upstream = Upstream::start(|request| {
        if request.starts_with("POST") {
            Reply::http("405 Method Not Allowed", "", "")
        } else if request.contains("broken") {
            Reply::http("502 Bad Gateway", "", "")
        } else {
            Reply::Json(one_sample())
        }
    })
    .await
    .unwrap();
    let targets = targets(1, upstream.address());
    let calls = [long(5_000), query("broken"), long(5_000), long(5_000)];
    assert_eq!(
        methods_of(&upstream, main_server(&targets), &calls).await,
        seen(&[
            ("POST GET", true),
            ("GET", false),
            ("POST GET", true),
            ("GET", true)
        ])
    );
}

#[tokio::test]
async fn label_values_that_fit_into_no_url_are_not_sent() {
    let upstream = Upstream::always(Reply::http(
        "200 OK",
        "",
        r#"{"status":"success","data":[]}"#,
    ))
    .await
    .unwrap();
    let targets = targets(1, upstream.address());
    let target = main_server(&targets);
    target
        .call(label_values(7_000), within(TIME))
        .await
        .unwrap();
    let error = target
        .call(label_values(10_000), within(TIME))
        .await
        .unwrap_err();
    assert!(
        error.to_string().starts_with(
            "target main takes label values only as GET, and this query is too long for a URL (100"
        ),
        "{error}"
    );
    assert_eq!(upstream.requests().len(), 1);
}

#[tokio::test]
async fn a_url_that_the_server_finds_too_long_goes_as_a_form_from_then_on() {
    for status in ["414 URI Too Long", "431 Request Header Fields Too Large"] {
        let upstream = Upstream::start(move |request| {
            let line = request.lines().next().unwrap();
            if line.len() > 2_048 {
                Reply::http(status, "", "<html><title>414 Request-URI Too Large</title>")
            } else {
                Reply::Json(one_sample())
            }
        })
        .await
        .unwrap();
        let targets = targets(1, upstream.address());
        let target = main_server(&targets);
        let calls = [long(3_000), long(3_000), query("up")];
        assert_eq!(
            methods_of(&upstream, target, &calls).await,
            seen(&[("GET POST", true), ("POST", true), ("GET", true)]),
            "{status}"
        );
        let before = upstream.requests().len();
        let error = target
            .call(label_values(3_000), within(TIME))
            .await
            .unwrap_err();
        assert!(
            matches!(error, StoreError::TooLongForUrl { at_most, .. } if at_most < 3_000),
            "{error:?}"
        );
        assert_eq!(upstream.requests().len(), before);
    }
}
