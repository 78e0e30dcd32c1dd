//! Class 11: fields at values that cannot be, and at the ends of what can be.

use std::path::Path;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};

use super::{Trials, trial};
use crate::cluster;
use crate::reference::Reference;
use crate::snapshot::Comparison;
use crate::story::{NAME, Step, smallest};
use crate::trial::{Harness, PATIENCE, Trial};

/// All trials of the class.
#[must_use]
pub fn trials<'a>(harness: &'a Harness, reference: &'a Reference) -> Trials<'a> {
    let refused = "values that cannot be".to_owned();
    let longest = "the longest name".to_owned();
    let mut trials = vec![
        trial(harness, 11, refused, 1, async move |trial| {
            refuses(trial, reference).await
        }),
        trial(harness, 11, longest, 1, async move |trial| {
            longest_name(trial, reference).await
        }),
    ];
    for (number, specs) in ends().chunks(4).enumerate() {
        let specs = specs.to_vec();
        let name = format!("values at the ends of what can be, part {}", number + 1);
        trials.push(trial(harness, 11, name, 1, async move |trial| {
            at_the_ends(trial, reference, &specs).await
        }));
    }
    trials
}

/// The documents that `crds/tests` says must be refused.
fn documents(folder: &Path) -> Result<Vec<(String, Value)>> {
    let mut documents = Vec::new();
    for entry in std::fs::read_dir(folder).with_context(|| format!("{}", folder.display()))? {
        let path = entry?.path();
        let [document] = &cluster::manifests(&path)?[..] else {
            bail!("{} is not one document", path.display());
        };
        let name = path.file_name().unwrap_or_default();
        documents.push((name.to_string_lossy().into_owned(), document.clone()));
    }
    documents.sort_by(|one, other| one.0.cmp(&other.0));
    Ok(documents)
}

/// Each is refused at admission, both as a new resource and in the place of one that runs. Nothing
/// is written.
async fn refuses(trial: &Trial<'_>, reference: &Reference) -> Result<()> {
    trial.step(Step::Create, reference).await?;
    let documents = documents(&trial.harness.corpus)?;
    ensure!(documents.len() > 50, "the corpus is gone");
    for (file, mut document) in documents {
        document["metadata"]["namespace"] = json!(trial.namespace);
        trial.proxy.plan.count("documents", 1);
        let cluster = &trial.harness.cluster;
        ensure!(!cluster.takes(&document).await?, "{file} was taken");
        // What those are about is no part of the spec.
        if file.starts_with("name-") {
            continue;
        }
        ensure!(
            !cluster
                .takes_spec(&trial.namespace, NAME, &document["spec"])
                .await?,
            "{file} was taken in the place of another spec"
        );
    }
    let expected = &reference.steps[&Step::Create].snapshot;
    trial.settles_as(expected, &Comparison::EXACT).await
}

/// Specs at the ends, and what becomes of each.
fn ends() -> Vec<(&'static str, Value)> {
    let with = |field: &str, value: Value| {
        let mut spec = smallest();
        spec[field] = value;
        spec
    };
    let longest = "a".repeat(60);
    let target = |number: usize| {
        let name = format!("{longest}-{number:02}");
        json!({"name": name, "url": format!("http://{}.example", "a".repeat(63))})
    };
    let targets: Vec<_> = (0..64).map(target).collect();
    let hosts: Vec<_> = (0..64)
        .map(|number| format!("{number}.{}", "a".repeat(63)))
        .collect();
    let ports: Vec<_> = (0..64).map(|number| 65_535 - number).collect();
    let annotations: serde_json::Map<_, _> = (0..64)
        .map(|number| (format!("a/{number}"), json!("x".repeat(3000))))
        .collect();
    vec![
        ("True Serving", with("workers", json!(1))),
        ("True Serving", with("workers", json!(1000))),
        ("False ScaledToZero", with("replicas", json!(0))),
        ("True Serving", with("port", json!(1))),
        ("True Serving", with("port", json!(65_535))),
        ("True Serving", with("targets", json!(targets))),
        (
            "True Serving",
            with("requestTargets", json!({"hosts": hosts, "ports": ports})),
        ),
        (
            "True Serving",
            with("service", json!({"annotations": annotations})),
        ),
        (
            "True Serving",
            with("podDisruptionBudget", json!({"maxUnavailable": "1%"})),
        ),
        (
            "True Serving",
            with("networkPolicy", json!({"allowedFrom": []})),
        ),
        ("True Serving", with("imagePullSecrets", json!([]))),
        // The API server knows better than the definition: no pod may ask for less than it is
        // guaranteed.
        (
            "False Refused",
            with(
                "resources",
                json!({"requests": {"memory": "2Gi"}, "limits": {"memory": "1Gi"}}),
            ),
        ),
    ]
}

async fn at_the_ends(
    trial: &Trial<'_>,
    reference: &Reference,
    specs: &[(&str, Value)],
) -> Result<()> {
    trial.step(Step::Create, reference).await?;
    let before = &reference.steps[&Step::Create].snapshot;
    for (expected, spec) in specs {
        let context = || spec.to_string().chars().take(200).collect::<String>();
        trial.proxy.plan.count("specs", 1);
        trial.set(Some(spec)).await.with_context(context)?;
        trial
            .becomes(NAME, "Ready", expected)
            .await
            .with_context(context)?;
        trial.set(Some(&smallest())).await?;
        trial
            .reaches(before, &Comparison::STATE, PATIENCE)
            .await
            .with_context(context)?;
    }
    trial.stays(before, &Comparison::STATE).await
}

/// The names of children are made from the resource's.
async fn longest_name(trial: &Trial<'_>, reference: &Reference) -> Result<()> {
    trial.step(Step::Create, reference).await?;
    let name = "a".repeat(50);
    let mut spec = Step::OptionsOn.spec().unwrap_or_default();
    spec["targets"][0]["name"] = json!("a".repeat(63));
    trial.proxy.plan.count("specs", 1);
    trial.set_named(&name, Some(&spec)).await?;
    trial.becomes(&name, "Ready", "True Serving").await?;
    trial.set_named(&name, None).await?;
    let before = &reference.steps[&Step::Create].snapshot;
    trial.settles_as(before, &Comparison::STATE).await
}
