//! What the log of requests costs: mirrors without it, with a sample, and with all requests, before
//! a store that answers at once, in turn.

use std::path::Path;

use anyhow::{Result, ensure};
use harness::client::{Client, equals};
use harness::samples::{END, HOUR, MINUTE};
use harness::servers::{Launch, Mirror, MirrorConfig};
use serde_json::json;

use super::{InstantStore, ROUNDS, SECONDS, Turns, through_mirror};
use crate::{Row, median, wrk};

const POINTS: i64 = 60;
const CONNECTIONS: u32 = 20;

/// How many of a hundred requests are logged; none without the field.
const LOGGED: [Option<u8>; 3] = [None, Some(1), Some(100)];

/// The rows of the page: CPU time of a request with the log against one without.
///
/// # Errors
/// If a program cannot be started, or lines are missing from the log.
pub(crate) async fn measure(binary: &Path) -> Result<[Row; 2]> {
    let store = InstantStore::start().await?;
    let mirrors = start(binary, &format!("http://{}", store.address)).await?;
    let directory = tempfile::tempdir()?;
    let script = directory.path().join("mirror.lua");
    let body = Client::new(&mirrors[0].url()).metric_request(
        &json!([equals("__gauge__", "instant")]),
        111,
        222,
        None,
        Some(("MEAN", MINUTE)),
    );
    std::fs::write(&script, through_mirror(POINTS, &body.to_string()))?;
    let run = |mirror: &Mirror| wrk(&script, &mirror.url(), CONNECTIONS, SECONDS);
    let mut turns = [Turns::default(), Turns::default(), Turns::default()];
    for mirror in &mirrors {
        run(mirror)?;
    }
    for _ in 0..ROUNDS {
        for (mirror, turns) in mirrors.iter().zip(&mut turns) {
            turns.take(mirror.process(), 1, || run(mirror))?;
        }
    }
    let lines: Vec<usize> = mirrors.iter().map(logged_lines).collect();
    ensure!(
        matches!(lines[..], [0, some, all] if some > 0 && all > 50 * some),
        "{lines:?} lines"
    );
    let [without, sampled, all] = turns.map(|mut turns| median(&mut turns.costs));
    let row = |what, cost: f64, goal, most: f64| Row {
        what,
        measured: format!(
            "{:.2} × ({cost:.3} against {without:.3} ms)",
            cost / without
        ),
        goal,
        is_met: cost / without <= most,
    };
    Ok([
        row(
            "log of requests, 1 %: CPU time a request against no log",
            sampled,
            "≤ 1.05 ×",
            1.05,
        ),
        row(
            "log of requests, all: CPU time a request against no log",
            all,
            "≤ 1.25 ×",
            1.25,
        ),
    ])
}

async fn start(binary: &Path, store: &str) -> Result<Vec<Mirror>> {
    let launch = Launch {
        binary: Some(binary),
        arguments: &["--log-format", "json"],
        ..Launch::default()
    };
    let mut mirrors = Vec::new();
    for percent in LOGGED {
        let config = MirrorConfig::for_targets(&[("store", store)]);
        let config = match percent {
            None => config,
            // None is slow, so that only the sample is logged.
            Some(percent) => config.with(
                "logging",
                json!({"requests": {"samplePercent": percent, "slow": "10m"}}),
            ),
        };
        let mirror = Mirror::launch(&config, &launch).await?;
        let (client, mean) = (Client::new(&mirror.url()), Some(("MEAN", MINUTE)));
        let conditions = json!([equals("__gauge__", "instant")]);
        let asked = client.metric(&conditions, END - 2 * HOUR, END - HOUR, None, mean);
        let answer = asked.await?.json();
        let points = answer["telemetry"]["points"].as_array().map_or(0, Vec::len);
        ensure!(i64::try_from(points) == Ok(POINTS), "{points} points");
        mirrors.push(mirror);
    }
    Ok(mirrors)
}

/// How many lines about requests a mirror has written.
fn logged_lines(mirror: &Mirror) -> usize {
    let log = mirror.process().whole_log();
    log.matches("\"target\":\"requests\"").count()
}
