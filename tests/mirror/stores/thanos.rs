//! Thanos Query over two replicas that don't agree: deduplication, and what is said when a replica
//! is gone.

use std::time::Duration;

use anyhow::{Result, ensure};
use harness::client::{Client, telemetry};
use harness::oracle::{Kind, Question};
use harness::samples::{MINUTE, SCRAPE, START, Sample, Series};
use harness::servers::{Mirror, MirrorConfig, Thanos};

/// A replica's view of a counter that grows by 3 a second: scraped at its own phase, without the
/// scrapes in `gap`.
fn counter(phase: i64, gap: std::ops::Range<i64>) -> Series {
    let mut series = Series::new("shop_requests_total", &[("job", "shop")]);
    series.samples = (START + phase..START + 60 * MINUTE)
        .step_by(SCRAPE as usize)
        .filter(|at| !gap.contains(at))
        .map(|at| Sample {
            at,
            value: ((at - START) / 1000 * 3) as f64,
        })
        .collect();
    series
}

fn question(aggregation: Option<(&'static str, i64)>) -> Question {
    Question {
        kind: Kind::Counter("shop_requests_total"),
        conditions: Vec::new(),
        start: START + 5 * MINUTE,
        end: START + 55 * MINUTE,
        aggregation,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_replicas_are_one_series_without_gaps_and_a_missing_one_is_said() -> Result<()> {
    let gap = START + 20 * MINUTE..START + 30 * MINUTE;
    let (a, b) = (counter(0, gap), counter(7_000, 0..0));
    let thanos = Thanos::start("penalty", &[a], &[b]).await?;
    let config = MirrorConfig::for_targets(&[("store", &thanos.url())]);
    let mirror = Mirror::start(&config).await?;
    let client = Client::new(&mirror.url());

    // Raw: one series, so not refused; about one sample a scrape, never two, and no hole as wide as
    // the gap.
    let raw = telemetry(&client.ask(&question(None), None).await?)?;
    ensure!(!raw.partial, "nothing is missing");
    for pair in raw.points.windows(2) {
        let distance = pair[1].1 - pair[0].1;
        ensure!(
            (SCRAPE / 2..=3 * SCRAPE).contains(&distance),
            "{} and {} are {distance} ms apart",
            pair[0].1,
            pair[1].1
        );
    }
    for (rate, at, _) in &raw.points {
        let rate: f64 = rate.parse()?;
        ensure!((rate - 3.0).abs() < 1e-9, "the rate at {at} is {rate}");
    }

    // Aggregated: every bucket is there, and nothing was counted twice.
    for (method, expected) in [("MEAN", 3.0), ("SUM", 180.0)] {
        let sums = telemetry(&client.ask(&question(Some((method, MINUTE))), None).await?)?;
        ensure!(
            !sums.partial && sums.points.len() == 50,
            "{method}: {sums:?}"
        );
        for (value, start, _) in &sums.points {
            let value: f64 = value.parse()?;
            ensure!(
                (value - expected).abs() < 1e-9 * expected,
                "{method} at {start} is {value}"
            );
        }
    }
    let counts = telemetry(
        &client
            .ask(&question(Some(("EVENT_COUNT", MINUTE))), None)
            .await?,
    )?;
    ensure!(counts.points.len() == 50, "{counts:?}");
    for (count, start, _) in &counts.points {
        let count: f64 = count.parse()?;
        ensure!((2.0..=5.0).contains(&count), "{count} samples at {start}");
    }

    // At once, and after Thanos has looked after its endpoints, as it does every five seconds.
    thanos.sidecars()[0].signal("KILL")?;
    for wait in [0, 12] {
        tokio::time::sleep(Duration::from_secs(wait)).await;
        let mean = telemetry(&client.ask(&question(Some(("MEAN", MINUTE))), None).await?)?;
        ensure!(mean.partial, "a replica is missing: {mean:?}");
        ensure!(!mean.points.is_empty(), "the other replica answers");
    }
    Ok(())
}
