//! Counts the instructions that the mirror needs for one request as the input grows tenfold and a
//! hundredfold, and fails where they grow faster than the input times its logarithm. Counted by
//! callgrind, so that a loaded machine changes nothing.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use clap::Parser;
use harness::samples::{HOUR, START};
use harness::servers::{Mirror, MirrorConfig, Prometheus, http_client, program};
use serde_json::{Value, json};

use siege_stores::hostile::Hostile;

/// Counts the mirror's instructions for inputs of three sizes
#[derive(Debug, Parser)]
struct Arguments {
    /// The mirror's program
    #[arg(long)]
    mirror: PathBuf,
    /// Only inputs with this text in their name
    #[arg(long, default_value = "")]
    only: String,
}

/// An input that has a size.
struct Input {
    name: &'static str,
    sizes: [usize; 3],
    path: &'static str,
    body: fn(usize) -> Value,
}

const INPUTS: [Input; 8] = [
    Input {
        name: "series where one is needed",
        sizes: [100, 1_000, 10_000],
        path: "/api/metric",
        body: |n| raw("hostile", &format!("hostile_series_{n}")),
    },
    Input {
        name: "samples of a series",
        sizes: [1_000, 10_000, 100_000],
        path: "/api/metric",
        body: |n| raw("hostile", &format!("hostile_samples_{n}")),
    },
    Input {
        name: "series for a percentile",
        sizes: [100, 1_000, 10_000],
        path: "/api/metric",
        body: |n| {
            metric(
                "hostile",
                json!([harness::client::equals(
                    "__gauge__",
                    &format!("hostile_series_{n}")
                )]),
                Some("PERCENTILE_95"),
            )
        },
    },
    Input {
        name: "values of a set",
        sizes: [60, 600, 6_000],
        path: "/api/explain",
        body: |n| {
            let values: Vec<String> = (0..n).map(|index| format!("value {index}")).collect();
            let values: Vec<&str> = values.iter().map(String::as_str).collect();
            metric(
                "hostile",
                json!([
                    harness::client::equals("__gauge__", "a"),
                    harness::client::any_of("x", &values)
                ]),
                None,
            )
        },
    },
    Input {
        name: "conditions",
        sizes: [2, 20, 200],
        path: "/api/explain",
        body: |n| {
            let labels =
                (0..n).map(|index| harness::client::equals(&format!("label_{index}"), "a"));
            metric(
                "hostile",
                labels
                    .chain([harness::client::equals("__gauge__", "a")])
                    .collect(),
                None,
            )
        },
    },
    Input {
        name: "unknown fields",
        sizes: [300, 3_000, 30_000],
        path: "/api/explain",
        body: |n| {
            let mut body = metric(
                "hostile",
                json!([harness::client::equals("__gauge__", "a")]),
                None,
            );
            body["connectionDetails"]["unknown"] = (0..n).map(|_| json!({"": 0})).collect();
            body
        },
    },
    Input {
        name: "values of a field",
        sizes: [200, 2_000, 20_000],
        path: "/api/field/value",
        body: |n| {
            json!({
                "_type": "FieldValuesRequest", "connectionDetails": {"target": "hostile"}, "query": {
                    "_type": "FieldValuesQuery", "startTime": START, "endTime": START + HOUR, "limit": 100, "fieldValuePrefix": "",
                    "conditions": [], "field": {"_type": "FieldDescriptor", "fieldName": format!("hostile_names_{n}"), "fieldType": "STRING"},
                },
            })
        },
    },
    Input {
        name: "selectors of an expression within enforced matchers",
        sizes: [2, 20, 200],
        path: "/api/explain",
        body: |n| raw("enforced", &vec![r#"a{x=~"b.*|c"}"#; n].join(" + ")),
    },
];

fn raw(target: &str, promql: &str) -> Value {
    metric(target, json!([harness::client::equals("~", promql)]), None)
}

fn metric(target: &str, conditions: Value, method: Option<&str>) -> Value {
    let mut query = json!({"_type": "MetricsQuery", "conditions": conditions, "startTime": START, "endTime": START + HOUR});
    if let Some(method) = method {
        query["aggregation"] =
            json!({"_type": "Aggregation", "method": method, "bucketSizeMillis": HOUR});
    }
    json!({"_type": "MetricsRequest", "connectionDetails": {"target": target}, "query": query})
}

#[tokio::main]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let valgrind = program("valgrind", "valgrind")?;
    let real = Prometheus::start_2().await?;
    let hostile = Hostile::start(real.url()).await?;
    let config = |targets: usize| {
        let more = (0..targets).map(|index| json!({"name": format!("t{index}"), "url": format!("http://10.0.0.{index}:9090")}));
        let named = [
            json!({"name": "hostile", "url": hostile.url}),
            json!({"name": "enforced", "url": hostile.url, "enforcedMatchers": [{"name": "job", "value": "a"}]}),
        ];
        let targets: Vec<Value> = named.into_iter().chain(more).collect();
        MirrorConfig {
            spec: json!({"targets": targets, "defaultTarget": "hostile"}),
            ..MirrorConfig::for_targets(&[])
        }
    };
    let folder = tempfile::tempdir()?;
    let folder = folder.path();
    let callgrind = wrapper(folder, &valgrind, &arguments.mirror.canonicalize()?)?;
    println!(
        "{:<55} {:>24} {:>24} {:>24}  growth",
        "instructions, in thousands", "n", "10 n", "100 n"
    );
    let idle = count(&callgrind, folder, &config(0), None).await?;
    let mut faults = Vec::new();
    for input in INPUTS
        .iter()
        .filter(|input| input.name.contains(&arguments.only))
    {
        let mut counts = Vec::new();
        for size in input.sizes {
            let all = count(
                &callgrind,
                folder,
                &config(0),
                Some((input.path, &(input.body)(size))),
            )
            .await?;
            counts.push(all.saturating_sub(idle));
        }
        report(input.name, input.sizes, &counts, &mut faults);
    }
    if "targets".contains(&arguments.only) {
        let sizes = [1, 8, 62];
        let mut counts = Vec::new();
        for size in sizes {
            counts.push(
                count(&callgrind, folder, &config(size), None)
                    .await?
                    .saturating_sub(idle),
            );
        }
        report("targets", sizes, &counts, &mut faults);
    }
    ensure!(
        faults.is_empty(),
        "worse than linear: {}",
        faults.join(", ")
    );
    Ok(())
}

/// Prints a line. The last step of growth is judged: in the first one, what every request costs
/// still weighs.
fn report(name: &str, sizes: [usize; 3], counts: &[u64], faults: &mut Vec<String>) {
    let cell = |index: usize| format!("{} ({})", counts[index] / 1000, sizes[index]);
    let growth = counts[2] as f64 / counts[1].max(1) as f64;
    let input = sizes[2] as f64 / sizes[1] as f64;
    println!(
        "{name:<55} {:>24} {:>24} {:>24}  {growth:.1}",
        cell(0),
        cell(1),
        cell(2)
    );
    // n log n, and a tenth for what is not counted twice alike.
    let allowed = input * (sizes[2] as f64).ln() / (sizes[1] as f64).ln() * 1.1;
    if growth > allowed {
        faults.push(format!(
            "{name} grows by {growth:.1} where {allowed:.1} is allowed"
        ));
    }
}

fn wrapper(folder: &Path, valgrind: &Path, mirror: &Path) -> Result<PathBuf> {
    use std::os::unix::fs::PermissionsExt as _;
    let file = folder.join("under-callgrind");
    // With its allocator's settings made, the mirror does not start itself again, which callgrind
    // would not follow.
    let script = format!(
        "#!/bin/sh\nMIMALLOC_PURGE_DELAY=0 exec {} --quiet --tool=callgrind --callgrind-out-file={}/out {} \"$@\"\n",
        valgrind.display(),
        folder.display(),
        mirror.display()
    );
    fs::write(&file, script)?;
    fs::set_permissions(&file, fs::Permissions::from_mode(0o755))?;
    Ok(file)
}

/// The instructions of a mirror that starts, answers `request` if there is one, and ends.
async fn count(
    callgrind: &Path,
    folder: &Path,
    config: &MirrorConfig,
    request: Option<(&str, &Value)>,
) -> Result<u64> {
    let mirror = Mirror::start_with(callgrind, config, &["--drain-delay", "0s"]).await?;
    if let Some((path, body)) = request {
        let answer = http_client()
            .post(format!("{}{path}", mirror.url()))
            .json(body)
            .send()
            .await?;
        let status = answer.status();
        let text = answer.text().await?;
        ensure!(!status.is_server_error(), "{status} {text}");
    }
    mirror.process().signal("TERM")?;
    for _ in 0..200 {
        if !mirror.process().is_running() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    ensure!(
        !mirror.process().is_running(),
        "the mirror does not end:\n{}",
        mirror.process().log()
    );
    let out = fs::read_to_string(folder.join("out")).context("callgrind wrote nothing")?;
    fs::remove_file(folder.join("out"))?;
    let total = out.lines().rev().find_map(|line| {
        line.strip_prefix("totals: ")
            .or_else(|| line.strip_prefix("summary: "))
    });
    total
        .and_then(|total| total.trim().parse().ok())
        .context("callgrind counted nothing")
}
