//! Attacks a mirror with 512 MiB of memory and watches whether anybody else notices.
//!
//! Each attack runs alone and then twenty at once. It holds if no process is killed, every answer
//! is one of the contract and comes within the deadline, every probe of `/livez` is answered, and
//! the honest client keeps getting its points, the slowest hundredth of them hardly later than when
//! nobody attacks.

mod attacks;
mod cgroup;
mod elsewhere;
mod random;
mod report;
mod strike;
mod watch;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use clap::Parser;
use harness::samples::{START, Sample, Series};
use harness::servers::{Mirror, MirrorConfig, Prometheus};
use serde_json::{Value, json};
use siege_stores::hostile::Hostile;

use crate::attacks::Means;
use crate::cgroup::Cgroup;
use crate::elsewhere::Elsewhere;
use crate::random::Random;
use crate::report::Row;
use crate::strike::{Answers, Place};
use crate::watch::{Seen, Watch, quantile};

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
    /// Tell the honest client's p99, and do not fail for it: where the machine has other work
    #[arg(long)]
    busy: bool,
    /// Tell all failures at the end and not the first at once
    #[arg(long)]
    keep_going: bool,
}

/// What a loaded machine of two cores may need beyond the deadline.
const GRACE: Duration = Duration::from_secs(3);

/// So long the honest client is watched before anything happens.
const PEACE: Duration = Duration::from_secs(10);

/// So long an attack lasts at least: one probe, and 110 honest requests.
const LEAST: Duration = Duration::from_millis(1_100);

/// So many requests of the honest client an attack must see.
const FEWEST: usize = 100;

/// So often as slow as undisturbed the honest client may be: its p99 over all attacks. One attack
/// is too short for a p99, which would be the second slowest of its requests; there it is the p95.
const MOST_SLOWER: u32 = 3;

/// So slow it may be in any case. Undisturbed it is so few milliseconds that a handful of turns of
/// the scheduler are more than three times as many: a request wakes six threads up, one after the
/// other, and on two processors each of them may have to wait for a turn of about 3 ms.
const ALWAYS_ALLOWED: Duration = Duration::from_millis(20);

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
    let words: Vec<String> = std::env::args().collect();
    if let [_, argument, livez, metric] = &words[..]
        && argument == watch::ARGUMENT
    {
        return watch::run(livez.clone(), metric.clone(), honest());
    }
    let arguments = Arguments::parse();
    tokio::runtime::Runtime::new()?.block_on(siege(&arguments))
}

async fn siege(arguments: &Arguments) -> Result<()> {
    let elsewhere = Elsewhere::new()?;
    let (real, hostile) = elsewhere
        .run(async {
            let real = Prometheus::start_2().await?;
            harness::remote_write::load(&real.url(), &wide()).await?;
            let hostile = Hostile::start(real.url()).await?;
            Ok((real, hostile))
        })
        .await?;
    let healthy = Prometheus::start_2().await?;
    harness::remote_write::load(&healthy.url(), &[series_of_the_honest()]).await?;
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
    let mut watch = Watch::start(
        &format!("{}/livez", mirror.admin().0),
        &format!("{}/api/metric", mirror.url()),
    )?;
    // The first requests open connections.
    tokio::time::sleep(Duration::from_secs(1)).await;
    watch.take()?;
    tokio::time::sleep(PEACE).await;
    let undisturbed = watch.take()?;
    ensure!(
        undisturbed.failed_requests.is_empty() && undisturbed.requests.len() >= FEWEST,
        "{} requests undisturbed, failed: {:?}",
        undisturbed.requests.len(),
        undisturbed.failed_requests
    );
    let place = Place {
        url: mirror.url(),
        port: mirror.port(),
        admin_port: port_of(&mirror.admin().0),
    };
    let all = attacks::all(&mut Random::new(arguments.seed), arguments.variations);
    let mut rows = Vec::new();
    let mut under_attack = Vec::new();
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
            watch.take()?;
            hostile.take_calls();
            let began = Instant::now();
            let attacked = place.clone().attack(attack.means.clone(), at_once, LEAST);
            let answers = elsewhere.run(attacked).await;
            let took = began.elapsed();
            let seen = watch.take()?;
            let row = Row {
                name: attack.name.clone(),
                at_once,
                took,
                slowest: answers.as_ref().map_or(took, |answers| answers.slowest),
                statuses: answers
                    .as_ref()
                    .map_or_else(|_| String::new(), Answers::statuses),
                store_calls: hostile.take_calls()
                    / (at_once * answers.as_ref().map_or(1, |answers| answers.rounds)),
                peak: cgroup.peak(),
                resident: mirror.process().resident_bytes(),
                slowest_probe: quantile(&seen.probes, 1.0),
                honest: quantile(&seen.requests, 0.99),
                honest_count: seen.requests.len(),
            };
            let mut faults = Vec::new();
            // A few seconds are too short for some of them.
            if attack.is_honest
                && !arguments.brief
                && answers.as_ref().is_ok_and(Answers::are_refusals)
            {
                faults.push("an honest request was refused".to_owned());
            }
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
            if seen.probes.is_empty() || seen.requests.len() < FEWEST {
                faults.push(format!("only {} honest requests", seen.requests.len()));
            }
            let most_honest = most_honest(&undisturbed);
            let p95 = quantile(&seen.requests, 0.95);
            if p95 > most_honest && !arguments.busy {
                faults.push(format!(
                    "the honest client's p95 is {} ms of {} requests, and at most {} ms are allowed",
                    p95.as_millis(),
                    seen.requests.len(),
                    most_honest.as_millis()
                ));
            }
            under_attack.extend_from_slice(&seen.requests);
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
    let summary = report::summary(&rows, &undisturbed, &under_attack, arguments);
    println!("{summary}");
    let (p99, most) = (quantile(&under_attack, 0.99), most_honest(&undisturbed));
    ensure!(
        p99 <= most || arguments.busy,
        "the honest client's p99 over all attacks is {p99:?}, and at most {most:?} are allowed"
    );
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

/// The most that the honest client's quantiles under attack may be.
fn most_honest(undisturbed: &Seen) -> Duration {
    (quantile(&undisturbed.requests, 0.99) * MOST_SLOWER).max(ALWAYS_ALLOWED)
}

fn port_of(url: &str) -> u16 {
    let port = url.rsplit(':').next();
    port.and_then(|port| port.parse().ok()).unwrap_or(0)
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
