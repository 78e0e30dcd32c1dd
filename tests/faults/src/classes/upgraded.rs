//! Class 16: the operator is replaced by one of another version while resources stay as they are.

use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use super::{Trials, trial};
use crate::cluster::kind;
use crate::reference::Reference;
use crate::snapshot::Comparison;
use crate::story::{NAME, Step};
use crate::trial::{Harness, Trial};

/// The trials of the class.
#[must_use]
pub fn trials<'a>(harness: &'a Harness, reference: &'a Reference) -> Trials<'a> {
    let own_image = trial(
        harness,
        16,
        "a resource that names its image".to_owned(),
        1,
        async move |trial| {
            let mut spec = Step::OptionsOn.spec().unwrap_or_default();
            spec["image"] = json!("prometheus-mirror:pinned");
            trial.set(Some(&spec)).await?;
            let before = trial.rests(NAME, Duration::from_secs(7)).await?;
            replace(trial).await?;
            tokio::time::sleep(Duration::from_secs(5)).await;
            let how = Comparison::EXACT;
            trial.reaches(&before, &how, Duration::ZERO).await?;
            trial.stays(&before, &how).await
        },
    );
    let default_image = trial(
        harness,
        16,
        "a resource with the default image".to_owned(),
        1,
        async move |trial| {
            for step in [Step::Create, Step::Update] {
                trial.step(step, reference).await?;
            }
            let old = template(trial).await?;
            replace(trial).await?;
            let began = tokio::time::Instant::now();
            let new = loop {
                let new = template(trial).await?;
                if new != old {
                    break new;
                }
                ensure!(
                    began.elapsed() < Duration::from_secs(60),
                    "the image is not the new version's"
                );
                tokio::time::sleep(Duration::from_millis(300)).await;
            };
            let mut but_for_the_image = new.clone();
            let image = &mut but_for_the_image["spec"]["containers"][0]["image"];
            ensure!(
                image != &old["spec"]["containers"][0]["image"],
                "not the image changed: {old} {new}"
            );
            *image = old["spec"]["containers"][0]["image"].clone();
            ensure!(
                but_for_the_image == old,
                "more than the image changed: {old} {new}"
            );
            Ok(())
        },
    );
    vec![own_image, default_image]
}

async fn replace(trial: &Trial<'_>) -> Result<()> {
    trial.proxy.plan.count("upgrades", 1);
    trial.operator().upgrade();
    trial.operator().restart().await
}

async fn template(trial: &Trial<'_>) -> Result<Value> {
    let deployment = trial.object(kind("Deployment")?, "shop-mirror").await?;
    Ok(deployment["spec"]["template"].clone())
}
