//! The resource itself and the parts of its spec that are not about one target.

// Several printer columns have the same type, which is no mistake.
#![allow(clippy::duplicated_attributes)]

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ResourceRequirements;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::contract::API_PORT_NUMBER;
use crate::reference::{ApiKeyRef, LocalName};
use crate::status::PrometheusMirrorStatus;
use crate::{
    Autoscaling, Cache, Console, HttpRoute, Ingress, Limits, Logging, Monitor, NetworkPolicy,
    PodDisruptionBudget, Server, Service, Target, rules, schemas,
};

/// The Prometheus servers that StackState may read through this mirror, the key, and how the mirror
/// runs.
#[derive(CustomResource, Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[kube(
    group = "prometheus-mirror.io",
    version = "v1alpha1",
    kind = "PrometheusMirror",
    plural = "prometheusmirrors",
    namespaced,
    status = "PrometheusMirrorStatus",
    derive = "PartialEq",
    doc = "A gateway through which StackState reads metrics from Prometheus. The resource declares the Prometheus servers that may be read, the key that identifies the mirror to StackState, and how the mirror runs. The same document configures the mirror itself: prometheus-mirror serve -f FILE.",
    shortname = "pmirror",
    category = "all",
    category = "observability",
    scale(
        spec_replicas_path = ".spec.replicas",
        status_replicas_path = ".status.replicas",
        label_selector_path = ".status.selector"
    ),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].status",
        description = "Whether every pod serves the current configuration"
    ),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].reason",
        description = "Why it is ready or not"
    ),
    printcolumn(
        name = "Targets",
        type_ = "string",
        json_path = ".status.reachableTargets",
        description = "Reachable targets, out of all targets"
    ),
    printcolumn(
        name = "Endpoint",
        type_ = "string",
        json_path = ".status.endpoint",
        description = "The data source URL for StackState"
    ),
    printcolumn(
        name = "Replicas",
        type_ = "integer",
        json_path = ".status.replicas",
        description = "The number of pods"
    ),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp"
    )
)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = rules::schema(rules::SPEC)))]
pub struct PrometheusMirrorSpec {
    /// How the mirror runs. Deployment: in its own pods, behind a Service. Sidecar: as a container
    /// in every pod of this namespace whose label prometheus-mirror.io/inject has this resource's
    /// name as its value.
    #[serde(default)]
    pub mode: Mode,

    /// Settings of mode Sidecar.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sidecar: Option<Sidecar>,

    /// The Secret with the key that identifies this mirror to StackState: the API key of the data
    /// source. During a key rotation the Secret may also hold previousApiKey; requests with that
    /// key are accepted too.
    pub api_key_secret_ref: ApiKeyRef,

    /// The Prometheus servers that may be read. A data source selects one by name in its connection
    /// details: {"target": "NAME"}.
    #[schemars(
        length(min = 1, max = 64),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"])
    )]
    pub targets: Vec<Target>,

    /// The name of the target to use when the connection details name none. Not needed with a
    /// single target.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    pub default_target: Option<String>,

    /// Servers that are not targets, but that connection details may name by host and port. They
    /// are queried without credentials. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_targets: Option<RequestTargets>,

    /// How many queries each pod runs at once. Excess queries wait in a bounded queue; when the
    /// queue is full, requests get status 503.
    #[serde(default = "default_workers")]
    #[schemars(range(min = 1, max = 1000))]
    pub workers: i32,

    /// Limits on the memory of a pod, and on the API calls that one request may make to its target.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<Limits>,

    /// What the mirror logs beside its own messages: requests, all or some of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub logging: Option<Logging>,

    /// Remembers answers about finished buckets, so that a target is not asked for them again and
    /// again. Default: nothing is remembered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache: Option<Cache>,

    /// The port on which the mirror serves its API. Not 9901, which serves health checks and
    /// metrics.
    #[serde(default = "default_port")]
    #[schemars(range(min = 1, max = 65535), extend("x-kubernetes-validations" = rules::schema(rules::API_PORT)))]
    pub port: i32,

    /// The number of pods. Ignored if autoscaling is set, and in mode Sidecar.
    #[serde(default = "default_replicas")]
    #[schemars(range(min = 0, max = 100))]
    pub replicas: i32,

    /// Scales the number of pods with their CPU usage. Replaces replicas.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub autoscaling: Option<Autoscaling>,

    /// Settings of the API: whether requests must carry the key, the HTTP status of errors, TLS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<Server>,

    /// A page on which people try queries and see why a stream shows what it shows. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub console: Option<Console>,

    /// The Service in front of the pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<Service>,

    /// Restricts who may connect to the API port. Default: no NetworkPolicy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network_policy: Option<NetworkPolicy>,

    /// Creates an Ingress for StackState servers outside the cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ingress: Option<Ingress>,

    /// Creates a Gateway API HTTPRoute for StackState servers outside the cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http_route: Option<HttpRoute>,

    /// Creates a PodDisruptionBudget. {} allows one pod at a time to be evicted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod_disruption_budget: Option<PodDisruptionBudget>,

    /// Creates a ServiceMonitor, so that the Prometheus Operator scrapes the mirror's own metrics.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub monitor: Option<Monitor>,

    /// The container image of the mirror. Default: the one that matches the operator's version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512), regex(pattern = crate::patterns::IMAGE))]
    pub image: Option<String>,

    /// Secrets in this namespace with credentials for pulling the image.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 16),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"])
    )]
    pub image_pull_secrets: Vec<LocalName>,

    /// CPU and memory of the mirror's container. Default: small requests, and a memory limit that
    /// suits the default number of workers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schemas::resources")]
    pub resources: Option<ResourceRequirements>,

    /// A partial pod template, merged into the one that the operator builds: node selectors,
    /// tolerations, additional labels or containers. The mirror's container is named mirror. At
    /// most 64 KiB of JSON. The cluster administrator can deny this field.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schemas::pod_template")]
    pub pod_template: Option<Value>,

    /// Fields to leave out of the pod template that the operator builds, as paths such as
    /// /spec/securityContext/runAsUser. The item of a list is named, as in
    /// /spec/containers/mirror/resources/limits, and a / in a name is written ~1. Applied before
    /// podTemplate is merged. A path that names nothing removes nothing. In Git and in kubectl
    /// apply, null in podTemplate cannot do this: it gets lost on the way.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 32),
        inner(length(min = 1, max = 512), regex(pattern = crate::patterns::FIELD_PATH)),
        extend(
            "x-kubernetes-list-type" = "set",
            "x-kubernetes-validations" = rules::schema(rules::POD_TEMPLATE_REMOVE)
        )
    )]
    pub pod_template_remove: Vec<String>,

    /// Whether the operator asks each pod on its admin port which configuration it serves before it
    /// calls the resource ready. Auto: yes, except where a service mesh or a network policy keeps
    /// it from the pods; then, Kubernetes' own readiness decides. Always: ready only when the pods
    /// say so. Never: the pods are not asked.
    #[serde(default)]
    pub pod_checks: PodChecks,

    /// Stops the operator from changing any object of this resource. Running pods keep running.
    #[serde(default)]
    pub paused: bool,
}

/// How the mirror runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub enum Mode {
    /// In its own pods, behind a Service.
    #[default]
    Deployment,
    /// As a container in other pods.
    Sidecar,
}

/// Settings of mode Sidecar.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Sidecar {
    /// Restarts pods whose sidecar is missing or not the current one: their Deployment, StatefulSet
    /// or DaemonSet replaces them one at a time, within their PodDisruptionBudgets. Default: such
    /// pods are named in the status and left alone.
    #[serde(default)]
    pub restart_pods: bool,
}

/// Whether the operator asks pods which configuration they serve.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub enum PodChecks {
    /// Where they can be reached.
    #[default]
    Auto,
    /// A resource is ready only when its pods say so.
    Always,
    /// Kubernetes' own readiness decides.
    Never,
}

/// Servers that are not targets, but that connection details may name by host and port.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RequestTargets {
    /// Allowed hosts: host names (prometheus.monitoring.svc, upper or lower case), patterns whose
    /// leading *. matches one or more labels (*.monitoring.svc), or IP addresses.
    #[schemars(length(min = 1, max = 64), extend("x-kubernetes-list-type" = "set"))]
    pub hosts: Vec<RequestHost>,

    /// Allowed ports.
    #[schemars(length(min = 1, max = 64), inner(range(min = 1, max = 65535)), extend("x-kubernetes-list-type" = "set"))]
    pub ports: Vec<i32>,
}

/// A host name, a pattern with a leading *., or an IP address.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(transparent)]
#[schemars(extend("x-kubernetes-validations" = rules::schema(rules::REQUEST_HOST)))]
pub struct RequestHost(#[schemars(length(min = 1, max = 253))] pub String);

/// A map of annotations or labels.
pub(crate) type StringMap = BTreeMap<String, String>;

pub(crate) const fn default_workers() -> i32 {
    20
}

fn default_port() -> i32 {
    API_PORT_NUMBER.into()
}

const fn default_replicas() -> i32 {
    1
}
