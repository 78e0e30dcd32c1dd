//! `~` expressions on real stores: what they evaluate to decides how they are sent, and complaints
//! are about what the user wrote.

use anyhow::{Result, ensure};
use harness::client::{Answer, Client, equals, telemetry};
use harness::remote_write;
use harness::samples::{MINUTE, START, Sample, Series};
use harness::servers::{
    Mirror, MirrorConfig, Prometheus, Reply, Upstream, VictoriaMetrics, http_client,
};
use serde_json::{Value, json};

const RANGE: (i64, i64) = (START + 5 * MINUTE, START + 15 * MINUTE);

fn stored() -> Vec<Series> {
    let mut up = Series::new("up", &[("job", "shop")]);
    up.samples = (START..START + 20 * MINUTE)
        .step_by(15_000)
        .map(|at| Sample { at, value: 3.0 })
        .collect();
    vec![up]
}

struct Stores {
    servers: Vec<(&'static str, String)>,
    _prometheus: [Prometheus; 2],
    _victoria: VictoriaMetrics,
}

async fn stores() -> Result<Stores> {
    let (two, three) = (Prometheus::start_2().await?, Prometheus::start_3().await?);
    let victoria = VictoriaMetrics::start().await?;
    let servers = vec![
        ("Prometheus 2", two.url()),
        ("Prometheus 3", three.url()),
        ("VictoriaMetrics", victoria.url()),
    ];
    for (_, url) in &servers {
        remote_write::load(url, &stored()).await?;
    }
    http_client()
        .get(format!("{}/internal/force_flush", victoria.url()))
        .send()
        .await?;
    Ok(Stores {
        servers,
        _prometheus: [two, three],
        _victoria: victoria,
    })
}

async fn ask(client: &Client, promql: &str, method: Option<(&str, i64)>) -> Result<Answer> {
    let conditions = json!([equals("~", promql)]);
    client
        .metric(&conditions, RANGE.0, RANGE.1, None, method)
        .await
}

async fn client(url: &str) -> Result<(Mirror, Client)> {
    let mirror = Mirror::start(&MirrorConfig::for_targets(&[("p", url)])).await?;
    let client = Client::new(&mirror.url());
    Ok((mirror, client))
}

#[tokio::test]
async fn a_scalar_is_aggregated_as_it_is_answered_raw() -> Result<()> {
    let stores = stores().await?;
    for (store, url) in &stores.servers {
        let (_mirror, client) = client(url).await?;
        for (promql, value) in [
            ("scalar(sum(up))", 3.0),
            ("1+1", 2.0),
            ("pi()", std::f64::consts::PI),
            ("-1", -1.0),
            ("vector(1)", 1.0),
            ("1 # a comment", 1.0),
            ("\r\n2 *\r\n# ü\r\n3\r\n", 6.0),
            ("time() > bool 3", 1.0),
            ("scalar(up{job=~\"sh.*|ü\"}) + 1", 4.0),
            ("up # vector", 3.0),
        ] {
            let raw = telemetry(&ask(&client, promql, None).await?)?;
            let expected = |text: &str| {
                text.parse()
                    .is_ok_and(|got: f64| (got - value).abs() < 1e-12)
            };
            ensure!(
                raw.points.len() == 41 && raw.points.iter().all(|(text, ..)| expected(text)),
                "{store}: {promql}: {raw:?}"
            );
            for method in ["MEAN", "MIN", "MAX", "PERCENTILE_50"] {
                let answer = ask(&client, promql, Some((method, MINUTE))).await?;
                let points = telemetry(&answer)?.points;
                ensure!(
                    points.len() == 10 && points.iter().all(|(text, ..)| expected(text)),
                    "{store}: {method} of {promql}: {}",
                    answer.body
                );
            }
        }
        let answer = ask(&client, "time()", Some(("MAX", MINUTE))).await?;
        let points = telemetry(&answer)?.points;
        for (text, start, end) in &points {
            let seconds: f64 = text.parse()?;
            ensure!(
                seconds >= *start as f64 / 1000.0 && seconds < *end as f64 / 1000.0,
                "{store}: {text} in {start}"
            );
        }
        ensure!(points.len() == 10);
    }
    Ok(())
}

#[tokio::test]
async fn what_has_no_value_at_an_instant_is_refused_in_our_words() -> Result<()> {
    let range = "a range vector has no single value per instant: wrap it in rate(…), avg_over_time(…) or another function that makes one value of a range";
    let text = "a string has no numeric value: write an expression that evaluates to numbers";
    let stores = stores().await?;
    for (store, url) in &stores.servers {
        let (_mirror, client) = client(url).await?;
        for (promql, details) in [
            ("up[5m]", range),
            ("(up[5m:1m]) # c", range),
            ("up[5m] offset 1m", range),
            ("\"up\"", text),
            ("('up')", text),
        ] {
            for method in [None, Some(("MEAN", MINUTE))] {
                let answer = ask(&client, promql, method).await?;
                let expected = json!({"_type": "RemoteMirrorError", "summary": "expression refused", "details": details});
                ensure!(
                    (answer.status, answer.json()) == (400, expected),
                    "{store}: {promql}: {}",
                    answer.body
                );
            }
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_parse_error_is_the_same_raw_and_aggregated_and_shows_nothing_of_ours() -> Result<()> {
    let stores = stores().await?;
    for (store, url) in &stores.servers {
        let (_mirror, client) = client(url).await?;
        for promql in [
            "foo(up)",
            "up{",
            "up)",
            "(up",
            "up +\n foo(up)",
            "up # c\n+ foo(x)",
            "up{job=\"ü\"} + foo(x)",
            "up offset",
            "\"up",
            "label_replace(up)",
        ] {
            let raw = ask(&client, promql, None).await?;
            ensure!(raw.status == 400, "{store}: {promql:?}: {}", raw.body);
            for method in ["MEAN", "PERCENTILE_99"] {
                let answer = ask(&client, promql, Some((method, MINUTE))).await?;
                let same = |answer: &Answer| -> Value {
                    let mut body = answer.json();
                    // VictoriaMetrics says which range was asked for.
                    let details = body["details"].as_str().unwrap_or_default().to_owned();
                    if let (Some(from), Some(to)) = (
                        details.find(" on the time range"),
                        details.find("): cannot"),
                    ) {
                        body["details"] = json!(format!("{}{}", &details[..from], &details[to..]));
                    }
                    body
                };
                ensure!(
                    answer.status == 400
                        && !answer.body.contains("_over_time")
                        && same(&answer) == same(&raw),
                    "{store}: {method} of {promql:?}: {} and {}",
                    answer.body,
                    raw.body
                );
            }
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_store_that_says_the_same_of_every_text_is_translated() -> Result<()> {
    let upstream = Upstream::start(|request| {
        if request.contains("foo") {
            let error = "invalid parameter \"query\": 1:18: parse error: unknown function";
            return Reply::Status(
                400,
                json!({"status": "error", "errorType": "bad_data", "error": error}).to_string(),
            );
        }
        Reply::samples(&[])
    })
    .await?;
    let (_mirror, client) = client(upstream.url()).await?;
    let answer = ask(&client, "1+foo(up)", Some(("MEAN", MINUTE))).await?;
    ensure!(
        answer.json()["details"]
            == "invalid parameter \"query\": 1:3: parse error: unknown function",
        "{}",
        answer.body
    );
    Ok(())
}

#[tokio::test]
async fn what_our_parser_cannot_read_is_a_scalar_if_the_store_says_so_and_costs_no_call_if_it_is_none()
-> Result<()> {
    let upstream = Upstream::start(|request| {
        // A function that no parser of ours knows; the store's own one does.
        if request.contains("brand_new") && !request.contains("vector%28brand_new") {
            let error =
                "1:15: parse error: subquery is only allowed on instant vector, got scalar instead";
            return Reply::Status(
                400,
                json!({"status": "error", "errorType": "bad_data", "error": error}).to_string(),
            );
        }
        Reply::samples(&[(RANGE.0 / 1000 + 1, "7")])
    })
    .await?;
    let (_mirror, client) = client(upstream.url()).await?;
    let answer = ask(&client, "brand_new()", Some(("MEAN", MINUTE))).await?;
    let points = telemetry(&answer)?.points;
    ensure!(points.len() == 1 && points[0].0 == "7", "{}", answer.body);
    let calls = |word: &str| {
        let requests = upstream.requests();
        requests
            .iter()
            .filter(|request| request.contains(word))
            .count()
    };
    ensure!(calls("brand_new") == 2, "{:?}", upstream.requests());
    for (promql, word) in [
        ("sum(other)", "other"),
        ("scalar(third)", "third"),
        ("future(fourth)", "fourth"),
    ] {
        ask(&client, promql, Some(("MEAN", MINUTE))).await?;
        ensure!(calls(word) == 1, "{:?}", upstream.requests());
    }
    Ok(())
}

#[tokio::test]
async fn an_expression_written_anew_is_complained_about_without_positions() -> Result<()> {
    let upstream = Upstream::start(|request| {
        if request.contains("shop_orders") {
            let error = "1:18: parse error: z";
            return Reply::Status(
                400,
                json!({"status": "error", "errorType": "bad_data", "error": error}).to_string(),
            );
        }
        Reply::samples(&[])
    })
    .await?;
    let config = MirrorConfig::for_targets(&[("p", upstream.url())]).with_target(
        "enforcedMatchers",
        json!([{"name": "team", "value": "pay"}]),
    );
    let mirror = Mirror::start(&config).await?;
    let client = Client::new(&mirror.url());
    for method in [None, Some(("MEAN", MINUTE))] {
        let answer = ask(&client, "sum(shop_orders)", method).await?;
        ensure!(
            answer.json()["details"]
                == "parse error: z (this target enforces label matchers, so the expression was rewritten: positions are left out)",
            "{}",
            answer.body
        );
    }
    Ok(())
}

#[tokio::test]
async fn the_examples_of_stackstates_documentation_are_answered() -> Result<()> {
    let instance = ("instance", "127.0.0.1:80");
    let growing = |name: &str, labels: &[(&str, &str)], per_second: f64| {
        let mut series = Series::new(name, labels);
        series.samples = (START..START + 20 * MINUTE)
            .step_by(15_000)
            .map(|at| Sample {
                at,
                value: 1e4 + (at - START) as f64 / 1000.0 * per_second,
            })
            .collect();
        series
    };
    let mut all = vec![growing(
        "go_memstats_lookups_total",
        &[("job", "shop"), instance],
        4.0,
    )];
    for (le, per_second) in [("0.1", 0.0), ("0.5", 10.0), ("+Inf", 10.0)] {
        for team in ["pay", "other"] {
            let labels = [
                instance,
                ("name", "payment-service"),
                ("le", le),
                ("team", team),
            ];
            all.push(growing(
                "request_duration_seconds_bucket",
                &labels,
                per_second,
            ));
        }
    }
    let server = Prometheus::start_2().await?;
    remote_write::load(&server.url(), &all).await?;
    let config = MirrorConfig::for_targets(&[("p", &server.url())]);
    let mirror = Mirror::start(&config).await?;
    let client = Client::new(&mirror.url());
    let counter = |more: &[Value]| {
        let mut all = vec![
            equals("__counter__", "go_memstats_lookups_total"),
            equals("job", "shop"),
            equals("instance", "127.0.0.1:80"),
        ];
        all.extend(more.iter().cloned());
        Value::Array(all)
    };
    for (method, count) in [(Some(("MEAN", MINUTE)), 10), (None, 41)] {
        let answer = client
            .metric(&counter(&[]), RANGE.0, RANGE.1, None, method)
            .await?;
        let points = telemetry(&answer)?.points;
        let is_four = |text: &str| text.parse().is_ok_and(|got: f64| (got - 4.0).abs() < 1e-9);
        ensure!(
            points.len() == count && points.iter().all(|(text, ..)| is_four(text)),
            "{}",
            answer.body
        );
        let with_name = counter(&[equals("name", "payment-service")]);
        let answer = client
            .metric(&with_name, RANGE.0, RANGE.1, None, method)
            .await?;
        let expected = json!({
            "_type": "MetricNotFoundError", "metric": "go_memstats_lookups_total",
            "details": "no series of \"go_memstats_lookups_total\" matches the conditions: name=\"payment-service\" excludes all of them (no series of this metric has the label \"name\")",
        });
        ensure!(
            (answer.status, answer.json()) == (404, expected),
            "{}",
            answer.body
        );
    }
    let enforced = config.with_target(
        "enforcedMatchers",
        json!([{"name": "team", "value": "pay"}]),
    );
    let mirror = Mirror::start(&enforced).await?;
    let client = Client::new(&mirror.url());
    let expression = "histogram_quantile(0.95, sum(rate(request_duration_seconds_bucket{instance='127.0.0.1:80', name='payment-service'}[1m])) by (name, le)) * 1000";
    let points = telemetry(&ask(&client, expression, Some(("MEAN", MINUTE))).await?)?.points;
    // 95 % of the way through the bucket from 0.1 to 0.5.
    let expected = (0.1 + 0.4 * 0.95) * 1000.0;
    ensure!(
        points.len() == 10
            && points.iter().all(|(text, ..)| text
                .parse()
                .is_ok_and(|got: f64| (got - expected).abs() < 1e-6)),
        "{points:?}"
    );
    Ok(())
}
