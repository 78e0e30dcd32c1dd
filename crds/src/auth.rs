//! How the mirror authenticates to a Prometheus server.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::reference::SecretKeyRef;
use crate::{HttpUrl, patterns, rules};

/// How the mirror authenticates to the server. At most one method.
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
}

/// User name and password.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BasicAuth {
    /// The key of a Secret with the user name.
    pub username_secret_ref: SecretKeyRef,

    /// The key of a Secret with the password.
    pub password_secret_ref: SecretKeyRef,
}

/// A token.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BearerAuth {
    /// The key of a Secret with the token.
    pub token_secret_ref: SecretKeyRef,
}

/// The OAuth 2.0 client credentials grant.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct OAuth2 {
    /// The key of a Secret with the client id.
    pub client_id_secret_ref: SecretKeyRef,

    /// The key of a Secret with the client secret.
    pub client_secret_secret_ref: SecretKeyRef,

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

fn default_service() -> String {
    "aps".to_owned()
}
