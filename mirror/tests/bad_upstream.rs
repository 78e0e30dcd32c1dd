//! Whatever an upstream does, a call ends within its deadline with the error that fits.

#![allow(
    clippy::unwrap_used,
    reason = "clippy knows a test's functions, not their helpers"
)]

mod upstream;

use std::sync::Arc;
use std::time::{Duration, Instant};

use mirror::prometheus::remarks::Remark;
use mirror::prometheus::{Answer, Call, Store as _, StoreError};
use upstream::{Reply, Upstream, main_server, query, targets, within};
use url::Url;

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n";

/// The beginning of an answer of any length.
const BEGUN: &str =
    r#"{"status":"success","data":{"resultType":"matrix","result":[{"metric":{},"values":["#;

async fn ask_at(url: &Url, call: Call, time: Duration) -> Result<Arc<Answer>, StoreError> {
    let targets = targets(4, url);
    let started = Instant::now();
    let result = main_server(&targets).call(call, within(time)).await;
    assert!(
        started.elapsed() < time + Duration::from_secs(2),
        "answered after {:?}",
        started.elapsed()
    );
    result
}

async fn ask(reply: Reply) -> Result<Arc<Answer>, StoreError> {
    ask_at(
        Upstream::always(reply).await.unwrap().address(),
        query("up[1h]"),
        Duration::from_secs(20),
    )
    .await
}

async fn unreachable(reply: Reply) -> String {
    match ask(reply).await {
        Err(StoreError::Unreachable(message)) => message,
        other => panic!("{other:?}"),
    }
}

fn bytes(parts: &[&str]) -> Vec<u8> {
    parts.concat().into_bytes()
}

fn closing(body: &str) -> Vec<u8> {
    bytes(&[OK, "connection: close\r\n\r\n", body])
}

#[tokio::test]
async fn a_refused_connection_is_unreachable() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = Url::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
    drop(listener);
    let error = ask_at(&url, query("up"), Duration::from_secs(20))
        .await
        .unwrap_err();
    assert!(matches!(error, StoreError::Unreachable(_)), "{error:?}");
    assert_eq!(
        error.to_string(),
        "target main cannot be reached: Connection refused (os error 111)"
    );
}

#[tokio::test]
async fn silence_before_the_head_in_it_and_in_the_body_are_timeouts_and_the_connection_is_closed() {
    let begun = bytes(&[OK, "content-length: 1000\r\n\r\n", BEGUN]);
    for sent in [Vec::new(), b"HTTP/1.1 200 OK\r\nconte".to_vec(), begun] {
        let upstream = Upstream::always(Reply::Hang(sent)).await.unwrap();
        let error = ask_at(
            upstream.address(),
            query("up[1h]"),
            Duration::from_millis(200),
        )
        .await
        .unwrap_err();
        assert!(matches!(error, StoreError::Timeout(_)), "{error:?}");
        upstream::eventually(|| upstream.open() == 0).await;
    }
}

#[tokio::test]
async fn a_small_answer_that_stalls_is_a_timeout_too() {
    let upstream = Upstream::always(Reply::Hang(bytes(&[OK, "content-length: 1000\r\n\r\n{"])))
        .await
        .unwrap();
    let error = ask_at(
        upstream.address(),
        Call::Metadata,
        Duration::from_millis(200),
    )
    .await
    .unwrap_err();
    assert!(matches!(error, StoreError::Timeout(_)), "{error:?}");
}

#[tokio::test]
async fn a_connection_that_breaks_is_unreachable() {
    let length = "content-length: 1000\r\n\r\n";
    let chunked = "transfer-encoding: chunked\r\n\r\n10\r\n";
    let replies = [
        Reply::Reset(Vec::new()),
        Reply::Reset(bytes(&[OK, length, BEGUN])),
        Reply::Bytes(Vec::new()),
        Reply::Bytes(bytes(&["SSH-2.0-OpenSSH_9.2\r\n"])),
        Reply::Bytes(bytes(&[OK, length, BEGUN])),
        Reply::Bytes(bytes(&[OK, chunked, "{\"status\""])),
        Reply::Bytes(bytes(&[OK, "content-length: 5, 6\r\n\r\n", BEGUN])),
    ];
    for reply in replies {
        let message = unreachable(reply.clone()).await;
        assert!(message.starts_with("target main "), "{reply:?}: {message}");
    }
}

#[tokio::test]
async fn a_length_that_is_too_long_or_too_short_is_unreachable() {
    let answer = upstream::one_list();
    let declared = |length: usize| {
        Reply::Bytes(bytes(&[
            OK,
            &format!("content-length: {length}\r\n\r\n"),
            &answer,
        ]))
    };
    assert!(ask(declared(answer.len())).await.is_ok());
    assert!(
        unreachable(declared(answer.len() + 1))
            .await
            .contains("broke its answer off")
    );
    assert!(
        unreachable(declared(answer.len() - 1))
            .await
            .contains("it ends too early")
    );
}

#[tokio::test]
async fn what_is_not_prometheus_json_is_unreachable_and_says_so() {
    let table = [
        ("", "it is empty"),
        (BEGUN, "it ends too early"),
        (
            r#"{"status":"success","data":{"resultType":"matrix","result":[]}}}"#,
            "it goes on after its end",
        ),
        (r#"{"hello":"world"}"#, "it has no status"),
        ("null", "it is not an object"),
        (" \n[1]", "it has an array"),
        (
            "\u{feff}{\"status\":\"success\"}",
            "it begins with a byte order mark",
        ),
    ];
    for (body, reason) in table {
        let message = unreachable(Reply::Bytes(closing(body))).await;
        assert!(
            message.starts_with("target main answered something that is not Prometheus' JSON: "),
            "{message}"
        );
        assert!(message.contains(reason), "{message}");
    }
    let mut invalid =
        closing(r#"{"status":"success","data":{"resultType":"matrix","result":[{"metric":{"a":""#);
    invalid.extend_from_slice(b"\xff\xfe\"}}]}}");
    assert!(
        unreachable(Reply::Bytes(invalid))
            .await
            .contains("a string that is not UTF-8")
    );
}

#[tokio::test]
async fn pages_and_texts_instead_of_json_are_named_for_what_they_are() {
    let hint = "is there a sign-in in front, or is the path prefix missing?";
    let table = [
        (
            "text/html",
            "<!DOCTYPE html><title>Sign &amp; in</title>",
            format!("an HTML page titled \"Sign & in\": {hint}"),
        ),
        (
            "application/json",
            "\u{feff} <!-- a --><HTML><head><title>Prometheus</title>",
            format!("an HTML page titled \"Prometheus\": {hint}"),
        ),
        ("text/html", "<html>", format!("an HTML page: {hint}")),
        (
            "application/xml",
            "<?xml version=\"1.0\"?><Error><Code>AccessDenied</Code></Error>",
            "XML instead of Prometheus' JSON: AccessDenied".to_owned(),
        ),
        (
            "text/plain",
            "no healthy upstream, token=abc",
            "text instead of Prometheus' JSON: no healthy upstream, token=***".to_owned(),
        ),
        (
            "text/plain",
            "# HELP up Is it?\n# TYPE up gauge\nup 1\n",
            "a page of metrics instead of Prometheus' JSON: does the URL lead to an exporter, or end in /metrics?".to_owned(),
        ),
        (
            "application/octet-stream",
            "\u{1}\u{2}\u{3}",
            "data that are no text instead of Prometheus' JSON: is the URL right?".to_owned(),
        ),
    ];
    for (content_type, body, expected) in table {
        let header = format!("content-type: {content_type}\r\n");
        let upstream = Upstream::always(Reply::http("200 OK", &header, body))
            .await
            .unwrap();
        for call in [query("up"), Call::Metadata] {
            let error = ask_at(upstream.address(), call, Duration::from_secs(20))
                .await
                .unwrap_err();
            assert!(matches!(error, StoreError::Unreachable(_)), "{error:?}");
            assert_eq!(
                error.to_string(),
                format!("target main answered {expected}")
            );
        }
    }
}

#[tokio::test]
async fn a_page_that_never_ends_or_stalls_is_named_all_the_same() {
    let page = closing("<html><title>Sign in</title>");
    let endless = Reply::Endless(page.clone(), vec![b' '; 10_000]);
    for reply in [Reply::Hang(page), endless] {
        let started = Instant::now();
        let message = unreachable(reply).await;
        assert!(message.contains("titled \"Sign in\""), "{message}");
        assert!(started.elapsed() < Duration::from_secs(5));
    }
    let refusal = b"HTTP/1.1 500 Internal Server Error\r\n\r\nbecause".to_vec();
    assert_eq!(
        unreachable(Reply::Hang(refusal)).await,
        "target main answered 500 Internal Server Error: because"
    );
}

#[tokio::test]
async fn json_is_taken_whatever_it_is_called() {
    let answer = upstream::one_list();
    for content_type in ["text/html", "text/plain", ""] {
        let header = format!("content-type: {content_type}\r\n");
        let reply = Reply::http("200 OK", &header, &answer);
        assert!(ask(reply).await.is_ok(), "{content_type}");
        let blank = Reply::http("200 OK", &header, format!("\n \t{answer}"));
        assert!(ask(blank).await.is_ok(), "{content_type}");
    }
}

#[tokio::test]
async fn a_message_of_a_proxy_or_of_kubernetes_is_quoted() {
    let status = r#"{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"no endpoints available for service \"p\"","reason":"ServiceUnavailable","code":503}"#;
    let mut url = Upstream::always(Reply::http("503 Service Unavailable", "", status))
        .await
        .unwrap()
        .address()
        .clone();
    url.set_path("/api/v1/namespaces/m/services/http:p:9090/proxy");
    let error = ask_at(&url, query("up"), Duration::from_secs(20))
        .await
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "target main answered 503 Service Unavailable: no endpoints available for service \"p\""
    );
    let page = "<html>\r\n<head><title>502 Bad Gateway</title></head>";
    assert_eq!(
        unreachable(Reply::http("502 Bad Gateway", "", page)).await,
        "target main answered 502 Bad Gateway with an HTML page titled \"502 Bad Gateway\""
    );
    assert_eq!(
        unreachable(Reply::http("304 Not Modified", "", "")).await,
        "target main answered 304 Not Modified"
    );
}

#[tokio::test]
async fn an_answer_to_another_kind_of_query_is_unreachable() {
    let message = unreachable(Reply::Json(upstream::one_sample())).await;
    let reason = "its resultType is not matrix, which is the only one that this query has";
    assert!(message.contains(reason), "{message}");
    let upstream = Upstream::always(Reply::http("200 OK", "", upstream::one_list()))
        .await
        .unwrap();
    let asked = ask_at(upstream.address(), query("up"), Duration::from_secs(20)).await;
    let message = asked.unwrap_err().to_string();
    let reason = "its resultType is matrix, which this query at one instant cannot have";
    assert!(message.contains(reason), "{message}");
}

#[tokio::test]
async fn null_for_no_series_is_an_empty_answer() {
    let body = r#"{"status":"success","data":{"resultType":"matrix","result":null}}"#;
    assert!(ask(Reply::http("200 OK", "", body)).await.is_ok());
}

#[tokio::test]
async fn what_the_target_is_sent_is_never_shown() {
    let upstream = Upstream::start(|request| {
        // Everything that came, as a careless proxy may repeat it.
        let head = request.replace("\r\n", " ").replace("/api/v1", "");
        Reply::http("403 Forbidden", "", &head[head.find("x-key").unwrap()..])
    })
    .await
    .unwrap();
    let mut target = upstream::target("main", upstream.address())
        .as_ref()
        .clone();
    let value = http::HeaderValue::from_static("hunter-2-hunter");
    target.headers.insert("x-key", value);
    target.auth = mirror::settings::Authorization::bearer("opaque-credential")
        .map(mirror::settings::Auth::Bearer);
    let settings = upstream::settings(1, &[Arc::new(target)]);
    let targets = mirror::prometheus::Targets::new(&settings, &upstream::metrics().1, None);
    let error = main_server(&targets)
        .call(query("up"), within(Duration::from_secs(5)))
        .await
        .unwrap_err()
        .to_string();
    assert!(error.contains("403 Forbidden: x-key: ***"), "{error}");
    assert!(
        !error.contains("hunter") && !error.contains("opaque"),
        "{error}"
    );
}

#[tokio::test]
async fn small_answers_that_are_not_prometheus_json_are_unreachable_too() {
    for (body, reason) in [
        ("", "it is empty"),
        (
            r#"{"status":"success","data":[1]}"#,
            "it has a value of another type than Prometheus has there (line 1, column 27)",
        ),
        (
            r#"{"status":"success","data":{"a":[]}} x"#,
            "it is not JSON (line 1, column 38)",
        ),
        ("\"\u{fffd}", "it ends too early"),
        (r#"{"status":"Success"}"#, "it has no status"),
    ] {
        let upstream = Upstream::always(Reply::http("200 OK", "", body))
            .await
            .unwrap();
        let error = ask_at(upstream.address(), Call::Metadata, Duration::from_secs(20))
            .await
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("target main answered something that is not Prometheus' JSON: {reason}")
        );
    }
}

#[tokio::test]
async fn an_endless_answer_is_too_large() {
    let sample = r#"[1700000000.059,"1.5"],"#.repeat(5_000).into_bytes();
    // 64 MiB through an unoptimised decoder take their time.
    let time = Duration::from_secs(120);
    let endless = Upstream::always(Reply::Endless(closing(BEGUN), sample))
        .await
        .unwrap();
    let error = ask_at(endless.address(), query("up[1h]"), time)
        .await
        .unwrap_err();
    assert!(matches!(error, StoreError::TooLarge(_)), "{error:?}");
    let upstream = Upstream::always(Reply::Endless(closing("["), vec![b' '; 100_000]))
        .await
        .unwrap();
    let error = ask_at(upstream.address(), Call::Metadata, Duration::from_secs(20))
        .await
        .unwrap_err();
    assert!(matches!(error, StoreError::TooLarge(_)), "{error:?}");
    // Refused by its head alone.
    let declared = Reply::Hang(bytes(&[OK, "content-length: 67108865\r\n\r\n"]));
    assert!(matches!(ask(declared).await, Err(StoreError::TooLarge(_))));
}

#[tokio::test]
async fn a_gigantic_token_is_not_collected() {
    for begin in ["{\"", BEGUN] {
        let endless = Reply::Endless(closing(begin), vec![b'7'; 100_000]);
        assert!(unreachable(endless).await.contains("more than 1 MiB"));
    }
}

#[tokio::test]
async fn redirects_are_not_followed_and_shown_without_secrets() {
    let to =
        |location: &str| Reply::http("302 Found", &format!("location: {location}\r\n"), "<html>");
    assert_eq!(
        unreachable(to("https://user:pass@login.example/path?token=1#x")).await,
        "target main answered with a redirect to https://login.example/path, is the URL right? \
        (hint: there is a sign-in in front; the target needs credentials that the API takes, or a URL behind it)"
    );
    assert_eq!(
        unreachable(Reply::http("301 Moved Permanently", "", "")).await,
        "target main answered with a redirect, is the URL right?"
    );
    let upstream = Upstream::start(|_| Reply::http("302 Found", "location: /graph\r\n", ""))
        .await
        .unwrap();
    let error = ask_at(upstream.address(), query("up"), Duration::from_secs(20))
        .await
        .unwrap_err();
    let expected = format!(
        "target main answered with a redirect to {}graph, is the URL right? (hint: is the path prefix missing or wrong?)",
        upstream.address()
    );
    assert_eq!(
        (error.to_string(), upstream.requests().len()),
        (expected, 1)
    );
}

#[tokio::test]
async fn a_call_that_is_too_large_for_a_proxy_is_not_the_servers_failure() {
    let page = "<html><head><title>413 Request Entity Too Large</title></head></html>";
    let reply = Reply::http(
        "413 Request Entity Too Large",
        "content-type: text/html\r\n",
        page,
    );
    let error = ask(reply).await.unwrap_err();
    assert!(matches!(error, StoreError::Rejected { .. }), "{error:?}");
    assert_eq!(
        error.to_string(),
        "target main, or a proxy before it, answered 413 Payload Too Large: \
         ask for fewer or shorter values, or write a shorter expression"
    );
}

#[tokio::test]
async fn refusals_without_json_quote_their_first_line_cleaned_and_cut() {
    assert_eq!(
        unreachable(Reply::http(
            "503 Service Unavailable",
            "",
            "\n Service \x1b[31mUnavailable\r\nmore"
        ))
        .await,
        "target main answered 503 Service Unavailable: Service [31mUnavailable"
    );
    assert_eq!(
        unreachable(Reply::http("404 Not Found", "", "")).await,
        "target main answered 404 Not Found"
    );
    assert_eq!(
        unreachable(Reply::http(
            "502 Bad Gateway",
            "content-type: text/html\r\n",
            "<html>"
        ))
        .await,
        "target main answered 502 Bad Gateway with an HTML page"
    );
    let long = unreachable(Reply::http(
        "500 Internal Server Error",
        "",
        "x".repeat(100_000),
    ))
    .await;
    assert_eq!(
        long.chars().filter(|character| *character == 'x').count(),
        200
    );
}

#[tokio::test]
async fn refused_credentials_are_their_own_error() {
    let kubernetes = r#"{"kind":"Status","status":"Failure","message":"services \"http:p:9090\" is forbidden","code":403}"#;
    let table = [
        ("401 Unauthorized", "Unauthorized\n", ""),
        ("401 Unauthorized", "", ""),
        ("403 Forbidden", "no such user", ": no such user"),
        (
            "401 Unauthorized",
            r#"{"error":"invalid_token","error_description":"Bearer abc123 has expired"}"#,
            ": invalid_token: Bearer *** has expired",
        ),
        (
            "403 Forbidden",
            r#"{"message":"Missing Authentication Token"}"#,
            ": Missing Authentication Token",
        ),
        (
            "403 Forbidden",
            r#"{"status":"error","errorType":"bad_data","error":"not for you"}"#,
            ": not for you",
        ),
        (
            "403 Forbidden",
            kubernetes,
            ": services \"http:p:9090\" is forbidden",
        ),
        (
            "403 Forbidden",
            "<html><title>Sign in</title>",
            " with an HTML page titled \"Sign in\": is there a sign-in in front, or is the path prefix missing?",
        ),
    ];
    for (status, body, said) in table {
        let error = ask(Reply::http(status, "", body)).await.unwrap_err();
        assert!(
            matches!(error, StoreError::CredentialsRefused(_)),
            "{error:?}"
        );
        assert_eq!(
            error.to_string(),
            format!("target main refused the credentials: it answered {status}{said}")
        );
    }
}

#[tokio::test]
async fn complaints_of_prometheus_keep_their_meaning() {
    let complaint = async |status: &str, kind: &str| {
        let body = format!(r#"{{"status":"error","errorType":"{kind}","error":"the reason"}}"#);
        ask(Reply::http(
            status,
            "content-type: application/json\r\n",
            &body,
        ))
        .await
        .unwrap_err()
    };
    for (status, kind) in [
        ("400 Bad Request", "bad_data"),
        ("422 Unprocessable Entity", "execution"),
        ("422 Unprocessable Entity", "422"),
        ("200 OK", "bad_data"),
    ] {
        let error = complaint(status, kind).await;
        assert!(
            matches!(&error, StoreError::Rejected { kind: told, message } if told == kind && message == "the reason"),
            "{status} {kind}: {error:?}"
        );
    }
    for kind in ["timeout", "canceled"] {
        let error = complaint("503 Service Unavailable", kind).await;
        assert!(matches!(error, StoreError::Timeout(_)), "{error:?}");
    }
    for (status, kind) in [
        ("503 Service Unavailable", "unavailable"),
        ("503 Service Unavailable", "503"),
        ("500 Internal Server Error", "internal"),
    ] {
        let error = complaint(status, kind).await;
        assert!(matches!(error, StoreError::Unreachable(_)), "{error:?}");
        assert_eq!(
            error.to_string(),
            format!("target main answered {status}: the reason")
        );
    }
}

#[tokio::test]
async fn warnings_reach_the_caller() {
    let body = r#"{"status":"success","warnings":["one store is down"],"isPartial":true,"data":{"resultType":"matrix","result":[]}}"#;
    let answer = ask(Reply::http("200 OK", "", body)).await.unwrap();
    assert_eq!(
        (answer.remarks.clone(), answer.is_partial),
        (vec![Remark::warning("one store is down")], true)
    );
}

#[tokio::test]
async fn the_target_s_headers_are_sent_and_compression_is_not_asked_for() {
    let upstream = Upstream::always(Reply::Json(upstream::one_sample()))
        .await
        .unwrap();
    let mut target = upstream::target("main", upstream.address())
        .as_ref()
        .clone();
    target
        .headers
        .insert("x-scope-orgid", http::HeaderValue::from_static("tenant"));
    let settings = upstream::settings(1, &[Arc::new(target)]);
    let targets = mirror::prometheus::Targets::new(&settings, &upstream::metrics().1, None);
    main_server(&targets)
        .call(query("up"), within(Duration::from_secs(5)))
        .await
        .unwrap();
    let request = upstream.requests().remove(0);
    assert!(
        request.contains("\r\nx-scope-orgid: tenant\r\n"),
        "{request}"
    );
    assert!(
        request.contains("\r\nuser-agent: prometheus-mirror/"),
        "{request}"
    );
    assert!(!request.contains("accept-encoding"), "{request}");
    assert!(
        request.contains("&timeout=4.9") && request.contains("&nocache=1 "),
        "{request}"
    );
}
