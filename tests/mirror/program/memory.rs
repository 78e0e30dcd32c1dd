//! The binary within its memory, whatever a store answers and a client sends: it lives, every
//! answer is the contract's, and an ordinary request afterwards is answered.

// Helpers outside the test functions unwrap too.
#![allow(clippy::unwrap_used)]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use harness::servers::{Launch, Mirror, MirrorConfig};
use serde_json::{Value, json};

/// Long enough for a busy machine; nothing waits this long when all is well.
const PATIENCE: Duration = Duration::from_secs(60);

/// The process may have so much. Small, so that answers which exceed it are soon made.
const LIMIT: u64 = 192 << 20;

/// An answer's body, or what a store sends of it: without its end it is about so long.
const BODY: usize = 24 << 20;

/// A body whose answer fits into the memory of requests, and three of which do not.
const LARGE_BODY: usize = 3 << 20;

/// A store that answers every call with the same text, in which one element is repeated.
struct Store {
    address: String,
}

/// What comes before, again and again, and at the end.
type Text = (&'static str, &'static str, &'static str);

impl Store {
    fn start(text: Text) -> Self {
        Self::of(text, BODY)
    }

    /// `length` is about the length of its answers.
    fn of(text: Text, length: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                std::thread::spawn(move || serve(&stream.unwrap(), text, length));
            }
        });
        Self { address }
    }
}

/// Answers the requests of a connection. A query of `1` and whatever finds out what the store can
/// do get a small answer.
fn serve(mut stream: &TcpStream, (begin, element, end): Text, length: usize) {
    let mut reader = BufReader::new(stream);
    loop {
        let (mut head, mut declared) = (String::new(), 0);
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).unwrap_or(0) == 0 {
                return;
            }
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                declared = value.trim().parse().unwrap();
            }
            if line == "\r\n" {
                break;
            }
            head.push_str(&line);
        }
        let mut body = vec![0; declared];
        reader.read_exact(&mut body).unwrap();
        let asked = format!("{head}{}", String::from_utf8(body).unwrap());
        if !asked.contains("attack") && !asked.contains("/api/v1/label") {
            let kind = if asked.contains("/query_range") {
                "matrix"
            } else {
                "vector"
            };
            let small =
                format!(r#"{{"status":"success","data":{{"resultType":"{kind}","result":[]}}}}"#);
            let length = small.len();
            let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{small}");
            if stream.write_all(answer.as_bytes()).is_err() {
                return;
            }
            continue;
        }
        let block = format!("{element},").repeat(1000);
        let answer =
            b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n\r\n";
        let mut sent = stream
            .write_all(answer)
            .and_then(|()| stream.write_all(begin.as_bytes()));
        for _ in 0..length / block.len() {
            sent = sent.and_then(|()| stream.write_all(block.as_bytes()));
        }
        let _ = sent.and_then(|()| write!(stream, "{element}{end}"));
        let _ = stream.shutdown(Shutdown::Both);
        return;
    }
}

/// A mirror of one store, in a cgroup if there is one.
async fn start(store: &str, limit: Option<u64>, cgroup: Option<&Path>) -> Mirror {
    let config = MirrorConfig::for_targets(&[("t", &format!("http://{store}"))]);
    let limit = limit.map(|limit| limit.to_string());
    let mut arguments = vec!["--log-format", "json"];
    arguments.extend(limit.iter().flat_map(|limit| ["--memory-limit", limit]));
    let launch = Launch {
        arguments: &arguments,
        cgroup,
        ..Launch::default()
    };
    Mirror::launch(&config, &launch).await.unwrap()
}

fn post(mirror: &Mirror, path: &str, body: &[u8]) -> (u16, Value) {
    let mut stream = TcpStream::connect(("127.0.0.1", mirror.port())).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let length = body.len();
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(body).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let split = answer
        .windows(4)
        .position(|four| four == b"\r\n\r\n")
        .unwrap();
    let status = std::str::from_utf8(&answer[9..12])
        .unwrap()
        .parse()
        .unwrap();
    (
        status,
        serde_json::from_slice(&answer[split + 4..]).unwrap(),
    )
}

/// The answer to an expression.
fn evaluate(mirror: &Mirror, promql: &str) -> (u16, Value) {
    post(mirror, "/api/metric", metric(promql, json!({})).as_bytes())
}

/// It is within its limit, and an ordinary request is answered.
fn is_well(mirror: &Mirror) {
    let (status, body) = evaluate(mirror, "1");
    assert_eq!(
        (status, &body["_type"]),
        (200, &json!("MetricsResponse")),
        "{body}"
    );
    let peak = mirror.process().peak_resident_bytes();
    assert!(peak < LIMIT, "{} MiB at the peak", peak >> 20);
}

fn metric(promql: &str, details: Value) -> String {
    json!({
        "connectionDetails": details,
        "query": {
            "conditions": [{"key": "~", "value": {"value": promql}}], "startTime": 1_000_000, "endTime": 2_000_000,
            "aggregation": {"method": "MEAN", "bucketSizeMillis": 100_000},
        },
    })
    .to_string()
}

fn names(attack: usize) -> String {
    json!({"connectionDetails": {}, "query": {"conditions": [], "startTime": attack, "endTime": 2_000_000}}).to_string()
}

/// Whether it is an answer of the contract: points or names, or one of its errors.
fn is_of_the_contract((status, body): &(u16, Value)) -> bool {
    match body["_type"].as_str() {
        Some("MetricsResponse" | "FieldNamesResponse") => *status == 200,
        Some("MetricStoreConnectionError") => [502, 504].contains(status),
        Some("RemoteMirrorError") => [400, 503].contains(status),
        Some("MetricNotFoundError") => *status == 404,
        _ => false,
    }
}

/// The answers to so many requests at once.
fn answers<T: Send>(at_once: usize, ask: impl Fn(usize) -> T + Sync) -> Vec<T> {
    std::thread::scope(|scope| {
        let ask = &ask;
        let asked: Vec<_> = (0..at_once)
            .map(|index| scope.spawn(move || ask(100 * at_once + index)))
            .collect();
        let answers = asked.into_iter().map(|asked| asked.join().unwrap());
        answers.collect()
    })
}

async fn survives(text: Text, ask: impl Fn(&Mirror, usize) -> (u16, Value) + Sync) {
    let store = Store::start(text);
    let mirror = start(&store.address, Some(LIMIT), None).await;
    for at_once in [1_usize, 12] {
        for answer in answers(at_once, |index| ask(&mirror, index)) {
            let shown = answer.1.to_string();
            assert!(is_of_the_contract(&answer), "{} {shown:.300}", answer.0);
        }
    }
    is_well(&mirror);
}

const MATRIX: &str = r#"{"status":"success","data":{"resultType":"matrix","result":["#;

#[tokio::test]
async fn a_store_that_answers_empty_elements() {
    survives((MATRIX, "{}", "]}}"), |mirror, index| {
        evaluate(mirror, &format!("attack{index}"))
    })
    .await;
}

#[tokio::test]
async fn a_store_that_answers_very_many_series() {
    let element = r#"{"metric":{"a":"b"},"values":[]}"#;
    survives((MATRIX, element, "]}}"), |mirror, index| {
        evaluate(mirror, &format!("attack{index}"))
    })
    .await;
}

#[tokio::test]
async fn a_store_that_says_one_label_of_a_series_very_often() {
    let begin = r#"{"status":"success","data":{"resultType":"matrix","result":[{"metric":{"#;
    survives((begin, r#""":"""#, "}}]}}"), |mirror, index| {
        evaluate(mirror, &format!("attack{index}"))
    })
    .await;
}

#[tokio::test]
async fn a_store_that_answers_very_many_warnings() {
    let begin = r#"{"status":"success","data":{"resultType":"matrix","result":[]},"warnings":["#;
    survives((begin, r#""""#, "]}"), |mirror, index| {
        evaluate(mirror, &format!("attack{index}"))
    })
    .await;
}

#[tokio::test]
async fn a_store_that_answers_very_many_names() {
    let begin = r#"{"status":"success","data":["#;
    survives((begin, r#""n""#, "]}"), |mirror, index| {
        post(mirror, "/api/field/name", names(index).as_bytes())
    })
    .await;
}

#[tokio::test]
async fn clients_whose_connection_details_are_very_many_objects() {
    let details = Value::Array(vec![json!({"": 0}); 120_000]);
    let body = metric("attack", json!({"x": details}));
    assert!(body.len() < 1 << 20);
    survives((MATRIX, "{}", "]}}"), move |mirror, _| {
        post(mirror, "/api/metric", body.as_bytes())
    })
    .await;
}

#[tokio::test]
async fn large_requests_that_fit_one_after_the_other_are_all_answered() {
    let element = r#"{"metric":{"a":"b"},"values":[[1000,"1"],[1100,"1"]]}"#;
    let store = Store::of((MATRIX, element, "]}}"), LARGE_BODY);
    let mirror = start(&store.address, Some(LIMIT), None).await;
    let ask = |index| evaluate(&mirror, &format!("attack{index}"));
    let alone = ask(0);
    assert_eq!(alone.0, 200, "{}", alone.1);
    assert_eq!(answers(12, ask), vec![alone; 12]);
    is_well(&mirror);
}

#[tokio::test]
async fn clients_that_never_end_their_bodies() {
    let store = Store::start((MATRIX, "{}", "]}}"));
    let mirror = start(&store.address, Some(LIMIT), None).await;
    let half = vec![b' '; 1 << 19];
    let unfinished: Vec<_> = (0..500)
        .map(|_| {
            let mut stream = TcpStream::connect(("127.0.0.1", mirror.port())).unwrap();
            stream
                .set_write_timeout(Some(Duration::from_millis(20)))
                .unwrap();
            let head = b"POST /api/metric HTTP/1.1\r\nhost: x\r\ncontent-length: 1048576\r\n\r\n";
            stream.write_all(head).unwrap();
            // Where there is no memory, it is not read.
            let _ = stream.write_all(&half);
            stream
        })
        .collect();
    let peak = mirror.process().peak_resident_bytes();
    assert!(peak < LIMIT, "{} MiB at the peak", peak >> 20);
    drop(unfinished);
    is_well(&mirror);
}

/// A memory cgroup of its own, where the test may make one.
struct Cgroup(PathBuf);

impl Cgroup {
    fn new(limit: u64) -> Option<Self> {
        let name = format!("mirror-test-{}", std::process::id());
        let v1 = Path::new("/sys/fs/cgroup/memory").join(&name);
        let v2 = Path::new("/sys/fs/cgroup").join(&name);
        let (folder, file) = match Path::new("/sys/fs/cgroup/memory").is_dir() {
            true => (v1, "memory.limit_in_bytes"),
            false => (v2, "memory.max"),
        };
        std::fs::create_dir(&folder).ok()?;
        let cgroup = Self(folder);
        std::fs::write(cgroup.0.join(file), limit.to_string()).ok()?;
        Some(cgroup)
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir(&self.0);
    }
}

#[tokio::test]
async fn the_limit_of_the_container_is_found() {
    let Some(cgroup) = Cgroup::new(300 << 20) else {
        // Only root may make cgroups.
        return;
    };
    let mirror = start("127.0.0.1:1", None, Some(&cgroup.0)).await;
    let memory = mirror.logs("memory for requests").await.unwrap();
    assert_eq!(
        (&memory["limit"], &memory["origin"]),
        (&json!("300 MiB"), &json!("the container's limit"))
    );
    drop(mirror);
}
