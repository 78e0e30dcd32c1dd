//! What happens to a resource in most trials, from its creation to its end.

use serde_json::{Value, json};

use crate::snapshot::FIXTURE_LABEL;

/// The resource's name.
pub const NAME: &str = "shop";

/// One change by the user, after which everything comes to rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// The resource is made.
    Create,
    /// The document, the pods and their number change.
    Update,
    /// Every optional child is asked for.
    OptionsOn,
    /// And no longer.
    OptionsOff,
    /// The resource is deleted.
    Delete,
}

impl Step {
    /// In order.
    pub const ALL: [Self; 5] = [
        Self::Create,
        Self::Update,
        Self::OptionsOn,
        Self::OptionsOff,
        Self::Delete,
    ];

    /// The resource's spec after it; none when it is gone.
    #[must_use]
    pub fn spec(self) -> Option<Value> {
        match self {
            Self::Create => Some(smallest()),
            Self::Update | Self::OptionsOff => Some(updated()),
            Self::OptionsOn => {
                let mut spec = updated();
                for (field, value) in options() {
                    spec[field] = value;
                }
                Some(spec)
            }
            Self::Delete => None,
        }
    }
}

/// The spec that trials begin with.
#[must_use]
pub fn smallest() -> Value {
    json!({
        "apiKeySecretRef": {"name": "mirror-key"},
        "targets": [{"name": "cluster", "service": {"name": "prometheus", "port": "web"}}],
    })
}

fn updated() -> Value {
    let mut spec = smallest();
    spec["targets"][0]["url"] = json!("http://prometheus.example:9090");
    spec["targets"][0]
        .as_object_mut()
        .map(|target| target.remove("service"));
    spec["workers"] = json!(7);
    spec["replicas"] = json!(2);
    spec["resources"] = json!({"requests": {"cpu": "10m"}, "limits": {"memory": "100Mi"}});
    spec
}

fn options() -> [(&'static str, Value); 6] {
    [
        ("podDisruptionBudget", json!({})),
        ("networkPolicy", json!({})),
        ("ingress", json!({"host": "mirror.example"})),
        ("httpRoute", json!({"parentRefs": [{"name": "gateway"}]})),
        ("monitor", json!({})),
        ("autoscaling", json!({"minReplicas": 2, "maxReplicas": 4})),
    ]
}

/// What resources refer to.
#[must_use]
pub fn fixtures(namespace: &str) -> Vec<Value> {
    let metadata = |name: &str| json!({"name": name, "namespace": namespace, "labels": {FIXTURE_LABEL: "true"}});
    vec![
        json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": metadata("mirror-key"),
            "stringData": {"apiKey": "not-a-secret"},
        }),
        json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": metadata("more"),
            "stringData": {"user": "u", "password": "p", "token": "t", "ca.crt": "c", "tls.crt": "c", "tls.key": "k", "id": "i", "apiKey": "k"},
        }),
        json!({
            "apiVersion": "v1", "kind": "Service", "metadata": metadata("prometheus"),
            "spec": {"ports": [{"name": "web", "port": 9090}]},
        }),
    ]
}
