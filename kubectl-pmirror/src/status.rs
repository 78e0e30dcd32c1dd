//! `status`: a mirror's conditions, pods and targets in one view.

use jiff::Timestamp;
use kube::ResourceExt as _;
use kube::api::DynamicObject;
use mirror::cli::print;
use serde_json::{Value, json};

use crate::args::{ListOutput, StatusArgs};
use crate::cluster::Cluster;
use crate::list::{created, document, name, since};
use crate::pods::{Place, Seen};
use crate::problem::Problem;
use crate::table::{Cell, Tone, age, one_line, render, shows_colours};

/// Shows it.
///
/// # Errors
/// If the resource cannot be read. That pods cannot be listed is part of the view.
pub async fn run(cluster: &Cluster, args: &StatusArgs) -> Result<(), Problem> {
    let mirror = cluster.mirror(&args.name).await?;
    match args.output {
        ListOutput::Json | ListOutput::Yaml => {
            return Ok(print(&document(&json!(mirror), args.output)?)?);
        }
        ListOutput::Name => return Ok(print(&(name(&mirror) + "\n"))?),
        ListOutput::Table | ListOutput::Wide => {}
    }
    let pods = Place::of(&mirror).pods(cluster).await;
    Ok(print(&drawn(
        &mirror,
        &pods,
        Timestamp::now(),
        shows_colours(),
    ))?)
}

fn drawn(
    mirror: &DynamicObject,
    pods: &Result<Vec<Seen>, Problem>,
    now: Timestamp,
    colours: bool,
) -> String {
    let status = &mirror.data["status"];
    let facts = [
        ("Name", mirror.name_any()),
        ("Namespace", mirror.namespace().unwrap_or_default()),
        ("Endpoint", text(&status["endpoint"])),
        (
            "Mode",
            mirror.data["spec"]["mode"]
                .as_str()
                .unwrap_or("Deployment")
                .to_owned(),
        ),
        ("Age", created(mirror, now)),
    ];
    let facts = facts.iter().filter(|(_, value)| !value.is_empty());
    let facts = facts.map(|(name, value)| format!("{:<12}{value}\n", format!("{name}:")));
    let mut view: String = facts.collect();
    view += "\n";
    view += &conditions(&status["conditions"], now, colours);
    view += "\n";
    view += &match pods {
        Ok(pods) if pods.is_empty() => "No pods.\n".to_owned(),
        Ok(pods) => rows_of_pods(pods, colours),
        Err(problem) => format!("Pods: {problem}\n"),
    };
    let targets = targets(&status["targets"], colours);
    if !targets.is_empty() {
        view += "\n";
        view += &targets;
    }
    view
}

fn text(value: &Value) -> String {
    one_line(value.as_str().unwrap_or_default())
}

/// Conditions whose `True` is good news; of the others it is bad news, or none.
const GOOD: [&str; 3] = ["Ready", "TargetsReachable", "SidecarsCurrent"];

fn tone(kind: &str, status: &str) -> Tone {
    match (GOOD.contains(&kind), kind, status) {
        (_, _, "Unknown") => Tone::Doubtful,
        (true, _, "True") | (false, _, "False") => Tone::Good,
        (true, ..) | (_, "Stalled", _) => Tone::Bad,
        (false, ..) => Tone::Doubtful,
    }
}

fn conditions(conditions: &Value, now: Timestamp, colours: bool) -> String {
    let Some(conditions) = conditions
        .as_array()
        .filter(|conditions| !conditions.is_empty())
    else {
        return "No conditions: no operator has seen this resource yet.\n".to_owned();
    };
    let row = |condition: &Value| {
        let (kind, status) = (text(&condition["type"]), text(&condition["status"]));
        let changed = condition["lastTransitionTime"].as_str();
        let changed = changed.and_then(|time| time.parse::<Timestamp>().ok());
        let tone = tone(&kind, &status);
        vec![
            kind.into(),
            Cell::toned(status, tone),
            text(&condition["reason"]).into(),
            changed
                .map_or_else(String::new, |time| age(since(time, now)))
                .into(),
            text(&condition["message"]).into(),
        ]
    };
    let rows: Vec<_> = conditions.iter().map(row).collect();
    render(
        &["CONDITION", "STATUS", "REASON", "SINCE", "MESSAGE"],
        &rows,
        colours,
    )
}

fn rows_of_pods(pods: &[Seen], colours: bool) -> String {
    let row = |pod: &Seen| {
        let (ready, tone) = match pod.ready {
            true => ("True", Tone::Good),
            false => ("False", Tone::Bad),
        };
        vec![
            pod.name.as_str().into(),
            Cell::toned(ready, tone),
            pod.state.as_str().into(),
            pod.restarts.to_string().into(),
            pod.age.as_str().into(),
            pod.node.as_str().into(),
        ]
    };
    let rows: Vec<_> = pods.iter().map(row).collect();
    render(
        &["POD", "READY", "STATE", "RESTARTS", "AGE", "NODE"],
        &rows,
        colours,
    )
}

/// The targets, and below each its servers if it has several.
fn targets(targets: &Value, colours: bool) -> String {
    let row = |name: &str, seen: &Value| {
        let reachable = match seen["reachable"].as_bool() {
            Some(true) => Cell::toned("True", Tone::Good),
            Some(false) => Cell::toned("False", Tone::Bad),
            None => Cell::toned("Unknown", Tone::Doubtful),
        };
        vec![
            name.into(),
            reachable,
            text(&seen["version"]).into(),
            text(&seen["url"]).into(),
            text(&seen["message"]).into(),
        ]
    };
    let mut rows: Vec<Vec<Cell>> = Vec::new();
    for target in targets.as_array().into_iter().flatten() {
        rows.push(row(&text(&target["name"]), target));
        let servers = target["servers"].as_array().into_iter().flatten();
        rows.extend(servers.map(|server| row("", server)));
    }
    if rows.is_empty() {
        return String::new();
    }
    render(
        &["TARGET", "REACHABLE", "VERSION", "URL", "MESSAGE"],
        &rows,
        colours,
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::problem::LIST_PODS;

    fn now() -> Timestamp {
        "2026-01-01T00:05:00Z".parse().unwrap()
    }

    fn mirror(status: Value) -> DynamicObject {
        let mirror = json!({
            "apiVersion": crds::API_VERSION, "kind": crds::KIND,
            "metadata": {"name": "production", "namespace": "shop", "creationTimestamp": "2026-01-01T00:00:00Z"},
            "spec": {}, "status": status,
        });
        serde_json::from_value(mirror).unwrap()
    }

    #[test]
    fn one_view_has_conditions_pods_and_targets() {
        let condition = |kind: &str, status: &str, reason: &str, message: &str| json!({"type": kind, "status": status, "reason": reason, "message": message, "lastTransitionTime": "2026-01-01T00:04:00Z"});
        let mirror = mirror(json!({
            "endpoint": "http://production.shop.svc:9900",
            "conditions": [
                condition("Ready", "True", "Serving", "1 of 1 pods serves"),
                condition("TargetsReachable", "False", "Unreachable", "b is not reachable"),
            ],
            "targets": [
                {"name": "a", "url": "http://a:9090", "reachable": true, "version": "3.5.0"},
                {"name": "b", "reachable": false, "message": "connection\nrefused", "servers": [
                    {"url": "http://b0:9090", "reachable": true},
                    {"url": "http://b1:9090"},
                ]},
            ],
        }));
        let pods = Ok(vec![Seen {
            name: "production-mirror-1".to_owned(),
            ready: true,
            restarts: 0,
            age: "5m".to_owned(),
            node: "n1".to_owned(),
            state: "Running".to_owned(),
        }]);
        let expected = "\
Name:       production
Namespace:  shop
Endpoint:   http://production.shop.svc:9900
Mode:       Deployment
Age:        5m

CONDITION          STATUS   REASON        SINCE   MESSAGE
Ready              True     Serving       60s     1 of 1 pods serves
TargetsReachable   False    Unreachable   60s     b is not reachable

POD                   READY   STATE     RESTARTS   AGE   NODE
production-mirror-1   True    Running   0          5m    n1

TARGET   REACHABLE   VERSION   URL              MESSAGE
a        True        3.5.0     http://a:9090
b        False                                  connection refused
         True                  http://b0:9090
         Unknown               http://b1:9090
";
        assert_eq!(drawn(&mirror, &pods, now(), false), expected);
    }

    #[test]
    fn what_is_missing_is_said() {
        let refused = Err(Problem::Forbidden {
            right: LIST_PODS,
            namespace: "shop".to_owned(),
        });
        let view = drawn(&mirror(Value::Null), &refused, now(), false);
        let expected = "\
No conditions: no operator has seen this resource yet.

Pods: you may not do that in namespace shop: it needs the right to list pods there
";
        assert!(view.ends_with(expected), "{view}");
        let view = drawn(&mirror(Value::Null), &Ok(vec![]), now(), false);
        assert!(view.ends_with("\nNo pods.\n"), "{view}");
    }

    #[test]
    fn a_condition_is_good_news_or_bad_news() {
        for (kind, status, expected) in [
            ("Ready", "True", Tone::Good),
            ("Ready", "False", Tone::Bad),
            ("Ready", "Unknown", Tone::Doubtful),
            ("Stalled", "True", Tone::Bad),
            ("Stalled", "False", Tone::Good),
            ("Reconciling", "True", Tone::Doubtful),
            ("Degraded", "True", Tone::Doubtful),
        ] {
            assert_eq!(tone(kind, status), expected, "{kind} {status}");
        }
    }
}
