//! Class 13: the resource, or its namespace, is deleted while the operator is in the middle of its
//! work.

use std::time::Duration;

use anyhow::{Result, ensure};
use tokio::time::Instant;

use super::{Trials, trial};
use crate::cluster::{CHILDREN, GRANDCHILDREN, kind};
use crate::kubernetes::ApiRequest;
use crate::plan::{Gate, Rule, Side};
use crate::record;
use crate::reference::Reference;
use crate::story::Step;
use crate::trial::{Harness, PATIENCE, Trial};

/// All trials of the class.
#[must_use]
pub fn trials<'a>(harness: &'a Harness, reference: &'a Reference) -> Trials<'a> {
    let most = reference.steps[&Step::Create].writes;
    let mut trials = Trials::new();
    for position in 0..most {
        for whole_namespace in [false, true] {
            let what = if whole_namespace {
                "namespace"
            } else {
                "resource"
            };
            let name = format!("{what} deleted at write {}", position + 1);
            trials.push(trial(harness, 13, name, 1, async move |trial| {
                ends(trial, reference, position, whole_namespace).await
            }));
        }
    }
    trials
}

async fn ends(
    trial: &Trial<'_>,
    reference: &Reference,
    position: usize,
    whole_namespace: bool,
) -> Result<()> {
    let gate = Gate::default();
    let label = if whole_namespace {
        "namespaces deleted"
    } else {
        "resources deleted"
    };
    let writes = |request: &ApiRequest| request.verb.writes() && !request.is_lease();
    let side = if position.is_multiple_of(2) {
        Side::Before
    } else {
        Side::After
    };
    trial.plan(vec![Rule::hold(label, writes, position, &gate, side)]);
    trial.set(Step::Create.spec().as_ref()).await?;
    if gate.reached().await.is_err() {
        // Fewer writes this time; then it is deleted at rest.
        ensure!(position > 5, "the write never came");
    }
    if !whole_namespace {
        trial.set(None).await?;
        // The collector is to be at work when the operator goes on.
        tokio::time::sleep(Duration::from_secs(1)).await;
        gate.open();
        // What it had under way it may still write, and the collector takes it.
        tokio::time::sleep(Duration::from_secs(4)).await;
        let expected = &reference.steps[&Step::Delete].snapshot;
        let how = crate::snapshot::Comparison::EXACT;
        return trial.settles_as(expected, &how).await;
    }
    let cluster = &trial.harness.cluster;
    cluster
        .delete(kind("Namespace")?, "", &trial.namespace)
        .await?;
    tokio::time::sleep(Duration::from_millis(500)).await;
    gate.open();
    let deadline = Instant::now() + PATIENCE;
    while cluster
        .get(kind("Namespace")?, "", &trial.namespace)
        .await?
        .is_some()
    {
        ensure!(Instant::now() < deadline, "the namespace is not gone");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    for kind in CHILDREN.into_iter().chain(GRANDCHILDREN) {
        let left = cluster.list(kind, &trial.namespace).await?;
        ensure!(left.is_empty(), "{} {} are left", left.len(), kind.3);
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    let from = trial.proxy.record.len();
    tokio::time::sleep(trial.harness.quiet).await;
    let entries = trial.proxy.record.since(from);
    let writes = record::writes(&entries).len();
    ensure!(
        writes == 0,
        "O3: {writes} writes after the namespace was gone"
    );
    Ok(())
}
