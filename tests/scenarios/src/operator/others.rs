//! What others in the cluster have against a mirror's objects, or make of them.

use std::time::Duration;

use anyhow::{Result, ensure};
use cluster_client::condition;
use serde_json::{Value, json};

use super::rollouts::renamed_mirror;
use super::{ready_mirror, usual};
use crate::scene::Scene;
use crate::wait::eventually;

/// Longer than the operator's period.
const IDLE: Duration = Duration::from_secs(40);

fn with(field: &str, value: Value) -> Value {
    let mut spec = usual();
    spec[field] = value;
    spec
}

pub(super) async fn what_keeps_pods_away_is_reported(scene: &Scene) -> Result<()> {
    let template = json!({"spec": {"hostNetwork": true}});
    scene.mirror("host", &with("podTemplate", template)).await?;
    let words = ["violates PodSecurity", "hostNetwork=true"];
    let said = scene
        .becomes("host", "Ready", "False PodsRefused", &words)
        .await?;
    scene.claim(said);
    scene.delete("PrometheusMirror", "host").await?;

    let hard = ["create", "quota", "small", "--hard=limits.cpu=1"];
    scene.kubectl(&hard).await?;
    scene.mirror("shop", &usual()).await?;
    let words = ["must specify limits.cpu for: mirror"];
    let said = scene
        .becomes("shop", "Ready", "False PodsRefused", &words)
        .await?;
    scene.claim(said);
    scene.kubectl(&["delete", "quota", "small"]).await?;
    let took = scene.ready("shop").await?;
    scene.claim(format!("ready {took:?} after the quota was gone"));

    for (template, words) in [
        (
            json!({"metadata": {"annotations": {"x": true}}}),
            ["annotations.x: expected string, got true", "in quotes"],
        ),
        (
            json!({"spec": {"containers": [{"name": "mirror", "resources": {"limits": {"memory": "1 Gi"}}}]}}),
            [
                "containers[mirror].resources.limits.memory",
                "without a space",
            ],
        ),
    ] {
        let spec = with("podTemplate", template);
        scene.mirror("typed", &spec).await?;
        let said = scene
            .becomes("typed", "Stalled", "True Refused", &words)
            .await?;
        scene.claim(said);
    }
    Ok(())
}

/// A policy for this namespace and its binding. They hold for the whole cluster, so they are
/// removed at the end.
async fn policy(scene: &Scene, kind: &str, resource: [&str; 2], rest: Value) -> Result<()> {
    let [group, resource] = resource;
    let name = format!("{}-{}", scene.namespace, kind.to_lowercase());
    let of = |kind: String, spec: Value| {
        let api = "admissionregistration.k8s.io/v1";
        json!({"apiVersion": api, "kind": kind, "metadata": {"name": name}, "spec": spec})
    };
    let rule = json!({
        "apiGroups": [group], "apiVersions": ["v1"], "operations": ["CREATE", "UPDATE"],
        "resources": [resource],
    });
    let here = json!({"matchLabels": {"kubernetes.io/metadata.name": scene.namespace}});
    let mut spec = rest;
    spec["failurePolicy"] = json!("Fail");
    spec["matchConstraints"] = json!({"namespaceSelector": here, "resourceRules": [rule]});
    let mut binding = json!({ "policyName": name });
    if kind == "Validating" {
        binding["validationActions"] = json!(["Deny"]);
    } else {
        spec["reinvocationPolicy"] = json!("IfNeeded");
    }
    for manifest in [
        of(format!("{kind}AdmissionPolicy"), spec),
        of(format!("{kind}AdmissionPolicyBinding"), binding),
    ] {
        let apply = ["apply", "-f", "-"];
        scene.kubectl_with(&apply, &manifest).await?;
    }
    Ok(())
}

async fn remove_policy(scene: &Scene, kind: &str) -> Result<()> {
    let name = format!("{}-{}", scene.namespace, kind.to_lowercase());
    for kind in [
        format!("{kind}AdmissionPolicyBinding"),
        format!("{kind}AdmissionPolicy"),
    ] {
        scene.kubectl(&["delete", &kind, &name]).await?;
    }
    Ok(())
}

pub(super) async fn policies_that_deny_or_rewrite_are_named(scene: &Scene) -> Result<()> {
    let name = json!({"name": "denied", "expression": "object.metadata.name == 'denied'"});
    let deny = json!({"expression": "false", "message": "Services need an owner"});
    let denial = json!({"matchConditions": [name], "validations": [deny]});
    policy(scene, "Validating", ["", "services"], denial).await?;
    // As policies do that take images from a registry of their own.
    let image = renamed_mirror(scene, "prometheus-mirror:mirrored").await?;
    let container = "/spec/template/spec/containers/0";
    let mutation = format!(
        r#"[JSONPatch{{op: "add", path: "{container}/image", value: "docker.io/library/{image}"}}, JSONPatch{{op: "add", path: "{container}/resources/requests/cpu", value: "60m"}}]"#
    );
    let patch = json!({"patchType": "JSONPatch", "jsonPatch": {"expression": mutation}});
    let rewrite = json!({"mutations": [patch]});
    policy(scene, "Mutating", ["apps", "deployments"], rewrite).await?;
    let holds = rewritten_and_denied(scene).await;
    remove_policy(scene, "Validating").await?;
    remove_policy(scene, "Mutating").await?;
    holds
}

/// Policies take effect some time after they were made, and each of the two kinds at its own time.
/// A Deployment that was made before its policy would never be rewritten: nobody writes it again.
async fn policies_are_in_effect(scene: &Scene) -> Result<()> {
    let dry_run = ["create", "--dry-run=server", "--output=json", "-f", "-"];
    let service = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "denied"},
        "spec": {"ports": [{"port": 1}]},
    });
    eventually("Services are denied", async || {
        let accepted = scene.kubectl_with(&dry_run, &service).await;
        ensure!(accepted.is_err(), "the Service is accepted");
        Ok(())
    })
    .await?;
    let labels = json!({"app": "probe"});
    let container = json!({"name": "c", "image": "c", "resources": {"requests": {"cpu": "1m"}}});
    let deployment = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "probe"},
        "spec": {
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}},
        },
    });
    eventually("Deployments are rewritten", async || {
        let made = scene.kubectl_with(&dry_run, &deployment).await?;
        let made: Value = serde_json::from_str(&made)?;
        let container = &made["spec"]["template"]["spec"]["containers"][0];
        let cpu = &container["resources"]["requests"]["cpu"];
        ensure!(cpu == "60m", "requests.cpu is {cpu}");
        Ok(())
    })
    .await
}

async fn rewritten_and_denied(scene: &Scene) -> Result<()> {
    policies_are_in_effect(scene).await?;
    scene.mirror("denied", &usual()).await?;
    let words = [
        "Service denied:",
        "AdmissionPolicy",
        "Services need an owner",
    ];
    let said = scene
        .becomes("denied", "Stalled", "True Denied", &words)
        .await?;
    scene.claim(said);
    scene.delete("PrometheusMirror", "denied").await?;

    ready_mirror(scene).await?;
    let words = [
        "containers[mirror].resources.requests.cpu is \"60m\", not \"50m\"",
        "an admission policy or webhook sets it",
    ];
    let overruled = async || {
        let state = "True Overruled";
        scene.becomes("shop", "Degraded", state, &words).await
    };
    scene.claim(overruled().await?);
    scene.event("Overruled").await?;
    scene.writes_end(IDLE).await?;
    scene.claim(format!("nothing was written in {IDLE:?}"));
    let drift = json!({"spec": {"revisionHistoryLimit": 9}});
    scene.merge("Deployment", "shop-mirror", &drift).await?;
    scene.change("shop", &json!({"replicas": 2})).await?;
    scene
        .becomes("shop", "Ready", "True Serving", &["2 of 2"])
        .await?;
    let deployment = scene.object("Deployment", "shop-mirror").await?;
    let limit = &deployment["spec"]["revisionHistoryLimit"];
    ensure!(limit == 3, "revisionHistoryLimit is {limit}");
    overruled().await?;
    scene.claim("other drift is fixed and a changed spec is applied");
    Ok(())
}

pub(super) async fn what_others_add_stays_or_goes(scene: &Scene) -> Result<()> {
    let ingress = json!({"host": "mirror.example.org"});
    scene.mirror("shop", &with("ingress", ingress)).await?;
    scene.ready("shop").await?;
    let add = json!([{"op": "add", "path": "/spec/rules/0/http/paths/0", "value": {
        "path": "/.well-known/acme-challenge/x", "pathType": "ImplementationSpecific",
        "backend": {"service": {"name": "cm-acme-http-solver", "port": {"number": 8089}}},
    }}]);
    let add = add.to_string();
    let patch = [
        "patch",
        "ingress",
        "shop-mirror",
        "--type=json",
        "--field-manager=cert-manager",
        "--patch",
        &add,
    ];
    scene.kubectl(&patch).await?;
    scene
        .kubectl(&["rollout", "restart", "deploy/shop-mirror"])
        .await?;
    let restore = json!({"status": {"conditions": [
        {"type": "Foreign", "status": "True", "reason": "Backup", "message": "m", "lastTransitionTime": "2026-01-01T00:00:00Z"},
        {"type": "Stalled", "status": "True", "reason": "Backup", "message": "m", "lastTransitionTime": "2026-01-01T00:00:00Z"},
    ], "endpoint": "http://elsewhere"}});
    let restore = restore.to_string();
    let patch = [
        "patch",
        "pmirror",
        "shop",
        "--subresource=status",
        "--type=merge",
        "--field-manager=backup",
        "--patch",
        &restore,
    ];
    scene.kubectl(&patch).await?;
    eventually("the status is ours alone", async || {
        let resource = scene.object("PrometheusMirror", "shop").await?;
        for foreign in ["Foreign", "Stalled"] {
            ensure!(
                condition(&resource, foreign).is_none(),
                "{foreign} is there"
            );
        }
        let endpoint = &resource["status"]["endpoint"];
        ensure!(endpoint != "http://elsewhere", "endpoint is {endpoint}");
        Ok(())
    })
    .await?;
    scene.ready("shop").await?;
    scene.claim("a foreign status is replaced by ours, and Ready follows a restart");
    scene.writes_end(IDLE).await?;
    let path = json!({"ingress": {"host": "mirror.example.org", "path": "/new"}});
    scene.change("shop", &path).await?;
    eventually("both paths are there", async || {
        let ingress = scene.object("Ingress", "shop-mirror").await?;
        let paths = &ingress["spec"]["rules"][0]["http"]["paths"];
        let found = (paths[0]["path"].clone(), paths[1]["path"].clone());
        let wanted = (json!("/.well-known/acme-challenge/x"), json!("/new"));
        ensure!(found == wanted, "{found:?}");
        Ok(())
    })
    .await?;
    scene.claim("a path of cert-manager's stays beside ours");
    let template = &scene.object("Deployment", "shop-mirror").await?["spec"]["template"];
    let restarted = &template["metadata"]["annotations"]["kubectl.kubernetes.io/restartedAt"];
    ensure!(restarted.is_string(), "the restart was taken back");
    Ok(())
}
