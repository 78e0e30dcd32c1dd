//! How the mirror answers.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::patterns;
use crate::spec::RequestHost;

/// How the mirror answers StackState.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Server {
    /// Refuses requests that do not carry the key. StackState is not known to send it, so this is
    /// for clients of your own; a wrong key is refused in any case.
    #[serde(default)]
    pub require_api_key: bool,

    /// Which HTTP status errors have. Semantic: the one that fits the cause. Always500: 500 for
    /// all, as older mirrors do.
    #[serde(default)]
    pub error_status: ErrorStatus,

    /// The host names under which clients reach the API: names, patterns whose leading *. stands
    /// for one or more labels, or IP addresses, all without port. A request for another host is
    /// refused, so that no web page can reach the mirror by a name of its own. Default: any host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64), extend("x-kubernetes-list-type" = "set"))]
    pub allowed_hosts: Option<Vec<RequestHost>>,

    /// Makes the mirror answer over HTTPS instead of HTTP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<ServerTls>,
}

/// Which HTTP status errors have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub enum ErrorStatus {
    /// The status that fits the cause.
    #[default]
    Semantic,
    /// 500 for every error that has a type.
    Always500,
}

/// The certificates of the API port. A changed certificate is taken over without a restart.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ServerTls {
    /// The name of a Secret of type kubernetes.io/tls with the mirror's certificate.
    #[schemars(length(min = 1, max = 253), regex(pattern = patterns::DNS_SUBDOMAIN))]
    pub secret_name: String,

    /// The name of a Secret whose key ca.crt holds the authorities of client certificates. Clients
    /// must then present one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = patterns::DNS_SUBDOMAIN))]
    pub client_ca_secret_name: Option<String>,
}
