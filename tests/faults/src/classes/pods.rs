//! Class 18: pods are not ready, crash, or find no node.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use super::{Trials, trial};
use crate::cluster::kind;
use crate::reference::Reference;
use crate::snapshot::Comparison;
use crate::story::{NAME, Step};
use crate::trial::{Harness, PATIENCE, Trial};

/// What becomes of a pod's container.
struct Problem {
    name: &'static str,
    /// State and last state of the container.
    container: fn() -> Value,
    /// Of the resource: type, status and reason of a condition, and a part of its message.
    condition: (&'static str, &'static str, &'static str),
}

/// All of them.
const PROBLEMS: [Problem; 5] = [
    Problem {
        name: "a pod that is not ready",
        container: || json!({"state": {"running": {}}}),
        condition: ("Reconciling", "True RollingOut", "1 are ready"),
    },
    Problem {
        name: "a pod that was killed for its memory",
        container: || {
            json!({
                "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off"}},
                "lastState": {"terminated": {"exitCode": 137, "reason": "OOMKilled"}},
            })
        },
        condition: ("Reconciling", "True PodsFailing", "OOMKilled"),
    },
    Problem {
        name: "a pod that refuses its configuration",
        container: || {
            json!({
                "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off"}},
                "lastState": {"terminated": {"exitCode": 1, "reason": "Error", "message": "the key is empty"}},
            })
        },
        condition: ("Stalled", "True ConfigurationRefused", "the key is empty"),
    },
    Problem {
        name: "a pod whose image is not available",
        container: || json!({"state": {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}}}),
        condition: ("Reconciling", "True PodsFailing", "no such image"),
    },
    Problem {
        name: "a pod without a node",
        container: || Value::Null,
        condition: ("Reconciling", "True PodsFailing", "not scheduled"),
    },
];

/// All trials of the class.
#[must_use]
pub fn trials<'a>(harness: &'a Harness, reference: &'a Reference) -> Trials<'a> {
    PROBLEMS
        .iter()
        .map(|problem| {
            trial(
                harness,
                18,
                problem.name.to_owned(),
                1,
                async move |trial| {
                    for step in [Step::Create, Step::Update] {
                        trial.step(step, reference).await?;
                    }
                    trial.proxy.plan.count("failing pods", 1);
                    if (problem.container)().is_null() {
                        unscheduled(trial, problem).await?;
                    } else {
                        unwell(trial, problem).await?;
                    }
                    let expected = &reference.steps[&Step::Update].snapshot;
                    trial
                        .settles_as(expected, &Comparison::STATE)
                        .await
                        .context("after the pods were well")
                },
            )
        })
        .collect()
}

/// The condition that names the problem, once it is there and stays.
async fn is_named(trial: &Trial<'_>, problem: &Problem) -> Result<()> {
    let (type_, status, part) = problem.condition;
    let message = trial.becomes(NAME, type_, status).await?;
    ensure!(
        message.contains(part),
        "the message does not say {part}: {message}"
    );
    // The condition may come before the count of ready pods.
    let now = trial.settled().await?;
    trial
        .stays(&now, &Comparison::STATE)
        .await
        .context("while it has the problem")
}

/// What a kubelet would say of one of the pods, and later of the same pod when it runs again.
async fn unwell(trial: &Trial<'_>, problem: &Problem) -> Result<()> {
    let cluster = &trial.harness.cluster;
    let pods = cluster.list(kind("Pod")?, &trial.namespace).await?;
    let pod = pods.first().context("there is no pod")?;
    let name = pod.metadata.name.clone().unwrap_or_default();
    let well = pod.data["status"].clone();
    let mut status = well.clone();
    for condition in status["conditions"].as_array_mut().into_iter().flatten() {
        if ["Ready", "ContainersReady"].contains(&condition["type"].as_str().unwrap_or_default()) {
            condition["status"] = json!("False");
        }
    }
    let container = &mut status["containerStatuses"][0];
    container["ready"] = json!(false);
    for (field, value) in (problem.container)().as_object().into_iter().flatten() {
        container[field] = value.clone();
    }
    cluster
        .merge_status(kind("Pod")?, &trial.namespace, &name, &status)
        .await?;
    is_named(trial, problem).await?;
    cluster
        .merge_status(kind("Pod")?, &trial.namespace, &name, &well)
        .await
}

/// No node is like the pods want one.
async fn unscheduled(trial: &Trial<'_>, problem: &Problem) -> Result<()> {
    let mut spec = Step::Update.spec().unwrap_or_default();
    spec["podTemplate"] = json!({"spec": {"nodeSelector": {"no": "such"}}});
    trial.set(Some(&spec)).await?;
    tokio::time::timeout(PATIENCE, is_named(trial, problem))
        .await
        .context("nothing is said of it")??;
    trial.set(Step::Update.spec().as_ref()).await?;
    // The pods that found no node must be gone before the count of pods is what it was.
    tokio::time::sleep(Duration::from_secs(1)).await;
    Ok(())
}
