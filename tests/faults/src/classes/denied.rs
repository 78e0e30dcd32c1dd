//! Class 15: the operator may not touch a kind, or the kind's API is not installed.

use anyhow::{Context as _, Result, ensure};

use super::{Trials, trial};
use crate::cluster::{CHILDREN, Kind};
use crate::plan::{Fault, Rule};
use crate::reference::Reference;
use crate::snapshot::Comparison;
use crate::story::{NAME, Step, smallest};
use crate::trial::{Harness, PATIENCE, Trial};

/// Kinds without which there is no mirror, of those that the first step writes.
const ESSENTIAL: [&str; 4] = ["ConfigMap", "Service", "ServiceAccount", "Deployment"];

/// All trials of the class.
#[must_use]
pub fn trials<'a>(harness: &'a Harness, reference: &'a Reference) -> Trials<'a> {
    let mut trials = Trials::new();
    for child in CHILDREN {
        if ESSENTIAL.contains(&child.2) {
            let name = format!("no right to write a {}", child.2);
            trials.push(trial(harness, 15, name, 1, async move |trial| {
                without_right_to_write(trial, reference, child).await
            }));
            continue;
        }
        for (label, code) in [
            ("without the right to", 403),
            ("without the API of", 404),
            ("while nothing can be had of", 500),
        ] {
            let name = format!("{label} {}", child.3);
            trials.push(trial(harness, 15, name, 1, async move |trial| {
                without_kind(trial, reference, child, code).await
            }));
        }
    }
    for resource in ["secrets", "pods", "replicasets"] {
        let name = format!("no right to see {resource}");
        trials.push(trial(harness, 15, name, 1, async move |trial| {
            without_right_to_see(trial, reference, resource).await
        }));
    }
    trials
}

/// Answers every request for a kind so, or every request that writes one.
fn answer(label: &'static str, resource: &'static str, writes_only: bool, code: u16) -> Rule {
    Rule {
        label,
        when: Box::new(move |request| {
            request.resource == resource && (request.verb.writes() || !writes_only)
        }),
        skip: 0,
        times: usize::MAX,
        for_each: false,
        fault: Fault::Answer {
            code,
            retry_after: None,
        },
    }
}

/// An optional kind is not available. Everything else is made, also for another resource, and a
/// condition says what is missing.
async fn without_kind(
    trial: &Trial<'_>,
    reference: &Reference,
    kind: Kind,
    code: u16,
) -> Result<()> {
    for step in [Step::Create, Step::Update] {
        trial.step(step, reference).await?;
    }
    let label = match code {
        403 => "403",
        404 => "404",
        _ => "500",
    };
    trial.plan(vec![answer(label, kind.3, false, code)]);
    trial.operator().restart().await?;
    trial.set(Step::OptionsOn.spec().as_ref()).await?;
    let message = trial.becomes(NAME, "Degraded", "True ApiMissing").await?;
    ensure!(
        message.contains(kind.2),
        "the message does not name {}: {message}",
        kind.2
    );
    trial.becomes(NAME, "Ready", "True Serving").await?;
    let mut expected = reference.steps[&Step::OptionsOn].snapshot.clone();
    expected.retain(|object, _| object.split(' ').next() != Some(kind.2));
    trial
        .reaches(&expected, &Comparison::WRITTEN, PATIENCE)
        .await
        .with_context(|| format!("children besides {}", kind.2))?;
    trial.stays(&expected, &Comparison::WRITTEN).await?;
    trial.set_named("another", Some(&smallest())).await?;
    trial.becomes("another", "Ready", "True Serving").await?;
    trial.set_named("another", None).await?;
    allowed_again(trial, reference, Step::OptionsOn).await
}

/// A right to write is missing: a condition says so, the resource is tried again from time to time,
/// and not more often.
async fn without_right_to_write(
    trial: &Trial<'_>,
    reference: &Reference,
    kind: Kind,
) -> Result<()> {
    trial.plan(vec![answer("403 to writes", kind.3, true, 403)]);
    trial.set(Step::Create.spec().as_ref()).await?;
    stalled(trial, kind.2, kind.3).await?;
    allowed_again(trial, reference, Step::Create).await
}

/// What every resource refers to, or runs in, may not be looked at: nothing is concluded from not
/// seeing it.
async fn without_right_to_see(
    trial: &Trial<'_>,
    reference: &Reference,
    resource: &'static str,
) -> Result<()> {
    trial.step(Step::Create, reference).await?;
    trial.plan(vec![answer("403 to a list or watch", resource, false, 403)]);
    trial.operator().restart().await?;
    stalled(trial, resource, resource).await?;
    let expected = &reference.steps[&Step::Create].snapshot;
    trial
        .stays(expected, &Comparison::WRITTEN)
        .await
        .context("children meanwhile")?;
    allowed_again(trial, reference, Step::Create).await
}

/// Nothing is denied any more: the cluster comes to what the reference run made of this step.
async fn allowed_again(trial: &Trial<'_>, reference: &Reference, step: Step) -> Result<()> {
    trial.plan(vec![]);
    let expected = &reference.steps[&step].snapshot;
    trial
        .settles_as(expected, &Comparison::STATE)
        .await
        .context("after nothing was denied any more")
}

async fn stalled(trial: &Trial<'_>, named: &str, resource: &str) -> Result<()> {
    let message = trial.becomes(NAME, "Stalled", "True Forbidden").await?;
    ensure!(
        message.to_lowercase().contains(&named.to_lowercase()),
        "the message does not name {named}: {message}"
    );
    let from = trial.proxy.record.len();
    tokio::time::sleep(trial.harness.quiet).await;
    let entries = trial.proxy.record.since(from);
    let asked = entries
        .iter()
        .filter(|entry| entry.request.resource == resource);
    let asked = asked.count();
    // Its own objects, and those that resources refer to or that carry its label.
    let watches = match resource {
        "configmaps" | "pods" | "services" => 2,
        _ => 1,
    };
    ensure!(
        asked < 5 * watches,
        "asked {asked} times for what is forbidden, by {watches} watches"
    );
    Ok(())
}
