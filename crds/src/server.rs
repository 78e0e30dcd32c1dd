//! Settings of the mirror's API.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::patterns;
use crate::spec::RequestHost;

/// Settings of the mirror's API.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Server {
    /// Refuses requests without the key. StackState is not known to send the key, so this is for
    /// your own clients. A wrong key is always refused.
    #[serde(default)]
    pub require_api_key: bool,

    /// The HTTP status of errors. Semantic: the status that fits the cause. Always500: 500 for
    /// every error, as older mirrors answer.
    #[serde(default)]
    pub error_status: ErrorStatus,

    /// The hosts by which clients address the API: host names, patterns whose leading *. matches
    /// one or more labels, or IP addresses, without a port. Requests for any other host are
    /// refused, which stops DNS rebinding by web pages. Default: any host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64), extend("x-kubernetes-list-type" = "set"))]
    pub allowed_hosts: Option<Vec<RequestHost>>,

    /// Serves the API over HTTPS instead of HTTP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<ServerTls>,
}

/// The HTTP status of errors.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub enum ErrorStatus {
    /// The status that fits the cause.
    #[default]
    Semantic,
    /// 500 for every error that has a type.
    Always500,
}

/// The certificates of the API port. Changed certificates are loaded without a restart.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ServerTls {
    /// The name of a Secret of type kubernetes.io/tls with the mirror's certificate.
    #[schemars(length(min = 1, max = 253), regex(pattern = patterns::DNS_SUBDOMAIN))]
    pub secret_name: String,

    /// The name of a Secret whose key ca.crt holds the CA certificates that client certificates are
    /// verified against. If set, clients must present a certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = patterns::DNS_SUBDOMAIN))]
    pub client_ca_secret_name: Option<String>,
}
