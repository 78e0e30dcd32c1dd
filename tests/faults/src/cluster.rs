//! The harness's own hands on the cluster: an administrator's client, past the proxy.

use std::path::Path;

use anyhow::{Result, bail};
pub use cluster_client::{CHILDREN, Cluster, GRANDCHILDREN, Kind, MIRROR, kind, manifests};
use serde_json::{Value, json};

use crate::proxy::Upstream;

/// A way to the API server with the rights of the operator's service account, as it is installed.
///
/// # Errors
/// If there is no such account.
pub async fn as_operator(cluster: &Cluster) -> Result<Upstream> {
    let token = cluster.operator_token().await?;
    let mut bearer = http::HeaderValue::from_str(&format!("Bearer {token}"))?;
    bearer.set_sensitive(true);
    let mut builder = reqwest::Client::builder()
        .no_proxy()
        // Of HTTP/2 a connection takes a hundred requests at once, and each trial has near twenty
        // watches.
        .http1_only()
        .default_headers(
            [(http::header::AUTHORIZATION, bearer)]
                .into_iter()
                .collect(),
        );
    for authority in cluster.config.root_cert.iter().flatten() {
        builder = builder.add_root_certificate(reqwest::Certificate::from_der(authority)?);
    }
    let url = cluster.config.cluster_url.to_string();
    Ok(Upstream {
        url: url.trim_end_matches('/').to_owned(),
        client: builder.build()?,
    })
}

/// The operator's Role and RoleBinding for its lease, for another namespace.
///
/// # Errors
/// If the file has none.
pub fn lease_rights(operator_yaml: &Path, namespace: &str) -> Result<Vec<Value>> {
    let mut rights = manifests(operator_yaml)?;
    rights.retain(|manifest| {
        ["Role", "RoleBinding"].contains(&manifest["kind"].as_str().unwrap_or_default())
    });
    if rights.len() != 2 {
        bail!(
            "expected a Role and a RoleBinding in {}",
            operator_yaml.display()
        );
    }
    for manifest in &mut rights {
        manifest["metadata"]["namespace"] = json!(namespace);
    }
    Ok(rights)
}
