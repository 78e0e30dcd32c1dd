//! How the mirror authenticates to a Prometheus server.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::reference::SecretKeyRef;
use crate::{Duration, HttpUrl, patterns, rules};

/// How the mirror authenticates to the server. At most one method, and headers beside it.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = rules::schema(rules::AUTH)))]
pub struct Auth {
    /// User name and password (HTTP basic authentication).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub basic: Option<BasicAuth>,

    /// A token, sent as Authorization: Bearer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bearer: Option<BearerAuth>,

    /// A token obtained with the OAuth 2.0 client credentials grant and renewed before it expires.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oauth2: Option<OAuth2>,

    /// AWS Signature Version 4, required by Amazon Managed Service for Prometheus.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sig_v4: Option<SigV4>,

    /// Headers with credentials, such as X-API-Key. They may be set beside one of the methods.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 8),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"])
    )]
    pub headers: Vec<AuthHeader>,
}

/// User name and password. One of them may be left out: it is then sent empty.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = rules::schema(rules::BASIC_AUTH)))]
pub struct BasicAuth {
    /// The key of a Secret with the user name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub username_secret_ref: Option<SecretKeyRef>,

    /// The key of a Secret with the password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password_secret_ref: Option<SecretKeyRef>,
}

/// A token: from a Secret, or of the pod's service account.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = rules::schema(rules::BEARER_AUTH)))]
pub struct BearerAuth {
    /// The key of a Secret with the token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_secret_ref: Option<SecretKeyRef>,

    /// A token of the pod's service account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_account_token: Option<ServiceAccountToken>,
}

/// A token of the pod's service account, which the kubelet renews.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ServiceAccountToken {
    /// Whom the token is for, such as api://AzureADTokenExchange. Default: the API server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub audience: Option<String>,

    /// How long a token is good for, from 10m to 24h.
    #[serde(default = "default_expiration")]
    #[schemars(extend("x-kubernetes-validations" = rules::schema(rules::TOKEN_EXPIRATION)))]
    pub expiration: Duration,
}

/// A header with credentials.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AuthHeader {
    /// The name of the header, such as X-API-Key.
    #[schemars(length(min = 1, max = 128), regex(pattern = patterns::HEADER_NAME))]
    pub name: String,

    /// The key of a Secret with the value.
    pub value_secret_ref: SecretKeyRef,
}

/// The OAuth 2.0 client credentials grant with a secret or with a token of the pod's service
/// account as the client's assertion, or the exchange of such a token.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = rules::schema(rules::OAUTH2)))]
pub struct OAuth2 {
    /// The client id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub client_id: Option<String>,

    /// The key of a Secret with the client id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_id_secret_ref: Option<SecretKeyRef>,

    /// The key of a Secret with the client secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_secret_secret_ref: Option<SecretKeyRef>,

    /// A token that proves who the client is (RFC 7523), as Microsoft Entra workload identity wants
    /// it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_assertion: Option<TokenSource>,

    /// A token that is exchanged for another (RFC 8693), as Google's workload identity federation
    /// wants it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_exchange: Option<TokenSource>,

    /// The token endpoint. Its certificate is always verified, against the well-known CAs and the
    /// CA that tls sets.
    pub token_url: HttpUrl,

    /// The scopes to request.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 32),
        inner(length(min = 1, max = 256)),
        extend("x-kubernetes-list-type" = "set")
    )]
    pub scopes: Vec<String>,

    /// Additional form fields of the token request, such as audience.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 16, "additionalProperties" = { "type": "string", "maxLength": 1024 }))]
    pub endpoint_params: BTreeMap<String, String>,
}

/// Where a token comes from.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TokenSource {
    /// A token of the pod's service account.
    pub service_account_token: ServiceAccountToken,
}

/// AWS Signature Version 4. Without keys, the pod's own identity is used (IRSA, EKS Pod Identity,
/// instance profile).
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = rules::schema(rules::SIG_V4)))]
pub struct SigV4 {
    /// The AWS region of the server, such as eu-central-1.
    #[schemars(length(min = 1, max = 63), regex(pattern = patterns::DNS_LABEL))]
    pub region: String,

    /// The AWS service that requests are signed for; aps is Amazon Managed Service for Prometheus.
    #[serde(default = "default_service")]
    #[schemars(length(min = 1, max = 63), regex(pattern = patterns::DNS_LABEL))]
    pub service: String,

    /// The ARN of a role to assume first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 20, max = 2048), regex(pattern = patterns::ROLE_ARN))]
    pub role_arn: Option<String>,

    /// The key of a Secret with the access key id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access_key_id_secret_ref: Option<SecretKeyRef>,

    /// The key of a Secret with the secret access key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_access_key_secret_ref: Option<SecretKeyRef>,
}

fn default_expiration() -> Duration {
    Duration::from_secs(3600)
}

fn default_service() -> String {
    "aps".to_owned()
}
