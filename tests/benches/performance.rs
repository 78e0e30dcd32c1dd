//! The numbers that the mirror promises, side by side with nginx and the bare Prometheus in one
//! run. Writes `docs/performance.md`.
//!
//! Run it with `make bench` on a machine that does nothing else. `scripts/bench -- "instant store"`
//! measures only what has these words in its name, and leaves the page as it is.

mod instant;
mod polled;
mod several;

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use harness::client::{Client, equals};
use harness::remote_write;
use harness::samples::{END, HOUR, MINUTE, Sample, Series};
use harness::servers::{
    Launch, Mirror, MirrorConfig, Nginx, Prometheus, free_port, http_client, program,
    release_binary,
};
use serde_json::json;
use tokio::sync::OnceCell;

/// The mirror's, for the bare gateway.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const WEEK: i64 = 7 * 24 * HOUR;
/// Three weeks of one-minute buckets.
const LONG: i64 = 3 * WEEK;
const LONG_POINTS: i64 = LONG / MINUTE;
/// Where the samples begin.
const BEGIN: i64 = END - LONG - 2 * HOUR;
const SERIES: u32 = 20;
const BUCKETS: i64 = 60;
const MEAN: &str = "sum(sum_over_time(bench_load[1m])) / sum(count_over_time(bench_load[1m]))";
const LONG_MEAN: &str = "sum(sum_over_time(bench_long[1m])) / sum(count_over_time(bench_long[1m]))";

/// One row of the page.
struct Row {
    what: &'static str,
    measured: String,
    goal: &'static str,
    is_met: bool,
}

impl Row {
    /// The last column. What has no goal is there to compare with.
    fn verdict(&self) -> &'static str {
        match self {
            Self { goal: "", .. } => "",
            Self { is_met: true, .. } => "met",
            Self { is_met: false, .. } => "**missed**",
        }
    }
}

/// What is measured, in the order of the page.
const MEASURES: [&str; 9] = [
    "start and idle",
    "throughput",
    "instant store",
    "log of requests",
    "long range",
    "many at once",
    "hanging target",
    "several servers",
    "polled again",
];

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let Some(served) = instant::serve(&arguments) {
        return served;
    }
    // cargo passes `--bench`.
    let filters: Vec<&str> = arguments
        .iter()
        .map(String::as_str)
        .filter(|argument| !argument.starts_with('-'))
        .collect();
    tokio::runtime::Runtime::new()?.block_on(measure(&filters))
}

/// Measures what has one of these in its name. Only all rows together become the page.
async fn measure(filters: &[&str]) -> Result<()> {
    let chosen = MEASURES.into_iter().filter(|measure| {
        filters.is_empty() || filters.iter().any(|filter| measure.contains(filter))
    });
    let chosen: Vec<&str> = chosen.collect();
    ensure!(
        !chosen.is_empty(),
        "no such measure; there are {}",
        MEASURES.join(", ")
    );
    let binary = release_binary()?;
    let loaded = OnceCell::new();
    let store = || loaded.get_or_try_init(Loaded::start);
    let mut rows = Vec::new();
    for measure in chosen {
        eprintln!("measuring: {measure}");
        let measured: Vec<Row> = match measure {
            "start and idle" => start_and_idle(&binary, &store().await?.config).await?,
            "throughput" => throughput(&binary, store().await?).await?,
            "instant store" => instant::measure(&binary).await?,
            "log of requests" => instant::logged::measure(&binary).await?.into(),
            "long range" => long_range(&binary, store().await?).await?,
            "many at once" => many_at_once(&binary, &store().await?.config).await?,
            "hanging target" => hanging_target(&binary, &store().await?.prometheus).await?,
            "several servers" => several_servers(&binary).await?,
            _ => polled_again(&binary).await?,
        };
        // At once: a later measure may fail.
        for row in &measured {
            println!(
                "{:70} {:40} goal {} {}",
                row.what,
                row.measured,
                row.goal,
                row.verdict()
            );
        }
        rows.extend(measured);
    }
    if filters.is_empty() {
        write(&rows)?;
    }
    Ok(())
}

/// A Prometheus that has the samples, and what a mirror before it is configured with.
struct Loaded {
    prometheus: Prometheus,
    config: MirrorConfig,
}

impl Loaded {
    async fn start() -> Result<Self> {
        let prometheus = Prometheus::start_3().await?;
        eprintln!("loading samples");
        load(&prometheus).await?;
        let config = MirrorConfig::for_targets(&[("store", &prometheus.url())]);
        Ok(Self { prometheus, config })
    }
}

/// A day of 20 series and three weeks of one, a sample every 15 s.
async fn load(prometheus: &Prometheus) -> Result<()> {
    let wave = |at: i64, phase: u32| {
        #[expect(clippy::cast_precision_loss, reason = "a wave needs no last digit")]
        let hours = at as f64 / HOUR as f64;
        50.0 + 40.0 * (hours / 4.0 + f64::from(phase)).sin()
    };
    let series = |name: &str, index: u32, from: i64| {
        let mut series = Series::new(name, &[("instance", &format!("host-{index}"))]);
        let instants = (from..END).step_by(15_000);
        series.samples = instants
            .map(|at| Sample {
                at,
                value: wave(at, index),
            })
            .collect();
        series
    };
    let mut all = vec![series("bench_long", 0, BEGIN)];
    all.extend((0..SERIES).map(|index| series("bench_load", index, END - 24 * HOUR)));
    remote_write::load(&prometheus.url(), &all).await
}

async fn start_and_idle(binary: &Path, config: &MirrorConfig) -> Result<Vec<Row>> {
    let mut starts = Vec::new();
    for _ in 0..10 {
        starts.push(
            Mirror::start_binary(binary, config)
                .await?
                .time_to_ready
                .as_secs_f64()
                * 1000.0,
        );
    }
    let mirror = Mirror::start_binary(binary, config).await?;
    tokio::time::sleep(Duration::from_secs(5)).await;
    let idle = mebibytes(mirror.process().resident_bytes());
    let start = median(&mut starts);
    let console = more_with_console(binary, config).await?;
    Ok(vec![
        Row {
            what: "start to ready, median of 10",
            measured: format!("{start:.0} ms"),
            goal: "< 100 ms",
            is_met: start < 100.0,
        },
        Row {
            what: "resident memory, idle",
            measured: format!("{idle:.1} MiB"),
            goal: "≤ 12 MiB",
            is_met: idle <= 12.0,
        },
        Row {
            what: "resident memory, idle: with the console against without, medians of 5",
            measured: format!("{console:+.2} MiB"),
            goal: "≤ +1 MiB",
            is_met: console <= 1.0,
        },
    ])
}

/// How much more memory a mirror takes at rest that has the console, in MiB.
async fn more_with_console(binary: &Path, config: &MirrorConfig) -> Result<f64> {
    let mut idle = [Vec::new(), Vec::new()];
    for _ in 0..5 {
        let console = format!("127.0.0.1:{}", free_port()?);
        let with = config.clone().with("console", json!({"enabled": true}));
        let launch = Launch {
            binary: Some(binary),
            arguments: &["--console-listen", &console],
            ..Launch::default()
        };
        let mirrors = [
            Mirror::start_binary(binary, config).await?,
            Mirror::launch(&with, &launch).await?,
        ];
        // It is there.
        let page = http_client().get(format!("http://{console}/")).send();
        page.await?.error_for_status()?;
        tokio::time::sleep(Duration::from_secs(5)).await;
        for (mirror, idle) in mirrors.iter().zip(&mut idle) {
            idle.push(mebibytes(mirror.process().resident_bytes()));
        }
    }
    let [mut without, mut with] = idle;
    Ok(median(&mut with) - median(&mut without))
}

/// 200 streams, polled twice.
async fn polled_again(binary: &Path) -> Result<Vec<Row>> {
    let polled::Polled {
        samples,
        took: [first, second],
        spent: [of_store, of_mirror],
        one_off,
    } = polled::measure(binary).await?;
    let time = second / first * 100.0;
    Ok(vec![
        Row {
            what: "200 streams of three days of minutes, polled again: samples read",
            measured: format!("{samples:.2} % of the first poll"),
            goal: "≤ 2 %",
            is_met: samples <= 2.0,
        },
        Row {
            what: "200 streams of three days of minutes, polled again: time",
            measured: format!("{time:.1} % of the first poll ({second:.2} of {first:.2} ms each)"),
            goal: "≤ 10 %",
            is_met: time <= 10.0,
        },
        Row {
            what: "of that time: the store's answer; the mirror's own; sending it, and the client's",
            measured: format!(
                "{of_store:.2}, {of_mirror:.2} and {:.2} ms",
                second - of_store - of_mirror
            ),
            goal: "",
            is_met: true,
        },
        Row {
            what: "queries that are asked once, remembered against not",
            measured: format!("{one_off:.3} ×"),
            goal: "≤ 1.02 ×",
            is_met: one_off <= 1.02,
        },
    ])
}

/// The same query with wrk's 20 connections through nginx and through the mirror, in turn.
async fn throughput(binary: &Path, store: &Loaded) -> Result<Vec<Row>> {
    let Loaded { prometheus, config } = store;
    let mirror = Mirror::start_binary(binary, config).await?;
    let nginx = Nginx::start(prometheus.url().trim_start_matches("http://")).await?;
    let directory = tempfile::tempdir()?;
    // The window differs from request to request, so that no two identical ones are in flight.
    let window = format!(
        "math.randomseed(os.time())\nlocal first = {}\nfunction window() local minute = math.random(0, {}); return first + minute * 60000 end\n",
        END - 24 * HOUR,
        22 * 60
    );
    let body = Client::new(&mirror.url())
        .metric_request(
            &json!([equals("__gauge__", "bench_load")]),
            111,
            222,
            None,
            Some(("MEAN", MINUTE)),
        )
        .to_string()
        .replace("111", "' .. string.format('%d', start) .. '")
        .replace(
            "222",
            &format!(
                "' .. string.format('%d', start + {}) .. '",
                BUCKETS * MINUTE
            ),
        );
    let through_mirror = format!(
        "{window}function request() local start = window(); return wrk.format('POST', '/api/metric', \
         {{['Content-Type'] = 'application/json'}}, '{body}') end"
    );
    let query: String = url_encode(MEAN).replace('%', "%%");
    let through_nginx = format!(
        "{window}function request() local start = window() / 1000; return wrk.format('GET', \
         string.format('/api/v1/query_range?query={query}&step=60&start=%.3f&end=%.3f', start + 59.999, start + {}.999)) end",
        BUCKETS * 60 - 1
    );
    let scripts = [("mirror.lua", through_mirror), ("nginx.lua", through_nginx)];
    for (name, script) in &scripts {
        std::fs::write(directory.path().join(name), script)?;
    }
    // Both must answer the same number of points, or nothing is compared.
    let answer = Client::new(&mirror.url())
        .metric(
            &json!([equals("__gauge__", "bench_load")]),
            END - 2 * HOUR,
            END - HOUR,
            None,
            Some(("MEAN", MINUTE)),
        )
        .await?
        .json();
    let points = answer["telemetry"]["points"].as_array().map_or(0, Vec::len);
    ensure!(
        i64::try_from(points) == Ok(BUCKETS),
        "{points} points instead of {BUCKETS}"
    );
    let run = |script: &str, url: &str| wrk(&directory.path().join(script), url, 20, 6);
    run("mirror.lua", &mirror.url())?;
    run("nginx.lua", &nginx.url())?;
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..5 {
        theirs.push(run("nginx.lua", &nginx.url())?);
        ours.push(run("mirror.lua", &mirror.url())?);
    }
    let resident = mebibytes(mirror.process().peak_resident_bytes());
    let (ours, theirs) = (median(&mut ours), median(&mut theirs));
    let share = ours / theirs * 100.0;
    Ok(vec![
        Row {
            what: "60 buckets of 20 series, 20 connections: throughput against nginx",
            measured: format!("{share:.0} % ({ours:.0} against {theirs:.0} requests/s)"),
            goal: "≥ 60 %",
            is_met: share >= 60.0,
        },
        Row {
            what: "resident memory under that load, peak",
            measured: format!("{resident:.1} MiB"),
            goal: "≤ 30 MiB",
            is_met: resident <= 30.0,
        },
    ])
}

/// 30,240 points through the mirror, and by the same range queries at once without it.
async fn long_range(binary: &Path, store: &Loaded) -> Result<Vec<Row>> {
    let Loaded { prometheus, config } = store;
    let mirror = Mirror::start_binary(binary, config).await?;
    let client = Client::new(&mirror.url());
    let (mut ours, mut bare) = (Vec::new(), Vec::new());
    for round in 0..12 {
        let start = END - LONG - round * MINUTE;
        let started = Instant::now();
        let answer = client
            .metric(
                &json!([equals("__gauge__", "bench_long")]),
                start,
                start + LONG,
                None,
                Some(("MEAN", MINUTE)),
            )
            .await?;
        let took = started.elapsed();
        let points = answer.json()["telemetry"]["points"]
            .as_array()
            .map_or(0, Vec::len);
        ensure!(
            i64::try_from(points) == Ok(LONG_POINTS),
            "{points} points instead of {LONG_POINTS}"
        );
        let started = Instant::now();
        ask_bare(prometheus, start).await?;
        // The first round warms both up.
        if round > 0 {
            ours.push(took.as_secs_f64() * 1000.0);
            bare.push(started.elapsed().as_secs_f64() * 1000.0);
        }
    }
    let (ours, bare) = (median(&mut ours), median(&mut bare));
    let ratio = ours / bare;
    Ok(vec![Row {
        what: "30,240 points against the bare queries",
        measured: format!("{ratio:.2} × ({ours:.0} ms against {bare:.0} ms)"),
        goal: "≤ 1.25 ×",
        is_met: ratio <= 1.25,
    }])
}

/// The three range queries that 30,240 points take, at once.
async fn ask_bare(prometheus: &Prometheus, start: i64) -> Result<()> {
    let client = http_client();
    let mut parts = tokio::task::JoinSet::new();
    let mut first = 0;
    while first < LONG_POINTS {
        let last = (first + 11_000).min(LONG_POINTS) - 1;
        let seconds = |index: i64| format!("{}.999", (start + (index + 1) * MINUTE) / 1000 - 1);
        let request = client.get(format!(
            "{}/api/v1/query_range?query={}&start={}&end={}&step=60",
            prometheus.url(),
            url_encode(LONG_MEAN),
            seconds(first),
            seconds(last)
        ));
        parts.spawn(async move {
            anyhow::Ok(
                request
                    .send()
                    .await?
                    .error_for_status()?
                    .bytes()
                    .await?
                    .len(),
            )
        });
        first = last + 1;
    }
    while let Some(part) = parts.join_next().await {
        ensure!(part?? > 100_000, "the bare query answers too little");
    }
    Ok(())
}

async fn many_at_once(binary: &Path, config: &MirrorConfig) -> Result<Vec<Row>> {
    let mirror = Mirror::start_binary(binary, config).await?;
    let mut requests = tokio::task::JoinSet::new();
    for index in 0..20 {
        let client = Client::new(&mirror.url());
        let start = END - LONG - index * MINUTE;
        requests.spawn(async move {
            let answer = client
                .metric(
                    &json!([equals("__gauge__", "bench_long")]),
                    start,
                    start + LONG,
                    None,
                    Some(("MEAN", MINUTE)),
                )
                .await?;
            anyhow::Ok(
                answer.json()["telemetry"]["points"]
                    .as_array()
                    .map_or(0, Vec::len),
            )
        });
    }
    while let Some(points) = requests.join_next().await {
        let points = points??;
        ensure!(
            i64::try_from(points) == Ok(LONG_POINTS),
            "{points} points instead of {LONG_POINTS}"
        );
    }
    let peak = mebibytes(mirror.process().peak_resident_bytes());
    Ok(vec![Row {
        what: "resident memory with 20 requests of 30,240 points at once, peak",
        measured: format!("{peak:.1} MiB"),
        goal: "≤ 80 MiB",
        is_met: peak <= 80.0,
    }])
}

/// 200 streams at once, half of them of a target that accepts connections and never answers.
async fn hanging_target(binary: &Path, prometheus: &Prometheus) -> Result<Vec<Row>> {
    let hanging = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let address = format!("http://{}", hanging.local_addr()?);
    let accepting = tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok((connection, _)) = hanging.accept().await {
            held.push(connection);
        }
    });
    let config =
        MirrorConfig::for_targets(&[("healthy", &prometheus.url()), ("hanging", &address)]);
    let mirror = Mirror::start_binary(binary, &config).await?;
    let conditions = json!([equals("__gauge__", "bench_load")]);
    let mut healthy = tokio::task::JoinSet::new();
    let mut stuck = tokio::task::JoinSet::new();
    for index in 0..100 {
        let start = END - 20 * HOUR + index * MINUTE;
        for (target, set) in [("hanging", &mut stuck), ("healthy", &mut healthy)] {
            let (client, conditions) = (
                Client::new(&mirror.url()).of_target(target),
                conditions.clone(),
            );
            set.spawn(async move {
                let started = Instant::now();
                let answer = client
                    .metric(
                        &conditions,
                        start,
                        start + HOUR,
                        None,
                        Some(("MEAN", MINUTE)),
                    )
                    .await?;
                anyhow::Ok((
                    answer.json()["telemetry"]["points"]
                        .as_array()
                        .map_or(0, Vec::len),
                    started.elapsed(),
                ))
            });
        }
    }
    let mut slowest = Duration::ZERO;
    while let Some(answered) = healthy.join_next().await {
        let (points, took) = answered??;
        ensure!(
            i64::try_from(points) == Ok(BUCKETS),
            "{points} points instead of {BUCKETS}"
        );
        slowest = slowest.max(took);
    }
    stuck.abort_all();
    accepting.abort();
    let slowest = slowest.as_secs_f64() * 1000.0;
    Ok(vec![Row {
        what: "200 streams at once while one of two targets hangs: slowest of the 100 healthy ones",
        measured: format!("{slowest:.0} ms"),
        goal: "< 1,000 ms",
        is_met: slowest < 1_000.0,
    }])
}

/// Pairs and shards that are 100 ms away, against one server that is as far.
async fn several_servers(binary: &Path) -> Result<Vec<Row>> {
    let several = several::measure(binary).await?;
    let row = |what, ratio: f64, goal, most| Row {
        what,
        measured: format!("{ratio:.2} × (of {:.0} ms)", several.one),
        goal,
        is_met: ratio <= most,
    };
    Ok(vec![
        row(
            "a pair 100 ms away, against one server as far away",
            several.pair,
            "≤ 1.1 ×",
            1.1,
        ),
        row("two shards, likewise", several.two, "≤ 1.1 ×", 1.1),
        row("three shards, likewise", several.three, "≤ 1.1 ×", 1.1),
    ])
}

/// Requests per second that wrk gets through, all of them answered with success.
fn wrk(script: &Path, url: &str, connections: u32, seconds: u32) -> Result<f64> {
    let output = Command::new(program("wrk", "wrk")?)
        .args([
            "-t1",
            &format!("-c{connections}"),
            &format!("-d{seconds}s"),
            "--timeout",
            "10s",
            "-s",
        ])
        .arg(script)
        .arg(url)
        .output()?;
    let text = String::from_utf8(output.stdout)?;
    ensure!(
        output.status.success(),
        "wrk failed:\n{text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    ensure!(
        !text.contains("Non-2xx") && !text.contains("Socket errors"),
        "not all requests were answered:\n{text}"
    );
    let rate = text
        .lines()
        .find_map(|line| line.strip_prefix("Requests/sec:"))
        .context("wrk tells no rate")?;
    Ok(rate.trim().parse()?)
}

fn url_encode(text: &str) -> String {
    text.bytes().fold(String::new(), |mut encoded, byte| {
        if byte.is_ascii_alphanumeric() || byte == b'_' {
            encoded.push(char::from(byte));
        } else {
            let _ = write!(encoded, "%{byte:02X}");
        }
        encoded
    })
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

#[expect(
    clippy::cast_precision_loss,
    reason = "memory sizes are far below 2^52 bytes"
)]
fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

fn write(rows: &[Row]) -> Result<()> {
    let processor = std::fs::read_to_string("/proc/cpuinfo")?;
    let processor = processor
        .lines()
        .find_map(|line| line.strip_prefix("model name"))
        .unwrap_or(": unknown");
    let cores = std::thread::available_parallelism()?;
    let mut section = format!(
        "Measured with `make bench`, which writes this section: the release build, Prometheus 3.10, nginx and the load generator together on one machine \
         with {cores} cores ({}). Ratios are medians of runs that take turns; absolute figures are those of this machine.\n\n\
         | what | measured | goal | |\n|---|---|---|---|\n",
        processor.trim_start_matches([' ', '\t', ':'])
    );
    for row in rows {
        writeln!(
            section,
            "| {} | {} | {} | {} |",
            row.what,
            row.measured,
            row.goal,
            row.verdict()
        )?;
    }
    section.push_str(
        "\nThe throughput query is `MEAN` of 60 one-minute buckets over a metric of 20 series, sent by `wrk` over 20 connections, with another window in \
         every request so that none is shared. nginx passes the same range query to the same Prometheus over connections kept open. \
         The instant store computes the answer to any range query, and has made it before; nginx \
         and the mirror stand before it in turn, and so does a bare gateway: the mirror's \
         packages axum and hyper with a handler that passes a query on and its answer back, and \
         reads neither. The mirror cannot be cheaper than that. CPU time is what the kernel accounts to them, \
         and three queries of nginx or the bare gateway count as a request of 30,240 points. \
         The log of requests is written to a file as JSON, for requests of 60 points, and the \
         mirrors with and without it take turns. \
         The bare queries are the three range queries that 30,240 points take, sent at once. \
         Pairs and shards are asked for `MEAN` of a counter and `PERCENTILE_95` of a histogram, 60 buckets of ten instances; the larger ratio counts.\n",
    );
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/performance.md");
    let page = std::fs::read_to_string(&file)?;
    std::fs::write(file, with_section(&page, &section)?)?;
    Ok(())
}

/// The page with another section of the mirror. `tests/cluster/bench-scale` writes the operator's.
fn with_section(page: &str, section: &str) -> Result<String> {
    const BEGIN: &str = "<!-- begin mirror -->\n";
    const END: &str = "<!-- end mirror -->\n";
    let (before, rest) = page.split_once(BEGIN).context("no begin of the section")?;
    let (_, after) = rest.split_once(END).context("no end of the section")?;
    Ok(format!("{before}{BEGIN}\n{section}\n{END}{after}"))
}
