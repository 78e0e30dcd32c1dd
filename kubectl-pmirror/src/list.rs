//! `list`: the mirrors of a namespace.

use std::time::Duration;

use jiff::Timestamp;
use kube::ResourceExt as _;
use kube::api::DynamicObject;
use mirror::cli::print;
use serde_json::{Value, json};

use crate::args::{ListArgs, ListOutput};
use crate::cluster::Cluster;
use crate::problem::Problem;
use crate::table::{self, Cell, Tone, age, one_line, shows_colours};

/// Lists them.
///
/// # Errors
/// If they cannot be listed.
pub async fn run(cluster: &Cluster, args: &ListArgs) -> Result<(), Problem> {
    let mirrors = cluster.mirrors(args.all_namespaces).await?;
    let wide = match args.output {
        ListOutput::Json | ListOutput::Yaml => {
            let list = json!({"apiVersion": "v1", "kind": "List", "items": mirrors});
            return Ok(print(&document(&list, args.output)?)?);
        }
        ListOutput::Name => {
            let names: String = mirrors.iter().map(|mirror| name(mirror) + "\n").collect();
            return Ok(print(&names)?);
        }
        ListOutput::Wide => true,
        ListOutput::Table => false,
    };
    if mirrors.is_empty() {
        let namespace = &cluster.namespace;
        let place = match args.all_namespaces {
            true => "the cluster".to_owned(),
            false => format!("namespace {namespace}"),
        };
        eprintln!("No PrometheusMirror found in {place}.");
        return Ok(());
    }
    let now = Timestamp::now();
    Ok(print(&drawn(
        &mirrors,
        now,
        args.all_namespaces,
        wide,
        shows_colours(),
    ))?)
}

/// The name that kubectl takes.
#[must_use]
pub fn name(mirror: &DynamicObject) -> String {
    format!(
        "prometheusmirror.prometheus-mirror.io/{}",
        mirror.name_any()
    )
}

/// A document for machines.
///
/// # Errors
/// If it cannot be written.
pub fn document(value: &Value, output: ListOutput) -> Result<String, Problem> {
    let failed = |error: &dyn std::fmt::Display| Problem::Other(error.to_string());
    match output {
        ListOutput::Yaml => serde_yaml::to_string(value).map_err(|error| failed(&error)),
        _ => serde_json::to_string_pretty(value)
            .map(|text| text + "\n")
            .map_err(|error| failed(&error)),
    }
}

/// One mirror a line.
fn drawn(
    mirrors: &[DynamicObject],
    now: Timestamp,
    with_namespaces: bool,
    wide: bool,
    colours: bool,
) -> String {
    let mut header = vec![
        "NAME", "READY", "REASON", "TARGETS", "ENDPOINT", "REPLICAS", "AGE",
    ];
    if with_namespaces {
        header.insert(0, "NAMESPACE");
    }
    if wide {
        header.extend(["MODE", "MESSAGE"]);
    }
    let row = |mirror: &DynamicObject| {
        let status = &mirror.data["status"];
        let ready = condition(mirror, "Ready");
        let text = |value: &Value| one_line(value.as_str().unwrap_or_default());
        let replicas = status["replicas"].as_i64();
        let mut cells: Vec<Cell> = vec![
            mirror.name_any().into(),
            readiness(&ready["status"]),
            text(&ready["reason"]).into(),
            text(&status["reachableTargets"]).into(),
            text(&status["endpoint"]).into(),
            replicas
                .map(|count| count.to_string())
                .unwrap_or_default()
                .into(),
            created(mirror, now).into(),
        ];
        if with_namespaces {
            cells.insert(0, mirror.namespace().unwrap_or_default().into());
        }
        if wide {
            let mode = mirror.data["spec"]["mode"].as_str().unwrap_or("Deployment");
            cells.extend([mode.into(), text(&ready["message"]).into()]);
        }
        cells
    };
    let rows: Vec<_> = mirrors.iter().map(row).collect();
    table::render(&header, &rows, colours)
}

/// A condition of a mirror, or null.
#[must_use]
pub fn condition<'a>(mirror: &'a DynamicObject, kind: &str) -> &'a Value {
    let conditions = mirror.data["status"]["conditions"].as_array();
    let mut conditions = conditions.into_iter().flatten();
    conditions
        .find(|one| one["type"] == kind)
        .unwrap_or(&Value::Null)
}

fn readiness(status: &Value) -> Cell {
    let text = status.as_str().unwrap_or("Unknown");
    let tone = match text {
        "True" => Tone::Good,
        "False" => Tone::Bad,
        _ => Tone::Doubtful,
    };
    Cell::toned(one_line(text), tone)
}

/// How old it is.
#[must_use]
pub fn created(mirror: &DynamicObject, now: Timestamp) -> String {
    let created = mirror.metadata.creation_timestamp.as_ref();
    created.map_or_else(String::new, |time| age(since(time.0, now)))
}

/// From one instant to another; nothing if clocks differ.
#[must_use]
pub fn since(then: Timestamp, now: Timestamp) -> Duration {
    now.duration_since(then).try_into().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mirror(name: &str, more: Value) -> DynamicObject {
        let mut object = json!({
            "apiVersion": crds::API_VERSION, "kind": crds::KIND,
            "metadata": {
                "name": name, "namespace": "shop", "creationTimestamp": "2026-01-01T00:00:00Z",
            },
        });
        for (field, value) in more.as_object().cloned().unwrap_or_default() {
            object[field] = value;
        }
        serde_json::from_value(object).unwrap()
    }

    fn mirrors() -> Vec<DynamicObject> {
        let conditions = json!([
            {"type": "Reconciling", "status": "True"},
            {"type": "Ready", "status": "True", "reason": "Serving", "message": "1 pod\nserves"},
        ]);
        vec![
            mirror(
                "production",
                json!({
                    "spec": {"mode": "Sidecar"},
                    "status": {
                        "conditions": conditions, "reachableTargets": "2/2", "replicas": 1,
                        "endpoint": "http://production.shop.svc:9900",
                    },
                }),
            ),
            mirror("young", json!({"spec": {}})),
        ]
    }

    #[test]
    fn a_mirror_is_a_line_and_a_status_that_is_not_there_yet_is_unknown() {
        let now: Timestamp = "2026-01-01T00:05:00Z".parse().unwrap();
        let expected = "\
NAME         READY     REASON    TARGETS   ENDPOINT                          REPLICAS   AGE
production   True      Serving   2/2       http://production.shop.svc:9900   1          5m
young        Unknown                                                                    5m
";
        assert_eq!(drawn(&mirrors(), now, false, false, false), expected);
        let wide = drawn(&mirrors(), now, true, true, false);
        let lines: Vec<_> = wide.lines().collect();
        assert!(lines[0].starts_with("NAMESPACE   NAME  "), "{wide}");
        assert!(lines[0].ends_with("AGE   MODE         MESSAGE"), "{wide}");
        assert!(lines[1].starts_with("shop        production "), "{wide}");
        assert!(
            lines[1].ends_with("5m    Sidecar      1 pod serves"),
            "{wide}"
        );
        assert!(lines[2].ends_with("5m    Deployment"), "{wide}");
    }

    #[test]
    fn documents_keep_fields_that_this_version_does_not_know() {
        let mirror = mirror("new", json!({"spec": {"later": true}}));
        let value = json!(mirror);
        let yaml = document(&value, ListOutput::Yaml).unwrap();
        assert!(yaml.contains("later: true"), "{yaml}");
        let json = document(&value, ListOutput::Json).unwrap();
        assert_eq!(serde_json::from_str::<Value>(&json).unwrap(), value);
        assert_eq!(name(&mirror), "prometheusmirror.prometheus-mirror.io/new");
    }
}
