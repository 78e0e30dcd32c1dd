//! Class 19: mode Sidecar, in which nothing runs that belongs to the resource. The operator is
//! killed at each of its writes on the way there and back, something else has the name of a child,
//! and two resources want one.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use super::{Trials, trial};
use crate::cluster::kind;
use crate::plan::{Fault, Rule};
use crate::reference::Reference;
use crate::snapshot::{Comparison, Snapshot};
use crate::story::{NAME, Step, smallest};
use crate::trial::{Harness, PATIENCE, Trial};

/// More writes than the longest step has: all children made, the others removed, the status, events
/// and a restart.
const MOST_WRITES: usize = 10;

/// All trials of the class.
#[must_use]
pub fn trials<'a>(harness: &'a Harness, reference: &'a Reference) -> Trials<'a> {
    let mut trials = Trials::new();
    for (fault, when) in [(Fault::KillBefore, "before"), (Fault::KillAfter, "after")] {
        for position in 0..MOST_WRITES {
            let name = format!(
                "mode Sidecar, killed {when} write {} of each step",
                position + 1
            );
            let fault = fault.clone();
            trials.push(trial(harness, 19, name, 1, async move |trial| {
                killed(trial, reference, &fault, position).await
            }));
        }
    }
    for child in ["ConfigMap", "Service", "NetworkPolicy"] {
        let name = format!("mode Sidecar, a {child} in the way");
        trials.push(trial(harness, 19, name, 1, async move |trial| {
            in_the_way(trial, child).await
        }));
    }
    let name = "mode Sidecar, two resources with a child of one name".to_owned();
    trials.push(trial(harness, 19, name, 1, two_resources));
    trials
}

/// With every optional child that the mode has.
fn sidecar() -> Value {
    let mut spec = smallest();
    spec["mode"] = json!("Sidecar");
    spec["networkPolicy"] = json!({});
    spec["ingress"] = json!({"host": "mirror.example"});
    spec["monitor"] = json!({});
    spec
}

/// A pod that is labelled and has no sidecar: the harness has no policy. Its owner makes no other.
fn labelled(namespace: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "name": "prometheus-0", "namespace": namespace,
            "labels": {"prometheus-mirror.io/inject": NAME, crate::snapshot::FIXTURE_LABEL: "true"},
        },
        "spec": {"containers": [{"name": "prometheus", "image": "prometheus"}]},
    })
}

/// Waits for the state in which the operator has made all there is to make.
async fn comes_to_rest(trial: &Trial<'_>) -> Result<Snapshot> {
    trial.becomes(NAME, "Ready", "False SidecarMissing").await?;
    trial.settled().await
}

async fn killed(
    trial: &Trial<'_>,
    reference: &Reference,
    fault: &Fault,
    position: usize,
) -> Result<()> {
    let cluster = &trial.harness.cluster;
    cluster.apply(&labelled(&trial.namespace)).await?;
    // Once without faults: what it comes to.
    trial.set(Some(&sidecar())).await?;
    let expected = comes_to_rest(trial).await?;
    let own = ["Deployment shop-mirror", "ServiceAccount shop-mirror"];
    ensure!(
        own.iter().all(|own| !expected.contains_key(*own)),
        "something runs"
    );
    let all_in_deployment = &reference.steps[&Step::Create].snapshot;
    let how = &Comparison::STATE;
    let steps = [
        ("to mode Deployment", Some(smallest()), all_in_deployment),
        ("to mode Sidecar", Some(sidecar()), &expected),
        ("removed", None, &reference.steps[&Step::Delete].snapshot),
        ("made in mode Sidecar", Some(sidecar()), &expected),
    ];
    for (step, spec, expected) in steps {
        trial.plan(vec![Rule {
            label: "kills in mode Sidecar",
            when: Box::new(|request| request.verb.writes() && !request.is_lease()),
            skip: position,
            times: 1,
            for_each: false,
            fault: fault.clone(),
        }]);
        trial.set(spec.as_ref()).await?;
        trial.reaches(expected, how, PATIENCE).await.context(step)?;
        trial.plan(vec![]);
    }
    trial.stays(&expected, how).await
}

async fn in_the_way(trial: &Trial<'_>, child: &str) -> Result<()> {
    let name = if child == "Service" {
        NAME
    } else {
        "shop-mirror"
    };
    let (version, spec) = match child {
        "Service" => ("v1", json!({"ports": [{"port": 80}]})),
        "NetworkPolicy" => ("networking.k8s.io/v1", json!({"podSelector": {}})),
        _ => ("v1", Value::Null),
    };
    let mut object = json!({
        "apiVersion": version, "kind": child,
        "metadata": {"name": name, "namespace": trial.namespace},
    });
    if !spec.is_null() {
        object["spec"] = spec;
    }
    let cluster = &trial.harness.cluster;
    cluster.apply(&object).await?;
    trial.proxy.plan.count("foreign objects", 1);
    let before = trial.object(kind(child)?, name).await?;
    trial.set(Some(&sidecar())).await?;
    let message = trial.becomes(NAME, "Stalled", "True NameTaken").await?;
    ensure!(
        message.contains(&format!("{child} {name}")),
        "the message does not name it: {message}"
    );
    let now = trial.settled().await?;
    trial.stays(&now, &Comparison::STATE).await?;
    ensure!(
        before == trial.object(kind(child)?, name).await?,
        "it was touched"
    );
    cluster.delete(kind(child)?, &trial.namespace, name).await?;
    trial.becomes(NAME, "Ready", "False NoPods").await?;
    Ok(())
}

/// `shop` with a monitor has a Service `shop-mirror-metrics`; a resource of that name wants it,
/// too.
async fn two_resources(trial: &Trial<'_>) -> Result<()> {
    const OTHER: &str = "shop-mirror-metrics";
    trial.set(Some(&sidecar())).await?;
    trial.becomes(NAME, "Ready", "False NoPods").await?;
    let service = kind("Service")?;
    let before = trial.object(service, OTHER).await?;
    trial.proxy.plan.count("names taken", 1);
    trial.set_named(OTHER, Some(&sidecar())).await?;
    let message = trial.becomes(OTHER, "Stalled", "True NameTaken").await?;
    ensure!(
        message.contains(OTHER),
        "the message does not name it: {message}"
    );
    let now = trial.settled().await?;
    trial.stays(&now, &Comparison::STATE).await?;
    ensure!(
        before == trial.object(service, OTHER).await?,
        "the first one's Service was touched"
    );
    trial.set(None).await?;
    trial.becomes(OTHER, "Ready", "False NoPods").await?;
    Ok(())
}
