//! References to other objects.

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Scheme, patterns, schemas};

/// The Secret with the key that identifies this mirror to StackState.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ApiKeyRef {
    /// The name of a Secret in this namespace.
    #[schemars(length(min = 1, max = 253), regex(pattern = patterns::DNS_SUBDOMAIN))]
    pub name: String,

    /// The key within the Secret.
    #[serde(default = "default_api_key")]
    #[schemars(length(min = 1, max = 253), regex(pattern = patterns::DATA_KEY))]
    pub key: String,
}

/// One key of a Secret.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SecretKeyRef {
    /// The name of a Secret in this namespace.
    #[schemars(length(min = 1, max = 253), regex(pattern = patterns::DNS_SUBDOMAIN))]
    pub name: String,

    /// The key within the Secret.
    #[schemars(length(min = 1, max = 253), regex(pattern = patterns::DATA_KEY))]
    pub key: String,
}

/// One key of a ConfigMap.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ConfigMapKeyRef {
    /// The name of a ConfigMap in this namespace.
    #[schemars(length(min = 1, max = 253), regex(pattern = patterns::DNS_SUBDOMAIN))]
    pub name: String,

    /// The key within the ConfigMap.
    #[schemars(length(min = 1, max = 253), regex(pattern = patterns::DATA_KEY))]
    pub key: String,
}

/// An object of this namespace, by name.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LocalName {
    /// The name of a Secret in this namespace.
    #[schemars(length(min = 1, max = 253), regex(pattern = patterns::DNS_SUBDOMAIN))]
    pub name: String,
}

/// A Service in front of a Prometheus server.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ServiceRef {
    /// The name of the Service.
    #[schemars(length(min = 1, max = 63), regex(pattern = patterns::DNS_LABEL))]
    pub name: String,

    /// The namespace of the Service. Default: this resource's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63), regex(pattern = patterns::DNS_LABEL))]
    pub namespace: Option<String>,

    /// The Service's port, by number or by name.
    #[schemars(schema_with = "schemas::service_port")]
    pub port: IntOrString,

    /// http or https.
    #[serde(default)]
    pub scheme: Scheme,

    /// What the pods of a headless Service are to each other: Replicas scrape the same, Shards hold
    /// a part of the series each. Without it, the Service is asked as one server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pods: Option<Pods>,

    /// The path prefix of the server's API, such as /prometheus.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024), regex(pattern = patterns::URL_PATH))]
    pub path: Option<String>,
}

/// What the pods of a headless Service are to each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub enum Pods {
    /// They scrape the same.
    Replicas,
    /// Each holds a part of the series.
    Shards,
}

/// A Prometheus object of the Prometheus Operator (monitoring.coreos.com/v1). It determines the
/// pods with their replicas and shards, the port, the path prefix and whether TLS is used. The
/// target's tls sets the trusted CA.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PrometheusRef {
    /// The name of the Prometheus object.
    #[schemars(length(min = 1, max = 253), regex(pattern = patterns::DNS_SUBDOMAIN))]
    pub name: String,

    /// The namespace of the Prometheus object. Default: this resource's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63), regex(pattern = patterns::DNS_LABEL))]
    pub namespace: Option<String>,
}

fn default_api_key() -> String {
    crate::contract::API_KEY.to_owned()
}
