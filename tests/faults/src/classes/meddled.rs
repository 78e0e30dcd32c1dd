//! Classes 7 and 8: others change or delete children, or write what the operator does not care
//! about.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use super::{Trials, trial};
use crate::cluster::{CHILDREN, Kind, kind};
use crate::reference::Reference;
use crate::snapshot::Comparison;
use crate::story::Step;
use crate::trial::{Harness, Trial};

/// So soon must a child be what it was.
const SOON: Duration = Duration::from_secs(10);

/// Changes to a child that must be undone, as merge patches.
fn changes(kind: &str) -> Vec<Value> {
    let label = json!({"metadata": {"labels": {"app.kubernetes.io/managed-by": "somebody"}}});
    let hash = json!({"metadata": {"annotations": {"prometheus-mirror.io/applied": "x"}}});
    let spec = match kind {
        "ConfigMap" => json!({"data": {"mirror.yaml": "not: it"}}),
        "Service" => json!({"spec": {"selector": {"app.kubernetes.io/instance": "other"}}}),
        "ServiceAccount" => json!({"metadata": {"labels": {"app.kubernetes.io/instance": "x"}}}),
        "Deployment" => {
            json!({"spec": {"revisionHistoryLimit": 9, "template": {"spec": {"terminationGracePeriodSeconds": 1}}}})
        }
        "PodDisruptionBudget" => json!({"spec": {"maxUnavailable": 7}}),
        "NetworkPolicy" => json!({"spec": {"ingress": []}}),
        "Ingress" => json!({"spec": {"rules": [{"host": "other.example"}]}}),
        "HorizontalPodAutoscaler" => json!({"spec": {"maxReplicas": 9}}),
        "HTTPRoute" => json!({"spec": {"parentRefs": [{"name": "other"}]}}),
        _ => json!({"spec": {"endpoints": []}}),
    };
    vec![spec, label, hash]
}

async fn everything(trial: &Trial<'_>, reference: &Reference) -> Result<()> {
    for step in [Step::Create, Step::Update, Step::OptionsOn] {
        trial.step(step, reference).await?;
    }
    Ok(())
}

/// The children in the reference run after everything was asked for.
fn children(reference: &Reference) -> Vec<(Kind, String)> {
    let names = reference.steps[&Step::OptionsOn].snapshot.keys();
    let children = names.filter_map(|object| {
        let (of, name) = object.split_once(' ')?;
        let child = CHILDREN.into_iter().find(|child| child.2 == of)?;
        Some((child, name.to_owned()))
    });
    children.collect()
}

/// The trials of class 7: one for every child.
#[must_use]
pub fn undone<'a>(harness: &'a Harness, reference: &'a Reference) -> Trials<'a> {
    let children = children(reference);
    let groups: Vec<Vec<_>> = children.chunks(3).map(<[_]>::to_vec).collect();
    let groups = groups.into_iter().map(|group| {
        let names: Vec<_> = group
            .iter()
            .map(|(kind, name)| format!("{} {name}", kind.2))
            .collect();
        let title = format!("changes and deletions of {}", names.join(", "));
        trial(harness, 7, title, 1, async move |trial| {
            everything(trial, reference).await?;
            let expected = &reference.steps[&Step::OptionsOn].snapshot;
            for (kind, name) in &group {
                for change in changes(kind.2) {
                    let context = || format!("{} {name} was changed: {change}", kind.2);
                    let cluster = &trial.harness.cluster;
                    cluster
                        .merge(*kind, &trial.namespace, name, &change)
                        .await?;
                    trial.proxy.plan.count("changes", 1);
                    trial
                        .reaches(expected, &Comparison::WRITTEN, SOON)
                        .await
                        .with_context(context)?;
                    // Of this annotation any value is taken for right, as each run has another.
                    hash_is_back(trial, *kind, name)
                        .await
                        .with_context(context)?;
                }
                trial
                    .harness
                    .cluster
                    .delete(*kind, &trial.namespace, name)
                    .await?;
                trial.proxy.plan.count("deletions", 1);
                let context = || format!("{} {name} was deleted", kind.2);
                trial
                    .reaches(expected, &Comparison::WRITTEN, SOON)
                    .await
                    .with_context(context)?;
            }
            trial.settles_as(expected, &Comparison::STATE).await
        })
    });
    groups.collect()
}

async fn hash_is_back(trial: &Trial<'_>, kind: Kind, name: &str) -> Result<()> {
    let began = tokio::time::Instant::now();
    loop {
        let object = trial.object(kind, name).await?;
        if object["metadata"]["annotations"]["prometheus-mirror.io/applied"] != "x" {
            return Ok(());
        }
        ensure!(began.elapsed() < SOON, "the hash is not back");
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
}

/// What others may write into a child, by a manager of their own.
fn additions(kind: &str) -> Value {
    let pod = json!({
        "containers": [{"name": "sidecar", "image": "sidecar", "volumeMounts": [{"name": "more", "mountPath": "/more"}]}],
        "volumes": [{"name": "more", "emptyDir": {}}],
    });
    let mut addition = match kind {
        "Deployment" => json!({"spec": {"replicas": 3, "template": {"spec": pod}}}),
        "ConfigMap" => json!({"data": {"more": "data"}}),
        "Service" => {
            json!({"spec": {"ports": [{"name": "more", "port": 1234, "protocol": "TCP"}], "sessionAffinity": "ClientIP"}})
        }
        _ => json!({}),
    };
    addition["metadata"] =
        json!({"annotations": {"somebody/else": "x"}, "labels": {"somebody": "else"}});
    addition
}

/// Everything that is in `wanted` is in `there`; items of lists by name.
fn has(there: &Value, wanted: &Value) -> bool {
    match (there, wanted) {
        (Value::Object(there), Value::Object(wanted)) => wanted
            .iter()
            .all(|(name, wanted)| there.get(name).is_some_and(|there| has(there, wanted))),
        (Value::Array(there), Value::Array(wanted)) => wanted
            .iter()
            .all(|wanted| there.iter().any(|there| has(there, wanted))),
        _ => there == wanted,
    }
}

/// The trial of class 8.
#[must_use]
pub fn preserved<'a>(harness: &'a Harness, reference: &'a Reference) -> Trials<'a> {
    let children = children(reference);
    let all = trial(
        harness,
        8,
        "another writer on every child".to_owned(),
        1,
        async move |trial| {
            everything(trial, reference).await?;
            for (kind, name) in &children {
                let mut manifest = additions(kind.2);
                let version = match kind.0 {
                    "" => kind.1.to_owned(),
                    group => format!("{group}/{}", kind.1),
                };
                manifest["apiVersion"] = json!(version);
                manifest["kind"] = json!(kind.2);
                manifest["metadata"]["name"] = json!(name);
                manifest["metadata"]["namespace"] = json!(trial.namespace);
                trial
                    .harness
                    .cluster
                    .apply_as(&manifest, "somebody-else")
                    .await?;
                trial.proxy.plan.count("objects written to", 1);
            }
            // Pods follow, and are notified of what they serve.
            let settled = trial
                .rests(crate::story::NAME, Duration::from_secs(7))
                .await?;
            trial.stays(&settled, &Comparison::STATE).await?;
            still(trial, &children).await?;
            let mut spec = Step::OptionsOn.spec().unwrap_or_default();
            spec["workers"] = json!(11);
            spec["resources"]["limits"]["memory"] = json!("200Mi");
            trial.set(Some(&spec)).await?;
            let settled = trial
                .rests(crate::story::NAME, Duration::from_secs(7))
                .await?;
            still(trial, &children)
                .await
                .context("after the resource was changed")?;
            trial.stays(&settled, &Comparison::STATE).await
        },
    );
    vec![all]
}

async fn still(trial: &Trial<'_>, children: &[(Kind, String)]) -> Result<()> {
    for (of, name) in children {
        let there = trial.object(*of, name).await?;
        let added = additions(of.2);
        ensure!(
            has(&there, &added),
            "{} {name} lost something of {added}: {there}",
            of.2
        );
    }
    let deployment = trial.object(kind("Deployment")?, "shop-mirror").await?;
    ensure!(
        deployment["spec"]["replicas"] == 3,
        "the autoscaler's replicas are lost"
    );
    Ok(())
}
