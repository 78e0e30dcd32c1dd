//! Class 17: the name of a child is taken, by another resource's child or by something else.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use super::{Trials, trial};
use crate::cluster::{CHILDREN, Kind, kind};
use crate::kubernetes::ApiRequest;
use crate::plan::{Gate, Rule, Side};
use crate::reference::Reference;
use crate::snapshot::Comparison;
use crate::story::{NAME, Step, smallest};
use crate::trial::{Harness, PATIENCE, Trial};

/// When something else takes the name.
#[derive(Clone, Copy, Debug)]
enum Taken {
    /// Long before the resource is made.
    Before,
    /// While the operator's request that makes the child is under way: when it looked, there was
    /// nothing.
    AtTheLastMoment,
}

/// All trials of the class.
#[must_use]
pub fn trials<'a>(harness: &'a Harness, reference: &'a Reference) -> Trials<'a> {
    let mut trials = Trials::new();
    for (taken, when) in [
        (Taken::Before, ""),
        (Taken::AtTheLastMoment, " at the last moment"),
    ] {
        for child in CHILDREN {
            let name = format!("a {} in the way{when}", child.2);
            trials.push(trial(harness, 17, name, 1, async move |trial| {
                in_the_way(trial, reference, child, taken).await
            }));
        }
    }
    trials.push(trial(
        harness,
        17,
        "two resources with a child of one name".to_owned(),
        1,
        two_resources,
    ));
    trials
}

/// `shop` with a monitor has a Service `shop-mirror-metrics`; a resource of that name wants it,
/// too.
async fn two_resources(trial: &Trial<'_>) -> Result<()> {
    let mut spec = smallest();
    spec["monitor"] = json!({});
    trial.set(Some(&spec)).await?;
    trial.becomes(NAME, "Ready", "True Serving").await?;
    let service = kind("Service")?;
    let before = trial.object(service, "shop-mirror-metrics").await?;
    trial.proxy.plan.count("names taken", 1);
    trial
        .set_named("shop-mirror-metrics", Some(&smallest()))
        .await?;
    let message = trial
        .becomes("shop-mirror-metrics", "Stalled", "True NameTaken")
        .await?;
    ensure!(
        message.contains("Service shop-mirror-metrics"),
        "the message does not name it: {message}"
    );
    let now = trial.settled().await?;
    trial.stays(&now, &Comparison::STATE).await?;
    let after = trial.object(service, "shop-mirror-metrics").await?;
    ensure!(before == after, "the first one's Service was touched");
    trial.set(None).await?;
    trial
        .becomes("shop-mirror-metrics", "Ready", "True Serving")
        .await?;
    Ok(())
}

/// An object that is nobody's, with the least that its kind takes.
fn foreign(trial: &Trial<'_>, kind: Kind, name: &str) -> Value {
    let version = match kind.0 {
        "" => kind.1.to_owned(),
        group => format!("{group}/{}", kind.1),
    };
    let labels = json!({"app": "other"});
    let spec = match kind.2 {
        "Service" => json!({"ports": [{"port": 80}]}),
        "Deployment" => json!({
            "replicas": 0, "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": "i"}]}},
        }),
        "PodDisruptionBudget" => json!({"selector": {"matchLabels": labels}, "maxUnavailable": 1}),
        "Ingress" => json!({"defaultBackend": {"service": {"name": "s", "port": {"number": 80}}}}),
        "HorizontalPodAutoscaler" => {
            json!({"maxReplicas": 1, "scaleTargetRef": {"kind": "Deployment", "name": "other", "apiVersion": "apps/v1"}})
        }
        "ConfigMap" | "ServiceAccount" => Value::Null,
        _ => json!({"podSelector": {}}),
    };
    let mut object = json!({
        "apiVersion": version, "kind": kind.2,
        "metadata": {"name": name, "namespace": trial.namespace},
    });
    if !spec.is_null() {
        object["spec"] = spec;
    }
    object
}

async fn in_the_way(
    trial: &Trial<'_>,
    reference: &Reference,
    kind: Kind,
    taken: Taken,
) -> Result<()> {
    let name = if kind.2 == "Service" {
        "shop"
    } else {
        "shop-mirror"
    };
    let cluster = &trial.harness.cluster;
    let gate = Gate::default();
    if let Taken::AtTheLastMoment = taken {
        // What every resource has is made for a new one, the rest for one that is there.
        let always = &reference.steps[&Step::Create].snapshot;
        if !always.contains_key(&format!("{} {name}", kind.2)) {
            trial.step(Step::Create, reference).await?;
        }
        let makes = move |request: &ApiRequest| request.is_write() && request.resource == kind.3;
        trial.plan(vec![Rule::hold(
            "writes held back",
            makes,
            0,
            &gate,
            Side::Before,
        )]);
        trial.set(Step::OptionsOn.spec().as_ref()).await?;
        gate.reached().await?;
    }
    cluster.apply(&foreign(trial, kind, name)).await?;
    trial.proxy.plan.count("foreign objects", 1);
    // Controllers of such objects write their status once.
    tokio::time::sleep(Duration::from_secs(3)).await;
    let before = trial.object(kind, name).await?;
    match taken {
        Taken::Before => trial.set(Step::OptionsOn.spec().as_ref()).await?,
        Taken::AtTheLastMoment => gate.open(),
    }
    let message = trial.becomes(NAME, "Stalled", "True NameTaken").await?;
    ensure!(
        message.contains(&format!("{} {name}", kind.2)),
        "the message does not name it: {message}"
    );
    tokio::time::sleep(Duration::from_secs(8)).await;
    let now = trial.snapshot().await?;
    trial.stays(&now, &Comparison::STATE).await?;
    let after = trial.object(kind, name).await?;
    let of = |object: &Value| {
        json!([
            object["metadata"]["uid"],
            object["metadata"]["ownerReferences"],
            object["metadata"]["labels"],
            object["spec"],
            object["data"],
            object["metadata"]["managedFields"].as_array().map(Vec::len)
        ])
    };
    ensure!(
        kind.2 == "HorizontalPodAutoscaler" || of(&before) == of(&after),
        "it was touched: {before} {after}"
    );
    cluster.delete(kind, &trial.namespace, name).await?;
    let expected = &reference.steps[&Step::OptionsOn].snapshot;
    trial
        .reaches(expected, &Comparison::STATE, PATIENCE)
        .await
        .context("after it was gone")
}
