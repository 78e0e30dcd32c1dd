//! Attacks a mirror with 512 MiB of memory and watches whether anybody else notices.
//!
//! Each attack runs alone and then twenty at once. It holds if no process is killed, every answer
//! is one of the contract and comes within the deadline, every probe of `/livez` is answered, and
//! the honest client keeps getting its points.

mod attacks;
mod cgroup;
mod random;
mod report;
mod watch;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use clap::Parser;
use futures::stream::{FuturesUnordered, StreamExt as _};
use harness::samples::{START, Sample, Series};
use harness::servers::{Mirror, MirrorConfig, Prometheus, http_client};
use serde_json::{Value, json};
use siege_stores::hostile::Hostile;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::attacks::{Attack, Means, Port};
use crate::cgroup::Cgroup;
use crate::random::Random;
use crate::report::Row;
use crate::watch::{Watch, quantile};

/// Attacks a mirror in a memory cgroup; as root
#[derive(Debug, Parser)]
struct Arguments {
    /// The mirror's program
    #[arg(long)]
    mirror: PathBuf,
    /// So many variations of each kind that has some
    #[arg(long, default_value_t = 1)]
    variations: usize,
    /// So many at once, beside one alone
    #[arg(long, default_value_t = 20)]
    at_once: usize,
    /// Where the variations begin
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Only attacks with this text in their name
    #[arg(long, default_value = "")]
    only: String,
    /// The memory that the mirror gets, in MiB
    #[arg(long, default_value_t = 512)]
    memory: u64,
    /// The page that gets the figures, between the lines that mark their place
    #[arg(long)]
    report: Option<PathBuf>,
    /// The quick form: each attack at once and not alone, and a deadline of 3 s
    #[arg(long)]
    brief: bool,
    /// Tell all failures at the end and not the first at once
    #[arg(long)]
    keep_going: bool,
}

/// What a loaded machine of two cores may need beyond the deadline.
const GRACE: Duration = Duration::from_secs(3);

impl Arguments {
    /// The deadline of a request.
    fn deadline(&self) -> Duration {
        Duration::from_secs(if self.brief { 3 } else { 15 })
    }

    /// How many requests at once.
    fn numbers(&self) -> Vec<usize> {
        if self.brief {
            vec![self.at_once]
        } else {
            vec![1, self.at_once]
        }
    }
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    tokio::runtime::Runtime::new()?.block_on(siege(&arguments))
}

async fn siege(arguments: &Arguments) -> Result<()> {
    let real = Prometheus::start_2().await?;
    harness::remote_write::load(&real.url(), &wide()).await?;
    let healthy = Prometheus::start_2().await?;
    harness::remote_write::load(&healthy.url(), &[series_of_the_honest()]).await?;
    let hostile = Hostile::start(real.url()).await?;
    let cgroup = Cgroup::new(arguments.memory << 20)?;
    let folder = tempfile::tempdir()?;
    let program = cgroup.wrapper(&arguments.mirror.canonicalize()?, folder.path())?;
    let deadline = format!("{}s", arguments.deadline().as_secs());
    let target =
        |name: &str, url: &str| json!({"name": name, "url": url, "requestTimeout": deadline});
    let mut enforced = target("enforced", &real.url());
    enforced["enforcedMatchers"] = json!([{"name": "job", "value": "a"}]);
    let config = MirrorConfig {
        spec: json!({
            "targets": [
                target("healthy", &healthy.url()),
                target("real", &real.url()),
                target("hostile", &hostile.url),
                enforced,
            ],
            "defaultTarget": "healthy",
        }),
        ..MirrorConfig::for_targets(&[])
    };
    let mirror = Mirror::start_binary(&program, &config).await?;
    let honest = honest();
    let watch = Watch::start(
        format!("{}/livez", mirror.admin().0),
        format!("{}/api/metric", mirror.url()),
        honest,
    );
    tokio::time::sleep(Duration::from_secs(10)).await;
    let undisturbed = watch.take();
    ensure!(
        undisturbed.failed_requests.is_empty(),
        "{:?}",
        undisturbed.failed_requests
    );
    let all = attacks::all(&mut Random::new(arguments.seed), arguments.variations);
    let mut rows = Vec::new();
    for attack in all
        .iter()
        .filter(|attack| attack.name.contains(&arguments.only))
    {
        let is_request = matches!(attack.means, Means::Request(..));
        let numbers = if is_request {
            arguments.numbers()
        } else {
            vec![1]
        };
        for at_once in numbers {
            cgroup.reset_peak()?;
            watch.take();
            hostile.take_calls();
            let began = Instant::now();
            let answers = carry_out(&mirror, attack, at_once).await;
            let took = began.elapsed();
            // At least one probe a row.
            if let Some(rest) = Duration::from_millis(1_100).checked_sub(took) {
                tokio::time::sleep(rest).await;
            }
            let seen = watch.take();
            let row = Row {
                name: attack.name.clone(),
                at_once,
                took,
                slowest: answers.as_ref().map_or(took, |answers| answers.slowest),
                statuses: answers
                    .as_ref()
                    .map_or_else(|_| String::new(), Answers::statuses),
                store_calls: hostile.take_calls(),
                peak: cgroup.peak(),
                resident: mirror.process().resident_bytes(),
                slowest_probe: quantile(&seen.probes, 1.0),
                honest: quantile(&seen.requests, 0.99),
            };
            let mut faults = Vec::new();
            if let Err(error) = answers {
                faults.push(format!("{error:#}"));
            }
            if !mirror.process().is_running() || cgroup.kills() > 0 {
                bail!(
                    "{} ({at_once} at once): the mirror was killed\n{}",
                    attack.name,
                    mirror.process().log()
                );
            }
            if row.slowest > arguments.deadline() + GRACE {
                faults.push(format!("answered after {:?}", row.slowest));
            }
            if !seen.failed_probes.is_empty() {
                faults.push(format!("probes failed: {:?}", seen.failed_probes));
            }
            if !seen.failed_requests.is_empty() {
                let first: String = seen.failed_requests[0].chars().take(300).collect();
                faults.push(format!(
                    "{} honest requests failed: {first}",
                    seen.failed_requests.len()
                ));
            }
            println!(
                "{}{}",
                row.line(),
                if faults.is_empty() {
                    String::new()
                } else {
                    format!("  FAILED: {}", faults.join("; "))
                }
            );
            rows.push((row, faults));
            let (_, faults) = &rows[rows.len() - 1];
            ensure!(
                faults.is_empty() || arguments.keep_going,
                "{} ({at_once} at once): {}",
                attack.name,
                faults.join("; ")
            );
        }
    }
    let log = mirror.process().whole_log();
    let panics: Vec<&str> = log
        .lines()
        .filter(|line| line.contains("panicked"))
        .collect();
    let failed = rows.iter().filter(|(_, faults)| !faults.is_empty()).count();
    let rows: Vec<Row> = rows.into_iter().map(|(row, _)| row).collect();
    let summary = report::summary(&rows, &undisturbed, arguments);
    println!("{summary}");
    drop(watch);
    drop(mirror);
    ensure!(
        panics.is_empty(),
        "the mirror panicked:\n{}",
        panics.join("\n")
    );
    ensure!(failed == 0, "{failed} attacks did what they should not");
    ensure!(!rows.is_empty(), "no attack has this name");
    if let Some(page) = &arguments.report {
        report::write(page, &summary)?;
    }
    Ok(())
}

/// A metric of 10,000 series.
fn wide() -> Vec<Series> {
    let instance = |index: usize| format!("10.0.{}.{}:9100", index / 250, index % 250);
    let series = |index| {
        let labels = [("instance", &*instance(index)), ("job", "a")];
        Series {
            samples: samples(10),
            ..Series::new("wide", &labels)
        }
    };
    (0..10_000).map(series).collect()
}

/// What the honest client asks for.
fn series_of_the_honest() -> Series {
    Series {
        samples: samples(60),
        ..Series::new("honest", &[("job", "a")])
    }
}

/// A sample a minute.
fn samples(count: i64) -> Vec<Sample> {
    let at = |index| Sample {
        at: START + index * 60_000,
        value: 1.0,
    };
    (0..count).map(at).collect()
}

/// What the honest client asks.
fn honest() -> Value {
    json!({"_type": "MetricsRequest", "connectionDetails": {"target": "healthy"}, "query": {
        "_type": "MetricsQuery", "conditions": [harness::client::equals("__gauge__", "honest")],
        "startTime": START, "endTime": START + harness::samples::HOUR,
        "aggregation": {"_type": "Aggregation", "method": "MEAN", "bucketSizeMillis": 60_000},
    }})
}

/// What came back.
#[derive(Debug, Default)]
struct Answers {
    slowest: Duration,
    statuses: std::collections::BTreeMap<u16, usize>,
}

impl Answers {
    fn statuses(&self) -> String {
        let each = self
            .statuses
            .iter()
            .map(|(status, count)| format!("{count} × {status}"));
        each.collect::<Vec<_>>().join(", ")
    }
}

async fn carry_out(mirror: &Mirror, attack: &Attack, at_once: usize) -> Result<Answers> {
    match &attack.means {
        Means::Request(path, body) => {
            let url = format!("{}{path}", mirror.url());
            requests(&url, body, at_once).await
        }
        Means::KeptAlive(port, count) => connections(port_of(mirror, *port), *count, KEPT).await,
        Means::HalfHead(port, count) => {
            connections(
                port_of(mirror, *port),
                *count,
                b"POST /api/metric HTTP/1.1\r\nHos",
            )
            .await
        }
        Means::HalfBody(count) => {
            let mut half = b"POST /api/metric HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 1048576\r\n\r\n".to_vec();
            half.resize(half.len() + 1_048_500, b' ');
            connections(mirror.port(), *count, &half).await
        }
    }
}

const KEPT: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";

fn port_of(mirror: &Mirror, port: Port) -> u16 {
    match port {
        Port::Api => mirror.port(),
        Port::Admin => mirror
            .admin()
            .0
            .rsplit(':')
            .next()
            .and_then(|port| port.parse().ok())
            .unwrap_or(0),
    }
}

/// Sends a request so many times at once; every answer must be one of the contract.
async fn requests(url: &str, body: &[u8], at_once: usize) -> Result<Answers> {
    let http = http_client();
    let mut under_way: FuturesUnordered<_> = (0..at_once)
        .map(|index| {
            let (http, url) = (http.clone(), url.to_owned());
            let body = differing(body, index);
            tokio::spawn(async move {
                let began = Instant::now();
                let request = http
                    .post(&url)
                    .header("Content-Type", "application/json")
                    .body(body);
                let response = request.send().await?;
                let status = response.status().as_u16();
                let body = response.text().await?;
                anyhow::Ok((began.elapsed(), status, body))
            })
        })
        .collect();
    let mut answers = Answers::default();
    while let Some(answer) = under_way.next().await {
        let (took, status, body) = answer??;
        answers.slowest = answers.slowest.max(took);
        *answers.statuses.entry(status).or_default() += 1;
        let is_of_contract = serde_json::from_str::<Value>(&body).is_ok_and(|body| {
            body["_type"]
                .as_str()
                .is_some_and(|name| (status == 200) != name.ends_with("Error"))
                || (status == 200 && url.ends_with("explain"))
        });
        let beginning: String = body.chars().take(200).collect();
        ensure!(
            is_of_contract && status != 500,
            "not an answer of the contract: {status} {beginning}"
        );
    }
    Ok(answers)
}

/// The same request with another number wherever it has the first: the same calls at the same time
/// would be sent once for all.
fn differing(body: &[u8], index: usize) -> Vec<u8> {
    match std::str::from_utf8(body) {
        Ok(text) => text
            .replace("variant_0", &format!("variant_{index}"))
            .into_bytes(),
        Err(_) => body.to_vec(),
    }
}

/// Opens connections, sends the same bytes on each, and holds them for some seconds. What becomes
/// of them is the mirror's choice.
async fn connections(port: u16, count: usize, bytes: &[u8]) -> Result<Answers> {
    let mut held = Vec::new();
    for _ in 0..count {
        let connected = tokio::time::timeout(
            Duration::from_millis(500),
            TcpStream::connect(("127.0.0.1", port)),
        )
        .await;
        if let Ok(Ok(mut stream)) = connected {
            // Closed, or its buffers are full: as good.
            let _ = tokio::time::timeout(Duration::from_millis(50), stream.write_all(bytes)).await;
            held.push(stream);
        }
    }
    for _ in 0..2 {
        tokio::time::sleep(Duration::from_secs(3)).await;
        if bytes == KEPT {
            for stream in &mut held {
                let mut buffer = [0; 1024];
                let _ =
                    tokio::time::timeout(Duration::from_millis(5), stream.read(&mut buffer)).await;
                let _ =
                    tokio::time::timeout(Duration::from_millis(5), stream.write_all(bytes)).await;
            }
        }
    }
    Ok(Answers::default())
}
