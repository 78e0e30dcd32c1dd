//! A platform that gives each pod of a namespace a user and a group, and refuses others: what
//! OpenShift's restricted-v2 does, done by admission policies.

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use crate::operator::ready_mirror;
use crate::operator_pods::{self, DEPLOYMENT, system};
use crate::programs::{feed, output, run};
use crate::scene::{Scene, pods_of};
use crate::wait::eventually;

/// By this name policies, their bindings, and the definition go.
const NAME: &str = "restricted-v2";
const DEFINITION: &str = "securitycontextconstraints.security.openshift.io";

/// The definition by which OpenShift is recognised.
fn definition() -> Value {
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": DEFINITION},
        "spec": {
            "group": "security.openshift.io", "scope": "Cluster",
            "names": {"plural": "securitycontextconstraints", "kind": "SecurityContextConstraints"},
            "versions": [{
                "name": "v1", "served": true, "storage": true,
                "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}},
            }],
        },
    })
}

/// What restricted-v2 does with the pods of a namespace.
fn policies(namespace: &str) -> Vec<Value> {
    let api = "admissionregistration.k8s.io/v1";
    let pods = json!([{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}]);
    let here = json!({"matchLabels": {"kubernetes.io/metadata.name": namespace}});
    let constraints = json!({"resourceRules": pods, "namespaceSelector": here});
    let assigned = "Object{spec: Object.spec{securityContext: Object.spec.securityContext{runAsUser: 1000680000, fsGroup: 1000680000}}}";
    let user = "object.spec.?securityContext.?runAsUser";
    let allowed = format!(
        "object.spec.?securityContext.?runAsUser.orValue(1000680000) >= 1000680000 && {user}.orValue(1000680000) < 1000690000 && object.spec.?securityContext.?fsGroup.orValue(1000680000) == 1000680000"
    );
    let mutating = json!({
        "apiVersion": api, "kind": "MutatingAdmissionPolicy", "metadata": {"name": NAME},
        "spec": {
            "matchConstraints": constraints, "failurePolicy": "Fail", "reinvocationPolicy": "Never",
            "matchConditions": [{"name": "asks-for-none", "expression": format!("!{user}.hasValue()")}],
            "mutations": [{"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": assigned}}],
        },
    });
    let validating = json!({
        "apiVersion": api, "kind": "ValidatingAdmissionPolicy", "metadata": {"name": NAME},
        "spec": {
            "matchConstraints": constraints, "failurePolicy": "Fail",
            "validations": [{
                "expression": allowed,
                "message": "must be in the ranges: [1000680000, 1000689999]",
            }],
        },
    });
    let binding = |kind: &str, spec: Value| json!({"apiVersion": api, "kind": kind, "metadata": {"name": NAME}, "spec": spec});
    vec![
        mutating,
        validating,
        binding(
            "MutatingAdmissionPolicyBinding",
            json!({"policyName": NAME}),
        ),
        binding(
            "ValidatingAdmissionPolicyBinding",
            json!({"policyName": NAME, "validationActions": ["Deny"]}),
        ),
    ]
}

async fn remove() -> Result<()> {
    let kinds = "mutatingadmissionpolicy,mutatingadmissionpolicybinding,validatingadmissionpolicy,validatingadmissionpolicybinding";
    let gone = ["--ignore-not-found"];
    run("kubectl", &[&["delete", kinds, NAME], &gone[..]].concat()).await?;
    run(
        "kubectl",
        &[&["delete", "crd", DEFINITION], &gone[..]].concat(),
    )
    .await?;
    Ok(())
}

async fn restart_operators() -> Result<()> {
    system(&["rollout", "restart", DEPLOYMENT]).await?;
    operator_pods::all_run().await
}

pub(super) async fn where_users_are_assigned_mirrors_run_all_the_same(scene: &Scene) -> Result<()> {
    remove().await?;
    for policy in policies(&scene.namespace) {
        feed("kubectl", &["apply", "-f", "-"], &policy.to_string()).await?;
    }
    // A pod as it is elsewhere is refused.
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "refused", "namespace": scene.namespace},
        "spec": {
            "securityContext": {
                "runAsNonRoot": true, "runAsUser": 65532, "fsGroup": 65532, "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [{
                "name": "c", "image": "c",
                "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}},
            }],
        },
    });
    eventually("the policy is in force", async || {
        let create = ["create", "--dry-run=server", "-f", "-"];
        let said = output("kubectl", &create, &pod.to_string()).await?;
        let said = String::from_utf8_lossy(&said.stderr).into_owned();
        ensure!(said.contains("1000680000"), "{said}");
        Ok(())
    })
    .await?;
    feed("kubectl", &["apply", "-f", "-"], &definition().to_string()).await?;
    let groups = ["get", "--raw", "/apis/security.openshift.io"];
    eventually("the group is served", async || {
        run("kubectl", &groups).await
    })
    .await?;
    restart_operators().await?;
    ready_mirror(scene).await?;
    let pods = scene.objects("pods", &pods_of("shop")).await?;
    let user = &pods[0]["spec"]["securityContext"]["runAsUser"];
    ensure!(user == 1_000_680_000, "the pod has the user {user}");
    scene
        .becomes("shop", "TargetsReachable", "True Reachable", &[])
        .await?;
    scene.claim("a mirror runs as the user that it is given, and reads its keys");
    scene.delete("PrometheusMirror", "shop").await?;
    remove().await?;
    restart_operators().await
}
