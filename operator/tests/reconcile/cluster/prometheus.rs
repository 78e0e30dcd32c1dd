//! Pods of a Prometheus that should carry the sidecar, and what a policy does to new ones.

use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};

use super::{Cluster, HERE, SHOP};
use crate::pods::Serving;

/// The name of the sidecar's container.
pub(crate) const SIDECAR: &str = "prometheus-mirror";

impl Cluster {
    /// A StatefulSet whose pods are ready.
    pub(crate) fn stateful_set(&self, pods: u32) {
        self.api.put(json!({
            "apiVersion": "apps/v1", "kind": "StatefulSet",
            "metadata": {"name": "prometheus", "namespace": HERE, "uid": "uid-set"},
            "spec": {"replicas": pods},
            "status": {"observedGeneration": 1, "readyReplicas": pods},
        }));
    }

    /// A pod of that set with the label, running and ready, as it is without a sidecar. It was
    /// made long ago.
    pub(crate) fn labelled_pod(&self, index: u32) {
        let made = Timestamp::now().as_second() - 86_400;
        let made = Timestamp::from_second(made).unwrap();
        self.api.put(json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {
                "name": format!("prometheus-{index}"), "namespace": HERE,
                "labels": {"prometheus-mirror.io/inject": "shop"},
                "creationTimestamp": made.to_string(),
                "ownerReferences": [{
                    "apiVersion": "apps/v1", "kind": "StatefulSet", "name": "prometheus",
                    "uid": "uid-set", "controller": true,
                }],
            },
            "spec": {"containers": [{"name": "prometheus", "ports": [{"containerPort": 9090}]}]},
            "status": {
                "phase": "Running", "podIP": format!("192.0.2.{}", index + 1),
                "conditions": [{"type": "Ready", "status": "True"}],
            },
        }));
    }

    /// The policy's work, done to a pod that is there: it has the present sidecar, which serves the
    /// present document.
    pub(crate) fn injected(&self, index: u32) {
        let sidecar = self.status()["sidecar"].clone();
        self.api.edit(&format!("pods/prometheus-{index}"), |pod| {
            pod["spec"]["initContainers"] = json!([sidecar["container"]]);
            pod["spec"]["volumes"] = sidecar["volumes"].clone();
            pod["metadata"]["annotations"]["prometheus-mirror.io/sidecar"] =
                sidecar["hash"].clone();
            pod["status"]["initContainerStatuses"] = json!([{
                "name": SIDECAR, "image": "i", "imageID": "", "ready": true, "restartCount": 0,
                "state": {"running": {}},
            }]);
        });
        self.serves(index);
    }

    /// The sidecar of a pod serves the present document.
    pub(crate) fn serves(&self, index: u32) {
        let address = format!("192.0.2.{}", index + 1);
        self.pods
            .serve(&address, Serving::document(&self.document()));
    }

    /// Changes a pod of the Prometheus.
    pub(crate) fn pod(&self, index: u32, edit: impl FnOnce(&mut Value)) {
        self.api.edit(&format!("pods/prometheus-{index}"), edit);
    }

    /// The resource in mode Sidecar, ready with so many pods.
    pub(crate) async fn with_sidecars(spec: Value, pods: u32) -> Self {
        let mut spec = spec;
        spec["mode"] = json!("Sidecar");
        let cluster = Self::with(spec).await;
        cluster.reconciles().await;
        cluster.stateful_set(pods);
        for index in 0..pods {
            cluster.labelled_pod(index);
            cluster.injected(index);
        }
        for _ in 0..4 {
            cluster.reconciles().await;
            cluster.time_passes();
        }
        assert_eq!(cluster.condition("Ready")["status"], "True");
        cluster.requests();
        cluster
    }

    /// The sidecar was first rendered so many seconds ago.
    pub(crate) fn rendered_ago(&self, seconds: i64) {
        let then = Timestamp::from_second(Timestamp::now().as_second() - seconds).unwrap();
        self.api.edit(SHOP, |shop| {
            shop["status"]["sidecar"]["renderedAt"] = json!(then.to_string());
        });
    }
}
