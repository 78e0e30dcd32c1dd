//! How the mirror is reached: Service, NetworkPolicy, Ingress, HTTPRoute.

use std::collections::BTreeMap;

use k8s_openapi::api::networking::v1::NetworkPolicyPeer;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::spec::StringMap;
use crate::{patterns, rules, schemas};

/// The Service in front of the pods.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = rules::schema(rules::SERVICE)))]
pub struct Service {
    /// The type of the Service.
    #[serde(default, rename = "type")]
    pub type_: ServiceType,

    /// Annotations of the Service, for example for a cloud's load balancer.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 64, "additionalProperties" = { "type": "string", "maxLength": 4096 }))]
    pub annotations: StringMap,

    /// Whether the Service has addresses of one IP family or of both. Default: the cluster's. A
    /// Service that has both keeps both until this says SingleStack.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ip_family_policy: Option<IpFamilyPolicy>,

    /// The IP families of the Service, the preferred one first. Default: the cluster's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 2), extend("x-kubernetes-list-type" = "set"))]
    pub ip_families: Vec<IpFamily>,

    /// The class of the load balancer. Only with type LoadBalancer. To change it later, delete the
    /// Service: the operator makes it again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 317), regex(pattern = patterns::QUALIFIED_NAME))]
    pub load_balancer_class: Option<String>,

    /// The ranges of addresses that may use the load balancer, such as 10.0.0.0/8. Only with type
    /// LoadBalancer. Default: all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 64),
        inner(length(min = 1, max = 64)),
        extend("x-kubernetes-list-type" = "set")
    )]
    pub load_balancer_source_ranges: Vec<String>,

    /// Whether connections from outside the cluster may be sent on to pods of other nodes. Cluster:
    /// yes, and the pods see the node's address. Local: no, and the pods see the client's. Only
    /// with type NodePort or LoadBalancer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external_traffic_policy: Option<ExternalTrafficPolicy>,
}

/// An IP family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[allow(missing_docs)]
pub enum IpFamily {
    IPv4,
    IPv6,
}

/// Whether a Service has addresses of one IP family or of both.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub enum IpFamilyPolicy {
    /// One.
    SingleStack,
    /// Both where the cluster has both.
    PreferDualStack,
    /// Both; the Service is refused where the cluster has one.
    RequireDualStack,
}

/// Whether connections from outside may be sent on to pods of other nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub enum ExternalTrafficPolicy {
    /// Yes.
    Cluster,
    /// No.
    Local,
}

/// The type of the Service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub enum ServiceType {
    /// Reachable inside the cluster.
    #[default]
    ClusterIP,
    /// Also reachable on a port of every node.
    NodePort,
    /// Reachable through a load balancer of the cloud.
    LoadBalancer,
}

/// Who may connect to the API port.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NetworkPolicy {
    /// Peers that may connect to the API port. Empty: none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schemas::network_policy_peers")]
    pub allowed_from: Vec<NetworkPolicyPeer>,
}

/// An Ingress for StackState servers outside the cluster.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Ingress {
    /// The external host name of the mirror.
    #[schemars(length(min = 1, max = 253), regex(pattern = patterns::DNS_SUBDOMAIN))]
    pub host: String,

    /// The external URL path of the mirror.
    #[serde(default = "default_path")]
    #[schemars(length(min = 1, max = 1024), regex(pattern = patterns::URL_PATH))]
    pub path: String,

    /// The IngressClass. Default: the cluster's default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = patterns::DNS_SUBDOMAIN))]
    pub class_name: Option<String>,

    /// The name of a Secret of type kubernetes.io/tls with the certificate for the host. Default:
    /// plain HTTP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = patterns::DNS_SUBDOMAIN))]
    pub tls_secret_name: Option<String>,

    /// Annotations of the Ingress.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 64, "additionalProperties" = { "type": "string", "maxLength": 4096 }))]
    pub annotations: StringMap,
}

/// A Gateway API HTTPRoute for StackState servers outside the cluster.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HttpRoute {
    /// The Gateways that the route attaches to.
    #[schemars(length(min = 1, max = 16), extend("x-kubernetes-list-type" = "atomic"))]
    pub parent_refs: Vec<HttpRouteParent>,

    /// The external host names of the mirror. Empty: those of the Gateway.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 16),
        inner(length(min = 1, max = 253), regex(pattern = patterns::ROUTE_HOST)),
        extend("x-kubernetes-list-type" = "set")
    )]
    pub hostnames: Vec<String>,
}

/// A Gateway that the route attaches to.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HttpRouteParent {
    /// The name of the Gateway.
    #[schemars(length(min = 1, max = 253), regex(pattern = patterns::DNS_SUBDOMAIN))]
    pub name: String,

    /// The namespace of the Gateway. Default: this resource's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63), regex(pattern = patterns::DNS_LABEL))]
    pub namespace: Option<String>,

    /// The name of the Gateway's listener. Default: every listener that matches.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = patterns::DNS_SUBDOMAIN))]
    pub section_name: Option<String>,
}

fn default_path() -> String {
    "/".to_owned()
}
