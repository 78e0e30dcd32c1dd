//! Replicas with gaps, against one server that has everything: two real Prometheus that lack
//! different samples answer as the one does, wherever one of them has all of what counts.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};
use harness::client::{Client, telemetry};
use harness::oracle::{Kind, METHODS, Question};
use harness::samples::{self, HOUR, MINUTE, START, Series};
use harness::servers::{Mirror, MirrorConfig, Prometheus};
use harness::{client, remote_write};
use serde_json::json;

use crate::ground_truth::subjects;

/// When the first replica was down, and when the second was.
const OUTAGES: [(i64, i64); 2] = [
    (START + HOUR + 3 * MINUTE, START + 2 * HOUR + 33 * MINUTE),
    (
        START + 3 * HOUR + 3 * MINUTE,
        START + 4 * HOUR + 33 * MINUTE,
    ),
];

/// No query looks back farther from the begin of a bucket: Prometheus takes a sample for the value
/// of five minutes.
const LOOK_BACK: i64 = 6 * MINUTE;

const WIDTHS: [i64; 3] = [7_000, MINUTE, 15 * MINUTE];

/// The samples without those from one instant on up to another.
fn without((from, to): (i64, i64), mut all: Vec<Series>) -> Vec<Series> {
    let is_there = |at: i64| at < from || at >= to;
    for series in &mut all {
        series.samples.retain(|sample| is_there(sample.at));
        series.histograms.retain(|(at, _)| is_there(*at));
        series.stale_at.retain(|at| is_there(*at));
    }
    all
}

/// The same at another instant: the clock is so much ahead.
fn shifted(by: i64, mut all: Vec<Series>) -> Vec<Series> {
    for series in &mut all {
        series.samples.iter_mut().for_each(|sample| sample.at += by);
        series.histograms.iter_mut().for_each(|(at, _)| *at += by);
        series.stale_at.iter_mut().for_each(|at| *at += by);
    }
    all
}

async fn prometheus(samples: &[Series]) -> Result<Prometheus> {
    let server = Prometheus::start_3().await?;
    if !samples.is_empty() {
        remote_write::load(&server.url(), samples).await?;
    }
    Ok(server)
}

/// A target of these replicas.
fn target(name: &str, replicas: &[&Prometheus]) -> serde_json::Value {
    let replicas: Vec<_> = replicas
        .iter()
        .map(|server| json!({"url": server.url()}))
        .collect();
    json!({"name": name, "replicas": replicas, "scrapeInterval": "15s", "requestTimeout": "30s"})
}

async fn mirror(targets: &[serde_json::Value]) -> Result<Mirror> {
    let config = MirrorConfig::for_targets(&[]).with("targets", json!(targets));
    let config = config.with("defaultTarget", targets[0]["name"].clone());
    Mirror::start(&config).await
}

/// The points by the begin of their buckets, or the error.
type Points = Result<BTreeMap<i64, (String, i64)>, String>;

async fn points(client: &Client, question: &Question) -> Result<Points> {
    let answer = client.ask(question, None).await?;
    if answer.status != 200 {
        // All but the names of the targets.
        return Ok(Err(format!("{} {}", answer.status, answer.json()["_type"])));
    }
    let points = telemetry(&answer)?.points.into_iter();
    Ok(Ok(points
        .map(|(value, start, end)| (start, (value, end)))
        .collect()))
}

/// Every question of the ground truth, raw and with each method, over all of the outages.
fn questions() -> Vec<Question> {
    let mut questions = Vec::new();
    for subject in subjects() {
        let raw = [None].into_iter();
        let widths = |method| WIDTHS.map(|width| Some((method, width)));
        for aggregation in raw.chain(METHODS.into_iter().flat_map(widths)) {
            let (start, end) = match aggregation {
                // A sample every 0.3 s is raw, and more than an answer has room for.
                None => (OUTAGES[0].1 - 20 * MINUTE, OUTAGES[0].1 + 20 * MINUTE),
                Some((_, 7_000)) => (OUTAGES[0].1 - 40 * MINUTE, OUTAGES[0].1 + 20 * MINUTE),
                Some(_) => (START + 12_345, START + 5 * HOUR + 50 * MINUTE),
            };
            questions.push(Question {
                kind: subject.kind.clone(),
                conditions: subject.conditions.clone(),
                start,
                end,
                aggregation,
            });
        }
    }
    questions
}

/// Whether one of the replicas alone decides what a bucket must be: the first has all of it, or
/// nothing while the second has all.
fn is_decided(start: i64, end: i64) -> bool {
    let from = start - LOOK_BACK;
    let overlaps = |(down, up): (i64, i64)| from < up && end > down;
    let (down, up) = OUTAGES[0];
    !overlaps(OUTAGES[0]) || from >= down && end <= up
}

fn compare(question: &Question, whole: &Points, pair: &Points, exact: bool) -> Result<usize> {
    let (whole, pair) = match (whole, pair) {
        (Ok(whole), Ok(pair)) => (whole, pair),
        (whole, pair) => {
            let [whole, pair] = [whole, pair].map(|points| points.as_ref().err());
            ensure!(whole == pair, "{whole:?} and {pair:?}");
            return Ok(0);
        }
    };
    // Samples are filled one by one.
    let is_expression = matches!(question.kind, Kind::PromQl(_));
    let exact = exact || question.aggregation.is_none() && !is_expression;
    let decided = |at: i64, end: i64| exact || is_decided(at, end);
    let mut missing = whole.iter().filter(|(at, (_, end))| decided(**at, *end));
    let missing = missing.find(|(at, _)| !pair.contains_key(at));
    ensure!(missing.is_none(), "{missing:?} is missing");
    let mut compared = 0;
    for (at, (value, end)) in pair {
        let (expected, _) = whole.get(at).with_context(|| format!("{at} is too much"))?;
        if decided(*at, *end) {
            compared += 1;
            let [one, other] = [value, expected].map(|text| text.parse::<f64>());
            let (one, other) = (one?, other?);
            let near = (one - other).abs() <= 1e-9 * one.abs().max(other.abs());
            ensure!(near, "{at}: {value} and not {expected}");
        }
    }
    Ok(compared)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicas_with_gaps_answer_as_one_server_with_everything() -> Result<()> {
    let all = samples::everything();
    let whole = prometheus(&all).await?;
    let first = prometheus(&without(OUTAGES[0], all.clone())).await?;
    let second = prometheus(&without(OUTAGES[1], all.clone())).await?;
    let empty = prometheus(&[]).await?;
    let mirror = mirror(&[
        target("whole", &[&whole]),
        target("pair", &[&first, &second]),
        target("empty-first", &[&empty, &whole]),
    ])
    .await?;
    let client = |name| Client::new(&mirror.url()).of_target(name);
    let [one, pair, empty_first] = ["whole", "pair", "empty-first"].map(client);
    let (mut compared, mut failed) = (0, Vec::new());
    for question in questions() {
        let expected = points(&one, &question).await?;
        for (client, exact) in [(&pair, false), (&empty_first, true)] {
            let found = points(client, &question).await?;
            match compare(&question, &expected, &found, exact) {
                Ok(count) => compared += count,
                Err(error) => failed.push(format!("{question:?}, empty: {exact}: {error:#}")),
            }
        }
    }
    println!("{compared} points compared");
    ensure!(compared > 50_000, "only {compared} points were compared");
    let count = failed.len();
    failed.truncate(20);
    ensure!(failed.is_empty(), "{count} differ:\n{}", failed.join("\n"));
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_scrape_counts_twice_where_clocks_differ() -> Result<()> {
    let all = samples::gauges();
    let first = prometheus(&without(OUTAGES[0], all.clone())).await?;
    let ahead = shifted(1_700, without(OUTAGES[1], all.clone()));
    let second = prometheus(&ahead).await?;
    let mirror = mirror(&[target("pair", &[&first, &second])]).await?;
    let client = Client::new(&mirror.url());
    let conditions = json!([client::equals("__gauge__", "room_temperature"),]);
    let answer = client
        .metric(&conditions, START, START + 6 * HOUR, None, None)
        .await?;
    let found: Vec<i64> = telemetry(&answer)?
        .points
        .iter()
        .map(|point| point.1)
        .collect();
    let series = all.iter().find(|one| one.name() == "room_temperature");
    let stored: Vec<i64> = series.context("a series")?.instants().collect();
    let (down, up) = OUTAGES[0];
    let expected: Vec<i64> = stored
        .into_iter()
        .map(|at| match (down..up).contains(&at) {
            true => at + 1_700,
            false => at,
        })
        .filter(|at| (START..=START + 6 * HOUR).contains(at))
        .collect();
    ensure!(
        found == expected,
        "{} points, {} expected",
        found.len(),
        expected.len()
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_poll_fails_while_replicas_die_hang_and_come_back() -> Result<()> {
    let all = samples::gauges();
    let (first, second) = (prometheus(&all).await?, prometheus(&all).await?);
    let mut target = target("pair", &[&first, &second]);
    target["requestTimeout"] = json!("6s");
    let mirror = mirror(&[target]).await?;
    let client = Client::new(&mirror.url());
    let conditions = json!([client::equals("__gauge__", "room_temperature")]);
    let ask = async || {
        let aggregation = Some(("MEAN", MINUTE));
        let (start, end) = (START + HOUR, START + 3 * HOUR);
        client
            .metric(&conditions, start, end, None, aggregation)
            .await
    };
    let expected = ask().await?.body;
    for (server, signal) in [
        (&first, "STOP"),
        (&first, "CONT"),
        (&second, "STOP"),
        (&second, "CONT"),
        (&first, "KILL"),
    ] {
        let polls = async {
            for _ in 0..4 {
                let answer = ask().await?;
                ensure!(answer.status == 200, "{signal}: {}", answer.body);
                ensure!(answer.body == expected, "{signal}: another answer");
            }
            Ok(())
        };
        let happens = async { server.process().signal(signal) };
        let (polled, happened) = tokio::join!(polls, happens);
        happened?;
        polled?;
    }
    let port = first.port();
    drop(first);
    // Another one is in its place and has nothing.
    let _back = Prometheus::start_3_on(port).await?;
    ensure!(
        ask().await?.body == expected,
        "the one that came back empty was asked"
    );
    Ok(())
}
