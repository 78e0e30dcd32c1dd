//! The number of replicas while an autoscaler takes over: the operator no longer sends the field,
//! and the autoscaler has not set it yet.

use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

use super::Error;
use super::write::{Writer, refused};
use crate::controller::build::Child;

/// The field manager that holds the replicas of a Deployment until an autoscaler sets them.
const REPLICAS_MANAGER: &str = "prometheus-mirror-operator-replicas";

impl Writer<'_> {
    /// Keeps the present number before the operator stops sending it: the field would fall back to
    /// one replica.
    pub(super) async fn keep_replicas(&self, child: &Child) -> Result<(), Error> {
        let Some(there) = self.cached(child).await? else {
            return Ok(());
        };
        let replicas = &there.data["spec"]["replicas"];
        if !child.manifest["spec"]["replicas"].is_null() || replicas.is_null() {
            return Ok(());
        }
        self.set_replicas(child, there.metadata.uid.as_deref(), replicas)
            .await
    }

    /// Starts a new Deployment at `minReplicas`; otherwise Kubernetes runs one pod until the
    /// autoscaler acts.
    pub(super) async fn start_at_min_replicas(&self, child: &Child) -> Result<(), Error> {
        match &self.mirror.spec.autoscaling {
            Some(asked) if asked.min_replicas > 1 => {
                self.set_replicas(child, None, &json!(asked.min_replicas))
                    .await
            }
            _ => Ok(()),
        }
    }

    /// Sets the number of an existing Deployment, until the autoscaler sets it.
    async fn set_replicas(
        &self,
        child: &Child,
        uid: Option<&str>,
        replicas: &Value,
    ) -> Result<(), Error> {
        let resource = child.kind.resource();
        let mut manifest = json!({
            "apiVersion": resource.api_version, "kind": resource.kind,
            "metadata": {"name": child.name()},
            "spec": {"replicas": replicas},
        });
        if let Some(uid) = uid {
            manifest["metadata"]["uid"] = json!(uid);
        }
        let params = PatchParams::apply(REPLICAS_MANAGER).force();
        let patched = self
            .api(child.kind)
            .patch(child.name(), &params, &Patch::Apply(manifest))
            .await;
        patched.map(|_| ()).map_err(|source| refused(child, source))
    }
}
