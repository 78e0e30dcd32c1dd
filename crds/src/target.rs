//! One Prometheus server.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::reference::{ConfigMapKeyRef, LocalName, PrometheusRef, SecretKeyRef, ServiceRef};
use crate::{Auth, BasicAuth, Duration, patterns, rules};

/// So many servers that scrape the same are asked for one answer.
pub const MOST_REPLICAS: usize = 4;
/// So many servers, or groups of replicas, can hold the parts of a target's series.
pub const MOST_SHARDS: usize = 16;
/// The longest URL of a replica, in characters. Shorter than other URLs: the API server refuses a
/// definition whose rules may cost too much, and there may be 64 targets with 16 shards of 4
/// replicas.
pub const LONGEST_REPLICA_URL: usize = 512;

/// A Prometheus server that may be read: Prometheus itself, or any server with the same HTTP API,
/// such as Thanos, Mimir or VictoriaMetrics. Or several that belong together.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = rules::schema(rules::TARGET)))]
pub struct Target {
    /// The name by which connection details select this target. Unique within the resource.
    #[schemars(length(min = 1, max = 63), regex(pattern = patterns::DNS_LABEL))]
    pub name: String,

    /// The base URL of the server, such as http://prometheus.monitoring.svc:9090, with its path
    /// prefix if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<HttpUrl>,

    /// The server as a Service of this cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<ServiceRef>,

    /// The servers of a Prometheus object of the Prometheus Operator, however many replicas and
    /// shards it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prometheus: Option<PrometheusRef>,

    /// Servers that scrape the same, the preferred one first. Another one is asked where it does
    /// not answer, and for what it does not have. No sample counts twice.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(min = 1, max = MOST_REPLICAS),
        extend("x-kubernetes-list-type" = "atomic")
    )]
    pub replicas: Vec<Replica>,

    /// Servers that each hold a part of the series. All of them are asked, and the answer is what
    /// one server with all series would answer.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(min = 1, max = MOST_SHARDS),
        extend("x-kubernetes-list-type" = "atomic")
    )]
    pub shards: Vec<Shard>,

    /// Whether shards that do not answer are left out: the answer is then marked as partial.
    /// Otherwise it is an error, because a sum that lacks a shard is wrong.
    #[serde(default, skip_serializing_if = "is_default")]
    pub partial_responses: bool,

    /// The time limit of a request, from its arrival to its answer, such as 15s or 1m30s. From
    /// 100ms to 10m. StackState itself gives up after 15 seconds.
    #[serde(default = "default_request_timeout")]
    #[schemars(extend("x-kubernetes-validations" = rules::schema(rules::REQUEST_TIMEOUT)))]
    pub request_timeout: Duration,

    /// The scrape interval of the server, such as 15s or 1m. From 1s to 1h. Rates are computed over
    /// at least four intervals.
    #[serde(default = "default_scrape_interval")]
    #[schemars(extend("x-kubernetes-validations" = rules::schema(rules::SCRAPE_INTERVAL)))]
    pub scrape_interval: Duration,

    /// How NaN is answered: Zero as 0, Skip by leaving the point out.
    #[serde(default)]
    pub nan_interpretation: NanInterpretation,

    /// How the mirror authenticates to the server. At most one method; all credentials come from
    /// Secrets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth: Option<Auth>,

    /// How the server's certificate is verified, and the mirror's own client certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<TargetTls>,

    /// HTTP headers sent with every query, such as X-Scope-OrgID for a tenant. Not for credentials;
    /// auth is for those.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 32, "additionalProperties" = { "type": "string", "maxLength": 4096 }))]
    pub headers: BTreeMap<String, String>,

    /// Query parameters sent with every call, such as namespace for OpenShift's Thanos Querier.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 16, "additionalProperties" = { "type": "string", "maxLength": 1024 }))]
    pub parameters: BTreeMap<String, String>,

    /// The HTTP proxy that leads to the server, and to the token endpoint if auth has one. Without
    /// it none is used, whatever the environment says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxy: Option<Proxy>,

    /// Label matchers that are added to every selector of every query to this server, users'
    /// expressions included. No request can read series that they do not match.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 16),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"])
    )]
    pub enforced_matchers: Vec<EnforcedMatcher>,
}

/// One of several servers that scrape the same.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = rules::schema(rules::REPLICA)))]
pub struct Replica {
    /// The base URL of the server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = LONGEST_REPLICA_URL))]
    pub url: Option<HttpUrl>,

    /// The server as a Service of this cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<ServiceRef>,
}

/// A part of the series: one server, or several that scrape the same.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = rules::schema(rules::SHARD)))]
pub struct Shard {
    /// The base URL of the server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<HttpUrl>,

    /// The server as a Service of this cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<ServiceRef>,

    /// The servers, which scrape the same, the preferred one first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(min = 1, max = MOST_REPLICAS),
        extend("x-kubernetes-list-type" = "atomic")
    )]
    pub replicas: Vec<Replica>,
}

/// The HTTP proxy that leads to a server.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Proxy {
    /// The URL of the proxy, such as http://proxy.example.com:3128.
    pub url: HttpUrl,

    /// The user name and the password that the proxy demands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials: Option<BasicAuth>,
}

/// The base URL of an HTTP server.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(transparent)]
#[schemars(extend("x-kubernetes-validations" = rules::schema(rules::HTTP_URL)))]
pub struct HttpUrl(#[schemars(length(min = 1, max = 2048))] pub String);

/// How NaN is answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub enum NanInterpretation {
    /// As 0.
    #[default]
    Zero,
    /// The point is left out.
    Skip,
}

/// The scheme of a URL.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Scheme {
    /// Plain HTTP.
    #[default]
    Http,
    /// HTTP over TLS.
    Https,
}

/// How the server's certificate is verified, and the mirror's own client certificate.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = rules::schema(rules::TARGET_TLS)))]
pub struct TargetTls {
    /// The key of a Secret with the CA certificates (PEM) to trust instead of the well-known CAs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_secret_ref: Option<SecretKeyRef>,

    /// The key of a ConfigMap with the CA certificates (PEM) to trust instead of the well-known
    /// CAs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_config_map_ref: Option<ConfigMapKeyRef>,

    /// A Secret of type kubernetes.io/tls with the client certificate that the mirror presents.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_certificate_secret_ref: Option<LocalName>,

    /// The name that the server's certificate must be valid for, if it is not the host of the URL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = patterns::DNS_SUBDOMAIN))]
    pub server_name: Option<String>,

    /// The lowest version of TLS that is spoken: TLS12, which is the default, or TLS13.
    #[serde(default, skip_serializing_if = "is_default")]
    pub min_version: TlsVersion,

    /// Accepts any certificate. Anyone between the mirror and the server can then read and change
    /// all traffic, credentials included.
    #[serde(default)]
    pub insecure_skip_verify: bool,
}

/// A version of TLS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum TlsVersion {
    /// TLS 1.2.
    #[default]
    Tls12,
    /// TLS 1.3.
    Tls13,
}

/// A label and the value that it must have.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EnforcedMatcher {
    /// The name of the label.
    #[schemars(length(min = 1, max = 128), regex(pattern = patterns::LABEL_NAME))]
    pub name: String,

    /// The value that the label must have.
    #[schemars(length(max = 1024))]
    pub value: String,
}

/// A field that older mirrors do not know is not written for them unless it is set.
fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

fn default_request_timeout() -> Duration {
    Duration::from_secs(15)
}

fn default_scrape_interval() -> Duration {
    Duration::from_secs(15)
}
