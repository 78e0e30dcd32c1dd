//! Step 3: from a validated resource to the objects that should exist. Pure and total: one builder
//! a kind, each in its file.
//!
//! A builder writes its object as JSON, as a manifest is written: server-side apply owns exactly
//! the fields that are sent, and types would send fields that nobody meant. A test reads every
//! object into Kubernetes' own type and back, so that a misspelt field cannot stay.

mod autoscaler;
mod config_map;
mod deployment;
mod http_route;
mod ingress;
mod merge;
mod network_policy;
mod pod_disruption_budget;
mod remove;
mod service;
mod service_account;
mod service_monitor;
mod sidecar;

use crds::Mode;
use crds::contract::{
    ADMIN_PORT, API_PORT, OPERATOR, SIDECAR_ADMIN_PORT, SIDECAR_API_PORT, labels,
};
use serde_json::{Value, json};

use super::validate::ValidatedMirror;
use crate::cluster::kind::Kind;
use crate::cluster::written::ObjectName;
pub use config_map::Document;
pub use sidecar::Sidecar;

/// The mirror's image of this version.
pub const DEFAULT_IMAGE: &str = concat!(
    "ghcr.io/prometheus-mirror/prometheus-mirror:",
    env!("CARGO_PKG_VERSION")
);

/// What builders need to know beside the resource, from flags.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Defaults {
    /// The image of mirrors that name none.
    pub image: String,
    /// The Secrets that pull images for mirrors that name none.
    pub image_pull_secrets: Vec<String>,
    /// Where the operator runs: it must reach the pods' admin port.
    pub operator_namespace: String,
    /// Whether the platform gives each pod its user and groups, and refuses others.
    pub platform_assigns_users: bool,
}

/// An object that should exist.
#[derive(Clone, Debug, PartialEq)]
pub struct Child {
    /// Its kind.
    pub kind: Kind,
    /// The whole of it, as it is applied.
    pub manifest: Value,
}

impl Child {
    /// `metadata.name`.
    #[must_use]
    pub fn name(&self) -> &str {
        self.manifest["metadata"]["name"]
            .as_str()
            .unwrap_or_default()
    }

    /// Its kind and name.
    #[must_use]
    pub fn object(&self) -> ObjectName {
        ObjectName {
            kind: self.kind,
            name: self.name().to_owned(),
        }
    }
}

/// Everything that should exist for a resource, and nothing else should.
#[derive(Clone, Debug, PartialEq)]
pub struct Built {
    /// In the order of [`Kind::ALL`].
    pub children: Vec<Child>,
    /// What the pods should serve.
    pub document: Document,
    /// The label selector of the pods that the operator makes and scales; none in mode Sidecar.
    pub selector: Option<String>,
    /// What pods with the label should carry; none in mode Deployment.
    pub sidecar: Option<Sidecar>,
    /// Where the mirror answers.
    pub endpoint: String,
}

/// Builds everything.
#[must_use]
pub fn build(mirror: &ValidatedMirror, defaults: &Defaults) -> Built {
    let document = Document::of(mirror);
    let has_own_pods = mirror.spec.mode == Mode::Deployment;
    let mut needed = vec![
        (Kind::ConfigMap, config_map::build(mirror, &document)),
        (Kind::Service, service::build(mirror)),
    ];
    if has_own_pods {
        needed.push((Kind::ServiceAccount, service_account::build(mirror)));
        needed.push((Kind::Deployment, deployment::build(mirror, defaults)));
    }
    let mut children: Vec<_> = needed
        .into_iter()
        .chain(asked_for(mirror, defaults))
        .map(|(kind, manifest)| Child { kind, manifest })
        .collect();
    // Stable: the Service for StackState stays before the one for scraping.
    children.sort_by_key(|child| child.kind);
    Built {
        children,
        document,
        selector: has_own_pods.then(|| {
            format!(
                "{}={},{}={}",
                labels::INSTANCE,
                mirror.name,
                labels::NAME,
                labels::PROGRAM
            )
        }),
        sidecar: (!has_own_pods).then(|| Sidecar::of(mirror, defaults)),
        endpoint: service::endpoint(mirror),
    }
}

/// The objects that exist only if the spec asks for them.
fn asked_for(mirror: &ValidatedMirror, defaults: &Defaults) -> Vec<(Kind, Value)> {
    let spec = &mirror.spec;
    let mut objects = Vec::new();
    if let Some(asked) = &spec.network_policy {
        let manifest = network_policy::build(mirror, asked, defaults);
        objects.push((Kind::NetworkPolicy, manifest));
    }
    if let Some(asked) = &spec.pod_disruption_budget {
        let manifest = pod_disruption_budget::build(mirror, asked);
        objects.push((Kind::PodDisruptionBudget, manifest));
    }
    if let Some(asked) = &spec.autoscaling {
        let manifest = autoscaler::build(mirror, asked);
        objects.push((Kind::HorizontalPodAutoscaler, manifest));
    }
    if let Some(asked) = &spec.ingress {
        objects.push((Kind::Ingress, ingress::build(mirror, asked)));
    }
    if let Some(asked) = &spec.http_route {
        objects.push((Kind::HttpRoute, http_route::build(mirror, asked)));
    }
    if let Some(asked) = &spec.monitor {
        objects.push((Kind::Service, service_monitor::build_service(mirror)));
        objects.push((Kind::ServiceMonitor, service_monitor::build(mirror, asked)));
    }
    objects
}

/// The name of the children, except of the Service that StackState reads from: that one has the
/// resource's own.
fn child_name(mirror: &ValidatedMirror) -> String {
    deployment_name(&mirror.name)
}

/// The name of a resource's Deployment.
#[must_use]
pub fn deployment_name(resource: &str) -> String {
    format!("{resource}-mirror")
}

/// The labels that pods are selected by. In a mode they never change: a Deployment's selector is
/// immutable.
fn selector_labels(mirror: &ValidatedMirror) -> Value {
    match mirror.spec.mode {
        Mode::Deployment => json!({ labels::NAME: labels::PROGRAM, labels::INSTANCE: mirror.name }),
        Mode::Sidecar => json!({ labels::INJECT: mirror.name }),
    }
}

/// The name of the API port in the pods.
fn api_port(mirror: &ValidatedMirror) -> &'static str {
    match mirror.spec.mode {
        Mode::Deployment => API_PORT,
        Mode::Sidecar => SIDECAR_API_PORT,
    }
}

/// The name of the admin port in the pods.
fn admin_port(mirror: &ValidatedMirror) -> &'static str {
    match mirror.spec.mode {
        Mode::Deployment => ADMIN_PORT,
        Mode::Sidecar => SIDECAR_ADMIN_PORT,
    }
}

fn labels(mirror: &ValidatedMirror) -> Value {
    json!({ labels::NAME: labels::PROGRAM, labels::INSTANCE: mirror.name, labels::MANAGED_BY: OPERATOR })
}

/// An object of a kind with the metadata that every child has; `rest` is what stands beside
/// `metadata`.
fn object(mirror: &ValidatedMirror, kind: Kind, name: &str, rest: Value) -> Value {
    let resource = kind.resource();
    let mut object = json!({
        "apiVersion": resource.api_version,
        "kind": resource.kind,
        "metadata": {
            "name": name,
            "namespace": mirror.namespace,
            "labels": labels(mirror),
            "ownerReferences": [{
                "apiVersion": crds::API_VERSION,
                "kind": crds::KIND,
                "name": mirror.name,
                "uid": mirror.uid,
                "controller": true,
                "blockOwnerDeletion": true,
            }],
        },
    });
    merge::merge(&mut object, rest);
    // Whatever labels a user adds: by these the operator finds its children again.
    merge::merge(
        &mut object,
        json!({ "metadata": { "labels": labels(mirror) } }),
    );
    object
}

#[cfg(test)]
mod tests;
