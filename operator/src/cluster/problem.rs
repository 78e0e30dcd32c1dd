//! What keeps a mirror's container from running.

use std::fmt;

use crds::contract::CONTAINER;
use k8s_openapi::api::core::v1::{
    ContainerStateTerminated, ContainerStatus, Pod, PodCondition, PodStatus,
};
use k8s_openapi::jiff::Timestamp;

/// The longest text of a pod that is kept, in characters.
pub(super) const LONGEST: usize = 1024;

/// Why a container does not run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Problem {
    /// It ran, and ended.
    Ended {
        /// The exit code.
        code: i32,
        /// The kubelet's word for it, such as `OOMKilled`; none if it only says that it failed.
        reason: Option<String>,
        /// The last lines that the container wrote.
        said: String,
    },
    /// It cannot be started.
    Waiting {
        /// Such as `ErrImagePull`.
        reason: String,
        /// The kubelet's explanation.
        message: String,
    },
    /// No node takes the pod.
    Unscheduled {
        /// The scheduler's explanation.
        message: String,
    },
    /// Its node does not answer.
    NodeLost {
        /// The name of the node.
        node: String,
    },
    /// Another container of the pod does not run.
    OfAnother {
        /// Its name.
        container: String,
        /// Why.
        problem: Box<Self>,
    },
}

impl Problem {
    /// What keeps a mirror's own pod from serving, if it tried.
    pub(super) fn of(pod: &Pod) -> Option<Self> {
        Self::of_container_named(pod, CONTAINER).or_else(|| Self::of_another(pod, CONTAINER))
    }

    /// What keeps one container of a pod from running, if it tried.
    pub(super) fn of_container_named(pod: &Pod, name: &str) -> Option<Self> {
        let status = pod.status.as_ref()?;
        let all = [&status.container_statuses, &status.init_container_statuses];
        let mut containers = all.into_iter().flatten().flatten();
        if let Some(container) = containers.find(|container| container.name == name) {
            return Self::of_container(container).or_else(|| Self::of_node(pod, status, container));
        }
        let unscheduled = is_false(status, "PodScheduled")?;
        Some(Self::Unscheduled {
            message: cut(unscheduled.message.as_deref().unwrap_or_default()),
        })
    }

    /// A container of `podTemplate` or an injected one, or one beside a sidecar: without it, the
    /// pod does not become ready, and before an init container has ended, the mirror does not
    /// start.
    pub(super) fn of_another(pod: &Pod, own: &str) -> Option<Self> {
        let status = pod.status.as_ref()?;
        let init = status.init_container_statuses.iter().flatten();
        let others = init.chain(status.container_statuses.iter().flatten());
        others.filter(|other| other.name != own).find_map(|other| {
            let ended = other
                .state
                .as_ref()
                .and_then(|state| state.terminated.as_ref());
            // An init container is done.
            if ended.is_some_and(|ended| ended.exit_code == 0) {
                return None;
            }
            let problem = Self::of_container(other)?;
            Some(Self::OfAnother {
                container: cut(&other.name),
                problem: Box::new(problem),
            })
        })
    }

    /// Kubernetes no longer calls a pod ready although its kubelet did: the node is gone.
    fn of_node(pod: &Pod, status: &PodStatus, container: &ContainerStatus) -> Option<Self> {
        let condition = is_false(status, "Ready").filter(|_| container.ready)?;
        // The kubelet would give a reason.
        condition.reason.is_none().then(|| {
            let node = pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref());
            Self::NodeLost {
                node: cut(node.unwrap_or_default()),
            }
        })
    }

    fn of_container(container: &ContainerStatus) -> Option<Self> {
        let state = container.state.as_ref();
        let before = container.last_state.as_ref();
        if state.is_some_and(|state| state.running.is_some()) && container.ready {
            return None;
        }
        let ended = [state, before].into_iter().flatten();
        if let Some(ended) = ended.filter_map(|state| state.terminated.as_ref()).next() {
            return Some(Self::ended(ended));
        }
        let waiting = state?.waiting.as_ref()?;
        let reason = waiting.reason.as_deref().unwrap_or_default();
        // These are stages on the way to running.
        if ["ContainerCreating", "PodInitializing"].contains(&reason) {
            return None;
        }
        Some(Self::Waiting {
            reason: cut(reason),
            message: cut(waiting.message.as_deref().unwrap_or_default()),
        })
    }

    fn ended(ended: &ContainerStateTerminated) -> Self {
        let reason = ended.reason.as_deref().filter(|reason| *reason != "Error");
        Self::Ended {
            code: ended.exit_code,
            reason: reason.map(cut),
            said: cut(&last_lines(ended.message.as_deref().unwrap_or_default())),
        }
    }

    /// Whether the mirror itself ended because it cannot serve its configuration: that is what exit
    /// code 1 means. 137, for example, is the kernel's.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        matches!(
            self,
            Self::Ended {
                code: 1,
                reason: None,
                ..
            }
        )
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ended { code, reason, said } => {
                write!(f, "ended with exit code {code}")?;
                if let Some(reason) = reason {
                    write!(f, " ({reason})")?;
                }
                if !said.is_empty() {
                    write!(f, ": {said}")?;
                }
                Ok(())
            }
            Self::Waiting { reason, message } => write!(f, "{reason}: {message}"),
            Self::Unscheduled { message } => write!(f, "not scheduled: {message}"),
            Self::NodeLost { node } => write!(f, "node {node} does not answer Kubernetes"),
            Self::OfAnother { container, problem } => write!(f, "container {container}: {problem}"),
        }
    }
}

/// Why Kubernetes ended a pod, which stays as a record: `Evicted`, for example, when its node runs
/// out of memory. Another pod takes its place, and may meet the same end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct End {
    /// Such as `Evicted`.
    pub reason: String,
    /// The kubelet's explanation.
    pub message: String,
    /// When, as far as its conditions tell.
    pub at: Option<Timestamp>,
}

impl End {
    /// None if the pod runs, or its containers ended by themselves.
    pub(super) fn of(pod: &Pod) -> Option<Box<Self>> {
        let status = pod.status.as_ref()?;
        let failed = status.phase.as_deref() == Some("Failed");
        let reason = status.reason.as_deref().filter(|_| failed)?;
        let conditions = status.conditions.iter().flatten();
        let times = conditions.filter_map(|condition| condition.last_transition_time.as_ref());
        Some(Box::new(Self {
            at: times.map(|time| time.0).max(),
            reason: cut(reason),
            message: cut(status.message.as_deref().unwrap_or_default()),
        }))
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            reason, message, ..
        } = self;
        let message = message.trim().trim_end_matches('.');
        write!(f, "{reason}: {message}")
    }
}

/// A condition of a pod, if it is false.
fn is_false<'a>(status: &'a PodStatus, type_: &str) -> Option<&'a PodCondition> {
    let mut conditions = status.conditions.iter().flatten();
    conditions.find(|condition| condition.type_ == type_ && condition.status == "False")
}

/// A text of somebody else's, no longer than what a status has room for.
pub(super) fn cut(text: &str) -> String {
    let end = text.char_indices().nth(LONGEST);
    end.map_or(text, |(end, _)| &text[..end]).to_owned()
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
    use crds::contract::CONTAINER;
    use serde_json::{Value, json};

    use super::*;

    fn problem(status: Value) -> Option<Problem> {
        let pod = json!({"metadata": {"name": "p"}, "status": status});
        Problem::of_container_named(&serde_json::from_value(pod).unwrap(), CONTAINER)
    }

    fn container(state: Value, last: Value) -> Value {
        json!({"containerStatuses": [{
            "name": "mirror", "image": "i", "imageID": "", "ready": false, "restartCount": 1,
            "state": state, "lastState": last,
        }]})
    }

    fn terminated(code: i32, reason: &str) -> Value {
        let message = "{\"level\":\"INFO\"}\nprometheus-mirror: spec.x: is wrong\n";
        json!({"terminated": {"exitCode": code, "reason": reason, "message": message}})
    }

    fn waiting(reason: &str, message: &str) -> Value {
        json!({"waiting": {"reason": reason, "message": message}})
    }

    #[test]
    fn a_problem_is_reported_in_the_containers_own_words() {
        let ended = terminated(1, "Error");
        let unscheduled = json!({"type": "PodScheduled", "status": "False", "message": "no node"});
        let texts = [
            container(waiting("CrashLoopBackOff", "back-off"), ended.clone()),
            container(ended, json!({})),
            container(terminated(137, "OOMKilled"), json!({})),
            container(
                json!({"terminated": {"exitCode": 2, "reason": "Error"}}),
                json!({}),
            ),
            container(waiting("ErrImageNeverPull", "no image"), json!({})),
            container(waiting("ContainerCreating", ""), json!({})),
            json!({"conditions": [unscheduled]}),
        ]
        .map(|status| problem(status).map(|problem| problem.to_string()));
        let refused = "ended with exit code 1: prometheus-mirror: spec.x: is wrong";
        let expected = [
            Some(refused),
            Some(refused),
            Some("ended with exit code 137 (OOMKilled): prometheus-mirror: spec.x: is wrong"),
            Some("ended with exit code 2"),
            Some("ErrImageNeverPull: no image"),
            None,
            Some("not scheduled: no node"),
        ];
        assert_eq!(texts, expected.map(|text| text.map(str::to_owned)));
    }

    #[test]
    fn what_is_wrong_beside_the_mirror_is_reported_too() {
        let mirror = json!({
            "name": "mirror", "image": "i", "imageID": "", "ready": true, "restartCount": 0,
            "state": {"running": {}},
        });
        let other = |state: Value| json!({"name": "proxy", "image": "i", "imageID": "", "ready": false, "restartCount": 0, "state": state});
        let not_ready =
            |reason: Option<&str>| json!({"type": "Ready", "status": "False", "reason": reason});
        let texts = [
            json!({"containerStatuses": [other(waiting("InvalidImageName", "bad")), mirror]}),
            json!({"initContainerStatuses": [other(terminated(0, "Completed"))], "containerStatuses": [mirror]}),
            json!({
                "initContainerStatuses": [other(terminated(3, "Error"))],
                "containerStatuses": container(waiting("PodInitializing", ""), json!({}))["containerStatuses"],
            }),
            json!({"containerStatuses": [mirror], "conditions": [not_ready(None)]}),
            json!({"containerStatuses": [mirror], "conditions": [not_ready(Some("ReadinessGatesNotReady"))]}),
        ]
        .map(|status| {
            let pod = json!({"metadata": {"name": "p"}, "spec": {"containers": [], "nodeName": "n1"}, "status": status});
            let problem = Problem::of(&serde_json::from_value(pod).unwrap());
            problem.map(|problem| problem.to_string())
        });
        let init = "container proxy: ended with exit code 3: prometheus-mirror: spec.x: is wrong";
        let expected = [
            Some("container proxy: InvalidImageName: bad"),
            None,
            Some(init),
            Some("node n1 does not answer Kubernetes"),
            None,
        ];
        assert_eq!(texts, expected.map(|text| text.map(str::to_owned)));
    }

    #[test]
    fn a_pod_that_kubernetes_ended_says_why() {
        let end = |status: Value| {
            let pod = json!({"metadata": {"name": "p"}, "status": status});
            let end = End::of(&serde_json::from_value(pod).unwrap());
            end.map(|end| end.to_string())
        };
        let evicted = |phase: &str| {
            let message = "The node was low on resource: memory. ";
            end(json!({"phase": phase, "reason": "Evicted", "message": message}))
        };
        let said = "Evicted: The node was low on resource: memory".to_owned();
        assert_eq!(evicted("Failed"), Some(said));
        assert_eq!(evicted("Running"), None);
        assert_eq!(end(json!({"phase": "Failed"})), None);
    }

    #[test]
    fn only_exit_code_1_is_the_mirrors_own_refusal() {
        let refuses = |state: Value| {
            let problem = problem(container(state, json!({})));
            problem.is_some_and(|problem| problem.is_refusal())
        };
        assert!(refuses(terminated(1, "Error")));
        assert!(!refuses(terminated(101, "Error")));
        assert!(!refuses(terminated(1, "ContainerCannotRun")));
        assert!(!refuses(waiting("ErrImagePull", "no image")));
    }
}
