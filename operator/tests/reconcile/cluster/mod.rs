//! A cluster with one resource, `observability/shop`: what a scenario does to it and asks of it.

mod before;
mod manifests;
mod prometheus;
mod says;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use kube::runtime::controller::Action;
use kube::runtime::reflector::ObjectRef;
use operator::cluster::kind::Stored;
use operator::cluster::packed::Packed;
use operator::controller::{self, Context, Error};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::task::JoinHandle;

pub(crate) use self::before::Before;
pub(crate) use self::manifests::{controlled, key, shop};
pub(crate) use self::prometheus::SIDECAR;
use crate::api_server::{ApiServer, Refusal};
use crate::pods::{Pods, Serving};

/// The namespace of the resource.
pub(crate) const HERE: &str = "observability";
/// The resource.
pub(crate) const SHOP: &str = "prometheusmirrors/shop";
/// The Deployment, the ServiceAccount and the ConfigMap of the resource.
pub(crate) const MIRROR: &str = "shop-mirror";

/// Long enough for a busy machine; nothing waits this long when all is well.
const PATIENCE: Duration = Duration::from_secs(20);

/// The cluster and an operator that knows it.
pub(crate) struct Cluster {
    pub(crate) api: ApiServer,
    pub(crate) pods: Pods,
    context: Arc<Context>,
    /// How many objects the caches have taken in.
    taken_in: Arc<AtomicUsize>,
    work: JoinHandle<()>,
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.work.abort();
    }
}

impl Cluster {
    /// The resource and its Secret, and an operator that reconciles when the scenario says so.
    pub(crate) async fn with(spec: Value) -> Self {
        Before::new(spec).start().await
    }

    /// The same, after the resource became ready.
    pub(crate) async fn ready(spec: Value) -> Self {
        let cluster = Self::with(spec).await;
        cluster.becomes_ready().await;
        cluster
    }

    /// Reconciles until the resource is ready, while its pods come up and time passes.
    pub(crate) async fn becomes_ready(&self) {
        for _ in 0..8 {
            self.reconciles().await;
            self.rolls_out();
            self.time_passes();
            if self.condition("Ready")["status"] == "True" && self.requests().is_empty() {
                return;
            }
        }
        panic!("not ready: {:#}", self.status());
    }

    /// The resource as the operator knows it.
    pub(crate) fn known(&self) -> Arc<Packed> {
        let shop = ObjectRef::new_with("shop", Stored::Mirror).within(HERE);
        self.context.caches.mirrors.get(&shop).expect("no shop")
    }

    /// Reconciles once.
    pub(crate) async fn reconcile(&self) -> Result<Action, Error> {
        self.caught_up().await;
        self.reconcile_object(self.known()).await
    }

    /// Reconciles the resource as it was.
    pub(crate) async fn reconcile_object(&self, shop: Arc<Packed>) -> Result<Action, Error> {
        self.caught_up().await;
        let result = controller::reconcile(shop, Arc::clone(&self.context)).await;
        self.caught_up().await;
        result
    }

    /// Reconciles once, without an error.
    pub(crate) async fn reconciles(&self) -> Action {
        self.reconcile().await.unwrap()
    }

    /// Reconciles once, with an error: its words, and when it is tried again.
    pub(crate) async fn fails_to_reconcile(&self) -> (String, Action) {
        let error = self.reconcile().await.unwrap_err();
        let again = controller::error_policy(self.known(), &error, Arc::clone(&self.context));
        (error.to_string(), again)
    }

    /// Waits until the caches know all that the API server has sent.
    pub(crate) async fn caught_up(&self) {
        self.context.caches.settled().await;
        self.eventually(|| self.api.sent() == Some(self.taken_in.load(Ordering::SeqCst)))
            .await;
    }

    /// Waits until it is so.
    pub(crate) async fn eventually(&self, is_so: impl Fn() -> bool) {
        let end = Instant::now() + PATIENCE;
        while !is_so() {
            assert!(
                Instant::now() < end,
                "after a long time:\n{:#}",
                self.status()
            );
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// Waits until the operator has nothing to do: no reconcile for longer than it waits for more
    /// of the same.
    pub(crate) async fn rests(&self) {
        let reconciles = || {
            let metrics = self.context.metrics.render();
            let mut lines = metrics.lines();
            let count = lines.find(|line| line.contains("_reconciles_total "));
            count.map(str::to_owned)
        };
        let mut before = None;
        while before != Some(reconciles()) {
            before = Some(reconciles());
            tokio::time::sleep(Duration::from_millis(700)).await;
        }
    }

    /// What the Deployment controller and a kubelet do: pods for the present template, which serve
    /// the present document.
    pub(crate) fn rolls_out(&self) {
        let deployment = self
            .api
            .get(&format!("deployments/{MIRROR}"))
            .expect("no Deployment");
        let replicas = deployment["spec"]["replicas"].as_u64().unwrap_or(1);
        let text = deployment["spec"]["template"].to_string();
        let set = format!("{MIRROR}-{}", &sha256(&text)[..8]);
        for other in self.api.all(&["replicasets"]) {
            let name = other["metadata"]["name"].as_str().unwrap_or_default();
            if name != set {
                self.api.remove(&format!("replicasets/{name}"));
            }
        }
        self.api
            .put(controlled("ReplicaSet", &set, &deployment, json!({})));
        let set_there = self
            .api
            .get(&format!("replicasets/{set}"))
            .expect("no ReplicaSet");
        for index in 1..=replicas {
            let (name, address) = (format!("{set}-{index}"), format!("192.0.2.{index}"));
            if self.api.get(&format!("pods/{name}")).is_none() {
                let container = json!({
                    "name": "mirror", "image": "i", "imageID": "", "ready": true,
                    "restartCount": 0, "state": {"running": {}},
                });
                let status = json!({
                    "phase": "Running", "podIP": address, "containerStatuses": [container],
                });
                let rest = json!({"spec": {"containers": []}, "status": status});
                self.api.put(controlled("Pod", &name, &set_there, rest));
            }
            self.pods
                .serve(&address, Serving::document(&self.document()));
        }
        self.api.edit(&format!("deployments/{MIRROR}"), |deployment| {
            deployment["status"] = json!({
                "observedGeneration": deployment["metadata"]["generation"], "replicas": replicas,
                "readyReplicas": replicas, "updatedReplicas": replicas,
            });
        });
    }

    /// The hash of the document in the ConfigMap.
    pub(crate) fn document(&self) -> String {
        let config_map = self
            .api
            .get(&format!("configmaps/{MIRROR}"))
            .expect("no ConfigMap");
        sha256(
            config_map["data"]["mirror.yaml"]
                .as_str()
                .unwrap_or_default(),
        )
    }

    /// The only pod's state changes.
    pub(crate) fn pod_is(&self, state: &Value) {
        let pods = self.api.all(&["pods"]);
        let name = pods[0]["metadata"]["name"].as_str().unwrap_or_default();
        self.api.edit(&format!("pods/{name}"), |pod| {
            let container = &mut pod["status"]["containerStatuses"][0];
            container["state"] = state.clone();
            container["ready"] = json!(false);
        });
    }

    /// A minute: what the status says came about so much earlier.
    pub(crate) fn time_passes(&self) {
        self.api.edit(SHOP, |shop| {
            let conditions = shop["status"]["conditions"]
                .as_array_mut()
                .into_iter()
                .flatten();
            for condition in conditions {
                let time = &mut condition["lastTransitionTime"];
                let then: k8s_openapi::jiff::Timestamp = time.as_str().unwrap().parse().unwrap();
                *time = json!((then - Duration::from_secs(60)).to_string());
            }
        });
        // A status about progress need not wait for the one before any more.
        let then = Instant::now().checked_sub(Duration::from_secs(60));
        let resource = (HERE.to_owned(), "shop".to_owned());
        self.context.throttle.written(&resource, then.unwrap());
    }

    /// The time is over in which another operator could have answered to ours.
    pub(crate) fn claimed_long_ago(&self) {
        let shop = self.api.get(SHOP).unwrap();
        let version = shop["metadata"]["resourceVersion"].as_str().unwrap();
        let then = Instant::now().checked_sub(Duration::from_secs(11));
        let (resource, version) = ((HERE.to_owned(), "shop".to_owned()), version.parse());
        let claims = &self.context.claims;
        claims.note(resource, version.unwrap(), then.unwrap());
    }

    /// The user changes fields of the spec; null takes one away.
    pub(crate) fn set(&self, spec: &Value) {
        self.api.edit(SHOP, |shop| {
            for (name, value) in spec.as_object().into_iter().flatten() {
                match value {
                    Value::Null => drop(shop["spec"].as_object_mut().unwrap().remove(name)),
                    value => shop["spec"][name] = value.clone(),
                }
            }
        });
    }
}

/// A refusal of the API server for want of a right.
pub(crate) fn forbidden(message: &str) -> Refusal {
    Refusal::new(403, "Forbidden", message)
}

fn sha256(text: &str) -> String {
    Sha256::digest(text)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}
