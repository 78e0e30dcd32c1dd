//! A mirror's pod, as far as the operator looks at it. A pod as the API server describes it takes
//! kilobytes; of thousands only this is kept.

use crds::contract::{annotations, labels};

use k8s_openapi::api::core::v1::{Pod, PodCondition};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;

use super::known::{Known, text};
use super::problem::{End, Problem, cut};
use super::reported::Part;
use super::store::Kept;

/// The ReplicaSet that controls a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Controller {
    /// `name`
    pub name: Box<str>,
    /// `uid`
    pub uid: Box<str>,
}

/// What is known of a pod.
#[derive(Clone, Debug, PartialEq)]
pub struct MirrorPod {
    namespace: Box<str>,
    name: Box<str>,
    made_at: Option<Time>,
    /// It is being deleted.
    is_ending: bool,
    /// The resource that it is labelled for. Anybody who may make pods can write that, so it only
    /// says whom a change concerns.
    pub mirror: Option<Box<str>>,
    /// The ReplicaSet that controls it.
    pub controller: Option<Controller>,
    /// What is reported of it.
    pub vitals: Vitals,
    /// Why it ended, if Kubernetes ended it, which is rare.
    pub end: Option<Box<End>>,
    phase: Phase,
    ip: Option<Box<str>>,
}

/// What is reported of a pod that a mirror runs in, whoever made the pod.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Vitals {
    /// The value of [`annotations::CONFIGURATION`]: the configuration it was notified of.
    pub notified: Option<String>,
    /// What keeps the mirror's container from running.
    pub problem: Option<Problem>,
    /// Since when Kubernetes has called it ready.
    pub ready_since: Option<Timestamp>,
    /// Whether a service mesh is in front of its ports.
    pub is_meshed: bool,
}

impl Vitals {
    /// Those of a pod with this problem.
    pub(super) fn of(pod: &Pod, problem: Option<Problem>) -> Self {
        let annotations = pod.metadata.annotations.as_ref();
        let notified = annotations.and_then(|all| all.get(annotations::CONFIGURATION));
        let since = ready(pod).and_then(|ready| ready.last_transition_time.as_ref());
        Self {
            notified: notified.map(|text| cut(text)),
            problem,
            ready_since: since.map(|time| time.0),
            is_meshed: is_meshed(pod),
        }
    }
}

/// Of `status.phase` what makes a difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Pending,
    Running,
    /// It was evicted or ended, and stays as a record only.
    Over,
}

impl Phase {
    pub(super) fn of(pod: &Pod) -> Self {
        let status = pod.status.as_ref();
        match status.and_then(|status| status.phase.as_deref()) {
            Some("Running") => Self::Running,
            Some("Failed" | "Succeeded") => Self::Over,
            _ => Self::Pending,
        }
    }
}

impl MirrorPod {
    /// When it was made.
    #[must_use]
    pub fn made_at(&self) -> Option<&Time> {
        self.made_at.as_ref()
    }

    /// Whether this is its ReplicaSet, by uid and name.
    #[must_use]
    pub fn is_controlled_by(&self, replica_set: &Known) -> bool {
        self.controller.as_ref().is_some_and(|controller| {
            replica_set.uid == controller.uid
                && *replica_set.name() == *controller.name
                && *replica_set.namespace() == *self.namespace
        })
    }

    /// Whether it has ended, or is about to.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.phase == Phase::Over || self.is_ending
    }

    /// The IP address at which it can be asked, once it runs.
    #[must_use]
    pub fn address(&self) -> Option<&str> {
        self.ip.as_deref().filter(|_| self.phase == Phase::Running)
    }
}

impl Kept for MirrorPod {
    fn namespace(&self) -> &str {
        &self.namespace
    }

    fn name(&self) -> &str {
        &self.name
    }

    /// The uid of its ReplicaSet.
    fn group(&self) -> Option<&str> {
        Some(&self.controller.as_ref()?.uid)
    }
}

impl Part for MirrorPod {
    type Whole = Pod;
}

impl From<Pod> for MirrorPod {
    fn from(pod: Pod) -> Self {
        let vitals = Vitals::of(&pod, Problem::of(&pod));
        let phase = Phase::of(&pod);
        let end = End::of(&pod);
        let metadata = pod.metadata;
        let labels = metadata.labels.unwrap_or_default();
        let mirror = labels.get(labels::INSTANCE);
        let is_mirror = labels
            .get(labels::NAME)
            .is_some_and(|name| name == labels::PROGRAM);
        let status = pod.status.unwrap_or_default();
        Self {
            namespace: text(metadata.namespace.as_deref()),
            name: text(metadata.name.as_deref()),
            made_at: metadata.creation_timestamp,
            is_ending: metadata.deletion_timestamp.is_some(),
            mirror: mirror
                .filter(|_| is_mirror)
                .map(|name| name.as_str().into()),
            controller: metadata
                .owner_references
                .into_iter()
                .flatten()
                .find(|owner| owner.controller == Some(true) && owner.kind == "ReplicaSet")
                .map(|owner| Controller {
                    name: owner.name.into(),
                    uid: owner.uid.into(),
                }),
            vitals,
            end,
            phase,
            ip: status.pod_ip.map(Into::into),
        }
    }
}

/// Whether Kubernetes calls a pod ready.
pub(super) fn is_ready(pod: &Pod) -> bool {
    ready(pod).is_some()
}

fn ready(pod: &Pod) -> Option<&PodCondition> {
    let mut conditions = pod
        .status
        .iter()
        .flat_map(|status| status.conditions.iter().flatten());
    conditions.find(|it| it.type_ == "Ready" && it.status == "True")
}

/// Whether a known service mesh has marked a pod as its own.
fn is_meshed(pod: &Pod) -> bool {
    const ANNOTATIONS: [&str; 5] = [
        "sidecar.istio.io/status",
        "ambient.istio.io/redirection",
        "linkerd.io/proxy-version",
        "kuma.io/sidecar-injected",
        "consul.hashicorp.com/connect-inject-status",
    ];
    const CONTAINERS: [&str; 2] = ["istio-proxy", "linkerd-proxy"];
    let annotations = pod.metadata.annotations.iter().flatten();
    let annotated =
        annotations.filter(|(_, value)| !["disabled", "false"].contains(&value.as_str()));
    let mut annotated = annotated.map(|(name, _)| name.as_str());
    let spec = pod.spec.iter();
    let mut containers = spec.flat_map(|spec| {
        spec.containers
            .iter()
            .chain(spec.init_containers.iter().flatten())
    });
    annotated.any(|name| ANNOTATIONS.contains(&name))
        || containers.any(|container| CONTAINERS.contains(&container.name.as_str()))
}

#[cfg(test)]
mod tests {
    use crds::contract::CONTAINER;
    use serde_json::{Value, json};

    use super::*;
    use crate::cluster::problem::LONGEST;

    fn read(pod: Value) -> MirrorPod {
        serde_json::from_value::<Pod>(pod).unwrap().into()
    }

    #[test]
    fn a_pod_says_whose_it_is_where_it_answers_and_what_it_was_notified_of() {
        let metadata = json!({
            "name": "p", "namespace": "n", "resourceVersion": "7",
            "labels": {labels::NAME: labels::PROGRAM, labels::INSTANCE: "a", "pod-template-hash": "h"},
            "annotations": {annotations::CONFIGURATION: "c", "other": "o"},
            "ownerReferences": [
                {"apiVersion": "v1", "kind": "Node", "name": "n", "uid": "u-0"},
                {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "r", "uid": "u-1", "controller": true},
            ],
        });
        let containers = json!([
            {"name": CONTAINER, "image": "i", "imageID": "", "ready": true, "restartCount": 0},
            {"name": "sidecar", "image": "i", "imageID": "", "ready": false, "restartCount": 0, "state": {"waiting": {"reason": "ErrImagePull"}}},
        ]);
        let ready = json!({"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"});
        let pod = |phase: &str| {
            json!({
                "metadata": metadata, "spec": {"containers": []},
                "status": {"phase": phase, "podIP": "192.0.2.1", "containerStatuses": containers, "conditions": [ready]},
            })
        };
        let running = read(pod("Running"));
        let expected = MirrorPod {
            namespace: "n".into(),
            name: "p".into(),
            made_at: None,
            is_ending: false,
            mirror: Some("a".into()),
            controller: Some(Controller {
                name: "r".into(),
                uid: "u-1".into(),
            }),
            vitals: Vitals {
                notified: Some("c".to_owned()),
                ready_since: "2026-01-01T00:00:00Z".parse().ok(),
                is_meshed: false,
                problem: Some(Problem::OfAnother {
                    container: "sidecar".to_owned(),
                    problem: Box::new(Problem::Waiting {
                        reason: "ErrImagePull".to_owned(),
                        message: String::new(),
                    }),
                }),
            },
            end: None,
            phase: Phase::Running,
            ip: Some("192.0.2.1".into()),
        };
        assert_eq!(running, expected);
        assert_eq!(running.address(), Some("192.0.2.1"));
        assert_eq!(running.group(), Some("u-1"));
        assert!(!running.is_over());
        assert_eq!(read(pod("Pending")).address(), None);
        assert!(read(pod("Failed")).is_over());
        let bare = read(json!({"metadata": {"name": "p"}}));
        assert_eq!((bare.mirror, bare.controller), (None, None));
    }

    #[test]
    fn a_mesh_is_recognised_by_its_containers_and_annotations() {
        let pod = |annotation: (&str, &str), container: &str, init: &str| {
            let named = |name: &str| json!([{"name": name}]);
            let (name, value) = annotation;
            let spec = json!({"containers": named(container), "initContainers": named(init)});
            let metadata = json!({"name": "p", "annotations": {name: value}});
            read(json!({"metadata": metadata, "spec": spec}))
                .vitals
                .is_meshed
        };
        let none = ("a", "b");
        let injected = ("kuma.io/sidecar-injected", "true");
        let off = ("kuma.io/sidecar-injected", "false");
        let found = [
            pod(none, CONTAINER, "init"),
            pod(none, "istio-proxy", "init"),
            pod(none, CONTAINER, "linkerd-proxy"),
            pod(injected, CONTAINER, "init"),
            pod(off, CONTAINER, "init"),
        ];
        assert_eq!(found, [false, true, true, true, false]);
    }

    #[test]
    fn what_others_write_into_a_pod_at_length_is_cut() {
        let long = "ü".repeat(100_000);
        let pod = read(json!({
            "metadata": {"name": "p", "annotations": {annotations::CONFIGURATION: long}},
            "status": {"conditions": [{"type": "PodScheduled", "status": "False", "message": long}]},
        }));
        let expected = "ü".repeat(LONGEST);
        let problem = Problem::Unscheduled {
            message: expected.clone(),
        };
        let Vitals {
            notified,
            problem: said,
            ..
        } = pod.vitals;
        assert_eq!((notified, said), (Some(expected), Some(problem)));
    }
}
