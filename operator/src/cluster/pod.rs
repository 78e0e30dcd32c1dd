//! A mirror's pod, as far as the operator looks at it. A pod as the API server describes it takes
//! kilobytes; of thousands only this is kept.

use std::borrow::Cow;

use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use kube::Resource;
use kube::core::{NamespaceResourceScope, ObjectMeta};
use serde::{Deserialize, Deserializer};

use crate::names::{CONFIGURATION_ANNOTATION, CONTAINER, INSTANCE_LABEL, NAME, NAME_LABEL};

/// The longest text of a pod that is kept, in characters.
const LONGEST: usize = 1024;

/// The ReplicaSet that controls a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Controller {
    /// `name`
    pub name: String,
    /// `uid`
    pub uid: String,
}

/// What is known of a pod.
#[derive(Clone, Debug, PartialEq)]
pub struct MirrorPod {
    /// Its names, its version, and whether it is being deleted.
    metadata: ObjectMeta,
    /// The resource that it is labelled for. Anybody who may make pods can write that, so it only
    /// says whom a change concerns.
    pub mirror: Option<String>,
    /// The ReplicaSet that controls it.
    pub controller: Option<Controller>,
    /// The value of [`CONFIGURATION_ANNOTATION`].
    pub told: Option<String>,
    /// What keeps its container from running, in its own words.
    pub trouble: Option<String>,
    phase: Phase,
    ip: Option<String>,
}

/// Of `status.phase` what makes a difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Pending,
    Running,
    /// It was evicted or ended, and stays as a record only.
    Over,
}

impl MirrorPod {
    /// Whether this is its namespace.
    #[must_use]
    pub fn is_in(&self, namespace: &str) -> bool {
        self.metadata.namespace.as_deref() == Some(namespace)
    }

    /// Whether it has ended, or is about to.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.phase == Phase::Over || self.metadata.deletion_timestamp.is_some()
    }

    /// The IP address at which it can be asked, once it runs.
    #[must_use]
    pub fn address(&self) -> Option<&str> {
        self.ip.as_deref().filter(|_| self.phase == Phase::Running)
    }
}

impl From<Pod> for MirrorPod {
    fn from(pod: Pod) -> Self {
        let trouble = trouble(&pod);
        let labels = pod.metadata.labels.unwrap_or_default();
        let is_mirror = labels.get(NAME_LABEL).is_some_and(|name| name == NAME);
        let mut annotations = pod.metadata.annotations.unwrap_or_default();
        let status = pod.status.unwrap_or_default();
        Self {
            mirror: labels.get(INSTANCE_LABEL).filter(|_| is_mirror).cloned(),
            controller: pod
                .metadata
                .owner_references
                .into_iter()
                .flatten()
                .find(|owner| owner.controller == Some(true) && owner.kind == "ReplicaSet")
                .map(|owner| Controller {
                    name: owner.name,
                    uid: owner.uid,
                }),
            told: annotations.remove(CONFIGURATION_ANNOTATION).map(cut),
            trouble: trouble.map(cut),
            phase: match status.phase.as_deref() {
                Some("Running") => Phase::Running,
                Some("Failed" | "Succeeded") => Phase::Over,
                _ => Phase::Pending,
            },
            ip: status.pod_ip,
            metadata: ObjectMeta {
                name: pod.metadata.name,
                namespace: pod.metadata.namespace,
                resource_version: pod.metadata.resource_version,
                deletion_timestamp: pod.metadata.deletion_timestamp,
                ..ObjectMeta::default()
            },
        }
    }
}

impl<'de> Deserialize<'de> for MirrorPod {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Pod::deserialize(deserializer).map(Self::from)
    }
}

impl Resource for MirrorPod {
    type DynamicType = ();
    type Scope = NamespaceResourceScope;

    fn kind(_: &()) -> Cow<'_, str> {
        Pod::kind(&())
    }

    fn group(_: &()) -> Cow<'_, str> {
        Pod::group(&())
    }

    fn version(_: &()) -> Cow<'_, str> {
        Pod::version(&())
    }

    fn plural(_: &()) -> Cow<'_, str> {
        Pod::plural(&())
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

/// A text of somebody else's, no longer than what a status has room for.
fn cut(text: String) -> String {
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => text[..end].to_owned(),
        None => text,
    }
}

/// Why the mirror's container does not run, if it tried.
fn trouble(pod: &Pod) -> Option<String> {
    let status = pod.status.as_ref()?;
    let containers = status.container_statuses.iter().flatten();
    if let Some(container) = containers
        .clone()
        .find(|container| container.name == CONTAINER)
    {
        return container_trouble(container);
    }
    let unscheduled = status
        .conditions
        .iter()
        .flatten()
        .find(|condition| condition.type_ == "PodScheduled" && condition.status == "False");
    unscheduled.map(|condition| {
        format!(
            "not scheduled: {}",
            condition.message.clone().unwrap_or_default()
        )
    })
}

fn container_trouble(container: &ContainerStatus) -> Option<String> {
    let state = container.state.as_ref();
    let waiting = state.and_then(|state| state.waiting.as_ref());
    let ended = state
        .and_then(|state| state.terminated.as_ref())
        .or_else(|| {
            container
                .last_state
                .as_ref()
                .and_then(|state| state.terminated.as_ref())
        });
    let running = state.is_some_and(|state| state.running.is_some());
    if running && container.ready {
        return None;
    }
    if let Some(ended) = ended {
        let said = ended.message.clone().unwrap_or_default();
        let why = ended
            .reason
            .as_deref()
            .filter(|reason| *reason != "Error")
            .map_or(String::new(), |reason| format!(" ({reason})"));
        return Some(format!(
            "ended with exit code {}{why}: {}",
            ended.exit_code,
            last_lines(&said)
        ));
    }
    let waiting = waiting?;
    let reason = waiting.reason.as_deref().unwrap_or_default();
    // On the way to running, not in trouble.
    (!["ContainerCreating", "PodInitializing"].contains(&reason)).then(|| {
        format!(
            "{reason}: {}",
            waiting.message.as_deref().unwrap_or_default()
        )
    })
}

/// The end of what a container said, without the lines of its log that are in JSON.
fn last_lines(said: &str) -> String {
    let lines: Vec<_> = said
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('{'))
        .collect();
    lines[lines.len().saturating_sub(5)..].join("; ")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn read(pod: Value) -> MirrorPod {
        serde_json::from_value(pod).unwrap()
    }

    #[test]
    fn a_pod_says_for_whom_it_runs_where_it_answers_and_what_it_was_told() {
        let metadata = json!({
            "name": "p", "namespace": "n", "resourceVersion": "7",
            "labels": {NAME_LABEL: NAME, INSTANCE_LABEL: "a", "pod-template-hash": "h"},
            "annotations": {CONFIGURATION_ANNOTATION: "c", "other": "o"},
            "ownerReferences": [
                {"apiVersion": "v1", "kind": "Node", "name": "n", "uid": "u-0"},
                {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "r", "uid": "u-1", "controller": true},
            ],
        });
        let containers = json!([
            {"name": CONTAINER, "image": "i", "imageID": "", "ready": true, "restartCount": 0},
            {"name": "sidecar", "image": "i", "imageID": "", "ready": false, "restartCount": 0, "state": {"waiting": {"reason": "ErrImagePull"}}},
        ]);
        let pod = |phase: &str| {
            json!({
                "metadata": metadata, "spec": {"containers": []},
                "status": {"phase": phase, "podIP": "192.0.2.1", "containerStatuses": containers},
            })
        };
        let running = read(pod("Running"));
        let expected = MirrorPod {
            metadata: ObjectMeta {
                name: Some("p".to_owned()),
                namespace: Some("n".to_owned()),
                resource_version: Some("7".to_owned()),
                ..ObjectMeta::default()
            },
            mirror: Some("a".to_owned()),
            controller: Some(Controller {
                name: "r".to_owned(),
                uid: "u-1".to_owned(),
            }),
            told: Some("c".to_owned()),
            phase: Phase::Running,
            ip: Some("192.0.2.1".to_owned()),
            trouble: None,
        };
        assert_eq!(running, expected);
        assert_eq!(running.address(), Some("192.0.2.1"));
        assert!(running.is_in("n") && !running.is_in("m") && !running.is_over());
        assert_eq!(read(pod("Pending")).address(), None);
        assert!(read(pod("Failed")).is_over());
        let bare = read(json!({"metadata": {"name": "p"}}));
        assert_eq!((bare.mirror, bare.controller), (None, None));
    }

    #[test]
    fn what_others_write_into_a_pod_at_length_is_cut() {
        let long = "ü".repeat(100_000);
        let pod = read(json!({
            "metadata": {"name": "p", "annotations": {CONFIGURATION_ANNOTATION: long}},
            "status": {"conditions": [{"type": "PodScheduled", "status": "False", "message": long}]},
        }));
        let count = |text: Option<String>| text.map(|text| text.chars().count());
        assert_eq!([count(pod.told), count(pod.trouble)], [Some(LONGEST); 2]);
    }

    fn troubles(status: Value) -> Option<String> {
        read(json!({"metadata": {"name": "p"}, "status": status})).trouble
    }

    #[test]
    fn trouble_is_told_in_the_containers_own_words() {
        let container = |state: Value, last: Value| json!({"containerStatuses": [{"name": "mirror", "image": "i", "imageID": "", "ready": false, "restartCount": 1, "state": state, "lastState": last}]});
        let ended = json!({"terminated": {"exitCode": 1, "reason": "Error", "message": "{\"level\":\"INFO\"}\nprometheus-mirror: spec.x: is wrong\n"}});
        let waiting = |reason: &str, message: &str| json!({"waiting": {"reason": reason, "message": message}});
        assert_eq!(
            [
                troubles(container(
                    waiting("CrashLoopBackOff", "back-off"),
                    ended.clone()
                )),
                troubles(container(ended, json!({}))),
                troubles(container(
                    waiting("ErrImageNeverPull", "no image"),
                    json!({})
                )),
                troubles(container(waiting("ContainerCreating", ""), json!({}))),
                troubles(
                    json!({"conditions": [{"type": "PodScheduled", "status": "False", "message": "no node"}]})
                ),
            ],
            [
                Some("ended with exit code 1: prometheus-mirror: spec.x: is wrong".to_owned()),
                Some("ended with exit code 1: prometheus-mirror: spec.x: is wrong".to_owned()),
                Some("ErrImageNeverPull: no image".to_owned()),
                None,
                Some("not scheduled: no node".to_owned()),
            ]
        );
    }
}
