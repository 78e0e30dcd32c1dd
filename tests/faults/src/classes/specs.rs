//! Classes 9, 10 and 12: the same spec reached on other ways, a bad one in between, and every
//! optional field set and removed again.

use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};

use super::{Trials, trial};
use crate::reference::Reference;
use crate::snapshot::{Comparison, Snapshot};
use crate::story::{NAME, Step, smallest};
use crate::trial::{Harness, PATIENCE, Trial};

/// Optional fields by their paths, and a value of each. [`covers`] keeps it complete.
fn fields() -> Vec<(&'static str, Value)> {
    let secret = |key: &str| json!({"name": "more", "key": key});
    let network = json!({"allowedFrom": [{"podSelector": {"matchLabels": {"a": "b"}}}]});
    vec![
        ("defaultTarget", json!("cluster")),
        (
            "requestTargets",
            json!({"hosts": ["a.example"], "ports": [9090]}),
        ),
        ("workers", json!(9)),
        (
            "limits",
            json!({"memory": "400Mi", "upstreamCallsPerRequest": 9}),
        ),
        (
            "logging",
            json!({"requests": {"samplePercent": 10, "slow": "2s"}}),
        ),
        (
            "cache",
            json!({"enabled": true, "size": "32Mi", "settle": "5m"}),
        ),
        ("port", json!(9950)),
        ("replicas", json!(2)),
        ("autoscaling", json!({"minReplicas": 1, "maxReplicas": 4})),
        ("server", json!({"tls": {"secretName": "more"}})),
        ("console", json!({"enabled": true})),
        (
            "service",
            json!({"type": "NodePort", "annotations": {"a": "b"}}),
        ),
        ("networkPolicy", network),
        (
            "ingress",
            json!({"host": "a.example", "path": "/x", "className": "c", "annotations": {"a": "b"}}),
        ),
        (
            "httpRoute",
            json!({"parentRefs": [{"name": "g"}], "hostnames": ["a.example"]}),
        ),
        ("podDisruptionBudget", json!({"minAvailable": 0})),
        ("monitor", json!({"interval": "20s", "labels": {"a": "b"}})),
        ("image", json!("prometheus-mirror:other")),
        ("imagePullSecrets", json!([{"name": "more"}])),
        ("resources", json!({"limits": {"memory": "300Mi"}})),
        (
            "podTemplate",
            json!({"metadata": {"labels": {"a": "b"}}, "spec": {"nodeSelector": {}, "priority": 0, "hostAliases": [{"ip": "10.0.0.1", "hostnames": ["a"]}]}}),
        ),
        (
            "podTemplateRemove",
            json!(["/spec/topologySpreadConstraints"]),
        ),
        ("podChecks", json!("Never")),
        ("paused", json!(true)),
        (
            "targets/0/auth",
            json!({"bearer": {"tokenSecretRef": secret("token")}}),
        ),
        ("targets/0/tls", json!({"insecureSkipVerify": true})),
        (
            "targets/0/enforcedMatchers",
            json!([{"name": "a", "value": "b"}]),
        ),
    ]
}

/// Fields of the spec that every resource has, or that are not a Deployment's.
const NOT_TRIED: [&str; 4] = ["apiKeySecretRef", "targets", "mode", "sidecar"];

/// Whether every field of the definition's spec is tried.
fn covers(harness: &Harness) -> Result<()> {
    let definition = crate::cluster::manifests(&harness.operator_yaml)?
        .into_iter()
        .find(|manifest| manifest["kind"] == "CustomResourceDefinition")
        .context("no definition")?;
    let schema = &definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
    let Some(properties) = schema["properties"]["spec"]["properties"].as_object() else {
        bail!("the definition has no spec");
    };
    let tried: Vec<_> = fields().into_iter().map(|(path, _)| path).collect();
    let missing: Vec<_> = properties
        .keys()
        .filter(|name| !tried.contains(&name.as_str()) && !NOT_TRIED.contains(&name.as_str()))
        .collect();
    ensure!(missing.is_empty(), "fields that no trial sets: {missing:?}");
    Ok(())
}

fn with(mut spec: Value, path: &str, value: Value) -> Value {
    let target = path.strip_prefix("targets/0/");
    match target {
        Some(field) => spec["targets"][0][field] = value,
        None => spec[path] = value,
    }
    spec
}

/// The trials of class 12: some fields each.
#[must_use]
pub fn removed<'a>(harness: &'a Harness, reference: &'a Reference) -> Trials<'a> {
    let fields = fields();
    let groups: Vec<Vec<_>> = fields.chunks(3).map(<[_]>::to_vec).collect();
    let groups = groups.into_iter().map(|group| {
        let names: Vec<_> = group.iter().map(|(path, _)| *path).collect();
        let title = format!("{} set and removed", names.join(", "));
        trial(harness, 12, title, 1, async move |trial| {
            covers(trial.harness)?;
            trial.step(Step::Create, reference).await?;
            let before = &reference.steps[&Step::Create].snapshot;
            for (path, value) in &group {
                trial.proxy.plan.count("fields", 1);
                field(trial, before, path, value)
                    .await
                    .with_context(|| format!("field {path}"))?;
            }
            trial.stays(before, &Comparison::STATE).await
        })
    });
    groups.collect()
}

async fn field(trial: &Trial<'_>, before: &Snapshot, path: &str, value: &Value) -> Result<()> {
    let began = tokio::time::Instant::now();
    trial
        .set(Some(&with(smallest(), path, value.clone())))
        .await?;
    loop {
        // O5: it shows in a child or in the status.
        let now = trial.snapshot().await?;
        let shown = Comparison::STATE
            .differences(before, &now)
            .into_iter()
            .any(|difference| {
                !difference.path.starts_with("spec")
                    || !difference.object.starts_with("PrometheusMirror")
            });
        if shown {
            break;
        }
        ensure!(began.elapsed() < PATIENCE, "O5: does not show anywhere");
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    trial.set(Some(&smallest())).await?;
    trial
        .reaches(before, &Comparison::STATE, PATIENCE)
        .await
        .context("O5: removed again")
}

/// The trials of class 9: another series of specs each, faster than the operator follows, and the
/// story's in the end.
#[must_use]
pub fn other_ways<'a>(harness: &'a Harness, reference: &'a Reference) -> Trials<'a> {
    let trials = (1..=12).map(|seed: u64| {
        let title = format!("series {seed} of specs");
        trial(harness, 9, title, 1, async move |trial| {
            let mut random = Random(seed);
            let fields = fields();
            for _ in 0..8 {
                let mut spec = smallest();
                for (path, value) in &fields {
                    // A server that waits for certificates would need real ones.
                    if random.below(3) == 0 && !["server", "paused"].contains(path) {
                        spec = with(spec, path, value.clone());
                    }
                }
                trial.set(Some(&spec)).await?;
                trial.proxy.plan.count("specs", 1);
                tokio::time::sleep(Duration::from_millis(random.below(2500))).await;
            }
            let last = if seed.is_multiple_of(2) {
                Step::OptionsOn
            } else {
                Step::Update
            };
            trial.set(last.spec().as_ref()).await?;
            let expected = &reference.steps[&last].snapshot;
            trial.settles_as(expected, &Comparison::STATE).await
        })
    });
    trials.collect()
}

/// The same numbers every time.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        // Knuth's linear congruential generator.
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}

/// The trial of class 10: specs that cannot be, one after the other, and the good one after each.
#[must_use]
pub fn bad_in_between<'a>(harness: &'a Harness, reference: &'a Reference) -> Trials<'a> {
    let bad = trial(
        harness,
        10,
        "bad specs in between".to_owned(),
        1,
        async move |trial| {
            trial.step(Step::Create, reference).await?;
            let before = &reference.steps[&Step::Create].snapshot;
            let container = json!({"spec": {"containers": [{"name": "mirror", "imagePullPolicy": "Sometimes"}]}});
            let specs = [
                (
                    "SecretMissing",
                    with(smallest(), "apiKeySecretRef", json!({"name": "missing"})),
                ),
                (
                    "SecretKeyMissing",
                    with(
                        smallest(),
                        "apiKeySecretRef",
                        json!({"name": "more", "key": "missing"}),
                    ),
                ),
                (
                    "ServiceMissing",
                    with(
                        smallest(),
                        "targets/0/service",
                        json!({"name": "missing", "port": 1}),
                    ),
                ),
                (
                    "Refused",
                    with(
                        with(smallest(), "podTemplate", container),
                        "workers",
                        json!(9),
                    ),
                ),
            ];
            for (reason, spec) in specs {
                trial.proxy.plan.count("bad specs", 1);
                trial.set(Some(&spec)).await?;
                trial
                    .becomes(NAME, "Stalled", &format!("True {reason}"))
                    .await?;
                trial
                    .reaches(before, &Comparison::WRITTEN, Duration::ZERO)
                    .await
                    .with_context(|| format!("children while {reason}"))?;
                trial.set(Some(&smallest())).await?;
                trial
                    .reaches(before, &Comparison::STATE, PATIENCE)
                    .await
                    .with_context(|| format!("after {reason}"))?;
            }
            trial.stays(before, &Comparison::STATE).await
        },
    );
    vec![bad]
}
