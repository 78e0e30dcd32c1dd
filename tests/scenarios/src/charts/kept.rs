//! Rendered objects beside those that the API server keeps. Rancher Fleet compares both: a field
//! that the server writes differently is a modification for it, and the bundle is never ready.

use std::path::PathBuf;

use anyhow::{Result, ensure};
use serde::Deserialize as _;
use serde_json::Value;

use super::{MIRROR, NEEDED, OPERATOR};
use crate::helm_program::Helm;
use crate::programs::{feed, run};
use crate::scene::Scene;

pub(super) async fn objects_of_the_operators_chart_are_kept_as_rendered(
    scene: &Scene,
) -> Result<()> {
    let mut values = values(scene, &["tests/charts/values/prometheus-mirror-operator"])?;
    // Those of the example for Fleet.
    let bundle = scene.place().file("examples/fleet/operator/fleet.yaml");
    let bundle: Value = serde_yaml::from_str(&std::fs::read_to_string(bundle)?)?;
    let example = tempfile::NamedTempFile::new()?;
    std::fs::write(example.path(), bundle["helm"]["values"].to_string())?;
    values.push(example.path().to_owned());
    all_are_kept(scene, OPERATOR, &values).await
}

pub(super) async fn objects_of_the_mirrors_chart_are_kept_as_rendered(scene: &Scene) -> Result<()> {
    let folders = [
        "tests/charts/values/prometheusmirror",
        "charts/prometheusmirror/ci",
    ];
    let values = values(scene, &folders)?;
    all_are_kept(scene, MIRROR, &values).await
}

/// Files with values.
fn values(scene: &Scene, folders: &[&str]) -> Result<Vec<PathBuf>> {
    let mut files = vec![];
    for folder in folders {
        for entry in std::fs::read_dir(scene.place().root.join(folder))? {
            files.push(entry?.path());
        }
    }
    files.sort();
    Ok(files)
}

async fn all_are_kept(scene: &Scene, chart: &str, values: &[PathBuf]) -> Result<()> {
    let helm = Helm::new(scene, 4).await?;
    let place = scene.place().file(&format!("charts/{chart}"));
    // Of the values of one file.
    let teams = ["team-a", "team-b"];
    for team in teams {
        scene.remove_namespace(team).await?;
        run("kubectl", &["create", "namespace", team]).await?;
    }
    let (mut number, mut different) = (0, vec![]);
    for values in values {
        let file = values.display().to_string();
        let template = ["template", "mirrors", &place, "--values", &file];
        let no_test = ["--set", "tests.enabled=false", "--kube-version", "1.37.0"];
        // This cluster has one family of addresses.
        let two_families = std::fs::read_to_string(values)?.contains("ipFamilies");
        let one: &[&str] = match two_families {
            true => &[
                "--set",
                "service.ipFamilies=null,service.ipFamilyPolicy=null",
            ],
            false => &[],
        };
        let rendered = helm.run(&[&template[..], &no_test, one].concat()).await?;
        let objects = documents(&rendered)?;
        let apply = ["apply", "--server-side", "--force-conflicts", "-f", "-"];
        feed("kubectl", &apply, &rendered).await?;
        let live = live(&rendered).await?;
        ensure!(
            live.len() == objects.len(),
            "{file}: {} objects",
            live.len()
        );
        for (object, live) in objects.iter().zip(&live) {
            let what = format!("{file}: {} {}", object["kind"], object["metadata"]["name"]);
            let found = differences(object, live, "").into_iter();
            different.extend(found.map(|found| format!("{what}: {found}")));
        }
        number += objects.len();
        feed(
            "kubectl",
            &["delete", "--ignore-not-found", "-f", "-"],
            &without_definition(&objects),
        )
        .await?;
    }
    for team in teams {
        scene.remove_namespace(team).await?;
    }
    ensure!(different.is_empty(), "{}", different.join("\n"));
    scene.claim(format!(
        "{chart}: the API server keeps each field of {number} objects as it is rendered, from {} \
         files of values",
        values.len()
    ));
    Ok(())
}

fn documents(text: &str) -> Result<Vec<Value>> {
    let mut objects = vec![];
    for document in serde_yaml::Deserializer::from_str(text) {
        let object = Value::deserialize(document)?;
        if !object.is_null() {
            objects.push(object);
        }
    }
    Ok(objects)
}

/// The definition stays: others need it.
fn without_definition(objects: &[Value]) -> String {
    let others = objects
        .iter()
        .filter(|object| object["kind"] != "CustomResourceDefinition");
    others.map(|object| format!("---\n{object}\n")).collect()
}

/// What there is of the rendered objects, in their order.
async fn live(rendered: &str) -> Result<Vec<Value>> {
    let there = feed("kubectl", &["get", "-f", "-", "-o", "json"], rendered).await?;
    let there: Value = serde_json::from_str(&there)?;
    let items = there["items"].as_array().cloned();
    Ok(items.unwrap_or_else(|| vec![there]))
}

/// Where what was rendered is not what there is. The API server may add fields to it.
fn differences(rendered: &Value, live: &Value, path: &str) -> Vec<String> {
    match (rendered, live) {
        (Value::Object(fields), Value::Object(_)) => fields
            .iter()
            .flat_map(|(name, field)| differences(field, &live[name], &format!("{path}/{name}")))
            .collect(),
        (Value::Array(items), Value::Array(there)) if items.len() == there.len() => items
            .iter()
            .zip(there)
            .enumerate()
            .flat_map(|(index, (item, there))| differences(item, there, &format!("{path}/{index}")))
            .collect(),
        _ if rendered == live => vec![],
        _ => vec![format!("{path} is {rendered}, kept as {live}")],
    }
}

/// As `helmCharts` of a kustomization.
pub(super) async fn kustomize_renders_both_charts(scene: &Scene) -> Result<()> {
    let build = scene.place().file("tests/tools/build");
    // Kustomize asks for a version that only Helm 3 prints so.
    let helm = format!("{}/helm", run(&build, &["helm3"]).await?.trim());
    let folder = tempfile::tempdir()?;
    let place = folder.path().display().to_string();
    // Not a link: kustomize reads nothing outside of its folder.
    run("cp", &["-r", &scene.place().file("charts"), &place]).await?;
    let values = "{targets: [{name: cluster, url: \"http://prometheus:9090\"}], apiKeySecretRef: \
                  {name: mirror-key}}";
    let namespace = &scene.namespace;
    let kustomization = format!(
        "helmCharts:\n\
         - {{name: {OPERATOR}, releaseName: operator, namespace: {namespace}, kubeVersion: 1.37.0}}\n\
         - {{name: {MIRROR}, releaseName: mirror, namespace: {namespace}, kubeVersion: 1.37.0, \
         valuesInline: {values}}}\n"
    );
    std::fs::write(folder.path().join("kustomization.yaml"), kustomization)?;
    let kustomize = [
        "kustomize",
        "--enable-helm",
        "--helm-command",
        &helm,
        &place,
    ];
    let rendered = run("kubectl", &kustomize).await?;
    let pods = documents(&rendered)?
        .iter()
        .filter(|object| object["kind"] == "Pod")
        .count();
    ensure!(
        pods == 0,
        "{pods} pods are rendered, which nothing would run as a test"
    );
    let apply = [
        "apply",
        "--server-side",
        "--dry-run=server",
        "--force-conflicts",
        "-f",
        "-",
    ];
    feed("kubectl", &apply, &rendered).await?;
    // What users of `helm template` do, again and again.
    let helm = Helm::new(scene, 4).await?;
    let chart = scene.place().file("charts/prometheusmirror");
    let template = ["template", "mirror", &chart, "--kube-version", "1.37.0"];
    let rendered = helm.run(&[&template[..], &NEEDED].concat()).await?;
    let apply = ["apply", "-f", "-"];
    feed("kubectl", &apply, &rendered).await?;
    let again = feed("kubectl", &apply, &rendered).await?;
    let changed = again.lines().find(|line| !line.ends_with(" unchanged"));
    ensure!(changed.is_none(), "applied again: {changed:?}");
    scene
        .claim("kustomize renders both charts, and what helm template prints can be applied again");
    Ok(())
}
