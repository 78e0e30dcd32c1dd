//! The binary itself: starting, reloading, draining, tracing, and what it says when it cannot
//! start.

// Helpers outside the test functions unwrap too.
#![allow(clippy::unwrap_used)]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Output};

use harness::servers::{Launch, Mirror, MirrorConfig, mirror_binary};
use serde_json::{Value, json};

/// One target, where nothing listens.
fn config() -> MirrorConfig {
    let mut config = MirrorConfig::for_targets(&[("cluster", "http://127.0.0.1:1")]);
    config.keys = vec![("apiKey".to_owned(), "the-key\n".to_owned())];
    config
}

/// A mirror at work. Its log is JSON, so that tests can read it.
async fn start(config: &MirrorConfig, variables: &[(&str, &str)]) -> Mirror {
    let launch = Launch {
        arguments: &["--log-format", "json"],
        variables,
        ..Launch::default()
    };
    Mirror::launch(config, &launch).await.unwrap()
}

/// Host and port of its API.
fn api(mirror: &Mirror) -> String {
    format!("127.0.0.1:{}", mirror.port())
}

/// Host and port of its admin port.
fn admin(mirror: &Mirror) -> String {
    mirror.admin().0.trim_start_matches("http://").to_owned()
}

fn ready(mirror: &Mirror) -> Value {
    serde_json::from_str(&get(&admin(mirror), "/readyz", "").1).unwrap()
}

/// The status line and the body (with `headers` as further header lines).
fn get(address: &str, path: &str, headers: &str) -> (String, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{headers}\r\n"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.lines().next().unwrap().to_owned(), body.to_owned())
}

fn run(arguments: &[&str]) -> Output {
    Command::new(mirror_binary().unwrap())
        .args(arguments)
        .env("RUST_BACKTRACE", "1")
        .output()
        .unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[tokio::test]
async fn a_started_mirror_is_ready_says_which_document_it_serves_and_drains_on_sigterm() {
    let mirror = start(&config(), &[]).await;
    let ready = ready(&mirror);
    assert_eq!(
        (&ready["status"], &ready["document"]["name"]),
        (&"ready".into(), &"test".into())
    );
    assert_eq!(get(&api(&mirror), "/", "").0, "HTTP/1.1 200 OK");
    let metrics = get(&admin(&mirror), "/metrics", "").1;
    let hash = ready["document"]["hash"].as_str().unwrap();
    assert!(
        metrics.contains(&format!(
            "prometheus_mirror_config_document{{name=\"test\",hash=\"{hash}\"}} 1"
        )),
        "{metrics}"
    );
    assert!(
        metrics.contains("prometheus_mirror_requests_total{method=\"other\",outcome=\"ok\"} 1"),
        "{metrics}"
    );
    mirror.process().signal("TERM").unwrap();
    mirror.logs("drained").await.unwrap();
    assert_eq!(mirror.ends().await.unwrap(), 0);
}

/// A mirror without a document, as a sidecar starts before anything of its own exists.
fn start_without_document() -> Mirror {
    let launch = Launch {
        arguments: &["--log-format", "json"],
        variables: &[("PROMETHEUS_MIRROR_WAIT_FOR_DOCUMENT", "true")],
        ..Launch::default()
    };
    Mirror::without_document(&launch).unwrap()
}

#[tokio::test]
async fn a_sidecar_waits_for_a_document_and_for_its_port() {
    let mirror = start_without_document();
    let taken = TcpListener::bind(api(&mirror)).unwrap();
    mirror.logs("cannot serve yet").await.unwrap();
    assert_eq!(get(&admin(&mirror), "/livez", "").0, "HTTP/1.1 200 OK");
    let nothing = json!({"status": "starting", "document": null, "newerDocumentRefused": false});
    assert_eq!(ready(&mirror), nothing);
    let waits = "cannot serve yet, and tries again each second: ";
    mirror.write_document("").unwrap();
    let refused = format!("{waits}mirror.yaml is empty");
    mirror.logs(&refused).await.unwrap();
    mirror.reconfigure(&config()).unwrap();
    mirror
        .logs(&format!("{waits}cannot listen on"))
        .await
        .unwrap();
    assert_eq!(ready(&mirror), nothing);
    drop(taken);
    mirror.is_ready().await.unwrap();
    assert_eq!(get(&api(&mirror), "/", "").0, "HTTP/1.1 200 OK");
}

#[tokio::test]
async fn a_signal_ends_a_mirror_that_waits_for_its_document() {
    let mirror = start_without_document();
    mirror.logs("cannot serve yet").await.unwrap();
    mirror.process().signal("TERM").unwrap();
    assert_eq!(mirror.ends().await.unwrap(), 0);
}

#[tokio::test]
async fn while_the_drain_delay_lasts_requests_are_answered_but_readiness_says_no() {
    let mirror = start(&config(), &[("PROMETHEUS_MIRROR_DRAIN_DELAY", "1h")]).await;
    mirror.process().signal("TERM").unwrap();
    mirror.logs("draining").await.unwrap();
    assert_eq!(ready(&mirror)["status"], "draining");
    assert_eq!(get(&api(&mirror), "/", "").0, "HTTP/1.1 200 OK");
    mirror.process().signal("INT").unwrap();
    mirror.logs("ended by a second signal").await.unwrap();
    assert_eq!(mirror.ends().await.unwrap(), 0);
}

#[tokio::test]
async fn a_changed_document_is_taken_over_and_a_bad_one_refused() {
    let mirror = start(&config(), &[]).await;
    let first = ready(&mirror)["document"]["hash"].clone();
    let targets = [
        ("cluster", "http://127.0.0.1:1"),
        ("second", "http://127.0.0.1:2"),
    ];
    let mut more = MirrorConfig::for_targets(&targets);
    more.keys = config().keys;
    mirror.reconfigure(&more).unwrap();
    assert_eq!(
        mirror.logs("configuration taken over").await.unwrap()["added"],
        "[\"second\"]"
    );
    let second = ready(&mirror)["document"]["hash"].clone();
    assert_ne!(first, second);
    mirror.write_document("nonsense").unwrap();
    mirror
        .logs("the changed configuration is refused")
        .await
        .unwrap();
    let ready = ready(&mirror);
    assert_eq!(
        (
            &ready["status"],
            &ready["document"]["hash"],
            &ready["newerDocumentRefused"]
        ),
        (&"ready".into(), &second, &true.into())
    );
    let metrics = get(&admin(&mirror), "/metrics", "").1;
    for line in [
        "prometheus_mirror_config_reloads_total{result=\"success\"} 1",
        "prometheus_mirror_config_reloads_total{result=\"failure\"} 1",
        "prometheus_mirror_config_last_reload_successful 0",
    ] {
        assert!(
            metrics.lines().any(|found| found == line),
            "no line {line} in\n{metrics}"
        );
    }
}

/// The whole answer to a `POST` with these header lines.
fn post(address: &str, headers: &str) -> (String, Value) {
    let mut stream = TcpStream::connect(address).unwrap();
    let body = r#"{"_type": "TestConnectionRequest", "connectionDetails": {"target": "other"}}"#;
    write!(
        stream,
        "POST /api/connection HTTP/1.1\r\n{headers}Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.to_owned(), serde_json::from_str(body).unwrap())
}

#[tokio::test]
async fn web_pages_of_other_sites_and_other_hosts_are_refused_without_the_key() {
    let server = json!({"allowedHosts": ["mirror.example.com"], "errorStatus": "Always500"});
    let mirror = start(&config().with("server", server), &[]).await;
    let form = "Content-Type: text/plain\r\n";
    let ours = "Host: mirror.example.com:9900\r\n";
    for accepted in [
        format!("{ours}{form}"),
        format!("{ours}Origin: https://x\r\nContent-Type: application/json\r\n"),
        ours.to_owned(),
    ] {
        let (head, _) = post(&api(&mirror), &accepted);
        assert!(
            head.starts_with("HTTP/1.1 200 ") && head.contains("x-mirror-api-key: the-key"),
            "{accepted}{head}"
        );
    }
    for (refused, status, summary, details) in [
        (
            format!("{ours}Origin: https://x\r\n{form}"),
            "HTTP/1.1 415 ",
            "wrong content type",
            "a request of a web page must be of the type application/json",
        ),
        (
            "Host: evil.example\r\nContent-Type: application/json\r\n".to_owned(),
            "HTTP/1.1 421 ",
            "wrong host",
            "this mirror does not answer for the request's host (spec.server.allowedHosts)",
        ),
    ] {
        let (head, body) = post(&api(&mirror), &refused);
        let expected =
            json!({"_type": "RemoteMirrorError", "summary": summary, "details": details});
        assert_eq!(body, expected);
        assert!(
            head.starts_with(status) && !head.contains("the-key"),
            "{head}"
        );
    }
    // Probes go by the pod's address.
    assert_eq!(ready(&mirror)["status"], "ready");
}

#[tokio::test]
async fn spans_arrive_at_an_otlp_receiver_as_children_of_the_callers() {
    let receiver = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", receiver.local_addr().unwrap());
    let received = std::thread::spawn(move || {
        let (mut stream, _) = receiver.accept().unwrap();
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let (mut head, mut line) = (String::new(), String::new());
        while reader.read_line(&mut line).unwrap() > 2 {
            head.push_str(&line.to_lowercase());
            line.clear();
        }
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "))
            .unwrap()
            .parse()
            .unwrap();
        let mut body = vec![0; length];
        reader.read_exact(&mut body).unwrap();
        stream
            .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            .unwrap();
        (head, body)
    });
    let mirror = start(&config(), &[("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint)]).await;
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    get(
        &api(&mirror),
        "/",
        &format!("traceparent: 00-{trace}-00f067aa0ba902b7-01\r\n"),
    );
    // What is queued is sent at the end.
    mirror.process().signal("TERM").unwrap();
    assert_eq!(mirror.ends().await.unwrap(), 0);
    let (head, body) = received.join().unwrap();
    assert!(
        head.starts_with("post /v1/traces ")
            && head.contains("content-type: application/x-protobuf"),
        "{head}"
    );
    let has = |bytes: &[u8]| body.windows(bytes.len()).any(|window| window == bytes);
    let trace: Vec<u8> = (0..16)
        .map(|index| u8::from_str_radix(&trace[index * 2..index * 2 + 2], 16).unwrap())
        .collect();
    assert!(has(b"prometheus-mirror") && has(b"other") && has(&trace));
}

#[tokio::test]
async fn an_otlp_receiver_that_is_not_there_hinders_nothing() {
    let receiver = [("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")];
    let mirror = start(&config(), &receiver).await;
    assert_eq!(get(&api(&mirror), "/", "").0, "HTTP/1.1 200 OK");
    mirror.process().signal("TERM").unwrap();
    mirror.logs("traces cannot be sent").await.unwrap();
    assert_eq!(mirror.ends().await.unwrap(), 0);
}

#[test]
fn a_port_in_use_is_one_line_that_names_the_address_and_the_flag() {
    let folder = tempfile::tempdir().unwrap();
    config().write(folder.path()).unwrap();
    let file = folder.path().join("mirror.yaml");
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let output = run(&[
        "serve",
        "-f",
        file.to_str().unwrap(),
        "--admin-listen",
        "127.0.0.1:0",
        "--listen",
        &address,
    ]);
    let said = format!(
        "prometheus-mirror: cannot listen on {address}: the port is in use; choose another address with --listen\n"
    );
    assert_eq!((output.status.code(), stderr(&output)), (Some(1), said));
}

#[test]
fn what_is_wrong_with_the_command_line_or_the_file_is_said_without_a_panic() {
    let unknown = run(&["serve", "--wrong"]);
    assert_eq!(unknown.status.code(), Some(2));
    assert!(
        stderr(&unknown).starts_with("error: unexpected argument '--wrong' found\n"),
        "{}",
        stderr(&unknown)
    );

    let absent = run(&["check", "-f", "/does/not/exist.yaml"]);
    assert_eq!(absent.status.code(), Some(1));
    assert!(
        stderr(&absent).contains("/does/not/exist.yaml") && stderr(&absent).lines().count() == 1,
        "{}",
        stderr(&absent)
    );

    let folder = tempfile::tempdir().unwrap();
    let nothing = MirrorConfig {
        spec: json!({}),
        ..config()
    };
    nothing.write(folder.path()).unwrap();
    let faulty = run(&[
        "check",
        "-f",
        folder.path().join("mirror.yaml").to_str().unwrap(),
    ]);
    assert_eq!(faulty.status.code(), Some(1));
    assert!(
        stderr(&faulty).contains("spec.targets") && !stderr(&faulty).contains("panicked"),
        "{}",
        stderr(&faulty)
    );
}

#[test]
fn check_summarises_a_good_manifest_and_probes_its_targets() {
    let folder = tempfile::tempdir().unwrap();
    config().write(folder.path()).unwrap();
    let file = folder.path().join("mirror.yaml");
    let fine = run(&["check", "-f", file.to_str().unwrap()]);
    let text = String::from_utf8(fine.stdout.clone()).unwrap();
    assert_eq!(fine.status.code(), Some(0), "{}", stderr(&fine));
    assert!(
        text.contains("no faults") && text.contains("cluster (default)  http://127.0.0.1:1"),
        "{text}"
    );
    let probed = run(&["check", "--probe", "-f", file.to_str().unwrap()]);
    assert_eq!(probed.status.code(), Some(1));
    assert_eq!(
        stderr(&probed),
        "prometheus-mirror: 1 server does not answer\n"
    );
}
