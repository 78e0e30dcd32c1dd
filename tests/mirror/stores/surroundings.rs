//! What lies around a query and must not change it: the time zone of the machine, and labels that a
//! store adds by itself.

use anyhow::{Result, ensure};
use harness::client::{Client, equals, telemetry};
use harness::remote_write;
use harness::samples::{Sample, Series};
use harness::servers::{
    Mirror, MirrorConfig, Prometheus, Reply, Upstream, eventually, mirror_binary,
};
use serde_json::json;
use std::os::unix::fs::PermissionsExt as _;
use std::time::{SystemTime, UNIX_EPOCH};

const HOUR: i64 = 3_600_000;
const DAY: i64 = 24 * HOUR;
/// 2026-03-28 and 2026-10-24, midnight UTC: in Berlin, the day after has 23 hours, and 25.
const SPRING: i64 = 1_774_656_000_000;
const AUTUMN: i64 = 1_792_800_000_000;

#[tokio::test]
async fn days_are_those_of_utc_whatever_the_time_zone() -> Result<()> {
    let server = Prometheus::start_2().await?;
    for start in [SPRING, AUTUMN] {
        ensure!(start % DAY == 0);
        let mut series = Series::new("hours", &[]);
        series.samples = (start..start + 3 * DAY)
            .step_by(usize::try_from(HOUR)?)
            .map(|at| Sample {
                at,
                value: (at / HOUR % 24) as f64,
            })
            .collect();
        remote_write::load(&server.url(), &[series]).await?;
    }
    let binary = mirror_binary()?;
    let folder = tempfile::tempdir()?;
    let mut answers: Vec<Vec<String>> = Vec::new();
    for zone in ["UTC", "Europe/Berlin", "Asia/Kathmandu"] {
        let script = folder.path().join(zone.replace('/', "-"));
        std::fs::write(
            &script,
            format!("#!/bin/sh\nTZ={zone} exec '{}' \"$@\"\n", binary.display()),
        )?;
        std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755))?;
        let config = MirrorConfig::for_targets(&[("p", &server.url())]);
        let mirror = Mirror::start_binary(&script, &config).await?;
        let client = Client::new(&mirror.url());
        let mut of_zone = Vec::new();
        for start in [SPRING, AUTUMN] {
            for (key, value) in [("__gauge__", "hours"), ("~", "hour(vector(time()))")] {
                for method in ["SUM", "MAX", "EVENT_COUNT"] {
                    let conditions = json!([equals(key, value)]);
                    let answer = client
                        .metric(
                            &conditions,
                            start,
                            start + 3 * DAY,
                            None,
                            Some((method, DAY)),
                        )
                        .await?;
                    let points = telemetry(&answer)?.points;
                    let starts: Vec<i64> = points.iter().map(|(_, start, _)| *start).collect();
                    ensure!(
                        starts == [start, start + DAY, start + 2 * DAY],
                        "{zone}: {}",
                        answer.body
                    );
                    of_zone.push(answer.body);
                }
            }
        }
        answers.push(of_zone);
    }
    ensure!(
        answers[0] == answers[1] && answers[0] == answers[2],
        "{answers:#?}"
    );
    Ok(())
}

#[tokio::test]
async fn a_type_that_prometheus_adds_as_a_label_is_shown_once_named_in_errors_and_covered_by_aggregations()
-> Result<()> {
    let page = |kind: &'static str| {
        move |_: &str| {
            let seconds = SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .map_or(0, |now| now.as_secs());
            let text = format!("# TYPE orders {kind}\norders {seconds}\n");
            let headers = "content-type: text/plain; version=0.0.4\r\nconnection: close\r\n";
            Reply::http("200 OK", headers, text)
        }
    };
    let (gauge, counter) = (
        Upstream::start(page("gauge")).await?,
        Upstream::start(page("counter")).await?,
    );
    let job = |name: &str, upstream: &Upstream| {
        let host = upstream.url().trim_start_matches("http://").to_owned();
        json!({
            "job_name": name,
            "static_configs": [{"targets": [host], "labels": {"job": "shop", "instance": "one"}}],
        })
    };
    let jobs = json!([job("a", &gauge), job("b", &counter)]);
    let server = Prometheus::start_3_scraping("type-and-unit-labels", &jobs).await?;
    let config = MirrorConfig::for_targets(&[("p", &server.url())])
        .with_target("scrapeInterval", json!("1s"));
    let mirror = Mirror::start(&config).await?;
    let client = Client::new(&mirror.url());
    let now = || -> Result<i64> {
        Ok(i64::try_from(
            SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis(),
        )?)
    };
    let raw = json!([equals("__gauge__", "orders")]);
    let apart =
        "2 series match and one is needed; they differ in: __type__ (\"counter\", \"gauge\")";
    eventually("both types", || async {
        let answer = client
            .metric(&raw, now()? - 60_000, now()?, None, None)
            .await?;
        let said = answer.json()["details"]
            .as_str()
            .is_some_and(|details| details == apart);
        Ok(said.then_some(()))
    })
    .await?;
    let names = json!({
        "_type": "FieldNamesRequest", "connectionDetails": {},
        "query": {"_type": "FieldNamesQuery", "conditions": raw, "startTime": now()? - 60_000, "endTime": now()?},
    });
    let body = client.post("/api/field/name", &names).await?.body;
    ensure!(
        ["\"__type__\"", "\"__unit__\""].map(|label| body.matches(label).count()) == [1, 1],
        "{body}"
    );
    // One type by itself is aggregated like any series.
    eventually("points of one type", || async {
        let conditions = json!([
            equals("__counter__", "orders"),
            equals("__type__", "counter")
        ]);
        let end = now()? / 10_000 * 10_000;
        let answer = client
            .metric(&conditions, end - 60_000, end, None, Some(("MEAN", 10_000)))
            .await?;
        let enough = telemetry(&answer).is_ok_and(|answer| answer.points.len() > 1);
        Ok(enough.then_some(()))
    })
    .await?;
    // Both count one a second.
    let end = now()? / 10_000 * 10_000;
    for (key, method, expected) in [
        ("__counter__", "MEAN", 0.9..=1.3),
        ("__counter__", "MAX", 0.9..=1.5),
        ("__counter__", "SUM", 15.0..=26.0),
        ("__counter__", "PERCENTILE_50", 0.9..=1.3),
        ("__gauge__", "EVENT_COUNT", 18.0..=22.0),
        ("__gauge__", "PERCENTILE_50", 1.7e9..=1e10),
    ] {
        let conditions = json!([equals(key, "orders")]);
        let answer = client
            .metric(&conditions, end - 10_000, end, None, Some((method, 10_000)))
            .await?;
        let points = telemetry(&answer)?.points;
        ensure!(
            points.len() == 1
                && points[0]
                    .0
                    .parse()
                    .is_ok_and(|got: f64| expected.contains(&got)),
            "{method}: {}",
            answer.body
        );
    }
    Ok(())
}
