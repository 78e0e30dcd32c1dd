//! Every point that the mirror answers, against the raw samples: query kind × raw and fourteen
//! methods × bucket width × store.
//!
//! The whole table is compared before anything fails, and written to `docs/correctness.md`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Result, bail, ensure};
use harness::client::{Answer, Client};
use harness::compare::{Agreement, compare};
use harness::oracle::{Expected, Expression, Kind, METHODS, Question, Store, answer, as_stored};
use harness::samples::{self, AWKWARD, HOUR, MINUTE, START};
use harness::servers::{Mimir, Mirror, MirrorConfig, Prometheus, Thanos, VictoriaMetrics, load};
use serde_json::json;

const WIDTHS: [(i64, &str); 5] = [
    (1_000, "1 s"),
    (7_000, "7 s"),
    (MINUTE, "1 min"),
    (15 * MINUTE, "15 min"),
    (HOUR, "1 h"),
];

/// What stores compute in floating point, in an order of their own.
const COMPUTED: f64 = 1e-9;
/// Stored samples of Prometheus come back to the last bit.
const EXACT: f64 = 0.0;
/// VictoriaMetrics stores decimals: it documents about 15 significant digits.
const DECIMAL: f64 = 1e-14;

/// A row group of the table: a metric and what is hard about it.
pub(crate) struct Subject {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    pub(crate) conditions: Vec<(&'static str, Vec<&'static str>)>,
}

pub(crate) fn subjects() -> Vec<Subject> {
    let subject = |name, kind| Subject {
        name,
        kind,
        conditions: Vec::new(),
    };
    let of_a = |subject: Subject| Subject {
        conditions: vec![("instance", vec!["a"])],
        ..subject
    };
    vec![
        subject(
            "gauge: one series, negative values, gaps",
            Kind::Gauge("room_temperature"),
        ),
        Subject {
            conditions: vec![("place", vec![AWKWARD[0], AWKWARD[2], AWKWARD[4]])],
            ..subject(
                "gauge: three of six series, chosen by values with quotes, line breaks, regex characters",
                Kind::Gauge("load"),
            )
        },
        Subject {
            conditions: vec![("place", vec![AWKWARD[3]])],
            ..subject(
                "gauge: one series, chosen by a value in Unicode",
                Kind::Gauge("load"),
            )
        },
        subject("gauge: NaN, ±Inf, −0", Kind::Gauge("special")),
        subject(
            "gauge: 1e-300 and 1e300 side by side",
            Kind::Gauge("extreme"),
        ),
        Subject {
            conditions: vec![("size", vec!["tiny"])],
            ..subject("gauge: 1e-300", Kind::Gauge("extreme"))
        },
        subject("gauge: a sample every 0.3 s", Kind::Gauge("dense")),
        subject("gauge: UTF-8 names", Kind::Gauge("heizung.vorlauf °C")),
        subject(
            "counter: one series with resets",
            Kind::Counter("http_requests_total"),
        ),
        subject(
            "counter: four series that come, restart and go",
            Kind::Counter("bytes_total"),
        ),
        subject(
            "histogram: classic, two instances",
            Kind::Histogram("request_duration_seconds"),
        ),
        of_a(subject(
            "histogram: classic, one instance",
            Kind::Histogram("request_duration_seconds"),
        )),
        subject(
            "histogram: native, two instances",
            Kind::Histogram("deviation_seconds"),
        ),
        of_a(subject(
            "histogram: native, one instance",
            Kind::Histogram("deviation_seconds"),
        )),
        subject(
            "histogram: native and classic at once",
            Kind::Histogram("both_seconds"),
        ),
        subject(
            "histogram: five instances, native, classic, both, migrating",
            Kind::Histogram("mixed_seconds"),
        ),
        subject("summary: two instances", Kind::Summary("gc_pause_seconds")),
        of_a(subject(
            "summary: one instance",
            Kind::Summary("gc_pause_seconds"),
        )),
        subject(
            "PromQL: 2 * gauge",
            Kind::PromQl(Expression::TwiceTheTemperature),
        ),
        subject(
            "PromQL: max(max_over_time(gauge[2m]))",
            Kind::PromQl(Expression::LargestLoad),
        ),
    ]
}

/// Part of the six hours: short buckets need no more, and the time of a test is limited. None
/// begins on an edge.
pub(crate) fn range(width: i64) -> (i64, i64) {
    let start = START + HOUR + 5 * MINUTE + 12_345;
    match width {
        1_000 => (start, start + 8 * MINUTE),
        7_000 => (start, start + 40 * MINUTE),
        MINUTE => (start, start + 3 * HOUR),
        _ => (START + 12_345, START + 5 * HOUR + 50 * MINUTE + 1),
    }
}

/// One row: raw, or a method at every width.
struct Row {
    subject: &'static str,
    method: &'static str,
    cells: Vec<Cell>,
}

enum Cell {
    Agrees(Agreement),
    Refused(String),
    NotRepresentable(&'static str),
    Differs(String),
}

async fn rows(store: Store, url: String) -> Result<Vec<Row>> {
    // Thanos has the samples from before its sidecars started.
    if store != Store::Thanos {
        load(store, &url).await?;
    }
    let all = as_stored(store, samples::everything());
    let config = MirrorConfig::for_targets(&[("store", &url)]);
    let plain = Mirror::start(&config).await?;
    let cache = json!({"enabled": true, "settle": "1s"});
    let remembering = Mirror::start(&config.with("cache", cache)).await?;
    let clients = Clients {
        plain: Client::new(&plain.url()),
        remembering: Client::new(&remembering.url()),
    };
    let mut rows = Vec::new();
    for subject in subjects() {
        // Where several series end; the dense one has its samples elsewhere.
        let start = match subject.kind {
            Kind::Gauge("dense") => START + HOUR + 345,
            _ => START + 3 * HOUR + 12_345,
        };
        let end = start + 2 * HOUR;
        let question = Question {
            kind: subject.kind.clone(),
            conditions: subject.conditions.clone(),
            start,
            end,
            aggregation: None,
        };
        let stored = matches!(subject.kind, Kind::Gauge(_));
        let tolerance = match store {
            _ if stored && store.is_victoriametrics() => DECIMAL,
            _ if stored => EXACT,
            _ => COMPUTED,
        };
        let cell = cell(store, &all, &clients, &question, tolerance).await?;
        rows.push(Row {
            subject: subject.name,
            method: "raw",
            cells: vec![cell],
        });
        for method in METHODS {
            let mut cells = Vec::new();
            for (width, _) in WIDTHS {
                let (start, end) = range(width);
                let aggregation = Some((method, width));
                let question = Question {
                    kind: subject.kind.clone(),
                    conditions: subject.conditions.clone(),
                    start,
                    end,
                    aggregation,
                };
                cells.push(self::cell(store, &all, &clients, &question, COMPUTED).await?);
            }
            rows.push(Row {
                subject: subject.name,
                method,
                cells,
            });
        }
    }
    let (hits, _) = remembering.remembered_buckets().await?;
    ensure!(hits > 0.0, "{}: nothing was remembered", store.name());
    Ok(rows)
}

/// Of two mirrors of one store.
struct Clients {
    plain: Client,
    remembering: Client,
}

impl Clients {
    /// What a mirror that remembers the middle of the range answers. None of what is never
    /// remembered, and of widths that differ in nothing from those that are asked for.
    async fn remembered(&self, question: &Question) -> Result<Option<Answer>> {
        let Some((_, width)) = question.aggregation else {
            return Ok(None);
        };
        if ![7_000, 15 * MINUTE].contains(&width) {
            return Ok(None);
        }
        let quarter = (question.end - question.start) / 4;
        let middle = Question {
            start: question.start + quarter,
            end: question.end - quarter,
            ..question.clone()
        };
        self.remembering.ask(&middle, None).await?;
        Ok(Some(self.remembering.ask(question, None).await?))
    }
}

async fn cell(
    store: Store,
    all: &[samples::Series],
    clients: &Clients,
    question: &Question,
    tolerance: f64,
) -> Result<Cell> {
    let expected = answer(store, all, question);
    if let Expected::NotRepresentable(why) = expected {
        return Ok(Cell::NotRepresentable(why));
    }
    let got = clients.plain.ask(question, None).await?;
    // The last digits of a sum depend on the range that the store adds in.
    if let Some(remembered) = clients.remembered(question).await?
        && (remembered.status, &remembered.body) != (got.status, &got.body)
        && let Err(error) = compare(&expected, &remembered, tolerance)
    {
        return Ok(Cell::Differs(format!("remembered: {error:#}")));
    }
    Ok(match (compare(&expected, &got, tolerance), expected) {
        (Err(error), _) => Cell::Differs(format!("{error:#}")),
        (Ok(_), Expected::Error { kind, .. }) => Cell::Refused(kind.to_owned()),
        // A cell without points would prove nothing.
        (Ok(Agreement { points: 0, .. }), _) => Cell::Differs("no points to compare".to_owned()),
        (Ok(agreement), _) => Cell::Agrees(agreement),
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_point_equals_what_the_raw_samples_say() -> Result<()> {
    let (two, three) = (Prometheus::start_2().await?, Prometheus::start_3().await?);
    let victoria = VictoriaMetrics::start().await?;
    let recent = VictoriaMetrics::start_recent().await?;
    let (thanos, mimir) = (Thanos::of_everything().await?, Mimir::start().await?);
    let stores = [
        (Store::Prometheus2, two.url()),
        (Store::Prometheus3, three.url()),
        (Store::VictoriaMetrics, victoria.url()),
        (Store::RecentVictoriaMetrics, recent.url()),
        (Store::Thanos, thanos.url()),
        (Store::Mimir, mimir.url()),
    ];
    let running: Vec<_> = stores
        .into_iter()
        .map(|(store, url)| (store, tokio::spawn(rows(store, url))))
        .collect();
    let mut tables = Vec::new();
    for (store, rows) in running {
        tables.push((store, rows.await??));
    }
    let mut differences = Vec::new();
    for (store, rows) in &tables {
        for row in rows {
            for (cell, (_, width)) in row.cells.iter().zip(WIDTHS) {
                if let Cell::Differs(how) = cell {
                    let width = if row.method == "raw" { "" } else { width };
                    differences.push(format!(
                        "{}, {}, {} {width}: {how}",
                        store.name(),
                        row.subject,
                        row.method
                    ));
                }
            }
        }
    }
    if !differences.is_empty() {
        bail!(
            "{} cells differ:\n{}",
            differences.len(),
            differences.join("\n")
        );
    }
    let document = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/correctness.md");
    std::fs::create_dir_all(document.parent().unwrap_or(&document))?;
    std::fs::write(document, report(&tables))?;
    Ok(())
}

const INTRODUCTION: &str = "\
# Correctness: every number against the raw samples

Written by `cargo test -p prometheus-mirror-tests --features stores --test truth`. Don't edit.

The test generates samples that are hard to get right, loads them into real servers, asks the mirror, and computes every expected point from
the samples in plain Rust that shares no code with the mirror (`tests/harness/oracle`, which follows each store's own definition of rates and
quantiles and is itself checked against each store with PromQL written by hand). Timestamps, bucket bounds, the set of buckets and `isPartial`
have to be equal. Values may deviate by a relative 1e-9 (inside a native histogram's zero bucket: relative to its width), raw stored samples
not at all (VictoriaMetrics stores decimals: 1e-14).

A cell is the number of points compared and a bound of the largest relative deviation. `refused` is an error that the
contract asks for. Samples: six hours, scraped nominally every 15 s with jitter, gaps, restarts and many scrapes exactly on a bucket's edge or
1 ms before it.

Thanos answers over two replicas that each lack part of the gauges' samples. It takes resets out of
counters before its engine sees the samples, and so extrapolates farther than Prometheus after a
restart; the points of its counters and classic histograms follow that.

A mirror that remembers finished buckets is asked the same at two of the widths, after the middle of
the range, and has to agree as well.
";

fn report(tables: &[(Store, Vec<Row>)]) -> String {
    let mut text = INTRODUCTION.to_owned();
    text.push_str("\n## Totals\n\n| store | query kind | points | largest relative deviation |\n|---|---|---|---|\n");
    for (store, rows) in tables {
        let mut totals: BTreeMap<&str, Agreement> = BTreeMap::new();
        for row in rows {
            let kind = row.subject.split(':').next().unwrap_or_default();
            for cell in &row.cells {
                if let Cell::Agrees(agreement) = cell {
                    let total = totals.entry(kind).or_default();
                    *total = total.and(*agreement);
                }
            }
        }
        for (kind, total) in totals {
            let _ = writeln!(
                text,
                "| {} | {kind} | {} | {} |",
                store.name(),
                total.points,
                magnitude(total.deviation)
            );
        }
    }
    for (store, rows) in tables {
        let _ = write!(text, "\n## {}\n", store.name());
        let mut subject = "";
        for row in rows {
            if row.subject != subject {
                subject = row.subject;
                let _ = write!(text, "\n### {subject}\n\n");
                if let [Cell::NotRepresentable(why)] = row.cells[..] {
                    let _ = writeln!(text, "Not representable: {why}.");
                    continue;
                }
                let widths: Vec<&str> = WIDTHS.iter().map(|(_, name)| *name).collect();
                let _ = writeln!(
                    text,
                    "| method | {} |\n|---|{}",
                    widths.join(" | "),
                    "---|".repeat(WIDTHS.len())
                );
            }
            if matches!(row.cells[0], Cell::NotRepresentable(_)) {
                continue;
            }
            let cells: Vec<String> = row.cells.iter().map(write_cell).collect();
            let padding = " |".repeat(WIDTHS.len() - cells.len());
            let _ = writeln!(text, "| {} | {} |{padding}", row.method, cells.join(" | "));
        }
    }
    text
}

fn write_cell(cell: &Cell) -> String {
    match cell {
        Cell::Agrees(agreement) => {
            format!("{} {}", agreement.points, magnitude(agreement.deviation))
        }
        Cell::Refused(kind) => format!("refused: {kind}"),
        Cell::NotRepresentable(why) => (*why).to_owned(),
        Cell::Differs(how) => format!("DIFFERS: {how}"),
    }
}

/// A deviation in classes so wide that the text stays the same when a store sums in another order.
fn magnitude(deviation: f64) -> &'static str {
    if deviation <= 1e-12 {
        "≤1e-12"
    } else {
        "≤1e-9"
    }
}
