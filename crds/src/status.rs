//! What the operator reports about a mirror.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{LocalName, schemas};

/// The state that the operator observed. Only the operator writes it.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PrometheusMirrorStatus {
    /// The metadata.generation that this status describes; -1 before the operator has seen the
    /// resource.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,

    /// The operator that looks after the resource: the namespace and name of its Lease. Another
    /// one stands back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 317))]
    pub operator: Option<String>,

    /// Ready: every pod serves the current configuration. TargetsReachable: the pods reach every
    /// target. Reconciling: changes are in progress. Stalled: no progress until the spec or a
    /// referenced object changes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schemas::conditions")]
    pub conditions: Vec<Condition>,

    /// The number of pods. In mode Sidecar, the number of pods with the label.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub replicas: Option<i32>,

    /// The number of ready pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub ready_replicas: Option<i32>,

    /// The label selector of the pods, as text, for kubectl scale and autoscalers. Absent in mode
    /// Sidecar, where the operator does not decide how many pods there are: autoscalers refuse the
    /// resource.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub selector: Option<String>,

    /// The data source URL to enter in StackState.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2048))]
    pub endpoint: Option<String>,

    /// The number of reachable targets out of all targets, such as 2/2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16))]
    pub reachable_targets: Option<String>,

    /// Each target as the pods see it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 64),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"])
    )]
    pub targets: Vec<TargetStatus>,

    /// What the policy that injects sidecars adds to a pod, and how many pods have it. Only in mode
    /// Sidecar.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sidecar: Option<SidecarStatus>,
}

/// What the policy that injects sidecars adds to a pod, and how many pods have it.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SidecarStatus {
    /// The hash of container and volumes. A pod with another one in its annotation
    /// prometheus-mirror.io/sidecar has an older sidecar.
    #[schemars(length(min = 1, max = 64))]
    pub hash: String,

    /// The container, to be added to a pod's initContainers.
    #[schemars(schema_with = "schemas::rendered")]
    pub container: Value,

    /// The volumes that the container mounts, to be added to a pod's volumes.
    #[schemars(schema_with = "schemas::rendered_list")]
    pub volumes: Vec<Value>,

    /// Secrets in the namespace for pulling the image, to be added to a pod's imagePullSecrets:
    /// those of the spec, else the operator's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), extend("x-kubernetes-list-type" = "atomic"))]
    pub image_pull_secrets: Vec<LocalName>,

    /// When the operator first wrote this hash. Pods created earlier do not have the current
    /// sidecar.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rendered_at: Option<Time>,

    /// The number of pods with the label.
    #[serde(default)]
    #[schemars(range(min = 0))]
    pub labelled: i32,

    /// The number of those that have a sidecar.
    #[serde(default)]
    #[schemars(range(min = 0))]
    pub injected: i32,

    /// The number of those whose sidecar is the current one.
    #[serde(default)]
    #[schemars(range(min = 0))]
    pub current: i32,

    /// The number of those that are ready and serve the current configuration.
    #[serde(default)]
    #[schemars(range(min = 0))]
    pub serving: i32,

    /// The number of those with a sidecar that the operator did not ask what they serve, because
    /// there are more than it asks.
    #[serde(default)]
    #[schemars(range(min = 0))]
    pub unasked: i32,
}

/// One target as the pods see it.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TargetStatus {
    /// The name of the target.
    #[schemars(length(min = 1, max = 63))]
    pub name: String,

    /// The URL that is queried: the declared one, or the one that the reference resolved to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2048))]
    pub url: Option<String>,

    /// Whether every pod got an answer to a query. Absent while unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reachable: Option<bool>,

    /// The version that the server reports.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub version: Option<String>,

    /// Why the target is not reachable; if it is, warnings about it, such as certificates that were
    /// skipped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 4096))]
    pub message: Option<String>,

    /// When the target was last probed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_probe_time: Option<Time>,

    /// Each server as the pods see it, if the target has several.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), extend("x-kubernetes-list-type" = "atomic"))]
    pub servers: Vec<ServerStatus>,
}

/// One of a target's servers as the pods see it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ServerStatus {
    /// The URL that is queried.
    #[schemars(length(max = 2048))]
    pub url: String,

    /// Whether every pod got an answer to a query. Absent while unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reachable: Option<bool>,

    /// The version that the server reports.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub version: Option<String>,

    /// Why the server is not reachable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub message: Option<String>,
}
