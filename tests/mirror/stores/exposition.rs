//! What a scraper gets of `/metrics` after stores of every behaviour were asked everything: text
//! that strict parsers take, and not too much of it.

// Helpers outside the test functions unwrap too.
#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use harness::client::{Client, any_of, equals};
use harness::samples::START;
use harness::servers::{Mirror, MirrorConfig, Reply, Upstream, program};
use serde_json::{Value, json};
use tokio::task::JoinSet;

/// As many targets as a document may have.
const TARGETS: usize = 64;
/// As many lines as the agent of SUSE Observability reads.
const MOST_LINES: usize = 2000;
/// Nothing ever listens there.
const DEAD: &str = "http://127.0.0.1:1";
const MINUTE: i64 = 60_000;

/// How stores behave, and what the mirror counts for a target of that kind at least.
const BEHAVIOURS: [(&str, &[&str]); 10] = [
    ("answers", &["ok"]),
    ("rejects", &["rejected"]),
    ("locked", &["credentials_refused"]),
    ("page", &["unreachable"]),
    ("broken", &["unreachable"]),
    ("silent", &["timeout"]),
    ("huge", &["too_large"]),
    ("throttles", &["throttled"]),
    ("getonly", &["ok", "too_long"]),
    ("dead", &["unreachable"]),
];

/// A store for all targets: the first part of the path says how it behaves.
async fn stores() -> Result<Upstream> {
    Upstream::start(|request| {
        let path = request.split(' ').nth(1).unwrap_or_default();
        let behaviour = path.split('/').nth(1).unwrap_or_default();
        let json = |body: Value| Reply::Json(body.to_string());
        let bytes = |head: &str, body: &str| {
            Reply::Bytes(format!("HTTP/1.1 {head}\r\nconnection: close\r\n\r\n{body}").into())
        };
        match behaviour {
            "rejects" => Reply::Status(
                400,
                json!({"status": "error", "errorType": "bad_data", "error": "target=\"x\"\n} 1"})
                    .to_string(),
            ),
            "locked" => Reply::Status(401, String::new()),
            "page" => bytes("200 OK\r\ncontent-type: text/html", "<html><title>Sign in</title>"),
            "broken" => bytes("200 OK\r\ncontent-length: 100", "{"),
            "silent" => Reply::Hang(Vec::new()),
            "huge" => bytes("200 OK\r\ncontent-length: 4000000000", "{"),
            "throttles" => bytes("429 Too Many Requests\r\nretry-after: 1", "slow down"),
            "getonly" if request.starts_with("POST") => Reply::Status(405, String::new()),
            _ if path.contains("/query") => {
                let series = json!({"metric": {"__name__": "x", "target": "t"}, "values": [[START / 1000, "1"]]});
                json(json!({"status": "success", "data": {"resultType": "matrix", "result": [series]}}))
            }
            _ if path.contains("/metadata") => json(json!({"status": "success", "data": {}})),
            _ if path.contains("/series") => {
                json(json!({"status": "success", "data": [{"__name__": "x"}]}))
            }
            _ => json(json!({"status": "success", "data": ["x"]})),
        }
    })
    .await
}

/// Names at the edges of what is allowed, then plain ones.
fn names() -> Vec<String> {
    let odd = [
        "a",
        "a-1",
        "0",
        "1e3",
        "nan",
        "inf",
        "true",
        "le",
        "undeclared",
        "eof",
    ];
    let longest = [
        "x".repeat(63),
        format!("{}-{}", "0".repeat(31), "9".repeat(31)),
    ];
    let odd = odd.map(str::to_owned).into_iter().chain(longest);
    odd.chain((0..TARGETS).map(|index| format!("target-{index}")))
        .take(TARGETS)
        .collect()
}

fn behaviour(index: usize) -> &'static str {
    BEHAVIOURS[index % BEHAVIOURS.len()].0
}

/// Each target with a tenant's header; every third with enforced matchers, on labels that the
/// exposition has too.
fn config(stores: &Upstream, undeclared: &Upstream) -> MirrorConfig {
    let targets = names().into_iter().enumerate().map(|(index, name)| {
        let url = match behaviour(index) {
            "dead" => DEAD.to_owned(),
            behaves => format!("{}/{behaves}/{index}", stores.url()),
        };
        // Only where it is waited for: the others have time on a busy machine, too.
        let timeout = match behaviour(index) {
            "silent" | "throttles" => "250ms",
            _ => "15s",
        };
        let mut target = json!({
            "name": name,
            "url": url,
            "requestTimeout": timeout,
            "headers": {"X-Scope-OrgID": format!("tenant-{index}|target=\"b\"")},
        });
        if index % 3 == 0 {
            target["enforcedMatchers"] =
                json!([{"name": "target", "value": "c"}, {"name": "le", "value": "d\"\\"}]);
        }
        target
    });
    let targets: Vec<Value> = targets.collect();
    let port: u16 = undeclared
        .url()
        .rsplit(':')
        .next()
        .unwrap()
        .parse()
        .unwrap();
    MirrorConfig::for_targets(&[])
        .with("targets", json!(targets))
        .with("defaultTarget", json!("a"))
        .with(
            "requestTargets",
            json!({"hosts": ["127.0.0.1"], "ports": [port]}),
        )
        .with("server", json!({"requireApiKey": true}))
}

/// Every method of the API, each with a few requests, for the store that `connection` means.
fn requests(connection: &Value) -> Vec<(&'static str, Value)> {
    let field_names = {
        let query = json!({
            "_type": "FieldNamesQuery", "conditions": [], "startTime": START, "endTime": START + MINUTE,
        });
        json!({"_type": "FieldNamesRequest", "connectionDetails": connection, "query": query})
    };
    let values = |field: &str, conditions: Value| {
        let query = json!({
            "_type": "FieldValuesQuery", "field": field, "conditions": conditions,
            "startTime": START, "endTime": START + MINUTE,
        });
        json!({"_type": "FieldValuesRequest", "connectionDetails": connection, "query": query})
    };
    let metric = |conditions: Value, method: Option<&str>| {
        let mut query = json!({
            "_type": "MetricsQuery", "conditions": conditions,
            "startTime": START, "endTime": START + MINUTE,
        });
        if let Some(method) = method {
            query["aggregation"] =
                json!({"_type": "Aggregation", "method": method, "bucketSizeMillis": MINUTE});
        }
        json!({"_type": "MetricsRequest", "connectionDetails": connection, "query": query})
    };
    // More than fits into a URL.
    let pods: Vec<String> = (0..400).map(|index| format!("pod-{index:030}")).collect();
    let pods: Vec<&str> = pods.iter().map(String::as_str).collect();
    let long = json!([equals("__gauge__", "x"), any_of("pod", &pods)]);
    let of = |kind: &str| json!([equals(kind, "x")]);
    vec![
        (
            "/api/connection",
            json!({"_type": "TestConnectionRequest", "connectionDetails": connection}),
        ),
        ("/api/field/name", field_names),
        ("/api/field/value", values("__counter__", json!([]))),
        ("/api/field/value", values("job", of("__gauge__"))),
        ("/api/metric", metric(of("__gauge__"), None)),
        ("/api/metric", metric(of("__counter__"), Some("SUM"))),
        (
            "/api/metric",
            metric(of("__histogram__"), Some("PERCENTILE_95")),
        ),
        ("/api/metric", metric(of("~"), Some("MEAN"))),
        ("/api/metric", metric(long, None)),
        ("/api/metric", metric(json!([]), None)),
        ("/api/metric", metric(of("__gauge__"), Some("MEDIAN"))),
        ("/api/explain", metric(of("__gauge__"), Some("MAX"))),
        ("/api/metric", json!({})),
        ("/api/other\"}", json!({})),
    ]
}

/// Asks every target everything, the targets at the same time, and a store that no document
/// declares.
async fn drive(undeclared: &Upstream, client: &Client) -> Result<()> {
    let named = names().into_iter().map(|name| json!({"target": name}));
    let undeclared = json!({"url": format!("{}/answers", undeclared.url())});
    let mut clients = JoinSet::new();
    for connection in named.chain([undeclared]) {
        let client = client.clone();
        clients.spawn(async move {
            for (path, request) in requests(&connection) {
                client.post(path, &request).await?;
            }
            anyhow::Ok(())
        });
    }
    while let Some(ended) = clients.join_next().await {
        ended??;
    }
    Ok(())
}

/// A client with the key.
fn client(mirror: &Mirror) -> Result<Client> {
    let _ = harness::servers::http_client();
    let headers = std::iter::once((
        "x-mirror-api-key".parse()?,
        reqwest::header::HeaderValue::from_static("test-key"),
    ));
    let http = reqwest::Client::builder()
        .no_proxy()
        .timeout(Duration::from_secs(20))
        .default_headers(headers.collect());
    Ok(Client::with_http(&mirror.url(), http.build()?))
}

async fn scrape(mirror: &Mirror, client: &Client, accept: &str) -> Result<String> {
    let request = client.http().0.get(format!("{}/metrics", mirror.admin().0));
    let answer = client.send(request.header("accept", accept)).await?;
    let kind = answer.header("content-type").unwrap_or_default();
    ensure!(answer.status == 200 && kind.starts_with(accept), "{kind}");
    Ok(answer.body)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_64_targets_of_every_kind_expose_is_strictly_right_and_fits_an_agent() -> Result<()> {
    // Apart, as some of the targets enforce matchers.
    let (stores, undeclared) = (stores().await?, self::stores().await?);
    let mirror = Mirror::start(&config(&stores, &undeclared)).await?;
    let client = client(&mirror)?;
    drive(&undeclared, &client).await?;
    let without_key = Client::new(&mirror.url());
    assert_eq!(
        without_key.post("/api/metric", &json!({})).await?.status,
        401
    );

    let text = scrape(&mirror, &client, "text/plain").await?;
    let open_metrics = scrape(&mirror, &client, "application/openmetrics-text").await?;
    promtool(&text)?;
    let exposed = parse(&text, Form::Text)?;
    let also = parse(&open_metrics, Form::OpenMetrics)?;
    let names = |exposed: &Exposed| exposed.keys().cloned().collect::<BTreeSet<_>>();
    assert_eq!(
        names(&exposed),
        names(&also),
        "both forms have the same series"
    );
    for body in [&text, &open_metrics] {
        let lines = body.lines().count();
        assert!(lines < MOST_LINES, "{lines} lines");
    }

    let seen = |metric: &str, label: (&str, &str), of: &str| -> BTreeSet<String> {
        let series = exposed.keys().filter(|series| series.name == metric);
        let series =
            series.filter(|series| series.labels.get(label.0).is_some_and(|l| l == label.1));
        series
            .filter_map(|series| series.labels.get(of).cloned())
            .collect()
    };
    let mut targets: Vec<(String, &[&str])> = self::names()
        .into_iter()
        .enumerate()
        .map(|(index, name)| (name, BEHAVIOURS[index % BEHAVIOURS.len()].1))
        .collect();
    targets.push(("(undeclared)".to_owned(), &["ok"]));
    for (name, expected) in targets {
        let outcomes = seen(
            "prometheus_mirror_upstream_requests_total",
            ("target", &name),
            "outcome",
        );
        for outcome in expected {
            assert!(
                outcomes.contains(*outcome),
                "{name}: {outcomes:?}, not {outcome}"
            );
        }
    }
    let mut answers = BTreeSet::new();
    for method in [
        "connection",
        "field_name",
        "field_value",
        "metric",
        "explain",
        "other",
    ] {
        let of_method = seen(
            "prometheus_mirror_requests_total",
            ("method", method),
            "outcome",
        );
        assert!(!of_method.is_empty(), "no request of {method}");
        answers.extend(of_method);
    }
    let every = [
        "bad_request",
        "busy",
        "connection_error",
        "no_such_method",
        "not_found",
        "ok",
        "timeout",
        "unauthorized",
        "unsupported",
    ];
    assert_eq!(answers, every.map(str::to_owned).into());
    Ok(())
}

/// Prometheus' own linter has nothing to say.
fn promtool(text: &str) -> Result<()> {
    let mut promtool = Command::new(program("promtool", "prometheus")?)
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let mut input = promtool.stdin.take().context("no standard input")?;
    input.write_all(text.as_bytes())?;
    drop(input);
    let output = promtool.wait_with_output()?;
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    ensure!(
        output.status.success() && said.is_empty(),
        "promtool: {said}"
    );
    Ok(())
}

// ---------------------------------------------------------------- a parser that forgives nothing

#[derive(Clone, Copy, PartialEq)]
enum Form {
    Text,
    OpenMetrics,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct SeriesName {
    name: String,
    labels: BTreeMap<String, String>,
}

type Exposed = BTreeMap<SeriesName, f64>;

/// A family: what was said about it, and what was seen of it.
#[derive(Debug, Default)]
struct FamilyHead {
    name: String,
    kind: Option<String>,
    said: BTreeSet<String>,
}

impl FamilyHead {
    /// Whether a sample of that name may stand below this head.
    fn has(&self, sample: &str, form: Form) -> bool {
        let suffixes: &[&str] = match (self.kind.as_deref(), form) {
            (Some("counter"), Form::OpenMetrics) => &["_total"],
            (Some("info"), Form::OpenMetrics) => &["_info"],
            (Some("histogram"), _) => &["_bucket", "_sum", "_count"],
            (Some("gauge"), _) | (Some("counter"), Form::Text) => &[""],
            _ => &[],
        };
        suffixes
            .iter()
            .any(|suffix| sample.strip_suffix(suffix) == Some(&self.name))
    }
}

/// Reads an exposition.
///
/// # Errors
/// At the first line that is not as the form wants it, a label, series or family that is there
/// twice, a sample of another family than that above it, and a histogram whose buckets are not
/// sums.
fn parse(text: &str, form: Form) -> Result<Exposed> {
    ensure!(text.ends_with('\n'), "the last line has no end");
    let body = match form {
        Form::OpenMetrics => text
            .strip_suffix("# EOF\n")
            .context("no # EOF at the end")?,
        Form::Text => text,
    };
    let (mut exposed, mut families, mut family) =
        (Exposed::new(), BTreeSet::new(), FamilyHead::default());
    for line in body.lines() {
        let read = match line.strip_prefix("# ") {
            Some(comment) => read_comment(comment, form, &mut families, &mut family),
            None => read_sample(line).and_then(|(series, value)| {
                ensure!(
                    family.has(&series.name, form),
                    "it is not of {}",
                    family.name
                );
                ensure!(exposed.insert(series, value).is_none(), "it is there twice");
                Ok(())
            }),
        };
        read.with_context(|| format!("in the line {line:?}"))?;
    }
    histograms_add_up(&exposed)?;
    Ok(exposed)
}

fn read_comment(
    comment: &str,
    form: Form,
    families: &mut BTreeSet<String>,
    family: &mut FamilyHead,
) -> Result<()> {
    let mut words = comment.splitn(3, ' ');
    let (Some(what), Some(name), Some(rest)) = (words.next(), words.next(), words.next()) else {
        bail!("not three words")
    };
    ensure!(is_name(name, true), "{name:?} is no name");
    if family.name != name {
        ensure!(
            families.insert(name.to_owned()),
            "the family is there twice"
        );
        *family = FamilyHead {
            name: name.to_owned(),
            ..FamilyHead::default()
        };
    }
    ensure!(family.said.insert(what.to_owned()), "it is said twice");
    match (what, form) {
        ("HELP", _) => {}
        ("TYPE", _) => family.kind = Some(rest.to_owned()),
        ("UNIT", Form::OpenMetrics) => {
            ensure!(name.ends_with(&format!("_{rest}")), "the name has no unit");
        }
        _ => bail!("an unknown comment"),
    }
    Ok(())
}

fn is_name(name: &str, of_metric: bool) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '_' || (of_metric && c == ':');
    name.chars().all(fits) && !name.starts_with(|c: char| c.is_ascii_digit()) && !name.is_empty()
}

/// `name{label="value",…} number`, without a timestamp.
fn read_sample(line: &str) -> Result<(SeriesName, f64)> {
    let end = line.find(['{', ' ']).context("no value")?;
    let (name, mut rest) = line.split_at(end);
    ensure!(is_name(name, true), "{name:?} is no name");
    let mut labels = BTreeMap::new();
    if let Some(mut inside) = rest.strip_prefix('{') {
        rest = loop {
            let (label, after) = inside.split_once("=\"").context("no label")?;
            ensure!(is_name(label, false), "{label:?} is no label");
            let (value, after) = unquoted(after)?;
            ensure!(
                labels.insert(label.to_owned(), value).is_none(),
                "the label {label} is there twice"
            );
            match after.strip_prefix(',') {
                Some(more) => inside = more,
                None => break after.strip_prefix('}').context("no end of the labels")?,
            }
        };
    }
    let number = rest.strip_prefix(' ').context("no value")?;
    let name = name.to_owned();
    Ok((SeriesName { name, labels }, number.parse()?))
}

/// A label's value up to its quotation mark, and what comes after that.
fn unquoted(text: &str) -> Result<(String, &str)> {
    let (mut value, mut characters) = (String::new(), text.char_indices());
    while let Some((at, c)) = characters.next() {
        match c {
            '"' => return Ok((value, &text[at + 1..])),
            '\\' => match characters.next() {
                Some((_, 'n')) => value.push('\n'),
                Some((_, c @ ('"' | '\\'))) => value.push(c),
                other => bail!("an unknown escape {other:?}"),
            },
            c => value.push(c),
        }
    }
    bail!("a value without an end")
}

/// Each bucket holds those below it, and the last is the count.
fn histograms_add_up(exposed: &Exposed) -> Result<()> {
    let mut histograms: BTreeMap<SeriesName, Vec<(f64, f64)>> = BTreeMap::new();
    for (series, &value) in exposed {
        if let Some(name) = series.name.strip_suffix("_bucket") {
            let mut labels = series.labels.clone();
            let le = labels
                .remove("le")
                .context("a bucket without le")?
                .parse()?;
            let name = format!("{name}_count");
            histograms
                .entry(SeriesName { name, labels })
                .or_default()
                .push((le, value));
        }
    }
    ensure!(!histograms.is_empty(), "no histograms");
    for (count, mut buckets) in histograms {
        buckets.sort_by(|one, other| one.0.total_cmp(&other.0));
        let sums = buckets.is_sorted_by(|lower, upper| lower.1 <= upper.1);
        let last = buckets.last().copied();
        let all = exposed.get(&count).map(|&value| (f64::INFINITY, value));
        ensure!(sums && last == all, "{count:?}: {buckets:?}");
    }
    Ok(())
}

#[test]
fn the_strict_parser_refuses_what_others_let_pass() {
    let head = "# HELP a_seconds A.\n# TYPE a_seconds gauge\n";
    let right = format!("{head}a_seconds{{b=\"1\",c=\"\\\"\"}} 1\na_seconds{{b=\"2\"}} 2\n");
    assert_eq!(parse_gauges(&right).unwrap(), 2);
    let table = [
        (
            "a_seconds{b=\"1\",b=\"2\"} 1\n",
            "the label b is there twice",
        ),
        (
            "a_seconds{b=\"1\"} 1\na_seconds{b=\"1\"} 2\n",
            "it is there twice",
        ),
        (
            "a_seconds{c=\"1\",b=\"1\"} 1\na_seconds{b=\"1\",c=\"1\"} 2\n",
            "it is there twice",
        ),
        ("# TYPE a_seconds gauge\n", "it is said twice"),
        (
            "# HELP b B.\n# TYPE b gauge\nb 1\n# HELP a_seconds A.\n",
            "the family is there twice",
        ),
        ("b 1\n", "it is not of a_seconds"),
        ("a_seconds{b=\"1} 1\n", "a value without an end"),
        ("a_seconds{b=\"\\x\"} 1\n", "an unknown escape"),
        ("a_seconds one\n", "invalid float literal"),
        ("a_seconds 1", "the last line has no end"),
        ("\n", "no value"),
    ];
    for (wrong, expected) in table {
        let error = format!("{:#}", parse_gauges(&format!("{head}{wrong}")).unwrap_err());
        assert!(error.contains(expected), "{wrong:?}: {error}");
    }
}

/// How many series there are, where there is no histogram.
fn parse_gauges(text: &str) -> Result<usize> {
    let histogram =
        "# HELP h H.\n# TYPE h histogram\nh_bucket{le=\"+Inf\"} 0\nh_sum 0\nh_count 0\n";
    Ok(parse(&format!("{histogram}{text}"), Form::Text)?.len() - 3)
}
