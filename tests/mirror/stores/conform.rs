//! `prometheus-mirror conform` towards the mirror itself: the real program, over a real Prometheus.

// Helpers outside the test functions unwrap too.
#![allow(clippy::unwrap_used)]

use std::process::{Command, Output};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Result;
use harness::certificates::Authority;
use harness::remote_write;
use harness::samples::{HOUR, MINUTE, SCRAPE, Sample, Series};
use harness::servers::{Mirror, MirrorConfig, Prometheus, mirror_binary};
use serde_json::{Value, json};

/// Series of all kinds with samples from two hours ago until a little after now.
fn stored() -> Vec<Series> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let now = i64::try_from(now.as_millis()).unwrap();
    let series = |name: &str, labels: &[(&str, &str)], value: &dyn Fn(i64) -> f64| {
        let mut series = Series::new(name, labels);
        let times = (now - 2 * HOUR..now + 4 * MINUTE).step_by(usize::try_from(SCRAPE).unwrap());
        series.samples = (0..)
            .zip(times)
            .map(|(index, at)| Sample {
                at,
                value: value(index),
            })
            .collect();
        series
    };
    let wave = |index: i64| (index % 17) as f64 + 0.25;
    let mut all = Vec::new();
    for instance in ["web-1:80", "web-2:80"] {
        let labels = [("job", "shop"), ("instance", instance)];
        all.push(series("shop_load", &labels, &wave));
        all.push(series("shop_requests_total", &labels, &|index| {
            (index * 7 + index / 5) as f64
        }));
        let with = |le: &'static str| [labels[0], labels[1], ("le", le)];
        all.push(series("latency_bucket", &with("0.1"), &|index| {
            (index * 3) as f64
        }));
        all.push(series("latency_bucket", &with("1"), &|index| {
            (index * 9) as f64
        }));
        all.push(series("latency_bucket", &with("+Inf"), &|index| {
            (index * 10) as f64
        }));
        all.push(series("latency_sum", &labels, &|index| index as f64 * 4.5));
        all.push(series("latency_count", &labels, &|index| {
            (index * 10) as f64
        }));
    }
    for part in ["cpu", "disk", "net"] {
        for index in 0..12 {
            all.push(series(&format!("node_{part}_{index}"), &[], &wave));
        }
    }
    all
}

fn conform(arguments: &[&str]) -> Result<Output> {
    Ok(Command::new(mirror_binary()?)
        .args(["conform", "--interval", "1s"])
        .args(arguments)
        .env("PROMETHEUS_MIRROR_API_KEY", "test-key")
        .output()?)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_mirror_keeps_the_contract() -> Result<()> {
    let store = Prometheus::start_2().await?;
    remote_write::load(&store.url(), &stored()).await?;
    let mirror = Mirror::start(&MirrorConfig::for_targets(&[("store", &store.url())])).await?;
    let output = conform(&[&mirror.url(), "-o", "json"])?;
    let text = String::from_utf8(output.stdout)?;
    let report: Value = serde_json::from_str(&text)?;
    let checks = report["checks"].as_array().unwrap();
    assert_eq!(
        (output.status.code(), &report["kept"], checks.len()),
        (Some(0), &Value::Bool(true), 20),
        "{text}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    for check in checks {
        assert_eq!(check["verdict"], "kept", "{check}");
    }
    let polling = checks.iter().find(|check| check["name"] == "polling");
    let polling = polling.unwrap();
    assert_eq!(polling["detail"], "200 streams, 2 rounds");
    assert!(polling["requests"].as_u64().unwrap() >= 400, "{polling}");
    assert!(!text.contains("test-key"), "the key must not be printed");
    Ok(())
}

#[tokio::test]
async fn faults_are_named_and_the_exit_code_tells_them_from_a_wrong_command_line() -> Result<()> {
    // Nothing listens behind this mirror.
    let config = MirrorConfig::for_targets(&[("store", "http://127.0.0.1:1")]);
    let mirror = Mirror::start(&config).await?;
    let url = mirror.url();
    let output = conform(&[&url, "--rounds", "0"])?;
    let (table, said) = (
        String::from_utf8(output.stdout)?,
        String::from_utf8(output.stderr)?,
    );
    assert_eq!(
        (output.status.code(), said),
        (
            Some(1),
            format!("prometheus-mirror: {url} breaks the contract: connection-failed\n")
        ),
        "{table}"
    );
    assert!(
        table.lines().nth(1).unwrap().contains("connection-failed"),
        "{table}"
    );
    for wrong in [&[][..], &["mirror:9900"], &[&url, "--api-key", ""]] {
        let output = conform(wrong)?;
        assert_eq!(output.status.code(), Some(2), "{wrong:?}: {output:?}");
    }
    Ok(())
}

#[tokio::test]
async fn over_https_the_authority_is_named_in_a_file() -> Result<()> {
    let authority = Authority::new("one")?;
    let certificate = authority.issue(&["127.0.0.1"])?;
    let config = MirrorConfig::for_targets(&[("store", "http://127.0.0.1:1")])
        .with("server", json!({"tls": {"secretName": "api"}}))
        .with_file("secrets/api/tls.crt", &certificate.certificate)
        .with_file("secrets/api/tls.key", &certificate.key)
        .with_file("ca.crt", &authority.pem());
    let mirror = Mirror::start(&config).await?;
    let url = format!("https://127.0.0.1:{}", mirror.port());
    let faults = |arguments: &[&str]| -> Result<Value> {
        let output = conform(&[&[&url, "--rounds", "0", "-o", "json"], arguments].concat())?;
        Ok(serde_json::from_slice(&output.stdout)?)
    };
    let file = mirror.process().directory().join("ca.crt");
    let trusted = faults(&["--ca-file", file.to_str().unwrap()])?;
    // It answers; the store does not exist.
    assert_eq!(trusted["faults"], json!(["connection-failed"]), "{trusted}");
    let untrusted = faults(&[])?;
    assert_eq!(untrusted["faults"], json!(["no-answer"]));
    assert_eq!(
        untrusted["checks"][0]["faults"][0]["detail"],
        "POST /api/connection: presents a certificate of an authority that is not trusted; name that authority's with --ca-file"
    );
    Ok(())
}
