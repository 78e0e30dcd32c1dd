//! The mirror's own cost: before a store that answers at once, in turn with nginx.

mod bare;
pub(crate) mod logged;
mod store;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Result, ensure};
use harness::client::{Client, equals};
use harness::samples::{END, HOUR, MINUTE};
use harness::servers::{Mirror, MirrorConfig, Nginx, Process};
use serde_json::json;

use super::{Row, mebibytes, median, url_encode, wrk};

use bare::BareGateway;
use store::InstantStore;

/// So often each of the two is measured, …
const ROUNDS: usize = 5;

/// … so many seconds each time.
const SECONDS: u32 = 4;

/// Prometheus answers at most so many points to one query; the mirror asks several for more.
const MOST_POINTS: i64 = 11_000;

/// Windows that take turns, a minute apart, more than connections: no two that are alike are in
/// flight.
const WINDOWS: i64 = 60;

/// One size of answers, with the names of its rows.
struct Size {
    points: i64,
    connections: u32,
    /// By which nginx's CPU time may be multiplied.
    most_cpu: f64,
    goal_of_cpu: &'static str,
    what: [&'static str; 5],
    most_memory: f64,
    goal_of_memory: &'static str,
}

const SIZES: [Size; 3] = [
    Size {
        points: 60,
        connections: 20,
        most_cpu: 1.6,
        goal_of_cpu: "≤ 1.6 ×",
        what: [
            "instant store, 60 points: CPU time a request against nginx",
            "instant store, 60 points: throughput against nginx",
            "instant store, 60 points: resident memory, peak",
            "instant store, 60 points: CPU time a request of the bare gateway, likewise",
            "instant store, 60 points: throughput of the bare gateway, likewise",
        ],
        most_memory: 30.0,
        goal_of_memory: "≤ 30 MiB",
    },
    Size {
        points: 10_080,
        connections: 4,
        most_cpu: 2.0,
        goal_of_cpu: "≤ 2 ×",
        what: [
            "instant store, 10,080 points: CPU time a request against nginx",
            "instant store, 10,080 points: throughput against nginx",
            "instant store, 10,080 points: resident memory, peak",
            "instant store, 10,080 points: CPU time a request of the bare gateway, likewise",
            "instant store, 10,080 points: throughput of the bare gateway, likewise",
        ],
        most_memory: 80.0,
        goal_of_memory: "≤ 80 MiB",
    },
    Size {
        points: 30_240,
        connections: 4,
        most_cpu: 2.0,
        goal_of_cpu: "≤ 2 ×",
        what: [
            "instant store, 30,240 points: CPU time a request against nginx",
            "instant store, 30,240 points: throughput against nginx",
            "instant store, 30,240 points: resident memory, peak",
            "instant store, 30,240 points: CPU time a request of the bare gateway, likewise",
            "instant store, 30,240 points: throughput of the bare gateway, likewise",
        ],
        most_memory: 80.0,
        goal_of_memory: "≤ 80 MiB",
    },
];

/// What one of the two did in its turns.
#[derive(Default)]
struct Turns {
    /// Answered requests of the mirror, a second; as many queries of nginx as answer one.
    rates: Vec<f64>,
    /// Milliseconds of CPU time a request.
    costs: Vec<f64>,
}

impl Turns {
    fn take(
        &mut self,
        process: &Process,
        queries: i64,
        run: impl Fn() -> Result<f64>,
    ) -> Result<()> {
        let before = process.cpu_time();
        let rate = run()?;
        let spent = process.cpu_time().saturating_sub(before);
        #[expect(clippy::cast_precision_loss, reason = "at most three")]
        let rate = rate / queries as f64;
        let answered = rate * Duration::from_secs(u64::from(SECONDS)).as_secs_f64();
        self.rates.push(rate);
        self.costs.push(spent.as_secs_f64() * 1000.0 / answered);
        Ok(())
    }
}

/// Serves as what the arguments of this program name, if they name one of the two servers that it
/// starts itself as.
pub(crate) fn serve(arguments: &[String]) -> Option<Result<()>> {
    match arguments {
        [which, port] if which == store::ARGUMENT => Some(store::serve(port)),
        [which, port, store] if which == bare::ARGUMENT => Some(bare::serve(port, store)),
        _ => None,
    }
}

/// The rows of the page: CPU time, throughput and memory for three sizes of answers.
///
/// # Errors
/// If a program cannot be started, or an answer has not the points that it must have.
pub(crate) async fn measure(binary: &Path) -> Result<Vec<Row>> {
    let store = InstantStore::start().await?;
    let url = format!("http://{}", store.address);
    let mut rows = Vec::new();
    for size in &SIZES {
        let mirror =
            Mirror::start_binary(binary, &MirrorConfig::for_targets(&[("store", &url)])).await?;
        let nginx = Nginx::start(&store.address).await?;
        let bare = BareGateway::start(&store.address).await?;
        rows.extend(compare(size, &mirror, &nginx, &bare).await?);
    }
    Ok(rows)
}

async fn compare(
    size: &Size,
    mirror: &Mirror,
    nginx: &Nginx,
    bare: &BareGateway,
) -> Result<[Row; 5]> {
    let conditions = json!([equals("__gauge__", "instant")]);
    let client = Client::new(&mirror.url());
    let end = END - HOUR;
    let start = end - size.points * MINUTE;
    let mean = Some(("MEAN", MINUTE));
    let answer = client.metric(&conditions, start, end, None, mean).await?;
    let points = answer.json()["telemetry"]["points"]
        .as_array()
        .map_or(0, Vec::len);
    ensure!(
        i64::try_from(points) == Ok(size.points),
        "{points} points instead of {}",
        size.points
    );
    let directory = tempfile::tempdir()?;
    let queries = size.points.div_euclid(MOST_POINTS) + 1;
    let body = client
        .metric_request(&conditions, 111, 222, None, mean)
        .to_string();
    let scripts = [
        ("mirror.lua", through_mirror(size.points, &body)),
        ("nginx.lua", through_nginx(size.points)),
    ];
    for (name, script) in &scripts {
        std::fs::write(directory.path().join(name), script)?;
    }
    let script = |name: &str| -> PathBuf { directory.path().join(name) };
    let (ours, theirs) = (script("mirror.lua"), script("nginx.lua"));
    let run = |script: &Path, url: &str| wrk(script, url, size.connections, SECONDS);
    // All warm up, and the store makes its answers.
    run(&ours, &mirror.url())?;
    run(&theirs, &nginx.url())?;
    run(&theirs, &bare.url())?;
    let [mut mirrors, mut nginxs, mut bares] = [(); 3].map(|()| Turns::default());
    for _ in 0..ROUNDS {
        nginxs.take(nginx.process(), queries, || run(&theirs, &nginx.url()))?;
        bares.take(bare.process(), queries, || run(&theirs, &bare.url()))?;
        mirrors.take(mirror.process(), 1, || run(&ours, &mirror.url()))?;
    }
    Ok(rows(size, mirror, nginx, [mirrors, nginxs, bares]))
}

fn rows(size: &Size, mirror: &Mirror, nginx: &Nginx, all: [Turns; 3]) -> [Row; 5] {
    let memory = mebibytes(mirror.process().peak_resident_bytes());
    let memory_of_nginx = mebibytes(nginx.process().resident_bytes());
    let [ours, theirs, bare] = all.map(|mut turns| Medians {
        cost: median(&mut turns.costs),
        rate: median(&mut turns.rates),
    });
    let (ratio, cost) = ours.cost_against(&theirs);
    let (share, rate) = ours.rate_against(&theirs);
    let [of_cpu, of_rate, of_memory, of_bare_cpu, of_bare_rate] = size.what;
    let to_compare = |what, measured| Row {
        what,
        measured,
        goal: "",
        is_met: true,
    };
    [
        Row {
            what: of_cpu,
            measured: cost,
            goal: size.goal_of_cpu,
            is_met: ratio <= size.most_cpu,
        },
        Row {
            what: of_rate,
            measured: rate,
            goal: "≥ 85 %",
            is_met: share >= 85.0,
        },
        Row {
            what: of_memory,
            measured: format!("{memory:.1} MiB (nginx now: {memory_of_nginx:.1} MiB)"),
            goal: size.goal_of_memory,
            is_met: memory <= size.most_memory,
        },
        to_compare(of_bare_cpu, bare.cost_against(&theirs).1),
        to_compare(of_bare_rate, bare.rate_against(&theirs).1),
    ]
}

/// Of a program's turns.
struct Medians {
    cost: f64,
    rate: f64,
}

impl Medians {
    /// By what the other's CPU time is multiplied, and that in words.
    fn cost_against(&self, other: &Self) -> (f64, String) {
        let ratio = self.cost / other.cost;
        let (own, others) = (self.cost, other.cost);
        (
            ratio,
            format!("{ratio:.2} × ({own:.3} against {others:.3} ms)"),
        )
    }

    /// How many percent of the other's throughput it has, and that in words.
    fn rate_against(&self, other: &Self) -> (f64, String) {
        let share = self.rate / other.rate * 100.0;
        let (own, others) = (self.rate, other.rate);
        (
            share,
            format!("{share:.0} % ({own:.0} against {others:.0} requests/s)"),
        )
    }
}

/// wrk's script for the mirror: a request of `points` in each of the windows, in turn. `body` has
/// 111 where the window begins and 222 where it ends.
fn through_mirror(points: i64, body: &str) -> String {
    let first = END - 2 * HOUR - points * MINUTE;
    let length = points * MINUTE;
    let body = body
        .replace("111", "' .. string.format('%d', start) .. '")
        .replace(
            "222",
            &format!("' .. string.format('%d', start + {length}) .. '"),
        );
    format!(
        "local turn = 0
        function request()
            turn = (turn + 1) % {WINDOWS}
            local start = {first} + turn * {MINUTE}
            local headers = {{['Content-Type'] = 'application/json'}}
            return wrk.format('POST', '/api/metric', headers, '{body}')
        end"
    )
}

/// The same for nginx: the queries that the mirror makes of such a request, one after the other.
fn through_nginx(points: i64) -> String {
    let first = (END - 2 * HOUR - points * MINUTE) / 1000;
    let query = "sum(sum_over_time(instant[1m])) / sum(count_over_time(instant[1m]))";
    let query = url_encode(query).replace('%', "%%");
    format!(
        "local turn, part = 0, 0
        function request()
            if part >= {points} then turn = (turn + 1) % {WINDOWS}; part = 0 end
            local start = {first} + turn * 60 + part * 60
            local points = math.min({points} - part, {MOST_POINTS})
            part = part + {MOST_POINTS}
            return wrk.format('GET', string.format(
                '/api/v1/query_range?query={query}&step=60&start=%d.999&end=%d.999',
                start + 59, start + points * 60 - 1))
        end"
    )
}
