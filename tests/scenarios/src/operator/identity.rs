//! Servers that want to know who the mirror's pods are.

use anyhow::Result;
use serde_json::json;

use super::prometheus::apply;
use super::with_target;
use crate::mirror_api::has_points;
use crate::scene::Scene;
use crate::wait::eventually;

/// The API server in front of Prometheus: it issued the token, and verifies it.
const SERVER: &str = "https://kubernetes.default.svc/api/v1/namespaces/monitoring/services/http:prometheus:web/proxy";

pub(super) async fn a_token_of_the_service_account_is_accepted(scene: &Scene) -> Result<()> {
    let target = json!({
        "name": "cluster",
        "url": SERVER,
        "auth": {"bearer": {"serviceAccountToken": {"expiration": "10m"}}},
        "tls": {"caConfigMapRef": {"name": "kube-root-ca.crt", "key": "ca.crt"}},
    });
    scene.mirror("shop", &with_target(&target)).await?;
    let words = ["system:serviceaccount:", ":shop-mirror"];
    let said = scene
        .becomes("shop", "TargetsReachable", "False Unreachable", &words)
        .await?;
    scene.claim(format!(
        "the server knows the account, which may do nothing yet: {said}"
    ));
    let name = &scene.namespace;
    let role = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role",
        "metadata": {"name": name, "namespace": "monitoring"},
        "rules": [{"apiGroups": [""], "resources": ["services/proxy"], "verbs": ["get", "create"]}],
    });
    apply(&role).await?;
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
        "metadata": {"name": name, "namespace": "monitoring"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name},
        "subjects": [{"kind": "ServiceAccount", "name": "shop-mirror", "namespace": name}],
    });
    apply(&binding).await?;
    scene
        .becomes("shop", "TargetsReachable", "True ", &[])
        .await?;
    let url = scene.address("shop").await?;
    eventually("there are points", async || has_points(&url).await).await?;
    scene.claim("with the rights that it needs, points come through the same pod");
    Ok(())
}
