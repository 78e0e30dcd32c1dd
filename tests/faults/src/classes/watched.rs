//! Classes 3, 4 and 6: watches that break, that start too late, that are late, and lists of another
//! time.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use kube::ResourceExt as _;
use serde_json::json;

use super::{Trials, trial};
use crate::cluster::{CHILDREN, MIRROR, kind};
use crate::kubernetes::Verb;
use crate::plan::{Fault, Rule};
use crate::reference::Reference;
use crate::snapshot::Comparison;
use crate::story::{NAME, Step};
use crate::trial::{Harness, PATIENCE, Trial};
use crate::watches::{Cut, Withhold};

/// The trials of class 6.
#[must_use]
pub fn broken<'a>(harness: &'a Harness, reference: &'a Reference) -> Trials<'a> {
    let cuts = [
        ("clean ends of watches", Cut::Cleanly),
        ("ends in mid-line", Cut::InALine),
        ("410 in a watch", Cut::Expired),
    ];
    let cuts = cuts.map(|(label, how)| {
        trial(harness, 6, label.to_owned(), 1, async move |trial| {
            for step in Step::ALL {
                let cutting = cut_thrice(trial, label, how);
                let stepping = trial.step(step, reference);
                futures::future::try_join(cutting, stepping).await?;
                hears_again(trial).await?;
                let expected = &reference.steps[&step].snapshot;
                trial
                    .stays(expected, &Comparison::EXACT)
                    .await
                    .with_context(|| format!("in step {step:?}"))?;
            }
            Ok(())
        })
    });
    let starts = [
        ("410 to watches", 410, Verb::Watch),
        ("410 to lists", 410, Verb::List),
        ("500 to lists", 500, Verb::List),
    ];
    let starts = starts.map(|(label, code, verb)| {
        let answer = Fault::Answer {
            code,
            retry_after: None,
        };
        refused(harness, reference, label, verb, answer)
    });
    let expired = refused(
        harness,
        reference,
        "watches that begin with 410",
        Verb::Watch,
        Fault::Expired,
    );
    cuts.into_iter().chain(starts).chain([expired]).collect()
}

/// Waits until every watch has started again, for which an operator whose watches have often failed
/// takes its time: until then the fault goes on, and it may try to write what is gone.
async fn hears_again(trial: &Trial<'_>) -> Result<()> {
    let began = tokio::time::Instant::now();
    while trial.proxy.watches.open() < LISTS {
        ensure!(began.elapsed() < PATIENCE, "not every watch starts again");
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    Ok(())
}

async fn cut_thrice(trial: &Trial<'_>, label: &'static str, how: Cut) -> Result<()> {
    for pause in [50, 400, 1500] {
        tokio::time::sleep(Duration::from_millis(pause)).await;
        let number = trial.proxy.watches.cut(how);
        trial.proxy.plan.count(label, number);
    }
    Ok(())
}

fn refused<'a>(
    harness: &'a Harness,
    reference: &'a Reference,
    label: &'static str,
    verb: Verb,
    fault: Fault,
) -> futures::future::LocalBoxFuture<'a, ()> {
    trial(harness, 6, label.to_owned(), 1, async move |trial| {
        trial.plan(vec![Rule {
            label,
            when: Box::new(move |request| request.verb == verb),
            skip: 0,
            times: 2,
            for_each: true,
            fault: fault.clone(),
        }]);
        trial.operator().restart().await?;
        // Every watch must start again for the second fault.
        trial.proxy.watches.cut(Cut::Expired);
        for step in Step::ALL {
            trial.step(step, reference).await?;
        }
        Ok(())
    })
}

/// The trials of class 4: something is changed and changed back, and the operator hears of both at
/// once.
#[must_use]
pub fn withheld<'a>(harness: &'a Harness, reference: &'a Reference) -> Trials<'a> {
    let resource = trial(
        harness,
        4,
        "a changed resource".to_owned(),
        1,
        async move |trial| {
            let spec = begin(trial, reference).await?;
            hold(trial, MIRROR.3, NAME, 1);
            for workers in [9, 7] {
                let mut spec = spec.clone();
                spec["workers"] = json!(workers);
                trial.set(Some(&spec)).await?;
            }
            same(trial, reference).await
        },
    );
    let children = CHILDREN.iter().map(|child| {
        let name = format!("a changed {}", child.2);
        trial(harness, 4, name, 1, async move |trial| {
            begin(trial, reference).await?;
            let found = trial.harness.cluster.list(*child, &trial.namespace).await?;
            for object in found
                .iter()
                .filter(|object| object.name_any().starts_with(NAME))
            {
                hold(trial, child.3, &object.name_any(), 1);
                for label in [json!("x"), json!(null)] {
                    let patch = json!({"metadata": {"labels": {"app.kubernetes.io/name": label}}});
                    trial
                        .harness
                        .cluster
                        .merge(*child, &trial.namespace, &object.name_any(), &patch)
                        .await?;
                }
            }
            same(trial, reference).await
        })
    });
    let secret = trial(
        harness,
        4,
        "a Secret deleted and made again".to_owned(),
        1,
        async move |trial| {
            begin(trial, reference).await?;
            let secret = kind("Secret")?;
            hold(trial, "secrets", "mirror-key", 1);
            trial
                .harness
                .cluster
                .delete(secret, &trial.namespace, "mirror-key")
                .await?;
            for fixture in crate::story::fixtures(&trial.namespace) {
                trial.harness.cluster.apply(&fixture).await?;
            }
            same(trial, reference).await
        },
    );
    [resource, secret].into_iter().chain(children).collect()
}

fn hold(trial: &Trial<'_>, resource: &'static str, name: &str, until: usize) {
    trial.proxy.watches.withhold(Withhold {
        resource,
        name: name.to_owned(),
        until,
    });
    trial.proxy.plan.count("events held back", 1);
}

/// Everything is asked for and there.
async fn begin(trial: &Trial<'_>, reference: &Reference) -> Result<serde_json::Value> {
    for step in [Step::Create, Step::Update, Step::OptionsOn] {
        trial.step(step, reference).await?;
    }
    // Of the last step's events there are none to come.
    tokio::time::sleep(Duration::from_secs(2)).await;
    Ok(Step::OptionsOn.spec().unwrap_or_default())
}

async fn same(trial: &Trial<'_>, reference: &Reference) -> Result<()> {
    let expected = &reference.steps[&Step::OptionsOn].snapshot;
    // Where all is as it was, it looks as it should before the operator has heard of anything. Of
    // another Secret pods are notified, and they are given some seconds to say no.
    trial.rests(NAME, Duration::from_secs(7)).await?;
    trial
        .reaches(expected, &Comparison::STATE, PATIENCE)
        .await?;
    ensure!(
        trial.proxy.watches.to_withhold() == 0,
        "an event to be held back never came"
    );
    trial.stays(expected, &Comparison::STATE).await
}

/// How many kinds the operator lists when it starts: the resource, its children, pods, Secrets,
/// Services, Prometheus objects. The Services are listed twice, those that are children by their
/// label.
const LISTS: usize = CHILDREN.len() + 5;

/// The trial of class 3: after the resource was deleted and made again, the operator starts with
/// lists from before.
#[must_use]
pub fn stale<'a>(harness: &'a Harness, reference: &'a Reference) -> Trials<'a> {
    let stale = trial(
        harness,
        3,
        "lists from before the deletion".to_owned(),
        1,
        async move |trial| {
            trial.step(Step::Create, reference).await?;
            // The lists of this start are the ones to be replayed.
            trial.proxy.keep_lists();
            trial.operator().restart().await?;
            let began = tokio::time::Instant::now();
            while trial.proxy.lists() < LISTS {
                ensure!(began.elapsed() < PATIENCE, "not every list was seen");
                tokio::time::sleep(Duration::from_millis(300)).await;
            }
            trial.proxy.keep_lists();
            trial.step(Step::Delete, reference).await?;
            trial.step(Step::Create, reference).await?;
            let before = uids(trial).await?;
            trial.plan(vec![Rule {
                label: "stale lists",
                when: Box::new(|request| request.verb == Verb::List),
                skip: 0,
                times: 1,
                for_each: true,
                fault: Fault::Replay,
            }]);
            trial.proxy.watches.delay(Duration::from_secs(10));
            trial.operator().restart().await?;
            tokio::time::sleep(Duration::from_secs(12)).await;
            let expected = &reference.steps[&Step::Create].snapshot;
            trial
                .reaches(expected, &Comparison::STATE, PATIENCE)
                .await?;
            let after = uids(trial).await?;
            ensure!(before == after, "replaced: {before:?} by {after:?}");
            trial.stays(expected, &Comparison::STATE).await
        },
    );
    vec![stale]
}

async fn uids(trial: &Trial<'_>) -> Result<Vec<(String, Option<String>)>> {
    let mut uids = Vec::new();
    for child in CHILDREN {
        for object in trial.harness.cluster.list(child, &trial.namespace).await? {
            uids.push((format!("{} {}", child.2, object.name_any()), object.uid()));
        }
    }
    Ok(uids)
}
