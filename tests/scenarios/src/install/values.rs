//! The chart as Helm reads it, and values that cannot work.

use anyhow::{Context as _, Result, ensure};
use regex_lite::Regex;
use serde_json::Value;

use super::{RELEASE, chart, start_over};
use crate::helm_program::Helm;
use crate::operator_pods::SYSTEM;
use crate::programs::{DEFINITION, run};
use crate::scene::Scene;

pub(super) async fn helm_lint_finds_nothing(scene: &Scene) -> Result<()> {
    let version = run("kubectl", &["version", "-o", "json"]).await?;
    let version: Value = serde_json::from_str(&version)?;
    let version = version["serverVersion"]["gitVersion"].as_str();
    let version = version.context("the API server has no version")?;
    let lint = ["lint", "--strict", "--kube-version", version];
    for number in [3, 4] {
        let helm = Helm::new(scene, number).await?;
        helm.run(&[&lint[..], &[&chart(scene)]].concat()).await?;
        let by = &helm.name;
        scene.claim(format!("{by}: helm lint --strict finds nothing"));
    }
    Ok(())
}

/// What Helm must say in one line, and the flags. What is allowed needs no example.
const REFUSED: &[(&str, &[&str])] = &[
    ("'replicaCount' not allowed", &["--set", "replicaCount=3"]),
    ("one of .*'replicas'", &["--set", "replicaCount=3"]),
    (
        "/metrics/serviceMonitor': .*'enable' not allowed",
        &["--set", "metrics.serviceMonitor.enable=true"],
    ),
    (
        "/topologySpreadConstraints/0': .*'topology' not allowed",
        &[
            "--set-json",
            r#"topologySpreadConstraints=[{"topology":"zone"}]"#,
        ],
    ),
    (
        "/replicas': got string, want integer",
        &["--set", "replicas=two"],
    ),
    (
        "/watchNamespaces': got string, want array",
        &["--set", "watchNamespaces=team-a"],
    ),
    (
        "/image': got string, want object",
        &["--set", "image=operator:1"],
    ),
    ("missing property 'image'", &["--set", "image=null"]),
    (
        "/extraEnv/0': missing property 'name'",
        &["--set", "extraEnv[0].value=1"],
    ),
    (
        "/imagePullSecrets/0': .*'nam' not allowed",
        &["--set", "imagePullSecrets[0].nam=login"],
    ),
    (
        "/log/format': value must be one of 'json', 'text'",
        &["--set", "log.format=xml"],
    ),
    (
        "/image/pullPolicy': value must be one of",
        &["--set", "image.pullPolicy=Sometimes"],
    ),
    (
        "/commonLabels/team': 'a b' does not match",
        &["--set", "commonLabels.team=a b"],
    ),
    (
        "/resources/limits/memory': 'lots' does not match",
        &["--set", "resources.limits.memory=lots"],
    ),
    (
        r#"watchNamespaces\[1\]: "Team" .*for example: watchNamespaces: \[team-a, team-b\]"#,
        &["--set", "watchNamespaces={a,Team}"],
    ),
    (
        "namespaceSelector: .*watchNamespaces.*for example: watchNamespaces:",
        &[
            "--set",
            "watchNamespaces={a}",
            "--set",
            "namespaceSelector=team=a",
        ],
    ),
    (
        r#"namespaceSelector: "team is shop" is not .*for example: namespaceSelector: team=shop"#,
        &["--set", "namespaceSelector=team is shop"],
    ),
    (
        "rbac.aggregateClusterRoles: .*watchNamespaces.*set: rbac.aggregateClusterRoles: false",
        &[
            "--set",
            "watchNamespaces={a}",
            "--set",
            "rbac.aggregateClusterRoles=true",
        ],
    ),
    (
        r#"image.digest: "sha256:1" .*for example: image.digest: sha256:[0-9a-f]{64}"#,
        &["--set", "image.digest=sha256:1"],
    ),
    (
        r#"mirrorImage.tag: "a/b" .*for example: mirrorImage.tag: [0-9]"#,
        &["--set", "mirrorImage.tag=a/b"],
    ),
    (
        r#"image.repository: "registry:5000/operator" .*imageRegistry: registry.example.com:5000"#,
        &["--set", "image.repository=registry:5000/operator"],
    ),
    (
        r#"imageRegistry: "https://registry" .*for example: imageRegistry: registry"#,
        &["--set", "imageRegistry=https://registry"],
    ),
    (
        "podDisruptionBudget.minAvailable: with 2 of 2 .*podDisruptionBudget.minAvailable: 1",
        &["--set", "podDisruptionBudget.minAvailable=2"],
    ),
    (
        "podDisruptionBudget: .*exclude each other; for example",
        &[
            "--set",
            "podDisruptionBudget.minAvailable=1,podDisruptionBudget.maxUnavailable=1",
        ],
    ),
    (
        "metrics.podMonitor.enabled: .*for example: metrics.serviceMonitor.enabled: true",
        &[
            "--set",
            "metrics.podMonitor.enabled=true,metrics.serviceMonitor.enabled=true",
        ],
    ),
    (
        r#"metrics.serviceMonitor.interval: "soon" .*for example: metrics.serviceMonitor.interval: 30s"#,
        &[
            "--set",
            "metrics.serviceMonitor.enabled=true,metrics.serviceMonitor.interval=soon",
        ],
    ),
    (
        r"extraEnv\[0\]: the chart sets POD_NAME itself",
        &["--set", "extraEnv[0].name=POD_NAME"],
    ),
    (
        r"extraEnv\[1\]: A is there twice; .*for example",
        &["--set", "extraEnv[0].name=A,extraEnv[1].name=A"],
    ),
    (
        r"podLabels: app.kubernetes.io/name .*for example: podLabels: \{team: shop\}",
        &["--set", r"podLabels.app\.kubernetes\.io/name=x"],
    ),
];

pub(super) async fn bad_values_are_refused_and_nothing_is_made(scene: &Scene) -> Result<()> {
    start_over(scene).await?;
    let (chart, system) = (chart(scene), scene.within(SYSTEM));
    let install = ["install", RELEASE, &chart, "--create-namespace"];
    for number in [3, 4] {
        let helm = Helm::new(&system, number).await?;
        let by = &helm.name;
        for (pattern, flags) in REFUSED {
            let said = helm.fails(&[&install[..], flags].concat()).await?;
            let pattern = Regex::new(pattern)?;
            let named = said.lines().any(|line| pattern.is_match(line));
            ensure!(named, "{by} {flags:?} does not say {pattern:?}: {said}");
        }
        let refused = REFUSED.len();
        scene.claim(format!(
            "{by}: {refused} installations with bad values fail, each says what is allowed"
        ));
    }
    let namespace = scene.within("").exists("Namespace", SYSTEM).await?;
    ensure!(!namespace, "a refused installation made the namespace");
    let definition = ["get", DEFINITION, "--ignore-not-found", "-o", "name"];
    let definition = run("kubectl", &definition).await?;
    ensure!(definition.is_empty(), "a refused installation made it");
    scene.claim("and nothing has been created, not even the namespace");
    Ok(())
}
