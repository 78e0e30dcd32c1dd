//! A pair whose preferred server answers what no Prometheus does. The other one answers instead.

use std::sync::Arc;
use std::time::Duration;

use mirror::model::time::{Millis, Timestamp};
use mirror::prometheus::{Answer, Call, Caller, Store as _, StoreError, Targets};

use crate::replicas::pair;
use crate::upstream::{Reply, Upstream, calls_of, metrics, settings, within};

/// Some of these wait for a third of it.
const TIME: Duration = Duration::from_secs(3);

const AT: Timestamp = Timestamp(1_000);

fn calls() -> Vec<(&'static str, Call)> {
    let (start, end) = (AT, AT);
    let promql = || "up".to_owned();
    vec![
        (
            "instant",
            Call::Instant {
                promql: promql(),
                at: AT,
            },
        ),
        (
            "range",
            Call::Range {
                promql: promql(),
                start,
                end,
                step: Millis(1_000),
            },
        ),
        (
            "samples",
            Call::Samples {
                selector: promql(),
                from: AT,
                to: AT,
            },
        ),
        (
            "exist",
            Call::SeriesExist {
                selectors: vec![promql()],
                start,
                end,
            },
        ),
        (
            "names",
            Call::LabelNames {
                selector: None,
                start,
                end,
            },
        ),
        (
            "values",
            Call::LabelValues {
                label: "a".into(),
                selector: None,
                start,
                end,
            },
        ),
        (
            "otherwise",
            Call::LabelValuesOtherwise {
                label: "a.b".into(),
                selector: None,
                start,
                end,
            },
        ),
        (
            "label of series",
            Call::LabelOfSeries {
                label: "a".into(),
                selector: promql(),
                start,
                end,
            },
        ),
        ("metadata", Call::Metadata),
        ("build", Call::BuildInfo),
    ]
}

/// What a Prometheus with something of everything answers.
fn good(request: &str) -> Reply {
    let path = request.split(' ').nth(1).unwrap_or_default();
    let path = path.split('?').next().unwrap_or_default();
    let data = match path.rsplit("/api/v1/").next().unwrap_or_default() {
        "query" | "query_range" => return Reply::samples(&[(1, "5")]),
        "series" => r#"[{"__name__":"up","a":"b"}]"#,
        "metadata" => r#"{"up":[{"type":"gauge","help":"","unit":""}]}"#,
        "status/buildinfo" => r#"{"version":"3.5.0"}"#,
        _ => r#"["a"]"#,
    };
    Reply::Json(format!(r#"{{"status":"success","data":{data}}}"#))
}

fn http(status: &str, kind: &str, body: &str) -> Reply {
    Reply::http(status, &format!("content-type: {kind}\r\n"), body)
}

fn replies() -> Vec<(&'static str, Reply)> {
    let head = |length: usize| {
        format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n"
        )
        .into_bytes()
    };
    let begun = |length| [head(length), br#"{"status":"success","data":"#.to_vec()].concat();
    let chunked =
        b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n"
            .to_vec();
    let page = "<html><head><title>Oops</title></head><body>x</body></html>";
    let json = |body: &str| Reply::Json(body.to_owned());
    vec![
        ("silent", Reply::Hang(Vec::new())),
        ("silent after the head", Reply::Hang(head(100))),
        ("silent in the body", Reply::Hang(begun(100))),
        ("reset", Reply::Reset(Vec::new())),
        ("reset in the body", Reply::Reset(begun(100))),
        ("cut", Reply::Bytes(begun(100))),
        (
            "chunk cut",
            Reply::Bytes([chunked.clone(), b"ff\r\n{\"status\"".to_vec()].concat()),
        ),
        (
            "no last chunk",
            Reply::Bytes([chunked.clone(), b"3\r\n{\"s\r\n".to_vec()].concat()),
        ),
        (
            "chunk garbage",
            Reply::Bytes([chunked.clone(), b"zz\r\n{\"s\r\n".to_vec()].concat()),
        ),
        (
            "endless spaces",
            Reply::Endless(
                [chunked.clone()].concat(),
                b"10\r\n                \r\n".repeat(2000),
            ),
        ),
        (
            "endless names",
            Reply::Endless(
                [
                    chunked.clone(),
                    b"1b\r\n{\"status\":\"success\",\"data\":\r\n".to_vec(),
                ]
                .concat(),
                b"5\r\n     \r\n".repeat(2000),
            ),
        ),
        (
            "endless garbage",
            Reply::Endless(chunked, b"5\r\nabcde\r\n".repeat(2000)),
        ),
        (
            "endless head",
            Reply::Endless(b"HTTP/1.1 200 OK\r\n".to_vec(), b"a: b\r\n".to_vec()),
        ),
        ("no http", Reply::Bytes(b"SSH-2.0-OpenSSH_9\r\n".to_vec())),
        ("page", http("200 OK", "text/html", page)),
        (
            "page 302",
            Reply::http("302 Found", "location: /login\r\n", ""),
        ),
        (
            "page 307",
            Reply::http(
                "307 Temporary Redirect",
                "location: http://127.0.0.1:1/\r\n",
                "",
            ),
        ),
        ("304", Reply::http("304 Not Modified", "", "")),
        ("400 page", http("400 Bad Request", "text/html", page)),
        ("400 nothing", Reply::http("400 Bad Request", "", "")),
        ("401", http("401 Unauthorized", "text/plain", "no")),
        (
            "403",
            http(
                "403 Forbidden",
                "application/json",
                r#"{"status":"error","errorType":"bad_data","error":"no"}"#,
            ),
        ),
        ("404 page", http("404 Not Found", "text/html", page)),
        (
            "404 text",
            http("404 Not Found", "text/plain", "default backend - 404"),
        ),
        ("405", http("405 Method Not Allowed", "text/plain", "no")),
        (
            "407",
            http("407 Proxy Authentication Required", "text/plain", "no"),
        ),
        ("408", http("408 Request Timeout", "text/plain", "no")),
        ("410", http("410 Gone", "text/plain", "no")),
        ("413", http("413 Payload Too Large", "text/html", page)),
        ("414", http("414 URI Too Long", "text/html", page)),
        ("415", http("415 Unsupported Media Type", "text/html", page)),
        ("421", http("421 Misdirected Request", "text/html", page)),
        (
            "422 page",
            http("422 Unprocessable Content", "text/html", page),
        ),
        (
            "429",
            Reply::http("429 Too Many Requests", "retry-after: 60\r\n", ""),
        ),
        (
            "431",
            http("431 Request Header Fields Too Large", "text/html", page),
        ),
        ("500", http("500 Internal Server Error", "text/html", page)),
        ("501", http("501 Not Implemented", "text/plain", "no")),
        ("502", http("502 Bad Gateway", "text/html", page)),
        (
            "503",
            http(
                "503 Service Unavailable",
                "text/plain",
                "Service Unavailable",
            ),
        ),
        (
            "503 later",
            Reply::http("503 Service Unavailable", "retry-after: 60\r\n", ""),
        ),
        ("504", http("504 Gateway Timeout", "text/html", page)),
        (
            "500 internal",
            http(
                "500 Internal Server Error",
                "application/json",
                r#"{"status":"error","errorType":"internal","error":"expanding series: corrupt block"}"#,
            ),
        ),
        (
            "503 timeout",
            http(
                "503 Service Unavailable",
                "application/json",
                r#"{"status":"error","errorType":"timeout","error":"query timed out"}"#,
            ),
        ),
        (
            "503 canceled",
            http(
                "503 Service Unavailable",
                "application/json",
                r#"{"status":"error","errorType":"canceled","error":"query was canceled"}"#,
            ),
        ),
        (
            "422 execution",
            http(
                "422 Unprocessable Entity",
                "application/json",
                r#"{"status":"error","errorType":"execution","error":"expanding series: open block: no such file"}"#,
            ),
        ),
        ("204", Reply::http("204 No Content", "", "")),
        ("empty", json("")),
        ("null", json("null")),
        ("number", json("7")),
        ("data null", json(r#"{"status":"success","data":null}"#)),
        ("no data", json(r#"{"status":"success"}"#)),
        ("no status", json(r#"{"data":[]}"#)),
        ("other status", json(r#"{"status":"maybe","data":[]}"#)),
        ("text data", json(r#"{"status":"success","data":"x"}"#)),
        (
            "scalar",
            json(r#"{"status":"success","data":{"resultType":"scalar","result":[1,"1"]}}"#),
        ),
        (
            "string",
            json(r#"{"status":"success","data":{"resultType":"string","result":[1,"1"]}}"#),
        ),
        (
            "streams",
            json(r#"{"status":"success","data":{"resultType":"streams","result":[]}}"#),
        ),
        ("deep", json(&"[".repeat(100_000))),
        (
            "half",
            json(r#"{"status":"success","data":{"resultType":"matrix","result":[{"metric":{}"#),
        ),
        (
            "error in 200",
            json(r#"{"status":"error","errorType":"internal","error":"no"}"#),
        ),
        ("html as json", json(page)),
        (
            "gzip broken",
            Reply::http(
                "200 OK",
                "content-type: application/json\r\ncontent-encoding: gzip\r\n",
                b"\x1f\x8b\x08\0\0\0\0\0\0\x03garbage",
            ),
        ),
        (
            "gzip cut",
            Reply::http(
                "200 OK",
                "content-type: application/json\r\ncontent-encoding: gzip\r\n",
                b"\x1f\x8b\x08\0",
            ),
        ),
        (
            "no gzip",
            Reply::http(
                "200 OK",
                "content-type: application/json\r\ncontent-encoding: gzip\r\n",
                b"{}",
            ),
        ),
        (
            "brotli",
            Reply::http("200 OK", "content-encoding: br\r\n", b"x"),
        ),
        ("nul", Reply::http("200 OK", "", [0_u8; 100])),
    ]
}

/// Whether the reply is an answer to the call, or says that the query is at fault.
fn may_be_so(reply: &str, call: &Call) -> bool {
    match reply {
        // Where nothing is known, the versions tell least.
        "data null" | "no data" | "string" | "streams" => *call == Call::BuildInfo,
        "scalar" => matches!(call, Call::BuildInfo | Call::Instant { .. }),
        "413" | "422 execution" => true,
        _ => false,
    }
}

async fn answered(reply: Reply, call: Call) -> (Result<Arc<Answer>, StoreError>, usize) {
    let first = Upstream::always(reply).await.unwrap();
    let second = Upstream::start(good).await.unwrap();
    let settings = settings(1, &[pair(&[first.address(), second.address()])]);
    let targets = Targets::new(&settings, &metrics().1, None);
    let request = calls_of(&targets.declared()[0], Caller::Mirror);
    let answer = request.call(call, within(TIME)).await;
    (answer, second.requests().len())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_the_preferred_replica_answers_the_other_one_answers() {
    let mut wrong = Vec::new();
    for (name, call) in calls() {
        let expected = answered(Reply::Reset(Vec::new()), call.clone())
            .await
            .0
            .unwrap();
        let all = replies()
            .into_iter()
            .map(async |(reply_name, reply)| (reply_name, answered(reply, call.clone()).await));
        for (reply, (answer, asked)) in futures::future::join_all(all).await {
            if answer.as_ref().ok().map(|one| &one.data) != Some(&expected.data) {
                let said = answer
                    .map(|one| format!("{:?}", one.data))
                    .map_err(|error| format!("{error:?}"));
                if may_be_so(reply, &call) {
                    continue;
                }
                wrong.push(format!("{name}: {reply} ({asked}): {said:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// More calls than there are places for them, all of which the silent server has at first.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_replica_holds_no_place_that_the_other_needs() {
    let silent = Upstream::always(Reply::Hang(Vec::new())).await.unwrap();
    let second = Upstream::start(good).await.unwrap();
    let settings = settings(2, &[pair(&[silent.address(), second.address()])]);
    let targets = Targets::new(&settings, &metrics().1, None);
    let asked = (0..12).map(|index| {
        let request = calls_of(&targets.declared()[0], Caller::Mirror);
        let call = crate::upstream::query(&format!("up + {index}"));
        async move { request.call(call, within(TIME)).await.map(|_| ()) }
    });
    let answers = futures::future::join_all(asked).await;
    assert!(answers.iter().all(Result::is_ok), "{answers:?}");
}
