//! The log of requests (`spec.logging.requests`), line by line as it is written.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use harness::client::{Client, equals};
use harness::samples::START;
use harness::servers::{Launch, Mirror, MirrorConfig, Reply, Upstream, eventually};
use serde_json::{Value, json};

async fn store() -> Result<Upstream> {
    Upstream::always(Reply::samples(&[(START / 1000, "1")])).await
}

/// A mirror that logs these requests.
fn logging(store: &Upstream, requests: Value) -> MirrorConfig {
    let logging = json!({"requests": requests});
    MirrorConfig::for_targets(&[("store", store.url())]).with("logging", logging)
}

async fn start(config: &MirrorConfig) -> Result<Mirror> {
    let launch = Launch {
        arguments: &["--log-format", "json"],
        ..Launch::default()
    };
    Mirror::launch(config, &launch).await
}

/// What a line about a request has.
const OURS: &str = "\"target\":\"requests\"";

/// The lines about requests, without what differs from run to run.
fn lines(mirror: &Mirror) -> Result<Vec<Value>> {
    let log = mirror.process().whole_log();
    let about_requests = log.lines().filter(|line| line.contains(OURS));
    let parsed = about_requests.map(|line| {
        let mut line: Value = serde_json::from_str(line).with_context(|| line.to_owned())?;
        let fields = line.as_object_mut().context("no object")?;
        ensure!(fields.remove("timestamp").is_some());
        ensure!(fields.remove("duration_ms").is_some_and(|ms| ms.is_u64()));
        let span = fields["span"].as_object_mut().context("no span")?;
        ensure!(span.remove("id").is_some());
        Ok(line)
    });
    parsed.collect()
}

/// The lines when there are so many.
async fn lines_come(mirror: &Mirror, count: usize) -> Result<Vec<Value>> {
    eventually("the lines", || async {
        let lines = lines(mirror)?;
        Ok((lines.len() >= count).then_some(lines))
    })
    .await
}

async fn ask(mirror: &Mirror, condition: Value) -> Result<usize> {
    let client = Client::new(&mirror.url());
    let conditions = json!([condition, equals("job", "a\nb")]);
    let answer = client
        .metric(&conditions, START, START + 1_000, None, None)
        .await?;
    Ok(answer.body.to_string().len())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_request_has_a_line_with_its_query_and_its_outcome() -> Result<()> {
    let store = store().await?;
    let all = json!({"samplePercent": 100, "slow": "10m"});
    let mirror = start(&logging(&store, all)).await?;
    ask(&mirror, equals("__gauge__", "scripted")).await?;
    ask(&mirror, equals("nothing", "x")).await?;
    let mut lines = lines_come(&mirror, 2).await?;
    let bytes = |line: &mut Value| line.as_object_mut().and_then(|line| line.remove("bytes"));
    ensure!(bytes(&mut lines[0]).is_some_and(|bytes| bytes.as_u64() > Some(50)));
    ensure!(bytes(&mut lines[1]).is_some_and(|bytes| bytes.as_u64() > Some(50)));
    let span = json!({
        "method": "metric",
        "name": "request",
        "otel.kind": "server",
        "otel.name": "metric",
    });
    let expected = json!([
        {
            "level": "INFO",
            "message": "request",
            "outcome": "ok",
            "status": 200,
            "client": "127.0.0.1",
            "target_name": "store",
            "kind": "__gauge__",
            "metric": "scripted",
            "promql": "scripted{job=\"a\\nb\"}",
            "calls": 1,
            "samples": 1,
            "points": 1,
            "target": "requests",
            "span": span.clone(),
        },
        {
            "level": "INFO",
            "message": "request",
            "outcome": "not_found",
            "status": 404,
            "client": "127.0.0.1",
            "calls": 0,
            "samples": 0,
            "target": "requests",
            "span": span,
        },
    ]);
    assert_eq!(Value::from(lines), expected);
    ensure!(
        !mirror.process().whole_log().contains("test-key"),
        "the key"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_that_its_client_gives_up_is_in_the_log_of_slow_ones() -> Result<()> {
    let late = Reply::samples(&[(START / 1000, "1")]);
    let Reply::Json(late) = late else {
        unreachable!("samples are JSON")
    };
    let store = Upstream::always(Reply::Late(Duration::from_secs(30), late)).await?;
    let mirror = start(&logging(&store, json!({"slow": "100ms"}))).await?;
    let asked = ask(&mirror, equals("__gauge__", "scripted"));
    let given_up = tokio::time::timeout(Duration::from_secs(1), asked).await;
    ensure!(given_up.is_err());
    let lines = lines_come(&mirror, 1).await?;
    let line = &lines[0];
    let told = ["level", "message", "outcome", "status", "promql"].map(|field| &line[field]);
    let expected = json!([
        "WARN",
        "slow request",
        "abandoned",
        null,
        "scripted{job=\"a\\nb\"}"
    ]);
    assert_eq!(json!(told), expected, "{line}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_document_without_the_field_logs_no_request() -> Result<()> {
    let store = store().await?;
    let mirror = start(&MirrorConfig::for_targets(&[("store", store.url())])).await?;
    ask(&mirror, equals("__gauge__", "scripted")).await?;
    ensure!(!mirror.process().whole_log().contains(OURS));
    // Taken over without a restart.
    mirror.reconfigure(&logging(&store, json!({"samplePercent": 100})))?;
    mirror.logs("configuration taken over").await?;
    ask(&mirror, equals("__gauge__", "scripted")).await?;
    let lines = lines_come(&mirror, 1).await?;
    ensure!(lines.len() == 1, "{lines:?}");
    Ok(())
}
