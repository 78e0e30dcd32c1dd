//! The mirror as a container in somebody else's pod. It is rendered here and nowhere else: the
//! status carries it, the policy copies it from there into pods, and `sidecar` prints it.
//!
//! Nothing about it may keep the pod's own containers from starting or from being ready:
//!
//! * A native sidecar blocks the containers after it until it runs. So it does not end without its
//!   document but waits for it, has no startup probe, and what it mounts may be missing.
//! * It has no readiness probe: the pod's readiness takes its own Services' endpoints away, and
//!   holds up a StatefulSet. The operator asks the mirror itself what it serves.

use crds::contract::{
    ADMIN_PORT_NUMBER, SIDECAR_ADMIN_PORT, SIDECAR_API_PORT, SIDECAR_CONTAINER, SIDECAR_VOLUME,
    environment, sha256,
};
use serde_json::{Value, json};

use super::deployment::{self, Presence};
use super::{Defaults, ValidatedMirror, merge};

/// What is added to a pod, as it stands in the resource's status.
#[derive(Clone, Debug, PartialEq)]
pub struct Sidecar {
    /// The item of `initContainers`.
    pub container: Value,
    /// The items of `volumes`.
    pub volumes: Vec<Value>,
    /// SHA-256 in hex of both.
    pub hash: String,
    /// The names of the Secrets for pulling the image. Not in the hash: a pod that runs has pulled
    /// it already.
    pub pull_secrets: Vec<String>,
}

impl Sidecar {
    /// The sidecar of a resource.
    #[must_use]
    pub fn of(mirror: &ValidatedMirror, defaults: &Defaults) -> Self {
        let container = container(mirror, defaults);
        let volumes = vec![volume(mirror)];
        let hash = sha256(json!([container, volumes]).to_string());
        Self {
            container,
            volumes,
            hash,
            pull_secrets: deployment::pull_secrets(mirror, defaults),
        }
    }
}

fn container(mirror: &ValidatedMirror, defaults: &Defaults) -> Value {
    let mut container = deployment::container(mirror, defaults);
    let own = json!({
        "name": SIDECAR_CONTAINER,
        "restartPolicy": "Always",
        // Also where the tag is `latest`: a node that has the image needs no registry to start.
        "imagePullPolicy": "IfNotPresent",
        "env": [{"name": environment::WAIT_FOR_DOCUMENT, "value": "true"}],
        // The names are the pod's too: it may have an `api` or `admin` of its own.
        "ports": [
            {"containerPort": mirror.spec.port, "name": SIDECAR_API_PORT},
            {"containerPort": ADMIN_PORT_NUMBER, "name": SIDECAR_ADMIN_PORT},
        ],
        "startupProbe": null,
        "readinessProbe": null,
        "livenessProbe": { "httpGet": { "port": SIDECAR_ADMIN_PORT } },
        // All that the Pod Security standard `restricted` asks of a container, as the pod may say
        // nothing. No user: the mirror runs as whatever the pod or the platform gives it, else as
        // the image's. OpenShift refuses a pod whose container chooses one by itself.
        "securityContext": { "runAsNonRoot": true, "seccompProfile": { "type": "RuntimeDefault" } },
    });
    merge::merge(&mut container, own);
    for mount in container["volumeMounts"]
        .as_array_mut()
        .into_iter()
        .flatten()
    {
        mount["name"] = json!(SIDECAR_VOLUME);
    }
    container
}

/// Readable for any user, because the pod's is not known; only this container mounts it.
fn volume(mirror: &ValidatedMirror) -> Value {
    json!({
        "name": SIDECAR_VOLUME,
        "projected": {
            "defaultMode": 0o444,
            "sources": deployment::sources(mirror, Presence::Optional),
        },
    })
}

#[cfg(test)]
mod tests;
