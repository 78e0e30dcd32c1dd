//! The Deployment: how the mirror's pods run.
//!
//! The template holds nothing that a pod picks up by itself, so that only what needs new pods makes
//! new pods: the document, the keys and the certificates come through one projected volume, which
//! the kubelet swaps as a whole.

use std::collections::BTreeMap;

use crds::contract::{
    ADMIN_PORT, ADMIN_PORT_NUMBER, API_PORT, CONFIGURATION_DIR, CONTAINER, DOCUMENT, LogFormat,
    environment, pages,
};
use crds::{DataKind, ProjectedToken, TOKENS};
use serde_json::{Value, json};

use super::{
    Defaults, Kind, ValidatedMirror, child_name, labels, merge, object, remove, selector_labels,
};

/// How long a pod that ends goes on accepting: until every kube-proxy and load balancer has
/// noticed.
const DRAIN_DELAY_SECONDS: u32 = 5;
/// How long its requests under way may take after that.
const DRAIN_TIMEOUT_SECONDS: u32 = 30;
/// Until the kubelet kills it: both, and something for the end.
const GRACE_SECONDS: u32 = DRAIN_DELAY_SECONDS + DRAIN_TIMEOUT_SECONDS + 10;

/// The user and group that the mirror runs as.
const USER: i64 = 65532;

pub(super) fn build(mirror: &ValidatedMirror, defaults: &Defaults) -> Value {
    let mut template = template(mirror, defaults);
    for path in &mirror.spec.pod_template_remove {
        remove::remove(&mut template, path);
    }
    if let Some(over) = &mirror.spec.pod_template {
        merge::merge(&mut template, over.clone());
        // Without these the Deployment would not find its own pods, nor the operator them.
        merge::merge(
            &mut template,
            json!({ "metadata": { "labels": labels(mirror) } }),
        );
    }
    let mut spec = json!({
        "selector": { "matchLabels": selector_labels(mirror) },
        // An old pod goes only when a new one is ready.
        "strategy": { "type": "RollingUpdate", "rollingUpdate": { "maxUnavailable": 0, "maxSurge": "25%" } },
        "revisionHistoryLimit": 3,
        "template": template,
    });
    if mirror.spec.autoscaling.is_none() {
        spec["replicas"] = json!(mirror.spec.replicas);
    }
    object(
        mirror,
        Kind::Deployment,
        &child_name(mirror),
        json!({ "spec": spec }),
    )
}

fn template(mirror: &ValidatedMirror, defaults: &Defaults) -> Value {
    let spread = |topology: &str| {
        json!({
            "topologyKey": topology,
            "maxSkew": 1,
            "whenUnsatisfiable": "ScheduleAnyway",
            "labelSelector": { "matchLabels": selector_labels(mirror) },
            "matchLabelKeys": ["pod-template-hash"],
        })
    };
    let mut spec = json!({
        "serviceAccountName": child_name(mirror),
        "automountServiceAccountToken": false,
        "enableServiceLinks": false,
        "terminationGracePeriodSeconds": GRACE_SECONDS,
        "securityContext": security_context(defaults),
        "containers": [container(mirror, defaults)],
        "volumes": [{"name": "configuration", "projected": { "defaultMode": mode(defaults), "sources": sources(mirror, Presence::Needed) }}],
        "topologySpreadConstraints": [spread("kubernetes.io/hostname"), spread("topology.kubernetes.io/zone")],
    });
    let secrets = pull_secrets(mirror, defaults);
    if !secrets.is_empty() {
        let secrets = secrets.iter().map(|name| json!({ "name": name }));
        spec["imagePullSecrets"] = secrets.collect();
    }
    json!({ "metadata": { "labels": labels(mirror) }, "spec": spec })
}

/// The names of the Secrets for pulling the image: the resource's own, else the operator's.
pub(super) fn pull_secrets(mirror: &ValidatedMirror, defaults: &Defaults) -> Vec<String> {
    let own = mirror.spec.image_pull_secrets.iter();
    let own: Vec<_> = own.map(|own| own.name.clone()).collect();
    match own.is_empty() {
        true => defaults.image_pull_secrets.clone(),
        false => own,
    }
}

fn security_context(defaults: &Defaults) -> Value {
    let mut context =
        json!({ "runAsNonRoot": true, "seccompProfile": { "type": "RuntimeDefault" } });
    if !defaults.platform_assigns_users {
        for field in ["runAsUser", "runAsGroup", "fsGroup"] {
            context[field] = json!(USER);
        }
    }
    context
}

/// The mode of the files. Where the platform assigns users, not all of its rules assign the group
/// of volumes, too; only the containers that mount it can read this one anyway.
const fn mode(defaults: &Defaults) -> i32 {
    match defaults.platform_assigns_users {
        true => 0o444,
        false => 0o440,
    }
}

pub(super) fn container(mirror: &ValidatedMirror, defaults: &Defaults) -> Value {
    let resources = mirror
        .spec
        .resources
        .as_ref()
        .map(|resources| json!(resources));
    let probe = |path: &str| json!({ "path": path, "port": ADMIN_PORT });
    json!({
        "name": CONTAINER,
        "image": mirror.spec.image.as_ref().unwrap_or(&defaults.image),
        "args": ["serve"],
        "env": [
            {"name": environment::FILE, "value": format!("{CONFIGURATION_DIR}/{DOCUMENT}")},
            {"name": environment::SECRETS_DIR, "value": format!("{CONFIGURATION_DIR}/{}", DataKind::Secret.folder())},
            // Fixed for the pod's life: the Service finds the port by its name in the template, not
            // in the document. `[::]` is every address, of IPv4 too.
            {"name": environment::LISTEN, "value": format!("[::]:{}", mirror.spec.port)},
            {"name": environment::ADMIN_LISTEN, "value": format!("[::]:{ADMIN_PORT_NUMBER}")},
            {"name": environment::DRAIN_DELAY, "value": format!("{DRAIN_DELAY_SECONDS}s")},
            {"name": environment::DRAIN_TIMEOUT, "value": format!("{DRAIN_TIMEOUT_SECONDS}s")},
            {"name": environment::LOG_FORMAT, "value": LogFormat::Json},
        ],
        "ports": [
            {"name": API_PORT, "containerPort": mirror.spec.port, "protocol": "TCP"},
            {"name": ADMIN_PORT, "containerPort": ADMIN_PORT_NUMBER, "protocol": "TCP"},
        ],
        "startupProbe": { "httpGet": probe(pages::LIVENESS), "periodSeconds": 1, "failureThreshold": 60, "timeoutSeconds": 2 },
        "readinessProbe": { "httpGet": probe(pages::READINESS), "periodSeconds": 2, "failureThreshold": 2, "timeoutSeconds": 2 },
        "livenessProbe": { "httpGet": probe(pages::LIVENESS), "periodSeconds": 10, "failureThreshold": 3, "timeoutSeconds": 5 },
        "resources": resources.unwrap_or_else(|| json!({
            "requests": { "cpu": "50m", "memory": "64Mi" },
            "limits": { "memory": format!("{}Mi", crds::memory::DEFAULT_LIMIT >> 20) },
        })),
        "securityContext": {
            "allowPrivilegeEscalation": false,
            "readOnlyRootFilesystem": true,
            "capabilities": { "drop": ["ALL"] },
        },
        // What the mirror says when it refuses its document; the operator repeats it in a
        // condition.
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": [{"name": "configuration", "mountPath": CONFIGURATION_DIR, "readOnly": true}],
    })
}

/// Whether a pod waits until all that its mirror needs exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Presence {
    /// It waits: without these the mirror could only end.
    Needed,
    /// It starts without, because it is not the mirror's own pod.
    Optional,
}

/// The document, exactly the keys of Secrets and ConfigMaps that it refers to, and the tokens that
/// it asks for.
pub(super) fn sources(mirror: &ValidatedMirror, presence: Presence) -> Vec<Value> {
    let needed = |field: &str, name: &str, items: Vec<Value>| {
        let mut source = json!({ "name": name, "items": items });
        if presence == Presence::Optional {
            source["optional"] = json!(true);
        }
        json!({ field: source })
    };
    let document = vec![json!({"key": DOCUMENT, "path": DOCUMENT})];
    let mut sources = vec![needed("configMap", &child_name(mirror), document)];
    for kind in [DataKind::Secret, DataKind::ConfigMap] {
        let field = match kind {
            DataKind::Secret => "secret",
            DataKind::ConfigMap => "configMap",
        };
        for (name, keys) in mirror.references.of_kind(kind) {
            sources.push(needed(field, name, items(kind, name, keys.needed.keys())));
            let optional = keys
                .optional
                .iter()
                .filter(|key| !keys.needed.contains_key(*key));
            let optional = items(kind, name, optional);
            if !optional.is_empty() {
                sources
                    .push(json!({ field: { "name": name, "items": optional, "optional": true } }));
            }
        }
    }
    // In the order of their files, as the drop-in chart has them.
    let tokens = mirror.references.tokens.iter();
    let by_file: BTreeMap<_, _> = tokens.map(|declared| (declared.file(), declared)).collect();
    sources.extend(
        by_file
            .into_iter()
            .map(|(file, declared)| token(&file, declared)),
    );
    sources
}

/// A token of the pod's service account, where the mirror looks for it.
fn token(file: &str, token: &ProjectedToken) -> Value {
    let mut source = json!({ "path": format!("{TOKENS}/{file}"), "expirationSeconds": token.expiration_seconds });
    if let Some(audience) = &token.audience {
        source["audience"] = json!(audience);
    }
    json!({ "serviceAccountToken": source })
}

fn items<'a>(
    kind: DataKind,
    object: &str,
    keys: impl IntoIterator<Item = &'a String>,
) -> Vec<Value> {
    let folder = kind.folder();
    keys.into_iter()
        .map(|key| json!({"key": key, "path": format!("{folder}/{object}/{key}")}))
        .collect()
}
