//! A resource that nobody has reconciled yet, as tools see it.

use anyhow::{Result, ensure};

use crate::programs::{fails, run};
use crate::scene::Scene;
use crate::wait::eventually;

/// What `kubectl explain` is asked about, below `pmirror`.
const EXPLAINED: [&str; 19] = [
    "",
    ".spec",
    ".spec.apiKeySecretRef",
    ".spec.targets",
    ".spec.targets.service",
    ".spec.targets.prometheus",
    ".spec.targets.auth",
    ".spec.targets.tls",
    ".spec.requestTargets",
    ".spec.server",
    ".spec.networkPolicy",
    ".spec.ingress",
    ".spec.httpRoute",
    ".spec.autoscaling",
    ".spec.podDisruptionBudget",
    ".spec.monitor",
    ".status",
    ".status.targets",
    " --recursive",
];

/// The resource of the README.
async fn create(scene: &Scene) -> Result<()> {
    let example = scene.place().file("examples/quickstart.yaml");
    scene.kubectl(&["create", "-f", &example]).await?;
    Ok(())
}

/// What kubectl prints of it.
async fn get(scene: &Scene, output: &str) -> Result<String> {
    scene
        .kubectl(&["get", "pmirror", "quickstart", "-o", output])
        .await
}

pub(super) async fn a_fresh_resource_is_not_taken_for_a_finished_one(scene: &Scene) -> Result<()> {
    create(scene).await?;
    let status = get(scene, "jsonpath={.status}").await?;
    ensure!(
        status == r#"{"observedGeneration":-1}"#,
        "a fresh resource's status: {status}"
    );
    let wait = [
        "wait",
        "--for=condition=Ready",
        "pmirror/quickstart",
        "--timeout=2s",
    ];
    fails("kubectl", &[&["-n", &scene.namespace], &wait[..]].concat()).await?;
    scene.claim("a fresh resource is not taken for a finished one: observedGeneration is -1");
    Ok(())
}

pub(super) async fn kubectl_shows_and_scales_a_resource(scene: &Scene) -> Result<()> {
    create(scene).await?;
    let table = scene.kubectl(&["get", "pmirror"]).await?;
    let columns: Vec<_> = table
        .lines()
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .collect();
    let expected = [
        "NAME", "READY", "REASON", "TARGETS", "ENDPOINT", "REPLICAS", "AGE",
    ];
    ensure!(columns == expected, "columns: {columns:?}");
    for category in ["pmirror", "all", "observability"] {
        let names = scene.kubectl(&["get", category, "-o", "name"]).await?;
        let shown = names.contains("prometheusmirror.prometheus-mirror.io/quickstart");
        ensure!(shown, "kubectl get {category} does not show it: {names}");
    }
    scene.claim("kubectl get pmirror, all and observability show it, with columns");
    scene
        .kubectl(&["scale", "pmirror", "quickstart", "--replicas=3"])
        .await?;
    let replicas = get(scene, "jsonpath={.spec.replicas}").await?;
    ensure!(replicas == "3", "kubectl scale: {replicas}");
    scene.claim("kubectl scale sets the replicas");
    let patch = r#"{"spec":{"workers":5},"status":{"endpoint":"http://elsewhere"}}"#;
    scene
        .kubectl(&[
            "patch",
            "pmirror",
            "quickstart",
            "--type=merge",
            "-p",
            patch,
        ])
        .await?;
    let written = get(scene, "jsonpath={.spec.workers} {.status.endpoint}").await?;
    ensure!(
        written == "5 ",
        "a writer of the spec can write the status: {written}"
    );
    scene.claim("the status is a subresource: who writes the spec can't write it");
    Ok(())
}

pub(super) async fn kubectl_explain_says_what_is_written_down(scene: &Scene) -> Result<()> {
    let file = scene.place().file("crds/tests/explain.txt");
    let mut explained = String::new();
    for path in EXPLAINED {
        let command = format!("explain pmirror{path}");
        let arguments: Vec<_> = command.split(' ').collect();
        // A definition that was made just now is served before it can be explained.
        let explain = async || run("kubectl", &arguments).await;
        let said = eventually("kubectl explains it", explain).await?;
        explained.push_str(&format!("$ kubectl {command}\n{said}"));
    }
    let lines = explained.lines().map(str::trim_end);
    let explained: String = lines.flat_map(|line| [line, "\n"]).collect();
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&file, &explained)?;
    }
    let expected = std::fs::read_to_string(&file)?;
    let differs = explained
        .lines()
        .zip(expected.lines())
        .find(|(said, expected)| said != expected);
    ensure!(
        explained == expected,
        "not as in crds/tests/explain.txt (tests/cluster/crd-test --update): {differs:?}"
    );
    scene.claim("kubectl explain says what crds/tests/explain.txt has");
    Ok(())
}
