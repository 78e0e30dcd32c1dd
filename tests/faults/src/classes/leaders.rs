//! Class 14: two replicas, and the one that leads is killed, frozen, or cut off from the API
//! server.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::json;
use tokio::time::Instant;

use super::{Trials, trial};
use crate::cluster::kind;
use crate::kubernetes::ApiRequest;
use crate::plan::{Gate, Rule, Side};
use crate::record;
use crate::reference::Reference;
use crate::snapshot::Comparison;
use crate::story::{NAME, Step};
use crate::trial::{Harness, Trial};

/// How the leader is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Loss {
    Killed,
    /// At rest, and thawed after another has taken over.
    Frozen,
    /// At its n-th write after the resource changed.
    FrozenAtWrite(usize),
}

/// All trials of the class.
#[must_use]
pub fn trials<'a>(harness: &'a Harness, reference: &'a Reference) -> Trials<'a> {
    let losses = [Loss::Killed, Loss::Frozen]
        .into_iter()
        .chain((0..5).map(Loss::FrozenAtWrite));
    losses
        .map(|loss| {
            let name = format!("leader {loss:?}");
            trial(harness, 14, name, 2, async move |trial| {
                lost(trial, reference, loss).await
            })
        })
        .collect()
}

async fn holder(trial: &Trial<'_>) -> Result<String> {
    let lease = trial
        .harness
        .cluster
        .get(
            kind("Lease")?,
            &trial.namespace,
            "prometheus-mirror-operator",
        )
        .await?;
    let lease = json!(lease);
    Ok(lease["spec"]["holderIdentity"]
        .as_str()
        .unwrap_or_default()
        .to_owned())
}

async fn lost(trial: &Trial<'_>, reference: &Reference, loss: Loss) -> Result<()> {
    trial.step(Step::Create, reference).await?;
    let name = holder(trial).await?;
    let old = trial
        .replicas
        .iter()
        .find(|replica| replica.identity == name);
    let old = old.context("nobody leads")?;
    let gate = Gate::default();
    let label = match loss {
        Loss::Killed => "leaders killed",
        Loss::Frozen | Loss::FrozenAtWrite(_) => "leaders frozen",
    };
    if let Loss::FrozenAtWrite(position) = loss {
        let writes = |request: &ApiRequest| request.verb.writes() && !request.is_lease();
        trial.plan(vec![Rule::hold(
            label,
            writes,
            position,
            &gate,
            Side::After,
        )]);
        trial.set(Step::Update.spec().as_ref()).await?;
        gate.reached().await?;
        old.signal("STOP").await?;
    } else {
        trial.proxy.plan.count(label, 1);
        match loss {
            Loss::Killed => old.kill().await?,
            _ => old.signal("STOP").await?,
        }
        trial.set(Step::Update.spec().as_ref()).await?;
    }
    let lost = Instant::now();
    while holder(trial).await? == name {
        ensure!(
            lost.elapsed() < Duration::from_secs(30),
            "nobody takes over"
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let expired = trial.proxy.record.len();
    if loss != Loss::Killed {
        old.signal("CONT").await?;
        gate.open();
    }
    let expected = &reference.steps[&Step::Update].snapshot;
    trial.settles_as(expected, &Comparison::EXACT).await?;
    let entries = trial.proxy.record.since(expired);
    let late: Vec<_> = record::writes(&entries)
        .into_iter()
        .filter(|entry| entry.replica == old.number)
        .map(|entry| entry.request.to_string())
        .collect();
    ensure!(
        late.is_empty(),
        "{name} wrote after its lease had expired: {}",
        late.join(", ")
    );
    ensure!(
        holder(trial).await? != name,
        "{NAME}: the old leader took the lease back"
    );
    Ok(())
}
